"""The gradient of a convolution's kernel by oneDNN, as a convolution."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from fcnn.ops.lowering.blocks import in_blocks
from fcnn.ops.lowering.library import convolution
from fcnn.ops.lowering.window import Window, copied, pad_spatial, plain, seen
from fcnn.ops.taps import Sizes

# So many images are taken at a time, a register of 16 float32 numbers: more are out of the cache
# before every tap has met them.
IMAGES = 16


def kernel_gradient(x: jax.Array, g: jax.Array, window: Window, taps: Sizes) -> jax.Array:
    """x under g as a kernel whose taps are `stride` apart.

    The images are what is summed over, so they take the place of channels; and the channels of x,
    each an output of its own, that of pixels: there the library's matrix products find their many
    rows. It has three dimensions at most, so in 3-D the taps of the first are taken one by one.
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
    facts = zip(x.shape[1:-1], g.shape[1:-1], window.stride, window.dilation, strict=True)
    taps = tuple((size - (p - 1) * s - 1) // d + 1 for size, p, s, d in facts)
    if window.dilation[-1] > 1 or (len(taps) == 1 and x.shape[-1] > 1):
        of_block, images = _by_channels, 2 * IMAGES
    else:
        of_block, images = _by_pixels, IMAGES
    x, g = _bands(x, g, window, IMAGES // x.shape[0])
    # A block's sum is as large as the kernel: it should not be larger than the block.
    together = max(images, math.prod(taps) * g.shape[-1] // math.prod(x.shape[1:-1]))
    x, g = in_blocks((x, g), most=together)
    if len(x) == 1:
        return of_block(x[0], g[0], window, taps)
    start = jnp.zeros((*taps, x.shape[-1], g.shape[-1]), x.dtype)

    def add(total, block):
        x, g = block
        return total + of_block(x, g, window, taps), None

    return lax.scan(add, start, (x, g))[0]


def _bands(x, g, window: Window, count: int):
    """Images cut across the first dimension into bands, each an image of its own.

    The windows of one band reach into the next, so what they share is there twice.
    """
    count = min(count, g.shape[1])
    if count < 2:
        return x, g
    stride, rows = window.stride[0], -(-g.shape[1] // count)
    reach = x.shape[1] - (g.shape[1] - 1) * stride
    missing = count * rows - g.shape[1]
    nothing = ((0, 0),) * (x.ndim - 3)
    x = pad_spatial(x, ((0, missing * stride), *nothing))
    g = pad_spatial(g, ((0, missing), *nothing))
    starts = [band * rows * stride for band in range(count)]
    span = (rows - 1) * stride + reach
    x = jnp.concatenate([lax.slice_in_dim(x, start, start + span, axis=1) for start in starts])
    g = jnp.concatenate(jnp.split(g, count, axis=1))
    return x, g


def _by_pixels(x, g, window: Window, taps: Sizes):
    """The channels of x as pixels between those of its last dimension: (*S, S * C).

    One matrix product then has as rows all channels at all taps of the last dimension.
    """
    *sizes, channels = x.shape[1:]
    halves = 2 if channels % 2 == 0 else 1  # for even work on two processors
    each = channels // halves
    x = x.reshape(len(x), *sizes, halves, each)
    x = jnp.moveaxis(x, (-2, 0), (0, -1)).reshape(halves, *sizes[:-1], sizes[-1] * each, len(x))
    turned = plain((*window.stride[:-1], window.stride[-1] * each))
    turned = turned._replace(stride=window.dilation)
    axes = (0, x.ndim - 1, *range(1, x.ndim - 1))
    shape = (halves, *taps[:-1], taps[-1] * each, g.shape[-1])
    dk = convolution(x, axes, g, axes, shape, turned)
    dk = jnp.moveaxis(dk.reshape(halves, *taps, each, -1), 0, -3)
    return dk.reshape(*taps, channels, -1)


def _by_channels(x, g, window: Window, taps: Sizes):
    """The channels of x as one more spatial dimension, where windows are dilated in the last."""
    ndim = x.ndim - 2
    axes = (0, ndim + 2, *range(1, ndim + 2))
    turned = plain((*window.stride, 1))._replace(stride=(*window.dilation, 1))
    x = jnp.moveaxis(x, 0, -1)[None]  # (1, *S, C, n)
    g = g[..., None, :]  # (n, *P, 1, F)
    return convolution(x, axes, g, axes, (1, *taps, x.shape[-2], g.shape[-1]), turned)[0]


def depthwise_kernel_gradient(x: jax.Array, g: jax.Array, window: Window, taps: Sizes) -> jax.Array:
    """The kernel's gradient in two dimensions where each feature sees one channel: (*taps, 1, F).

    Nothing is summed over but positions, so each image's channels are groups of their own in one
    depthwise call; the sum over images comes after.
    """
    positions, features = g.shape[1:-1], g.shape[-1]
    x = copied(seen(x, taps, positions, window), features)

    def add(total, block):
        x, g = block
        count = len(x)
        groups = count * features
        turned = plain(window.stride)._replace(stride=window.dilation, groups=groups)
        x = jnp.moveaxis(x, 0, -2).reshape(1, *x.shape[1:-1], groups)
        g = jnp.moveaxis(g, 0, -2).reshape(*positions, 1, groups)
        dk = convolution(x, (0, 3, 1, 2), g, (2, 3, 0, 1), (1, *taps, groups), turned)
        return total + dk.reshape(*taps, 1, count, features).sum(-2), None

    # In a loop of at least two steps x and g are read as they lie. Without it XLA computes them
    # again, from what they were made of, in the order of the transposed: three times slower.
    blocks = in_blocks((x, g), most=-(-len(x) // 2))
    return lax.scan(add, jnp.zeros((*taps, 1, features), x.dtype), blocks)[0]
