"""Depthwise convolution: the products of shifted images with one number a channel, summed.

XLA's CPU backend computes a convolution with a group for each channel as a dense one and throws the
rest away. There is no matrix product to be had: every tap is a multiply-add of whole images.
"""

import functools
import math
import operator

import jax.numpy as jnp
from jax import lax

from fcnn.ops.lowering.blocks import in_blocks
from fcnn.ops.lowering.window import Window, copied, plain, seen, spread
from fcnn.ops.norm import wide
from fcnn.ops.taps import Sizes, shifted

# Up to here (8x8) the taps are written out, which one pass over the images computes; past it, the
# first dimension of the kernel is a loop, so that compile time does not grow with the kernel.
MOST_TAPS = 64
# Images summed without a loop in the kernel's gradient: more compile longer and run no faster.
IMAGES = 16


def applies(kernel_shape: Sizes, window: Window) -> bool:
    return window.groups > 1 and kernel_shape[-2] == 1


def forward(x, kernel, window: Window):
    taps, features = kernel.shape[:-2], kernel.shape[-1]
    positions = window.positions(x.shape[1:-1], taps)
    kind = wide(x.dtype)
    # Without the barrier XLA computes the padding again for each tap.
    x = lax.optimization_barrier(copied(seen(x, taps, positions, window), features))
    ones = (1,) * (x.ndim - 1)
    weights = kernel.astype(kind).reshape(taps[0], -1, *ones, features)

    def tap_row(first):
        row = _row(x, first, positions, window)
        values = _shifts(row, taps, positions, window)
        return [v.astype(kind) * weights[first, i] for i, v in enumerate(values)]

    if math.prod(taps) <= MOST_TAPS:
        terms = [term for first in range(taps[0]) for term in tap_row(first)]
        return functools.reduce(operator.add, terms).astype(x.dtype)
    start = jnp.zeros((x.shape[0], *positions, features), kind)
    y = lax.fori_loop(0, taps[0], lambda i, y: functools.reduce(operator.add, tap_row(i), y), start)
    return y.astype(x.dtype)


def input_gradient(g, kernel, window: Window, sizes: Sizes):
    """g spread out, under the flipped kernel; then the copies of each channel summed."""
    g = spread(g, kernel.shape[:-2], window, sizes)
    dx = forward(g, jnp.flip(kernel, range(kernel.ndim - 2)), plain(window.dilation))
    if window.groups == g.shape[-1]:
        return dx
    copies = dx.reshape(*dx.shape[:-1], window.groups, -1)
    return copies.sum(-1, dtype=wide(dx.dtype)).astype(dx.dtype)


def kernel_gradient(x, g, window: Window, taps: Sizes):
    """For each tap, the products of the shifted x with g, summed over images and positions.

    A reduction over positions would be a scalar loop; a sum of whole images, written out, is
    vectorised over positions and channels, and only what is left is reduced.
    """
    features, positions = g.shape[-1], g.shape[1:-1]
    x = copied(seen(x, taps, positions, window), features)
    images, grads = in_blocks((x, g), most=IMAGES)
    each = images.shape[1]
    kind = wide(x.dtype)

    def tap_row(first):
        def add(total, step):
            images, grads = step
            row = _row(images, first, positions, window).astype(kind)
            grads = grads.astype(kind)
            sums = [
                functools.reduce(operator.add, (values[i] * grads[i] for i in range(each)))
                for values in _shifts(row, taps, positions, window)
            ]
            return total + jnp.stack(sums), None

        start = jnp.zeros((math.prod(taps[1:]), *positions, features), kind)
        total, _ = lax.scan(add, start, (images, grads))
        return total.sum(range(1, total.ndim - 1))

    dk = lax.map(tap_row, jnp.arange(taps[0]))
    return dk.reshape(*taps, 1, features).astype(x.dtype)


def _row(x, first, positions, window: Window):
    """What the taps with index `first` in the first dimension see, in that dimension."""
    span = (positions[0] - 1) * window.stride[0] + 1
    row = lax.dynamic_slice_in_dim(x, first * window.dilation[0], span, axis=1)
    return lax.slice_in_dim(row, 0, span, window.stride[0], axis=1)


def _shifts(row, taps, positions, window: Window):
    """For each tap in the other dimensions, the values that the windows have there."""
    stride, dilation = (1, *window.stride[1:]), (1, *window.dilation[1:])
    return shifted(row, (1, *taps[1:]), positions, stride, dilation)
