"""Every form that a convolution takes on a CPU is the convolution, in value and in precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

from fcnn import ops
from fcnn.ops.lowering import canonical, columns, depthwise, grouped, library, product, table
from fcnn.ops.lowering.window import Window


def form_of(kernel_shape, stride, dilation, groups):
    """Which module computes the kernel's gradient, asked of the table's own predicates."""
    ndim = len(kernel_shape) - 2
    stride = (stride,) * ndim if isinstance(stride, int) else stride
    window = Window(stride, ((0, 0),) * ndim, (dilation,) * ndim, groups)
    if depthwise.applies(kernel_shape, window):
        return depthwise
    if grouped.applies(kernel_shape, window):
        return grouped
    if product.applies(kernel_shape[:-2], window):
        return product
    few = int(np.prod(kernel_shape[:-1])) <= min(table.COLUMNS, 2 * kernel_shape[-1])
    return columns if few else canonical


# form, x, kernel, stride, padding, dilation, groups
CASES = {
    "1x1": (product, (2, 5, 6, 4), (1, 1, 4, 3), 1, 0, 1, 1),
    "1x1 padded": (product, (2, 5, 6, 4), (1, 1, 4, 3), 1, 2, 1, 1),
    "1x1 stride 2": (product, (2, 5, 6, 4), (1, 1, 4, 3), 2, 0, 1, 1),
    "1x1, many pixels": (product, (2, 23, 24, 4), (1, 1, 4, 3), 1, 0, 1, 1),
    "patches": (product, (2, 8, 8, 3), (4, 4, 3, 5), 4, 0, 1, 1),
    "patches with a rest": (product, (2, 9, 7, 3), (2, 2, 3, 5), 2, 0, 1, 1),
    "patches apart": (product, (2, 9, 8, 3), (2, 2, 3, 5), 3, 1, 1, 1),
    "patches 1-D": (product, (3, 17, 2), (5, 2, 4), 5, 0, 1, 1),
    "patches 3-D": (product, (2, 4, 6, 5, 2), (2, 2, 2, 2, 3), 2, 0, 1, 1),
    "depthwise": (depthwise, (3, 6, 7, 4), (3, 3, 1, 4), 1, "SAME", 1, 4),
    "depthwise stride 2": (depthwise, (3, 6, 7, 4), (3, 3, 1, 4), 2, 1, 1, 4),
    "depthwise dilated": (depthwise, (3, 8, 9, 4), (3, 3, 1, 4), 1, 2, 2, 4),
    "depthwise, three kernels a channel": (depthwise, (3, 6, 7, 2), (3, 3, 1, 6), 1, 1, 1, 2),
    "depthwise, a loop over rows": (depthwise, (2, 8, 9, 2), (9, 8, 1, 2), 1, 4, 1, 2),
    "depthwise, 17 images": (depthwise, (17, 4, 4, 2), (3, 3, 1, 2), 1, 1, 1, 2),
    "depthwise 1-D": (depthwise, (2, 40, 3), (19, 1, 3), 1, "CAUSAL", 1, 3),
    "depthwise 1-D, a loop over taps": (depthwise, (2, 70, 3), (65, 1, 3), 1, 3, 1, 3),
    "depthwise 3-D": (depthwise, (2, 4, 5, 4, 2), (2, 3, 3, 1, 2), 1, "SAME", 1, 2),
    "32 groups": (grouped, (2, 5, 5, 64), (3, 3, 2, 64), 1, 1, 1, 32),
    "groups, stride 2": (grouped, (2, 7, 6, 12), (3, 3, 4, 9), 2, 1, 1, 3),
    "groups of products": (grouped, (2, 5, 5, 8), (1, 1, 4, 6), 1, 0, 1, 2),
    "wide groups": (grouped, (2, 5, 5, 40), (3, 3, 20, 36), 1, 1, 1, 2),
    "first layer": (columns, (4, 9, 8, 1), (3, 3, 1, 6), 1, 1, 1, 1),
    "first layer, many pixels": (columns, (2, 23, 24, 1), (3, 3, 1, 6), 1, 1, 1, 1),
    "first layer, stride 2": (columns, (4, 9, 8, 1), (4, 4, 1, 8), 2, 1, 1, 1),
    "first layer 1-D": (columns, (4, 30, 1), (9, 1, 6), 2, 0, 2, 1),
    "first layer, tall windows far apart": (columns, (2, 9, 8, 1), (5, 2, 1, 5), (3, 4), 1, 1, 1),
    "first layer 3-D": (columns, (2, 5, 6, 7, 1), (3, 3, 3, 1, 14), 2, 1, 1, 1),
    "first layer, three channels": (canonical, (2, 9, 8, 3), (5, 4, 3, 6), 2, 2, 1, 1),
    "first layer, too many parts": (canonical, (2, 12, 13, 1), (9, 8, 1, 3), 1, 2, 1, 1),
    "plain, a loop over images": (canonical, (17, 9, 260, 32), (3, 3, 32, 4), 1, 1, 1, 1),
    "plain, wide padding": (canonical, (2, 5, 6, 5), (3, 3, 5, 4), 2, 4, 1, 1),
    "plain, narrower than its gradient": (canonical, (2, 9, 8, 5), (4, 4, 5, 4), 2, 0, 1, 1),
    "plain": (canonical, (2, 7, 6, 5), (3, 3, 5, 4), 1, 1, 1, 1),
    "plain, one image in bands": (canonical, (1, 11, 6, 5), (3, 3, 5, 4), 1, 1, 1, 1),
    "stride 2": (canonical, (2, 7, 6, 5), (3, 3, 5, 4), 2, 1, 1, 1),
    "stride 3, larger kernel": (canonical, (2, 11, 12, 3), (7, 7, 3, 4), 3, 2, 1, 1),
    "stride and dilation": (canonical, (2, 11, 12, 4), (3, 3, 4, 4), 2, 2, 2, 1),
    "few windows": (canonical, (2, 4, 5, 256), (3, 3, 256, 512), 1, 1, 1, 1),
    "few windows, stride 2": (canonical, (2, 7, 6, 256), (3, 3, 256, 512), 2, 1, 1, 1),
    "1-D": (canonical, (2, 19, 8), (5, 8, 4), 2, 1, 1, 1),
    "3-D": (canonical, (2, 5, 6, 4, 3), (3, 3, 3, 3, 2), 2, 1, 1, 1),
}


def errors(operation, x, kernel, options, seed):
    """Largest errors of ours and of lax (value, dx, dkernel) against lax in float64, relative."""
    rng = np.random.default_rng(seed)

    def passes(method, dtype):
        def run(x, kernel):
            return operation(x, kernel, **options, method=method)

        y, pull = jax.vjp(run, jnp.asarray(x, dtype), jnp.asarray(kernel, dtype))
        return [y, *pull(jnp.asarray(weights(y.shape), dtype))]

    cache = {}

    def weights(shape):
        return cache.setdefault(shape, rng.normal(size=shape))

    with jax.enable_x64(True):
        exact = [np.asarray(v) for v in passes("lax", jnp.float64)]
        double = [np.asarray(v) for v in passes("auto", jnp.float64)]
    for ours, true in zip(double, exact, strict=True):
        assert ours.shape == true.shape
        # float64 rounding of at most a few hundred terms
        np.testing.assert_allclose(ours, true, rtol=1e-11, atol=1e-11)
    out = []
    for method in ("auto", "lax"):
        single = [np.asarray(v, np.float64) for v in passes(method, jnp.float32)]
        out.append(
            [
                np.abs(a - b).max() / (1 + np.abs(b).max())
                for a, b in zip(single, exact, strict=True)
            ]
        )
    return zip(*out, strict=True)


@pytest.mark.parametrize("by_library", [True, False], ids=["oneDNN", "XLA"])
@pytest.mark.parametrize("operation", [ops.conv, ops.conv_transpose], ids=["conv", "transpose"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_each_form_is_as_exact_as_lax(case, operation, by_library, monkeypatch):
    if by_library and not library.AVAILABLE:
        pytest.skip("this jaxlib has no oneDNN")
    monkeypatch.setattr(library, "AVAILABLE", by_library)
    form, x_shape, kernel_shape, stride, padding, dilation, groups = case
    if operation is ops.conv:
        assert form_of(kernel_shape, stride, dilation, groups) is form
    if operation is ops.conv_transpose and padding == "CAUSAL":
        padding = "VALID"
    rng = np.random.default_rng(len(x_shape))
    x, kernel = rng.normal(size=x_shape), rng.normal(size=kernel_shape)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    for ours, laxs in errors(operation, x, kernel, options, seed=1):
        # Both round the same sums in another order: a few units of 2^-24 either way.
        assert ours <= 4 * laxs + 4e-7


@st.composite
def settings_of(draw):
    ndim = draw(st.integers(1, 3))
    each = st.tuples(*[st.integers(1, 4)] * ndim)
    groups = draw(st.sampled_from([1, 1, 2, 3, 16]))
    inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    sizes = tuple(draw(st.integers(1, {1: 20, 2: 9, 3: 5}[ndim])) for _ in range(ndim))
    pads = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(ndim))
    x = (draw(st.sampled_from([1, 2, 17])), *sizes, groups * inputs)
    kernel = (*draw(each), inputs, groups * outputs)
    dilation = tuple(draw(st.sampled_from([1, 1, 2])) for _ in range(ndim))
    options = {"stride": draw(each), "padding": pads, "dilation": dilation, "groups": groups}
    return x, kernel, options


@settings(deadline=None, derandomize=True, max_examples=40)
@given(settings_of(), st.sampled_from([ops.conv, ops.conv_transpose]), st.integers(0, 99))
def test_any_setting_is_as_exact_as_lax(case, operation, seed):
    x_shape, kernel_shape, options = case
    # XLA aborts the whole process on some of lax's own gradients where the stride is the size of
    # the kernel in one dimension and not in another (tests/test_ops_lowering.py).
    same = [k == s > 1 for k, s in zip(kernel_shape, options["stride"], strict=False)]
    assume(all(same) or not any(same))
    rng = np.random.default_rng(seed)
    x, kernel = rng.normal(size=x_shape), rng.normal(size=kernel_shape)
    try:
        jax.eval_shape(lambda x, k: operation(x, k, **options), x.astype("f"), kernel.astype("f"))
    except ValueError:
        assume(False)
    for ours, laxs in errors(operation, x, kernel, options, seed):
        assert ours <= 4 * laxs + 4e-7


@pytest.mark.parametrize("operation", [ops.conv, ops.conv_transpose], ids=["conv", "transpose"])
@pytest.mark.parametrize("name", ["1x1 stride 2", "depthwise stride 2", "stride 2", "1-D", "3-D"])
def test_what_other_backends_run_is_the_operation_too(name, operation, monkeypatch):
    """A CPU can run what is meant for the others, asked to."""

    def other(*args, default, **_):
        return default(*args)

    monkeypatch.setattr(lax, "platform_dependent", other)
    _, x_shape, kernel_shape, stride, padding, dilation, groups = CASES[name]
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=x_shape), rng.normal(size=kernel_shape)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    for ours, laxs in errors(operation, x, kernel, options, seed=1):
        assert ours <= 4 * laxs + 4e-7


def test_a_kernel_that_is_not_finite_stays_in_its_group():
    """Neighbouring groups share a dense kernel, whose zeros must not meet the infinity."""
    x = jnp.ones((1, 4, 4, 4))
    kernel = jnp.ones((3, 3, 2, 4)).at[0, 0, 0, 3].set(jnp.inf)
    y = ops.conv(x, kernel, groups=2)
    assert bool(jnp.isfinite(y[..., :3]).all())
    assert not bool(jnp.isfinite(y[..., 3]).all())


def test_gradients_of_gradients():
    """A Hessian-vector product, as lax's own; each pass is differentiated."""
    rng = np.random.default_rng(0)
    x, v = (jnp.asarray(rng.normal(size=(2, 6, 5, 4)), jnp.float32) for _ in range(2))
    kernel = jnp.asarray(rng.normal(size=(3, 3, 4, 6)), jnp.float32)

    def product(method):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(ops.conv(x, kernel, stride=2, padding=1, method=method)))

        def along(x, kernel):
            dx, dk = jax.grad(loss, (0, 1))(x, kernel)
            return jnp.sum(dx * v) + jnp.sum(jnp.square(dk))

        return jax.grad(along, (0, 1))(x, kernel)

    for ours, laxs in zip(product("auto"), product("lax"), strict=True):
        # Sums of products of two gradients, each of a hundred terms of order one.
        np.testing.assert_allclose(ours, laxs, rtol=1e-4, atol=1e-4 * np.abs(laxs).max())


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)], ids=["images", "kernels", "both"])
def test_vmap(axes):
    rng = np.random.default_rng(0)
    shapes = [(3, 2, 6, 5, 4) if axes[0] == 0 else (2, 6, 5, 4), (3, 3, 3, 4, 6)]
    if axes[1] is None:
        shapes[1] = shapes[1][1:]
    x, kernel = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)

    def passes(method):
        def run(x, kernel):
            y, pull = jax.vjp(lambda x, k: ops.conv(x, k, padding=1, method=method), x, kernel)
            return y, *pull(jnp.cos(y))

        return jax.vmap(run, axes)(x, kernel)

    for ours, laxs in zip(passes("auto"), passes("lax"), strict=True):
        np.testing.assert_allclose(ours, laxs, rtol=1e-5, atol=1e-5 * np.abs(laxs).max())
