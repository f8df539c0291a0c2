"""Moments and normalisation: values, numerical care, dtype, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from arrays import normals
from jax.test_util import check_grads

from fcnn import ops

SHAPE = (3, 4, 5, 6)
# Who shares a mean: batch norm, layer norm over channels, over everything, instance norm.
AXES = {
    "batch": (0, 1, 2),
    "channels": (-1,),
    "example": (1, 2, 3),
    "instance": (1, 2),
    "rows": (0, 1),
    "all": (0, 1, 2, 3),
}


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_moments(axes):
    (x,) = normals(0, SHAPE)
    x = 2 * x + 3
    mean, var = ops.moments(x, axes)
    expected_mean, expected_var = oracle.moments(x, axes)
    # Means of at most 360 float32 values of size 5: a few units in the last place.
    np.testing.assert_allclose(mean, expected_mean, rtol=2e-6)
    np.testing.assert_allclose(var, expected_var, rtol=5e-6)


def test_moments_keepdims_and_one_axis():
    (x,) = normals(0, SHAPE)
    kept = ops.moments(x, (1, 2), keepdims=True)
    assert [m.shape for m in kept] == [(3, 1, 1, 6)] * 2
    plain = ops.moments(x, (1, 2))
    for with_axes, without in zip(kept, plain, strict=True):
        np.testing.assert_array_equal(with_axes[:, 0, 0], without)
    for one, tuple_of_one in zip(ops.moments(x, 2), ops.moments(x, [-2]), strict=True):
        np.testing.assert_array_equal(one, tuple_of_one)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_large_mean_leaves_the_variance_right(dtype):
    """Mean 100, deviation 0.1: E[x^2] - E[x]^2 in float32 is off by per cents, or negative."""
    (z,) = normals(1, (64, 32, 32, 1))
    # bfloat16 around 100 has steps of 0.5, so its own values are what the oracle is given.
    x = jnp.asarray(100 + 0.1 * z, dtype)
    mean, var = ops.moments(x, (0, 1, 2))
    assert mean.dtype == var.dtype == jnp.float32
    exact = np.asarray(x, np.float64)
    # The mean is right to 2^-24 * 100 = 6e-6, whose square is nothing beside the variance 0.01;
    # what is left are the roundings of 65,536 squares, added pairwise.
    np.testing.assert_allclose(mean, [exact.mean()], rtol=1e-6)
    np.testing.assert_allclose(var, [exact.var()], rtol=1e-4)


def test_a_constant_has_variance_zero():
    mean, var = ops.moments(jnp.full((4, 5), 0.1), 1)
    # The mean of five equal values may be one unit in the last place off: (0.1 * 2^-23)^2.
    np.testing.assert_allclose(mean, np.full(4, np.float32(0.1)), rtol=2e-7)
    np.testing.assert_allclose(var, np.zeros(4), atol=1e-15)


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_normalize(axes):
    x, scale, bias = normals(2, SHAPE, (6,), (6,))
    x = 2 * x + 3
    mean, var = ops.moments(x, axes, keepdims=True)
    y = ops.normalize(x, mean, var, scale, bias, 1e-3)
    expected = oracle.normalize(x, mean, var, scale, bias, 1e-3)
    # Five float32 operations on values up to about 4.
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-6)
    plain = ops.normalize(x, mean, var)
    np.testing.assert_allclose(plain, oracle.normalize(x, mean, var), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("shape", [(6,), (5, 1), (5, 6), (3, 1, 1, 6), (1, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("affine", [True, False])
def test_statistics_align_with_the_last_axes(shape, affine):
    x, mean, var, scale, bias = normals(9, SHAPE, shape, shape, shape, (6,))
    var = np.abs(var) + 0.1
    scale, bias = (scale, bias) if affine else (None, None)
    y = ops.normalize(x, mean, var, scale, bias, 1e-3)
    expected = oracle.normalize(x, mean, var, scale, bias, 1e-3)
    # As above, but a deviation down to 0.3 makes values up to about 30.
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_normalised_values_have_mean_0_and_variance_1():
    (x,) = normals(3, (8, 9, 10, 4))
    y = ops.normalize(5 * x - 7, *ops.moments(5 * x - 7, (0, 1, 2)), eps=0)
    mean, var = oracle.moments(y, (0, 1, 2))
    # The float32 mean of 720 values around -7 is right to about 1e-6, divided by the deviation 5.
    np.testing.assert_allclose(mean, np.zeros(4), atol=2e-6)
    np.testing.assert_allclose(var, np.ones(4), rtol=1e-5)


def test_hand_values():
    x = jnp.array([[1.0, 10.0], [3.0, 20.0]])
    mean, var = ops.moments(x, 0)
    np.testing.assert_array_equal(mean, [2, 15])
    np.testing.assert_array_equal(var, [1, 25])
    y = ops.normalize(x, mean, var, jnp.array([2.0, 1.0]), jnp.array([0.0, 5.0]), eps=0)
    # rsqrt may differ from 1 / sqrt in the last place.
    np.testing.assert_allclose(y, [[-2, 4], [2, 6]], rtol=1e-6)


def test_identity_statistics_are_almost_the_identity():
    (x,) = normals(4, (2, 3, 3, 4))
    y = ops.normalize(x, jnp.zeros(4), jnp.ones(4), eps=0)
    np.testing.assert_allclose(y, x, rtol=3e-7)  # rsqrt(1), to the last place


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_float32_inside(dtype):
    x = jnp.asarray(30 + 2 * normals(5, (16, 8, 8, 3))[0], dtype)
    mean, var = ops.moments(x, (0, 1, 2))
    assert mean.dtype == var.dtype == jnp.float32
    y = ops.normalize(x, mean, var)
    assert y.dtype == dtype
    exact = np.asarray(x, np.float64)
    expected = oracle.normalize(exact, *oracle.moments(exact, (0, 1, 2)))
    # Rounded to the dtype once, at the end: half a unit in the last place, and float32's noise.
    error = abs(np.asarray(y, np.float64) - expected)
    assert (error <= 0.51 * float(jnp.finfo(dtype).eps) * abs(expected) + 2e-5).all()


def test_float64_stays_float64():
    with jax.enable_x64(True):
        (x,) = normals(6, (5, 7), dtype=np.float64)
        mean, var = ops.moments(jnp.asarray(x), 0)
        assert mean.dtype == var.dtype == jnp.float64
        expected = oracle.normalize(x, *oracle.moments(x, [0]))
        y = ops.normalize(jnp.asarray(x), mean, var)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)  # a few roundings of 1e-16


@pytest.mark.parametrize("axes", [(0, 1), (-1,)])
def test_gradients_are_finite_differences(axes):
    with jax.enable_x64(True):
        inputs = [jnp.asarray(a) for a in normals(7, (4, 3, 5), (5,), (5,), dtype=np.float64)]

        def function(x, scale, bias):
            return ops.normalize(x, *ops.moments(x, axes, keepdims=True), scale, bias)

        # The function is smooth, with deviations about 1: check_grads' float64 default serves.
        check_grads(function, inputs, order=2, modes=["fwd", "rev"])


def test_gradient_of_a_constant_is_finite():
    """Variance 0 must not put an infinity or NaN into the gradient."""

    def loss(x):
        return jnp.sum(jnp.sin(ops.normalize(x, *ops.moments(x, 0))))

    gradient = jax.grad(loss)(jnp.ones((4, 3)))
    assert np.isfinite(gradient).all()


X = jnp.ones((2, 4, 4, 3))
C = jnp.ones(3)
ERRORS = {
    "integer moments": (
        lambda: ops.moments(jnp.ones((2, 3), jnp.int32), 0), TypeError,
        r"moments expects floating-point x, but x \(2, 3\) is int32",
    ),
    "axis": (
        lambda: ops.moments(X, (0, 4)), ValueError,
        r"axes \(0, 4\) do not exist in x of shape \(2, 4, 4, 3\)",
    ),
    "negative axis": (lambda: ops.moments(X, -5), ValueError, r"axes \(-5,\) do not exist"),
    "axis twice": (lambda: ops.moments(X, (3, -1)), ValueError, r"\(3, -1\) .* one of them twice"),
    "float axis": (lambda: ops.moments(X, 1.0), TypeError, "an int or a sequence of ints, got 1.0"),
    "no axes": (lambda: ops.moments(X, None), TypeError, "a sequence of ints, got None"),
    "nothing to average": (
        lambda: ops.moments(X[:0], 0), ValueError, r"x \(0, 4, 4, 3\): there is nothing",
    ),
    "integer normalize": (
        lambda: ops.normalize(X.astype(jnp.int32), C, C), TypeError, r"x \(2, 4, 4, 3\) is int32",
    ),
    "mean": (
        lambda: ops.normalize(X, jnp.ones(4), C), ValueError,
        r"normalize mean of shape \(4,\) does not align .* x \(2, 4, 4, 3\)",
    ),
    "var": (
        lambda: ops.normalize(X, C, jnp.ones((2, 3))), ValueError,
        r"normalize var of shape \(2, 3\) does not align",
    ),
    "scale": (
        lambda: ops.normalize(X, C, C, jnp.ones(2)), ValueError, r"scale of shape \(2,\) does not",
    ),
    "bias": (
        lambda: ops.normalize(X, C, C, None, jnp.ones((1, 1, 1, 1, 3))), ValueError,
        r"bias of shape \(1, 1, 1, 1, 3\) does not align",
    ),
    "negative eps": (lambda: ops.normalize(X, C, C, eps=-1), ValueError, "eps .* got -1"),
    "NaN eps": (lambda: ops.normalize(X, C, C, eps=float("nan")), ValueError, "eps .* got nan"),
    "infinite eps": (lambda: ops.normalize(X, C, C, eps=float("inf")), ValueError, "got inf"),
    "eps text": (lambda: ops.normalize(X, C, C, eps="1"), TypeError, "must be a number, got '1'"),
    "misspelled keyword": (lambda: ops.normalize(X, C, C, epsilon=1), TypeError, "epsilon"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()


def test_traced_statistics_work_under_jit():
    (x,) = normals(8, (4, 3))
    function = jax.jit(lambda x: ops.normalize(x, *ops.moments(x, 0)))
    expected = oracle.normalize(x, *oracle.moments(x, [0]))
    np.testing.assert_allclose(function(x), expected, rtol=1e-5, atol=1e-6)
