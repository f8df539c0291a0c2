import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from arrays import normals
from jax.test_util import check_grads

from fcnn import ops


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("biased", [True, False])
def test_dense_equals_the_oracle(leading, biased):
    x, kernel, bias = normals(0, (*leading, 5), (5, 7), (7,))
    bias = bias if biased else None
    # Five float32 products of order one.
    np.testing.assert_allclose(
        ops.dense(x, kernel, bias), oracle.dense(x, kernel, bias), rtol=1e-5, atol=1e-5
    )


def test_dense_gradients():
    with jax.enable_x64(True):
        arrays = normals(1, (3, 4), (4, 2), (2,), dtype=np.float64)
        check_grads(ops.dense, tuple(arrays), order=2)


def test_dense_computes_in_the_dtype_of_x():
    x, kernel, bias = normals(2, (3, 5), (5, 7), (7,))
    y = ops.dense(jnp.asarray(x, jnp.bfloat16), kernel, bias)
    assert y.dtype == jnp.bfloat16
    # Inputs, kernel and result each rounded to 8 bits.
    np.testing.assert_allclose(
        np.asarray(y, np.float32), oracle.dense(x, kernel, bias), rtol=2e-2, atol=5e-2
    )


def test_flatten_is_row_major_with_the_channel_fastest():
    x = np.arange(2 * 2 * 3 * 2).reshape(2, 2, 3, 2)
    np.testing.assert_array_equal(ops.flatten(x)[1], np.arange(12, 24))
    assert ops.flatten(jnp.ones(3)).shape == (3, 1)
    assert ops.flatten(jnp.ones((0, 4, 2))).shape == (0, 8)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: ops.dense(jnp.ones((2, 3)), jnp.ones((4, 5))),
            ValueError,
            r"dense kernel \(4, 5\) \(C, F\) expects 4 input features, but x \(2, 3\)",
        ),
        (lambda: ops.dense(jnp.ones(()), jnp.ones((4, 5))), ValueError, "has no axis"),
        (lambda: ops.dense(jnp.ones((2, 4)), jnp.ones(4)), ValueError, r"has shape \(4,\)"),
        (
            lambda: ops.dense(jnp.ones((2, 4)), jnp.ones((4, 5)), jnp.ones(4)),
            ValueError,
            r"dense bias must have shape \(5,\) for kernel \(4, 5\).*has shape \(4,\)",
        ),
        (
            lambda: ops.dense(jnp.ones((2, 4), jnp.int32), jnp.ones((4, 5))),
            TypeError,
            r"x \(2, 4\) is int32",
        ),
        (lambda: ops.flatten(jnp.ones(())), ValueError, "scalar"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
