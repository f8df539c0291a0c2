"""Convolutions by oneDNN, the library of CPU kernels that jaxlib brings along on Linux x86-64.

XLA has a custom call to it, `__onednn$convolution`, with the facts of the convolution in its
backend config. jaxlib 0.12 can be told to make such calls itself and 0.10 cannot; both execute
them. They are PyTorch's kernels, and as fast inside `lax.scan` as outside. Only the forward pass
can be called, so gradients are written as forward passes.
"""

import json
import math
import platform
import sys
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxlib import version

from fcnn.ops.lowering.blocks import in_blocks
from fcnn.ops.lowering.window import Window, copied, exchanged, pad_spatial, plain, seen
from fcnn.ops.taps import Sizes

# Where the call and the encoding of its config were found to work; elsewhere XLA computes.
VERSIONS = ("0.10", "0.11", "0.12")
AVAILABLE = (
    sys.platform == "linux"
    and platform.machine() == "x86_64"
    and ".".join(version.__version__.split(".")[:2]) in VERSIONS
)

# The kernel's gradient takes as many images at a time as have this many values, 4 MiB: they stay in
# a core's cache while every tap meets them. But at least this many images, over which it sums.
VALUES, IMAGES = 2**20, 8


def applies(dtype: jnp.dtype, ndim: int) -> bool:
    """Whether oneDNN computes a convolution of this dtype in this many spatial dimensions."""
    return AVAILABLE and dtype == jnp.float32 and ndim <= 3


def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """lax_conv(x, kernel, window)."""
    return _batched(x, kernel, window, False)


