"""Transposed convolution: pasted kernels, the adjoint of conv, XLA's SAME and VALID."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from arrays import normals
from jax import lax
from jax.test_util import check_grads

from fcnn import geometry, ops

# Each output adds up at most 2*3*2 taps of 4 channels: 48 float32 products of standard normals,
# about sqrt(48) roundings of 2^-24 of a sum below 30 = 1.2e-5.
ATOL = 2e-5
CHANNELS, FEATURES = 4, 6
SPATIAL = {1: (5,), 2: (4, 3), 3: (3, 2, 3)}
WINDOW = {1: (4,), 2: (3, 2), 3: (2, 3, 2)}
EXACT = {1: ((2, 0),), 2: ((0, 1), (1, 0)), 3: ((1, 0), (0, 1), (0, 0))}


def arrays(ndim, groups, seed=0, dtype=np.float32):
    return normals(
        seed,
        (2, *SPATIAL[ndim], CHANNELS),
        (*WINDOW[ndim], CHANNELS // groups, FEATURES),
        (FEATURES,),
        dtype=dtype,
    )


ROWS = [
    (ndim, *row)
    for ndim, strides in [(1, (1, 2, 5)), (2, (1, 2, (3, 1))), (3, (1, 2))]
    for row in itertools.product(strides, ("SAME", "VALID", 0, 1, EXACT[ndim]), (1, 2), (1, 2))
]


@pytest.mark.parametrize(("ndim", "stride", "padding", "dilation", "groups"), ROWS)
def test_values(ndim, stride, padding, dilation, groups):
    x, kernel, bias = arrays(ndim, groups)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = ops.conv_transpose(x, kernel, bias, **options)
    expected = oracle.conv_transpose(x, kernel, bias, **options)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=ATOL)


@pytest.mark.parametrize(
    ("ndim", "stride", "output_padding", "padding", "dilation"),
    [
        (1, 2, 1, 0, 1),
        (1, 5, 4, 1, 1),
        (1, 1, 1, 0, 2),
        (2, 2, 1, 1, 1),
        (2, (3, 2), (2, 0), EXACT[2], 1),
        (2, (1, 2), (1, 1), 2, 2),
        (3, 2, (1, 0, 1), 1, 1),
    ],
)
@pytest.mark.parametrize("method", ["auto", "lax"])
def test_output_padding(ndim, stride, output_padding, padding, dilation, method):
    x, kernel, bias = arrays(ndim, 2)
    options = {
        "stride": stride, "padding": padding, "output_padding": output_padding,
        "dilation": dilation, "groups": 2,
    }  # fmt: skip
    y = ops.conv_transpose(x, kernel, bias, **options, method=method)
    expected = oracle.conv_transpose(x, kernel, bias, **options)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=ATOL)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize(("k", "dilation"), [(1, 1), (2, 1), (3, 1), (4, 1), (3, 2)])
def test_is_lax_conv_transpose(padding, stride, k, dilation):
    x, kernel = normals(1, (1, 5, 3), (k, 3, 2))
    # transpose_kernel=True exchanges the kernel's channels and flips it: the kernel of the
    # convolution that this one is the transpose of.
    expected = lax.conv_transpose(
        x, kernel.swapaxes(-1, -2), (stride,), padding, rhs_dilation=(dilation,),
        dimension_numbers=("NHC", "HIO", "NHC"), transpose_kernel=True,
    )  # fmt: skip
    for method in ("auto", "lax"):
        y = ops.conv_transpose(
            x, kernel, stride=stride, padding=padding, dilation=dilation, method=method
        )
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=ATOL)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_is_lax_conv_transpose_on_images(padding):
    x, kernel = normals(1, (2, 4, 3, 3), (3, 4, 3, 2))
    expected = lax.conv_transpose(
        x, kernel.swapaxes(-1, -2), (2, 3), padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"), transpose_kernel=True,
    )  # fmt: skip
    y = ops.conv_transpose(x, kernel, stride=(2, 3), padding=padding)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=ATOL)


# (stride, padding, dilation); 9 and 8 pixels leave a remainder at every stride but 1.
ADJOINTS = [(1, 1, 1), (2, 1, 1), (3, 0, 1), ((2, 3), ((0, 2), (1, 0)), 1), (2, 2, 2)]


@pytest.mark.parametrize(("stride", "padding", "dilation"), ADJOINTS)
def test_is_the_adjoint_of_conv(stride, padding, dilation):
    """<conv(x), g> = <x, conv_transpose(g)>, what the gradient of conv is."""
    x, kernel = normals(2, (2, 9, 8, 4), (3, 3, 4, 6))
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    y, pull = jax.vjp(lambda x: ops.conv(x, kernel, **options, method="lax"), jnp.asarray(x))
    (g,) = normals(3, y.shape)
    (expected,) = pull(jnp.asarray(g))
    # The pixels behind the last window, which output_padding brings back.
    small = ops.conv_transpose(g, kernel.swapaxes(-1, -2), **options)
    extra = tuple(n - m for n, m in zip(x.shape[1:-1], small.shape[1:-1], strict=True))
    back = ops.conv_transpose(g, kernel.swapaxes(-1, -2), **options, output_padding=extra)
    # Up to 9 taps of 6 features: 54 products, see ATOL.
    np.testing.assert_allclose(back, expected, rtol=1e-5, atol=ATOL)


def test_hand_values():
    """Two pixels paste (1, 10, 100) two apart; they overlap in the middle."""
    x = jnp.array([1.0, 2.0]).reshape(1, 2, 1)
    kernel = jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)

    def paste(**options):
        return ops.conv_transpose(x, kernel, stride=2, **options)[0, :, 0].tolist()

    assert paste(padding=0) == paste(padding="VALID") == [1, 10, 102, 20, 200]
    assert paste(padding="SAME") == [1, 10, 102, 20]
    assert paste(padding=1) == [10, 102, 20]
    assert paste(padding=1, output_padding=1) == [10, 102, 20, 200]
    assert paste(padding=0, output_padding=1) == [1, 10, 102, 20, 200, 0]


def test_sizes_are_geometrys():
    for i, k, s, p, d, extra in [(4, 3, 2, 1, 1, 1), (5, 2, 3, (0, 1), 1, 2), (3, 3, 1, 2, 2, 0)]:
        y = ops.conv_transpose(
            jnp.ones((1, i, 1)), jnp.ones((k, 1, 1)), stride=s, dilation=d,
            padding=p if isinstance(p, int) else (p,), output_padding=extra,
        )  # fmt: skip
        assert y.shape == (1, geometry.transposed_size(i, k, s, p, d, extra), 1)


# (ndim, stride, padding, output_padding, dilation, groups)
GRADIENTS = [
    (1, 2, "SAME", 0, 1, 1),
    (1, 3, 1, 2, 1, 2),
    (1, 5, "VALID", 0, 1, 1),
    (2, 1, "SAME", 0, 1, 1),
    (2, 2, "SAME", 0, 1, 1),
    (2, 2, 1, 1, 1, 1),
    (2, (3, 1), EXACT[2], 0, 1, 1),
    (2, 2, "VALID", 0, 2, 1),
    (2, 2, "SAME", 0, 1, 2),
    (3, 2, 1, (0, 1, 1), 1, 1),
]


@pytest.mark.parametrize(
    ("ndim", "stride", "padding", "output_padding", "dilation", "groups"), GRADIENTS
)
def test_gradients_equal_laxs(ndim, stride, padding, output_padding, dilation, groups):
    inputs = arrays(ndim, groups)
    options = {
        "stride": stride, "padding": padding, "output_padding": output_padding,
        "dilation": dilation, "groups": groups,
    }  # fmt: skip

    @functools.partial(jax.jit, static_argnums=3)
    def gradients(x, kernel, bias, method):
        y, pull = jax.vjp(
            lambda *args: ops.conv_transpose(*args, **options, method=method), x, kernel, bias
        )
        return pull(jnp.sin(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    for ours, laxs in zip(gradients(*inputs, "auto"), gradients(*inputs, "lax"), strict=True):
        np.testing.assert_allclose(ours, laxs, rtol=1e-5, atol=ATOL)


@pytest.mark.parametrize(
    ("ndim", "stride", "padding", "output_padding", "dilation", "groups"), GRADIENTS[1::4]
)
def test_gradients_are_finite_differences(ndim, stride, padding, output_padding, dilation, groups):
    with jax.enable_x64(True):
        inputs = [jnp.asarray(a) for a in arrays(ndim, groups, dtype=np.float64)]
        function = functools.partial(
            ops.conv_transpose, stride=stride, padding=padding, output_padding=output_padding,
            dilation=dilation, groups=groups,
        )  # fmt: skip
        # Bilinear: central differences are exact but for rounding, far inside the float64 default.
        check_grads(jax.jit(function), inputs, order=1, modes=["rev"])


def test_forward_mode_with_the_lax_method():
    x, kernel, _ = (jnp.asarray(a) for a in arrays(2, 1))
    function = functools.partial(ops.conv_transpose, kernel=kernel, stride=2, method="lax")
    y, tangent = jax.jvp(function, (x,), (x,))
    np.testing.assert_allclose(tangent, y, rtol=1e-6)  # linear in x


def test_bfloat16_stays_bfloat16_and_close():
    x, kernel, bias = arrays(2, 1)
    y = ops.conv_transpose(jnp.asarray(x, jnp.bfloat16), kernel, bias, stride=2)
    assert y.dtype == jnp.bfloat16
    # Inputs, kernel, bias and result rounded to 8 bits: 3 * 2^-9 of the absolute products' sum.
    scale = oracle.conv_transpose(abs(x), abs(kernel), abs(bias), stride=2)
    error = abs(np.asarray(y, np.float64) - oracle.conv_transpose(x, kernel, bias, stride=2))
    assert (error <= 3 * 2**-8 * scale).all()


X = jnp.ones((2, 4, 4, 3))
K = jnp.ones((3, 3, 3, 6))
ERRORS = {
    "rank": (lambda: ops.conv_transpose(jnp.ones((4, 3)), K), ValueError, r"rank 3.*\(4, 3\)"),
    "integer image": (
        lambda: ops.conv_transpose(X.astype(jnp.int32), K), TypeError,
        r"conv_transpose expects floating-point x, but x \(2, 4, 4, 3\) is int32",
    ),
    "kernel rank": (
        lambda: ops.conv_transpose(X, jnp.ones((3, 3, 6))), ValueError,
        r"conv_transpose kernel must have shape .* x \(2, 4, 4, 3\).*\(3, 3, 6\)",
    ),
    "channels": (
        lambda: ops.conv_transpose(X, jnp.ones((3, 3, 2, 6))), ValueError,
        r"kernel \(3, 3, 2, 6\).*expects 2 input channels, but x \(2, 4, 4, 3\).*has 3",
    ),
    "groups": (
        lambda: ops.conv_transpose(X, jnp.ones((3, 3, 1, 4)), groups=3), ValueError,
        r"kernel \(3, 3, 1, 4\).*4 features, which groups=3 does not divide",
    ),
    "bias": (
        lambda: ops.conv_transpose(X, K, jnp.ones(3)), ValueError,
        r"bias must have shape \(6,\) for kernel \(3, 3, 3, 6\).*\(3,\)",
    ),
    "padding name": (
        lambda: ops.conv_transpose(X, K, padding="REFLECT"), ValueError, "'REFLECT' is not known",
    ),
    "ambiguous padding": (
        lambda: ops.conv_transpose(X, K, padding=(1, 1)), ValueError, r"got \(1, 1\)",
    ),
    "negative padding": (
        lambda: ops.conv_transpose(X, K, padding=-1), ValueError, "must not be negative, got -1",
    ),
    "nothing left": (
        lambda: ops.conv_transpose(X, K, padding=3), ValueError,
        r"x \(2, 4, 4, 3\).*kernel \(3, 3, 3, 6\).*padding 3 would have spatial size \(0, 0\)",
    ),
    "output padding with SAME": (
        lambda: ops.conv_transpose(X, K, stride=2, output_padding=1), ValueError,
        "output_padding needs an int or exact padding",
    ),
    "output padding too large": (
        lambda: ops.conv_transpose(X, K, stride=2, padding=1, output_padding=2), ValueError,
        r"output_padding \(2, 2\) must be smaller than stride \(2, 2\)",
    ),
    "negative output padding": (
        lambda: ops.conv_transpose(X, K, stride=2, padding=1, output_padding=-1), ValueError,
        "output_padding must be at least 0",
    ),
    "stride zero": (lambda: ops.conv_transpose(X, K, stride=0), ValueError, "at least 1"),
    "empty image": (
        lambda: ops.conv_transpose(X[:, :0], K), ValueError, r"\(2, 0, 4, 3\)",
    ),
    "method": (lambda: ops.conv_transpose(X, K, method="fast"), ValueError, "got 'fast'"),
    "misspelled keyword": (
        lambda: ops.conv_transpose(X, K, out_padding=1), TypeError, "out_padding",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()
