"""Pooling against the oracle, and where libraries go wrong: padding, ceil_mode, bfloat16."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from arrays import normals
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.test_util import check_grads

from fcnn import ops

SPATIAL = {1: (9,), 2: (7, 6), 3: (5, 4, 6)}
EXACT = {1: ((1, 0),), 2: ((0, 1), (1, 0)), 3: ((1, 0), (0, 0), (0, 1))}
# A mean of at most 27 float32 values of size about 1: 27 roundings of 2^-24 of a sum below 30.
ATOL = 3e-6

ROWS = [
    (ndim, *row)
    for ndim, windows, strides in [
        (1, (2, 3), (None, 1, 2)),
        (2, (2, (3, 2)), (None, 1, (2, 3))),
        (3, (2, (2, 1, 3)), (None, 1)),
    ]
    for row in itertools.product(windows, strides, ("VALID", "SAME", 1, EXACT[ndim]), (1, 2))
]


@pytest.mark.parametrize(("ndim", "window", "stride", "padding", "dilation"), ROWS)
def test_values(ndim, window, stride, padding, dilation):
    (x,) = normals(0, (2, *SPATIAL[ndim], 3))
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    if wholly_in_padding(x, window, **options):
        for pool in (ops.max_pool, ops.avg_pool):
            with pytest.raises(ValueError, match="wholly in the padding"):
                pool(x, window, **options)
        return
    # A maximum is one of the values: exact.
    y = ops.max_pool(x, window, **options)
    np.testing.assert_array_equal(y, oracle.max_pool(x, window, **options))
    for count_padding in (False, True):
        y = ops.avg_pool(x, window, **options, count_padding=count_padding)
        expected = oracle.avg_pool(x, window, **options, count_padding=count_padding)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=ATOL)


def wholly_in_padding(x, window, stride=None, padding="VALID", dilation=1):
    """Whether some window contains no pixel at all."""
    ndim = x.ndim - 2
    window, dilation = oracle.per_dimension(window, ndim), oracle.per_dimension(dilation, ndim)
    stride = window if stride is None else oracle.per_dimension(stride, ndim)
    positions = oracle.windows(x.shape[1:-1], window, stride, padding, dilation)
    return any(not inside for _, _, inside in positions)


@st.composite
def poolings(draw):
    ndim = draw(st.integers(1, 2))
    pair = st.tuples(st.integers(0, 3), st.integers(0, 3))
    each = st.tuples(*[st.integers(1, 3)] * ndim)
    options = {
        "window": draw(st.integers(1, 3) | each),
        "stride": draw(st.none() | st.integers(1, 3) | each),
        "padding": draw(
            st.sampled_from(["SAME", "VALID"]) | st.integers(0, 2) | st.tuples(*[pair] * ndim)
        ),
        "dilation": draw(st.integers(1, 2)),
    }
    sizes = draw(st.tuples(*[st.integers(1, 8)] * ndim))
    (x,) = normals(draw(st.integers(0, 99)), (draw(st.integers(1, 2)), *sizes, 2))
    return x, options


@settings(deadline=None, derandomize=True, max_examples=60)
@given(poolings(), st.booleans())
def test_any_pooling_is_right_or_refused(case, count_padding):
    x, options = case
    fits = any(True for _ in oracle.windows(
        x.shape[1:-1],
        oracle.per_dimension(options["window"], x.ndim - 2),
        (1,) * (x.ndim - 2),
        options["padding"] if options["padding"] != "SAME" else 9,
        oracle.per_dimension(options["dilation"], x.ndim - 2),
    ))  # fmt: skip
    if not fits or wholly_in_padding(x, **options):
        with pytest.raises(ValueError, match=r"larger than x|wholly in the padding"):
            ops.max_pool(x, **options)
        return
    np.testing.assert_array_equal(ops.max_pool(x, **options), oracle.max_pool(x, **options))
    y = ops.avg_pool(x, **options, count_padding=count_padding)
    expected = oracle.avg_pool(x, **options, count_padding=count_padding)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=ATOL)


# More than 16 taps and dilated: (window, stride, padding, dilation) on images of 17 by 23.
LARGE = [
    (5, 1, "VALID", 2),
    (5, 3, "SAME", (1, 3)),
    ((3, 7), (2, 1), ((1, 2), (5, 3)), (4, 2)),
    ((17, 1), None, 0, (1, 2)),
    ((2, 9), 2, 1, 2),
]


@pytest.mark.parametrize(("window", "stride", "padding", "dilation"), LARGE)
def test_large_dilated_windows(window, stride, padding, dilation):
    (x,) = normals(3, (2, 17, 23, 2))
    options = {"window": window, "stride": stride, "padding": padding, "dilation": dilation}
    pool = functools.partial(ops.max_pool, **options)
    y = oracle.max_pool(x, **options)
    np.testing.assert_array_equal(jax.jit(pool)(x), y)
    # No two values are equal, so that each window's whole gradient goes to its largest value.
    gradient = jax.jit(jax.grad(lambda x: pool(x).sum()))(x)
    values, times = np.unique(y.astype(x.dtype), return_counts=True)
    expected = np.zeros_like(x)
    expected.flat[[np.flatnonzero(x == value).item() for value in values]] = times
    np.testing.assert_array_equal(gradient, expected)


def test_a_huge_dilated_window_compiles():
    """60 by 80 taps: a program of some thousand operations would take minutes."""
    (x,) = normals(4, (1, 600, 800, 1))
    pool = functools.partial(ops.max_pool, window=(60, 80), stride=10, dilation=10)
    assert len(jax.make_jaxpr(pool)(x).eqns) < 100
    np.testing.assert_array_equal(pool(x)[0, :, :, 0], [[x[0, ::10, ::10].max()]])


def test_hand_values():
    image = jnp.array([[1.0, 2, 5, 3], [4, 0, 1, 1], [7, 7, 2, 0], [1, 1, 0, 6]])
    image = image.reshape(1, 4, 4, 1)
    assert ops.max_pool(image, 2)[0, :, :, 0].tolist() == [[4, 5], [7, 6]]
    assert ops.avg_pool(image, 2)[0, :, :, 0].tolist() == [[1.75, 2.5], [4, 2]]
    assert ops.max_pool(image, 3, stride=1)[0, :, :, 0].tolist() == [[7, 7], [7, 7]]
    assert ops.global_avg_pool(image).tolist() == [[2.5625]]
    assert ops.global_max_pool(image).tolist() == [[7]]


def test_padding_never_wins_and_is_counted_only_when_asked():
    x = jnp.full((1, 2, 2, 1), -3.0)
    np.testing.assert_array_equal(
        ops.max_pool(x, 2, stride=1, padding=1), np.full((1, 3, 3, 1), -3)
    )
    np.testing.assert_array_equal(
        ops.avg_pool(x, 2, stride=1, padding=1), np.full((1, 3, 3, 1), -3)
    )
    counted = ops.avg_pool(x, 2, stride=1, padding=1, count_padding=True)[0, :, :, 0]
    np.testing.assert_array_equal(
        counted, [[-0.75, -1.5, -0.75], [-1.5, -3, -1.5], [-0.75, -1.5, -0.75]]
    )


def test_ceil_mode_is_a_larger_high_padding():
    """Five values in windows of two, rounding up: the last window holds one value."""
    x = jnp.arange(5.0).reshape(1, 5, 1)
    assert ops.max_pool(x, 2, padding=((0, 1),))[0, :, 0].tolist() == [1, 3, 4]
    assert ops.avg_pool(x, 2, padding=((0, 1),))[0, :, 0].tolist() == [0.5, 2.5, 4]


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_global_pools(ndim):
    (x,) = normals(1, (2, *SPATIAL[ndim], 3))
    mean, _ = oracle.moments(x, range(1, ndim + 1))
    # A mean of at most 120 values of size 1, summed in float32.
    np.testing.assert_allclose(ops.global_avg_pool(x), mean, rtol=1e-5, atol=1e-6)
    expected = oracle.max_pool(x, SPATIAL[ndim]).reshape(2, 3)
    np.testing.assert_array_equal(ops.global_max_pool(x), expected)


def test_a_constant_image_stays_constant_in_bfloat16():
    """A bfloat16 sum of 1,024 ones stops at 256, and the mean would be 0.25."""
    x = jnp.ones((1, 32, 32, 2), jnp.bfloat16)
    for y in (
        ops.avg_pool(x, 32),
        ops.avg_pool(x, 32, stride=1),
        ops.avg_pool(x, 32, stride=32, padding=((0, 0), (0, 0)), count_padding=True),
        ops.avg_pool(x, 31, stride=1, padding=3),
        ops.global_avg_pool(x),
    ):
        assert y.dtype == jnp.bfloat16
        np.testing.assert_array_equal(y.astype(jnp.float32), np.ones(y.shape))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_the_dtype_stays(dtype):
    x = jnp.asarray(normals(2, (1, 6, 6, 2))[0], dtype)
    for y in (
        ops.max_pool(x, 2),
        ops.max_pool(x, 3, stride=1, padding="SAME"),
        ops.avg_pool(x, 2),
        ops.avg_pool(x, 3, stride=1, padding="SAME"),
        ops.global_avg_pool(x),
        ops.global_max_pool(x),
    ):
        assert y.dtype == dtype
    # A mean rounded once, from float32: half a unit in the last place of the dtype.
    expected = oracle.avg_pool(np.asarray(x, np.float64), 3, stride=1, padding="SAME")
    y = np.asarray(ops.avg_pool(x, 3, stride=1, padding="SAME"), np.float64)
    np.testing.assert_allclose(y, expected, rtol=float(jnp.finfo(dtype).eps), atol=ATOL)


# (ndim, window, stride, padding, dilation); the first of each rank tiles and takes another path.
GRADIENTS = [
    (1, 2, None, "VALID", 1),
    (1, 3, 2, 1, 1),
    (1, 2, 1, "VALID", 2),
    (2, (3, 2), None, "VALID", 1),
    (2, 3, 2, 1, 1),
    (2, 2, 1, "SAME", 1),
    (2, 2, None, EXACT[2], 1),
    (3, 2, None, "VALID", 1),
    (3, 2, 1, "SAME", 1),
]


@pytest.mark.parametrize(("ndim", "window", "stride", "padding", "dilation"), GRADIENTS)
def test_gradients_are_finite_differences(ndim, window, stride, padding, dilation):
    options = {"window": window, "stride": stride, "padding": padding, "dilation": dilation}
    with jax.enable_x64(True):
        # Distinct values 0.1 apart: no maximum changes hands within a finite difference.
        count = 2 * int(np.prod(SPATIAL[ndim]))
        values = np.random.default_rng(0).permutation(count) * 0.1
        x = jnp.asarray(values.reshape(1, *SPATIAL[ndim], 2))
        functions = [
            functools.partial(ops.max_pool, **options),
            functools.partial(ops.avg_pool, **options),
            functools.partial(ops.avg_pool, **options, count_padding=True),
        ]
        # Piecewise linear: finite differences are exact but for rounding (float64 default 1e-5).
        for function in functions:
            check_grads(jax.jit(function), (x,), order=1, modes=["rev"])


def test_global_pool_gradients():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).permutation(24).reshape(1, 4, 3, 2) * 0.1)
        for function in (ops.global_avg_pool, ops.global_max_pool):
            check_grads(function, (x,), order=1, modes=["fwd", "rev"])


def test_a_maximum_that_ties_shares_out_one_gradient():
    """Ties are common behind a ReLU; whoever gets the gradient, it is one gradient."""
    x = jnp.zeros((1, 4, 4, 1))
    for stride in (None, 1):
        y, pull = jax.vjp(functools.partial(ops.max_pool, window=2, stride=stride), x)
        (gradient,) = pull(jnp.ones_like(y))
        assert float(gradient.sum()) == y.size
    x = jnp.array([3.0, 3.0, 1.0, 3.0, 5.0, 4.0]).reshape(1, 6, 1)
    (gradient,) = jax.vjp(functools.partial(ops.max_pool, window=3), x)[1](jnp.ones((1, 2, 1)))
    np.testing.assert_array_equal(gradient.ravel(), [0.5, 0.5, 0, 0, 1, 0])


def test_infinities_and_nans_are_not_hidden():
    x = jnp.array([-jnp.inf, -jnp.inf, 1.0, jnp.nan, 2.0, jnp.inf]).reshape(1, 6, 1)
    for stride, padding in ((None, "VALID"), (2, ((0, 1),))):
        y = ops.max_pool(x, 2, stride=stride, padding=padding)[0, :3, 0]
        np.testing.assert_array_equal(y, [-np.inf, np.nan, np.inf])
    line = jnp.repeat(x, 34, axis=1)  # 17 taps, 2 apart, see one of the six values
    y = ops.max_pool(line, 17, stride=34, dilation=2)[0, :, 0]
    np.testing.assert_array_equal(y, x[0, :, 0])


def test_is_lax_reduce_window():
    (x,) = normals(5, (2, 9, 8, 3))
    expected = lax.reduce_window(
        jnp.asarray(x), -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME"
    )
    np.testing.assert_array_equal(ops.max_pool(x, 3, stride=2, padding="SAME"), expected)


X = jnp.ones((2, 8, 8, 3))
ERRORS = {
    "rank": (lambda pool: pool(jnp.ones((8, 8)), 2), ValueError, r"rank 3.*\(8, 8\)"),
    "integer image": (
        lambda pool: pool(X.astype(jnp.uint8), 2), TypeError,
        r"_pool expects floating-point x, but x \(2, 8, 8, 3\) is uint8",
    ),
    "window too large": (
        lambda pool: pool(X, (2, 9)), ValueError,
        r"window \(2, 9\).*larger than x \(2, 8, 8, 3\) \(N, H, W, C\)",
    ),
    "dilated window too large": (
        lambda pool: pool(X, 3, dilation=4), ValueError,
        r"window \(3, 3\) with dilation \(4, 4\) is larger than x \(2, 8, 8, 3\)",
    ),
    "window in padding": (
        lambda pool: pool(X, 2, padding=2), ValueError,
        r"window \(2, 2\) with stride \(2, 2\) over x \(2, 8, 8, 3\).*wholly in the padding",
    ),
    "window in the last padding": (
        lambda pool: pool(X, 2, padding=((0, 0), (0, 2))), ValueError, "wholly in the padding",
    ),
    "window length": (
        lambda pool: pool(X, (2, 2, 2)), ValueError, r"\(2, 2, 2\) has 3 entries.* 2 spatial",
    ),
    "window zero": (lambda pool: pool(X, 0), ValueError, "window must be at least 1"),
    "float window": (lambda pool: pool(X, 2.0), TypeError, r"got 2\.0"),
    "stride zero": (lambda pool: pool(X, 2, stride=0), ValueError, "stride must be at least 1"),
    "dilation zero": (lambda pool: pool(X, 2, dilation=0), ValueError, "dilation must be at"),
    "padding name": (lambda pool: pool(X, 2, padding="REFLECT"), ValueError, "'REFLECT' is not"),
    "negative padding": (lambda pool: pool(X, 2, padding=-1), ValueError, "got -1"),
    "ambiguous padding": (lambda pool: pool(X, 2, padding=(1, 1)), ValueError, r"got \(1, 1\)"),
    "empty image": (lambda pool: pool(X[:, :0], 2), ValueError, r"\(2, 0, 8, 3\)"),
    "misspelled keyword": (lambda pool: pool(X, 2, strides=2), TypeError, "strides"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("pool", [ops.max_pool, ops.avg_pool])
def test_errors(pool, name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call(pool)


@pytest.mark.parametrize("pool", [ops.global_max_pool, ops.global_avg_pool])
def test_global_errors(pool):
    with pytest.raises(ValueError, match=r"expects x of rank 3.*\(2, 3\)"):
        pool(jnp.ones((2, 3)))
    with pytest.raises(TypeError, match=r"x \(2, 8, 8, 3\) is int32"):
        pool(X.astype(jnp.int32))
    with pytest.raises(ValueError, match=r"\(2, 0, 8, 3\): there is nothing to pool"):
        pool(X[:, :0])


def test_count_padding_is_only_the_means():
    with pytest.raises(TypeError, match="count_padding"):
        ops.max_pool(X, 2, count_padding=True)
