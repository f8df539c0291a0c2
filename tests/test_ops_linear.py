"""Dense and flatten."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from arrays import normals
from jax.test_util import check_grads

from fcnn import ops


@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (2, 1, 3, 2)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_dense(leading, with_bias):
    x, kernel, bias = normals(0, (*leading, 7), (7, 4), (4,))
    bias = bias if with_bias else None
    # Sums of 7 float32 products of standard normals.
    expected = oracle.dense(x, kernel, bias)
    np.testing.assert_allclose(ops.dense(x, kernel, bias), expected, rtol=1e-5, atol=2e-6)


def test_dense_is_a_1x1_convolution():
    x, kernel, bias = normals(1, (2, 3, 4, 5), (5, 6), (6,))
    y = ops.conv(x, kernel[None, None], bias)
    np.testing.assert_allclose(ops.dense(x, kernel, bias), y, rtol=1e-5, atol=2e-6)


def test_dense_gradients():
    with jax.enable_x64(True):
        inputs = [jnp.asarray(a) for a in normals(2, (3, 5), (5, 4), (4,), dtype=np.float64)]
        # Bilinear: finite differences are exact but for rounding.
        check_grads(ops.dense, inputs, order=2, modes=["fwd", "rev"])


def test_dense_in_bfloat16():
    x, kernel, bias = normals(3, (4, 64), (64, 8), (8,))
    y = ops.dense(jnp.asarray(x, jnp.bfloat16), kernel, bias)
    assert y.dtype == jnp.bfloat16
    # x, kernel, bias, product and sum, each rounded to 8 bits: 4 * 2^-9 of the absolute products.
    scale = oracle.dense(abs(x), abs(kernel), abs(bias))
    error = abs(np.asarray(y, np.float64) - oracle.dense(x, kernel, bias))
    assert (error <= 4 * 2**-9 * scale).all()


def test_flatten_is_row_major_over_space_and_channels():
    x = jnp.arange(24.0).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(ops.flatten(x), np.arange(24.0).reshape(2, 12))
    np.testing.assert_array_equal(
        ops.flatten(x)[1, :4], [12, 13, 14, 15]
    )  # pixel (0, 0), then (0, 1)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3,), (3, 1)), ((3, 4), (3, 4)), ((0, 4, 5), (0, 20)), ((2, 0), (2, 0))],
)
def test_flatten_shapes(shape, expected):
    assert ops.flatten(jnp.zeros(shape)).shape == expected


ERRORS = {
    "integers": (
        lambda: ops.dense(jnp.ones((2, 3), jnp.uint8), jnp.ones((3, 4))), TypeError,
        r"dense expects floating-point x, but x \(2, 3\) is uint8",
    ),
    "features": (
        lambda: ops.dense(jnp.ones((2, 5)), jnp.ones((3, 4))), ValueError,
        r"kernel \(3, 4\) \(C, F\) expects 3 input features, but x \(2, 5\).*has 5",
    ),
    "scalar": (
        lambda: ops.dense(jnp.ones(()), jnp.ones((3, 4))), ValueError,
        r"kernel \(3, 4\).*expects 3 input features, but x \(\).*has no axis",
    ),
    "all params": (
        lambda: ops.dense(jnp.ones((2, 3)), {"kernel": jnp.ones((3, 4))}), TypeError,
        "dense kernel must be an array, got dict",
    ),
    "complex kernel": (
        lambda: ops.dense(jnp.ones((2, 3)), jnp.ones((3, 4), jnp.complex64)), TypeError,
        "dense kernel must be an array of real numbers, got complex64",
    ),
    "kernel rank": (
        lambda: ops.dense(jnp.ones((2, 3)), jnp.ones((1, 3, 4))), ValueError,
        r"dense kernel must have shape \(C, F\), but has shape \(1, 3, 4\)",
    ),
    "kernel vector": (
        lambda: ops.dense(jnp.ones((2, 4)), jnp.ones(4)), ValueError, r"has shape \(4,\)",
    ),
    "bias": (
        lambda: ops.dense(jnp.ones((2, 3)), jnp.ones((3, 4)), jnp.ones(3)), ValueError,
        r"bias must have shape \(4,\) for kernel \(3, 4\).*has shape \(3,\)",
    ),
    "scalar flatten": (lambda: ops.flatten(jnp.ones(())), ValueError, "x is a scalar"),
    "misspelled keyword": (
        lambda: ops.dense(jnp.ones((2, 3)), jnp.ones((3, 4)), offset=1), TypeError, "offset",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()
