"""Convolution against the oracle, against lax, and against its own definition."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from arrays import normals
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.test_util import check_grads

from fcnn import geometry, ops

# float32 sums of up to 3*3*3*4 = 108 products of standard normals: each of the 108 roundings is
# at most 2^-24 of a partial sum that stays below 60, together 4e-4 at the very worst and, as the
# roundings are of both signs, about sqrt(108) * 2^-24 * 20 = 1e-5.
ATOL = 3e-5
CHANNELS, FEATURES = 4, 8
SPATIAL = {1: (9,), 2: (7, 6), 3: (5, 6, 4)}
WINDOW = {1: (3,), 2: (3, 2), 3: (2, 3, 2)}


def arrays(ndim, groups, seed=0, dtype=np.float32):
    shapes = (
        (2, *SPATIAL[ndim], CHANNELS),
        (*WINDOW[ndim], CHANNELS // groups, FEATURES),
        (FEATURES,),
    )
    return normals(seed, *shapes, dtype=dtype)


EXACT = {1: ((2, 0),), 2: ((0, 2), (1, 0)), 3: ((1, 0), (0, 0), (0, 2))}
PADDINGS = {
    1: ["SAME", "VALID", "CIRCULAR", "REFLECT", "CAUSAL", 1, EXACT[1]],
    2: ["SAME", "VALID", "CIRCULAR", "REFLECT", 2, EXACT[2]],
    3: ["SAME", "VALID", "CIRCULAR", "REFLECT", 1, EXACT[3]],
}
ROWS = [
    (ndim, *row)
    for ndim, strides, dilations, groups in [
        (1, (1, 2, 3), (1, 2), (1, 2)),
        (2, (1, 2, (2, 1)), (1, (1, 3)), (1, 4)),
        (3, (1, 2), (1, 2), (1, 2)),
    ]
    for row in itertools.product(strides, PADDINGS[ndim], dilations, groups)
]


@pytest.mark.parametrize(("ndim", "stride", "padding", "dilation", "groups"), ROWS)
def test_values(ndim, stride, padding, dilation, groups):
    x, kernel, bias = arrays(ndim, groups)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = ops.conv(x, kernel, bias, **options)
    np.testing.assert_allclose(y, oracle.conv(x, kernel, bias, **options), rtol=1e-5, atol=ATOL)


def test_hand_values():
    """A vertical edge detector on a step: 3x3, by hand."""
    image = jnp.array([[0.0, 0.0, 1.0, 1.0]] * 3).reshape(1, 3, 4, 1)
    kernel = jnp.array([[-1.0, 0.0, 1.0]] * 3).reshape(3, 3, 1, 1)
    y = ops.conv(image, kernel, padding="VALID")
    np.testing.assert_array_equal(y[0, :, :, 0], [[3.0, 3.0]])
    # Zero padding shows a falling edge at the right border, and fewer rows above and below.
    y = ops.conv(image, kernel, jnp.array([10.0]))
    expected = [[10.0, 12.0, 12.0, 8.0], [10.0, 13.0, 13.0, 7.0], [10.0, 12.0, 12.0, 8.0]]
    np.testing.assert_array_equal(y[0, :, :, 0], expected)


@st.composite
def convolutions(draw):
    ndim = draw(st.integers(1, 3))
    most = {1: 9, 2: 6, 3: 4}[ndim]
    sizes = draw(st.tuples(*[st.integers(1, most)] * ndim))
    window = draw(st.tuples(*[st.integers(1, 4)] * ndim))
    stride = draw(st.integers(1, 3) | st.tuples(*[st.integers(1, 3)] * ndim))
    dilation = draw(st.integers(1, 2) | st.tuples(*[st.integers(1, 2)] * ndim))
    pair = st.tuples(st.integers(0, 3), st.integers(0, 3))
    names = ["SAME", "VALID", "CIRCULAR", "REFLECT", *(["CAUSAL"] if ndim == 1 else [])]
    padding = draw(st.sampled_from(names) | st.integers(0, 3) | st.tuples(*[pair] * ndim))
    groups, depth, features = (draw(st.integers(1, 3)) for _ in range(3))
    batch = draw(st.integers(1, 2))
    x, kernel = normals(
        draw(st.integers(0, 99)),
        (batch, *sizes, groups * depth),
        (*window, depth, groups * features),
    )
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, kernel, options


def reachable(x, kernel, options):
    """Whether the padding can be made at all, and leaves room for one window."""
    sizes, window, ndim = x.shape[1:-1], kernel.shape[:-2], x.ndim - 2
    stride = oracle.per_dimension(options["stride"], ndim)
    dilation = oracle.per_dimension(options["dilation"], ndim)
    padding = options["padding"]
    pairs = oracle.padding_pairs(padding, sizes, window, stride, dilation)
    most = {"CIRCULAR": 0, "REFLECT": -1}.get(padding, 99) if isinstance(padding, str) else 99
    spans = [oracle.covered(k, d) for k, d in zip(window, dilation, strict=True)]
    return all(
        max(pair) <= i + most and i + sum(pair) >= span
        for i, pair, span in zip(sizes, pairs, spans, strict=True)
    )


@settings(deadline=None, derandomize=True, max_examples=60)
@given(convolutions())
def test_any_convolution_is_right_or_refused(case):
    x, kernel, options = case
    if not reachable(x, kernel, options):
        with pytest.raises(ValueError, match=r"larger than|too few"):
            ops.conv(x, kernel, **options)
        return
    y = ops.conv(x, kernel, **options)
    np.testing.assert_allclose(y, oracle.conv(x, kernel, **options), rtol=1e-5, atol=ATOL)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(convolutions(), st.integers(0, 99))
def test_any_gradient_is_laxs(case, seed):
    x, kernel, options = case
    assume(reachable(x, kernel, options))

    def gradients(method):
        y, pull = jax.vjp(lambda x, k: ops.conv(x, k, **options, method=method), x, kernel)
        (g,) = normals(seed, y.shape)
        return pull(jnp.asarray(g))

    for ours, laxs in zip(gradients("auto"), gradients("lax"), strict=True):
        # The same sums in another order; the kernel's adds up to 2*9*... < 100 positions.
        np.testing.assert_allclose(ours, laxs, rtol=1e-5, atol=ATOL)


@pytest.mark.parametrize("padding", ["SAME", "VALID", ((1, 2), (0, 3))])
@pytest.mark.parametrize(
    ("stride", "dilation"), [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 2), (2, 1))]
)
@pytest.mark.parametrize("method", ["auto", "lax"])
def test_is_conv_general_dilated(stride, padding, dilation, method):
    x, kernel, _ = arrays(2, 1)
    expected = lax.conv_general_dilated(
        x, kernel, stride, padding, rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    y = ops.conv(x, kernel, stride=stride, padding=padding, dilation=dilation, method=method)
    # The same operation, perhaps computed in another order.
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=ATOL)


# Strides that leave the last pixels out, unequal pads, even kernels, depthwise: what a hand-written
# gradient gets wrong. (ndim, stride, padding, dilation, groups)
GRADIENTS = [
    (1, 1, "SAME", 1, 1),
    (1, 3, "VALID", 1, 1),
    (1, 2, "CAUSAL", 2, 1),
    (1, 2, "REFLECT", 1, 2),
    (2, 1, "SAME", 1, 1),
    (2, 1, "VALID", 1, 1),
    (2, 2, "SAME", 1, 1),
    (2, 2, 2, 1, 1),
    (2, (3, 2), "VALID", 1, 1),
    (2, 1, "SAME", 2, 1),
    (2, 2, "SAME", (1, 3), 1),
    (2, 2, EXACT[2], (2, 1), 1),
    (2, 1, "CIRCULAR", 1, 1),
    (2, 2, "REFLECT", 1, 1),
    (2, 1, "SAME", 1, 2),
    (2, 1, "SAME", 1, 4),
    (2, 2, EXACT[2], 2, 4),
    (3, 1, "SAME", 1, 1),
    (3, 2, EXACT[3], 1, 1),
    (3, 2, "SAME", 2, 2),
]


@pytest.mark.parametrize(("ndim", "stride", "padding", "dilation", "groups"), GRADIENTS)
def test_gradients_equal_laxs(ndim, stride, padding, dilation, groups):
    x, kernel, bias = arrays(ndim, groups)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    @functools.partial(jax.jit, static_argnums=3)
    def gradients(x, kernel, bias, method):
        y, pull = jax.vjp(lambda *args: ops.conv(*args, **options, method=method), x, kernel, bias)
        g = jnp.sin(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
        return pull(g)

    ours, laxs = gradients(x, kernel, bias, "auto"), gradients(x, kernel, bias, "lax")
    for our, its in zip(ours, laxs, strict=True):
        np.testing.assert_allclose(our, its, rtol=1e-5, atol=ATOL)


@pytest.mark.parametrize(("ndim", "stride", "padding", "dilation", "groups"), GRADIENTS[::2])
def test_gradients_are_finite_differences(ndim, stride, padding, dilation, groups):
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    with jax.enable_x64(True):
        inputs = [jnp.asarray(a) for a in arrays(ndim, groups, dtype=np.float64)]
        function = jax.jit(lambda *args: ops.conv(*args, **options))
        # A bilinear map has no third derivative, so central differences are exact but for
        # rounding: check_grads' own float64 tolerance (1e-5 relative) is ample.
        check_grads(function, inputs, order=1, modes=["rev"])


def test_second_derivatives():
    with jax.enable_x64(True):
        x, kernel, _ = (jnp.asarray(a) for a in arrays(2, 1, dtype=np.float64))
        function = jax.jit(lambda x, k: jnp.tanh(ops.conv(x, k, stride=2)).sum())
        check_grads(function, (x[:1, :4, :4], kernel), order=2, modes=["rev"])


def test_gradients_hold_under_jit_scan_vmap_and_checkpoint():
    x, kernel, _ = (jnp.asarray(a) for a in arrays(2, 1))

    def loss(kernel, x, method="auto"):
        return jnp.sum(jnp.square(ops.conv(x, kernel, stride=2, method=method)))

    expected = jnp.stack([jax.grad(loss)(kernel, image, "lax") for image in x[:, None]])

    def step(carry, image):
        return carry, jax.grad(jax.checkpoint(loss))(kernel, image)

    scanned = lax.scan(step, 0, x[:, None])[1]
    mapped = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(kernel, x[:, None])
    # Sums over 12 positions of products around 10: 1e-5 of the largest.
    largest = float(abs(expected).max())
    np.testing.assert_allclose(scanned, expected, rtol=0, atol=1e-5 * largest)
    np.testing.assert_allclose(mapped, expected, rtol=0, atol=1e-5 * largest)


def test_forward_mode_with_the_lax_method():
    x, kernel, _ = (jnp.asarray(a) for a in arrays(2, 1))
    y, tangent = jax.jvp(lambda x: ops.conv(x, kernel, method="lax"), (x,), (x,))
    np.testing.assert_allclose(tangent, y, rtol=1e-6)  # linear in x


def test_sizes_are_geometrys():
    for i, k, s, p, d in [(8, 3, 2, 1, 1), (9, 5, 3, (0, 2), 1), (11, 3, 1, 0, 4), (5, 1, 2, 0, 1)]:
        padding = p if isinstance(p, int) else (p,)
        y = ops.conv(
            jnp.ones((1, i, 1)), jnp.ones((k, 1, 1)), stride=s, padding=padding, dilation=d
        )
        assert y.shape == (1, geometry.output_size(i, k, s, p, d), 1)


def test_same_and_int_padding_differ_at_stride_2():
    """The trap in porting PyTorch models: SAME pads (0, 1), padding=1 pads (1, 1)."""
    x = jnp.arange(4.0).reshape(1, 4, 1)
    kernel = jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    assert ops.conv(x, kernel, stride=2)[0, :, 0].tolist() == [210.0, 32.0]
    assert ops.conv(x, kernel, stride=2, padding=1)[0, :, 0].tolist() == [100.0, 321.0]


def test_causal_sees_no_future():
    x, kernel = normals(3, (1, 12, 2), (3, 2, 2))
    later = x.copy()
    later[:, 7:] += 1
    before, after = (ops.conv(v, kernel, padding="CAUSAL", dilation=2) for v in (x, later))
    np.testing.assert_array_equal(before[:, :7], after[:, :7])
    assert (before[:, 7:] != after[:, 7:]).all()


def test_circular_commutes_with_a_roll():
    x, kernel, _ = arrays(2, 1)
    rolled = ops.conv(np.roll(x, (2, 3), (1, 2)), kernel, padding="CIRCULAR")
    y = ops.conv(x, kernel, padding="CIRCULAR")
    np.testing.assert_allclose(rolled, jnp.roll(y, (2, 3), (1, 2)), rtol=1e-5, atol=ATOL)


def test_groups_are_separate_convolutions():
    x, kernel, _ = arrays(2, 2)
    halves = [ops.conv(x[..., 2 * g : 2 * g + 2], kernel[..., 4 * g : 4 * g + 4]) for g in range(2)]
    y = ops.conv(x, kernel, groups=2)
    np.testing.assert_allclose(y, jnp.concatenate(halves, -1), rtol=1e-5, atol=ATOL)


def test_numpy_integers_and_lists_are_accepted():
    x, kernel, _ = arrays(2, 1)
    y = ops.conv(x, kernel, stride=np.int64(2), padding=[[1, 1], [1, 1]], dilation=[1, 1])
    np.testing.assert_array_equal(y, ops.conv(x, kernel, stride=2, padding=1))


@pytest.mark.parametrize("method", ["auto", "lax"])
def test_bfloat16_stays_bfloat16_and_close(method):
    x, kernel, bias = arrays(2, 1)
    y = ops.conv(jnp.asarray(x, jnp.bfloat16), kernel, bias, method=method)
    assert y.dtype == jnp.bfloat16
    # x, kernel, bias and result each rounded to 8 bits: 3 * 2^-9 of the sum of absolute products.
    scale = oracle.conv(abs(x), abs(kernel), abs(bias))
    error = abs(np.asarray(y, np.float64) - oracle.conv(x, kernel, bias))
    assert (error <= 3 * 2**-8 * scale).all()


def test_gradients_keep_the_parameters_dtype():
    x, kernel, bias = (jnp.asarray(a) for a in arrays(2, 1))

    def loss(kernel, bias, x):
        return jnp.sum(ops.conv(x, kernel, bias).astype(jnp.float32))

    grads = jax.grad(loss, argnums=(0, 1, 2))(kernel, bias, x.astype(jnp.bfloat16))
    assert [g.dtype for g in grads] == [jnp.float32, jnp.float32, jnp.bfloat16]
    # Every position adds 1 to the bias' gradient, exactly: 2 * 7 * 6.
    np.testing.assert_array_equal(grads[1], np.full(FEATURES, 84.0))


X2 = jnp.ones((2, 8, 8, 4))
K2 = jnp.ones((3, 3, 4, 8))
ERRORS = {
    "rank 2": (lambda: ops.conv(jnp.ones((4, 2)), K2), ValueError, r"rank 3.*\(4, 2\)"),
    "rank 6": (lambda: ops.conv(jnp.ones((1,) * 6), K2), ValueError, r"\(1, 1, 1, 1, 1, 1\)"),
    "integer image": (
        lambda: ops.conv(X2.astype(jnp.uint8), K2), TypeError,
        r"conv expects floating-point x, but x \(2, 8, 8, 4\) is uint8",
    ),
    "1-D kernel on images": (
        lambda: ops.conv(X2, jnp.ones((3, 4, 8))), ValueError,
        r"\(kh, kw, C/groups, F\) for x \(2, 8, 8, 4\).*\(3, 4, 8\)",
    ),
    "channels": (
        lambda: ops.conv(X2, jnp.ones((3, 3, 3, 8))), ValueError,
        r"kernel \(3, 3, 3, 8\).*groups=1 expects 3 input channels, but x \(2, 8, 8, 4\).*has 4",
    ),
    "channels of groups": (
        lambda: ops.conv(X2, K2, groups=2), ValueError,
        r"kernel \(3, 3, 4, 8\).*groups=2 expects 8 input channels, but x \(2, 8, 8, 4\).*has 4",
    ),
    "groups and features": (
        lambda: ops.conv(X2, jnp.ones((3, 3, 1, 6)), groups=4), ValueError,
        r"kernel \(3, 3, 1, 6\).*has 6 features, which groups=4 does not divide",
    ),
    "groups zero": (lambda: ops.conv(X2, K2, groups=0), ValueError, "positive int, got 0"),
    "bias": (
        lambda: ops.conv(X2, K2, jnp.ones(4)), ValueError,
        r"bias must have shape \(8,\) for kernel \(3, 3, 4, 8\).*has shape \(4,\)",
    ),
    "window too large": (
        lambda: ops.conv(X2, jnp.ones((11, 3, 4, 8)), padding=1), ValueError,
        r"\(11, 3\).*larger than x \(2, 8, 8, 4\) \(N, H, W, C\) padded by \(\(1, 1\), \(1, 1\)\)",
    ),
    "dilated window too large": (
        lambda: ops.conv(X2, K2, padding="VALID", dilation=4), ValueError,
        r"window \(3, 3\) with dilation \(4, 4\) is larger than x \(2, 8, 8, 4\)",
    ),
    "reflect too far": (
        lambda: ops.conv(jnp.ones((1, 2, 2, 4)), jnp.ones((5, 5, 4, 8)), padding="REFLECT"),
        ValueError, r"'REFLECT' needs \(\(2, 2\), \(2, 2\)\) values from x \(1, 2, 2, 4\)",
    ),
    "circular too far": (
        lambda: ops.conv(jnp.ones((1, 2, 2, 4)), jnp.ones((7, 7, 4, 8)), padding="CIRCULAR"),
        ValueError, r"'CIRCULAR' needs \(\(3, 3\), \(3, 3\)\) values from x \(1, 2, 2, 4\)",
    ),
    "padding name": (lambda: ops.conv(X2, K2, padding="same"), ValueError, "'same' is not known"),
    "causal image": (lambda: ops.conv(X2, K2, padding="CAUSAL"), ValueError, "is for 1-D input"),
    "negative padding": (
        lambda: ops.conv(X2, K2, padding=-1), ValueError, "must not be negative, got -1",
    ),
    "negative pair": (
        lambda: ops.conv(X2, K2, padding=((0, 1), (0, -1))), ValueError, "must not be negative",
    ),
    "ambiguous padding": (
        lambda: ops.conv(X2, K2, padding=(1, 1)), ValueError,
        r"must be an int, \(\(low, high\), \(low, high\)\) or a name.*got \(1, 1\)",
    ),
    "too few pairs": (
        lambda: ops.conv(X2, K2, padding=((1, 1),)), ValueError, r"got \(\(1, 1\),\)",
    ),
    "stride zero": (lambda: ops.conv(X2, K2, stride=0), ValueError, "stride must be at least 1"),
    "stride length": (
        lambda: ops.conv(X2, K2, stride=(1, 1, 1)), ValueError, r"\(1, 1, 1\) has 3 .* 2 spatial",
    ),
    "float stride": (lambda: ops.conv(X2, K2, stride=2.0), TypeError, r"got 2\.0"),
    "dilation zero": (lambda: ops.conv(X2, K2, dilation=0), ValueError, "dilation must be at"),
    "empty kernel": (
        lambda: ops.conv(X2, jnp.ones((0, 3, 4, 8))), ValueError, r"\(0, 3, 4, 8\).*empty",
    ),
    "empty image": (lambda: ops.conv(jnp.ones((1, 0, 4, 4)), K2), ValueError, r"\(1, 0, 4, 4\)"),
    "method": (lambda: ops.conv(X2, K2, method="fast"), ValueError, "'auto' or 'lax', got 'fast'"),
    "all params": (
        lambda: ops.conv(X2, {"kernel": K2}), TypeError, "conv kernel must be an array, got dict"
    ),
    "no kernel": (lambda: ops.conv(X2, None), TypeError, "conv kernel must be an array, got None"),
    "complex kernel": (
        lambda: ops.conv(X2, K2.astype(jnp.complex64)), TypeError, "real numbers, got complex64"
    ),
    "misspelled keyword": (lambda: ops.conv(X2, K2, strides=2), TypeError, "strides"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()


def test_an_empty_batch_is_no_error():
    assert ops.conv(X2[:0], K2).shape == (0, 8, 8, 8)