def forward_exchanged(g: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """lax_conv(g, exchanged(kernel, groups), window), where the library reads the kernel as it is.

    A transposed copy of it would take a third of the time where images are small and channels many.
    """
    if window.groups > 1:
        return forward(g, exchanged(kernel, window.groups), window)
    return _batched(g, kernel, window, True)


def _batched(x, kernel, window: Window, exchange: bool):
    @custom_vmap
    def run(x, kernel):
        return _forward(x, kernel, window, exchange)

    @run.def_vmap
    def _(size, batched, x, kernel):
        if batched == [True, False]:  # more images
            y = run(x.reshape(-1, *x.shape[2:]), kernel)
            return y.reshape(size, -1, *y.shape[1:]), True
        pairs = zip((x, kernel), batched, strict=True)
        each = tuple(a if b else jnp.broadcast_to(a, (size, *a.shape)) for a, b in pairs)
        return lax.map(lambda pair: run(*pair), each), True

    return run(x, kernel)


def _forward(x, kernel, window: Window, exchange: bool):
    reach = [d * (k - 1) for k, d in zip(kernel.shape, window.dilation, strict=False)]
    # oneDNN's padding is neither negative nor wider than the kernel; what is more is done before.
    own = tuple(
        (min(max(low, 0), most), min(max(high, 0), most))
        for (low, high), most in zip(window.pads, reach, strict=True)
    )
    rest = tuple((low - a, high - b) for (low, high), (a, b) in zip(window.pads, own, strict=True))
    if set(rest) != {(0, 0)}:
        x = pad_spatial(x, rest)
    window = window._replace(pads=own)
    ndim = x.ndim - 2
    inputs, outputs = (ndim + 1, ndim) if exchange else (ndim, ndim + 1)
    positions = window.positions(x.shape[1:-1], kernel.shape[:-2])
    shape = (x.shape[0], *positions, kernel.shape[outputs])
    images = (0, ndim + 1, *range(1, ndim + 1))
    return _call(x, images, kernel, (inputs, outputs, *range(ndim)), shape, window)


def kernel_gradient(x: jax.Array, g: jax.Array, window: Window, taps: Sizes) -> jax.Array:
    """x under g as a kernel whose taps are `stride` apart.

    The images are what is summed over, so they take the place of channels; and the channels of x,
    each an output of its own, that of one more spatial dimension: there the library's matrix
    products find their many rows. It has three dimensions at most, so in 3-D the taps of the first
    are taken one by one.
    """
    positions = g.shape[1:-1]
    x = seen(x, taps, positions, window)
    if len(taps) < 3:
        return _exact_gradient(x, g, window)
    inner = Window(window.stride[1:], window.pads[1:], window.dilation[1:], groups=1)
    span = (positions[0] - 1) * window.stride[0] + 1

    def planes(array):
        return array.reshape(-1, *array.shape[2:])

    starts = [tap * window.dilation[0] for tap in range(taps[0])]
    rows = [lax.slice_in_dim(x, a, a + span, window.stride[0], axis=1) for a in starts]
    return jnp.stack([_exact_gradient(planes(row), planes(g), inner) for row in rows])


def _exact_gradient(x, g, window: Window):
    """The kernel's gradient from an x of just what the windows see, in one or two dimensions."""
    ndim = x.ndim - 2
    facts = zip(x.shape[1:-1], g.shape[1:-1], window.stride, window.dilation, strict=True)
    taps = tuple((size - (p - 1) * s - 1) // d + 1 for size, p, s, d in facts)
    turned = plain((*window.stride, 1))._replace(stride=(*window.dilation, 1))
    axes = (0, ndim + 2, *range(1, ndim + 2))

    def of_block(x, g):
        x = jnp.moveaxis(x, 0, -1)[None]  # (1, *S, C, n)
        g = g[..., None, :]  # (n, *P, 1, F)
        return _call(x, axes, g, axes, (1, *taps, x.shape[-2], g.shape[-1]), turned)[0]

    together = max(IMAGES, VALUES // math.prod(x.shape[1:]))
    x, g = in_blocks((x, g), most=2 ** int(math.log2(together)))
    if len(x) == 1:
        return of_block(x[0], g[0])
    start = jnp.zeros((*taps, x.shape[-1], g.shape[-1]), x.dtype)
    return lax.scan(lambda total, block: (total + of_block(*block), None), start, (x, g))[0]


def depthwise_kernel_gradient(x: jax.Array, g: jax.Array, window: Window, taps: Sizes) -> jax.Array:
    """The kernel's gradient in two dimensions where each feature sees one channel: (*taps, 1, F).

    Nothing is summed over but positions, so each image's channels are groups of their own in one
    depthwise call; the sum over images comes after.
    """
    count, positions, features = g.shape[0], g.shape[1:-1], g.shape[-1]
    x = copied(seen(x, taps, positions, window), features)
    groups = count * features
    turned = plain(window.stride)._replace(stride=window.dilation, groups=groups)
    x = jnp.moveaxis(x, 0, -2).reshape(1, *x.shape[1:-1], groups)
    g = jnp.moveaxis(g, 0, -2).reshape(*positions, 1, groups)
    dk = _call(x, (0, 3, 1, 2), g, (2, 3, 0, 1), (1, *taps, groups), turned)
    return dk.reshape(*taps, 1, count, features).sum(-2)


def _call(
    x, axes: Sequence[int], kernel, kernel_axes: Sequence[int], shape: Sizes, window: Window
) -> jax.Array:
    """The library's convolution of x into `shape`, which has the axes of x.

    axes: of x, the images, the channels, the spatial ones; kernel_axes: of the kernel, the input
    channels, the features, the spatial ones.
    """
    places = {
        "data": {
            "batch_dim": str(axes[0]),
            "feature_dim": str(axes[1]),
            "spatial_dims": _strings(axes[2:]),
        }
    }
    config = {
        "dims": str(x.ndim),
        "feature_groups": str(window.groups),
        "input": places,
        "kernel": {
            "filter": {
                "input_feature_dim": str(kernel_axes[0]),
                "output_feature_dim": str(kernel_axes[1]),
                "spatial_dims": _strings(kernel_axes[2:]),
                "shape": _strings(kernel.shape),
            }
        },
        "output": places,
        "window": {
            "strides": _strings(window.stride),
            "pad_left": _strings(low for low, _ in window.pads),
            "pad_right": _strings(high for _, high in window.pads),
            "window_dilations": _strings(window.dilation),
        },
    }
    call = jax.ffi.ffi_call(
        "__onednn$convolution",
        jax.ShapeDtypeStruct(shape, x.dtype),
        vmap_method="sequential",
        custom_call_api_version=2,
        legacy_backend_config=json.dumps({"onednn_conv_config": config}),
    )
    return call(x, kernel)


def _strings(values) -> list[str]:
    return [str(value) for value in values]
