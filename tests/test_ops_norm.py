import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from arrays import normals
from jax.test_util import check_grads

from fcnn import ops

# Sums of some tens of float32 products of order one: a few units in the last place.
CLOSE = {"rtol": 2e-5, "atol": 2e-5}


@pytest.mark.parametrize("axes", [0, -1, (0, 1), (0, 1, 2), (1, 2), (3,), range(4)], ids=str)
def test_moments_equal_the_oracle(axes):
    (x,) = normals(0, (3, 4, 5, 6))
    mean, var = ops.moments(x, axes)
    expected = oracle.moments(x, (axes,) if isinstance(axes, int) else tuple(axes))
    np.testing.assert_allclose(mean, expected[0], **CLOSE)
    np.testing.assert_allclose(var, expected[1], **CLOSE)
    kept = ops.moments(x, axes, keepdims=True)
    assert kept[0].ndim == kept[1].ndim == 4
    np.testing.assert_array_equal(np.squeeze(kept[1]), np.squeeze(var))


@pytest.mark.parametrize("shape", [(6,), (5, 1), (5, 6), (3, 1, 1, 6), (1, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("affine", [True, False])
def test_normalize_equals_the_oracle(shape, affine):
    x, mean, var, scale, bias = normals(1, (3, 4, 5, 6), shape, shape, shape, (6,))
    var = np.abs(var) + 0.1
    scale, bias = (scale, bias) if affine else (None, None)
    y = ops.normalize(x, mean, var, scale, bias, 1e-3)
    np.testing.assert_allclose(y, oracle.normalize(x, mean, var, scale, bias, 1e-3), **CLOSE)


def test_variance_of_a_large_mean_keeps_its_digits():
    """In one pass, E[x²] − E[x]², float32 has no digit left at mean 100 and deviation 0.1."""
    (noise,) = normals(2, (4096,))
    x = (100 + 0.1 * noise).astype(np.float32)
    _, var = ops.moments(x, 0)
    np.testing.assert_allclose(var, np.var(x.astype(np.float64)), rtol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "statistics"),
    [(jnp.bfloat16, jnp.float32), (jnp.float16, jnp.float32), (jnp.float32, jnp.float32)],
)
def test_statistics_are_float32_and_the_output_is_xs(dtype, statistics):
    x = jnp.asarray(normals(3, (64, 3))[0] * 8 + 30, dtype)
    mean, var = ops.moments(x, 0)
    assert mean.dtype == var.dtype == statistics
    exact = np.asarray(x, np.float64)
    # x itself is exact; only float32 sums round.
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-5)
    np.testing.assert_allclose(var, exact.var(0), rtol=1e-4)
    assert ops.normalize(x, mean, var).dtype == dtype


def test_float64_stays_float64():
    with jax.enable_x64(True):
        (x,) = normals(4, (8, 3), dtype=np.float64)
        mean, var = ops.moments(x, 0)
        assert mean.dtype == var.dtype == jnp.float64
        np.testing.assert_allclose(var, x.var(0), rtol=1e-14)
        check_grads(lambda x: ops.normalize(x, *ops.moments(x, 0)), (x,), order=2, modes=["rev"])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ops.moments(jnp.ones((2, 3), jnp.int32), 0), TypeError, r"\(2, 3\) is int32"),
        (lambda: ops.moments(jnp.ones((2, 3)), 2), ValueError, r"axes \(2,\) .* shape \(2, 3\)"),
        (lambda: ops.moments(jnp.ones((0, 3)), 0), ValueError, "nothing to average"),
        (
            lambda: ops.normalize(jnp.ones((2, 3)), jnp.ones(2), jnp.ones(2)),
            ValueError,
            r"mean of shape \(2,\) does not align with the last axes of x \(2, 3\)",
        ),
        (
            lambda: ops.normalize(jnp.ones((2, 3)), jnp.ones((1, 2, 3)), jnp.ones(3)),
            ValueError,
            r"mean of shape \(1, 2, 3\)",
        ),
        (
            lambda: ops.normalize(jnp.ones((2, 3)), jnp.ones(3), jnp.ones(3), eps=float("nan")),
            ValueError,
            "eps must be at least 0, got nan",
        ),
        (
            lambda: ops.normalize(jnp.ones((2, 3)), jnp.ones(3), jnp.ones(3), epsilon=1e-3),
            TypeError,
            "epsilon",
        ),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
