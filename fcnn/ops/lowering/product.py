"""Windows that do not overlap (kernel_size <= stride): a matrix product of patches and kernel.

A 1x1 convolution is the product of each pixel with the kernel; where the stride is the kernel size
("patchify") each pixel belongs to one patch, and a patch is a row of the matrix.
"""

import math

import jax.numpy as jnp
from jax import lax

from fcnn.ops.lowering.tall import dot, tall_product
from fcnn.ops.lowering.window import Window, pad_spatial, side_by_side
from fcnn.ops.taps import Sizes


def applies(taps: Sizes, window: Window) -> bool:
    fits = all(k <= s for k, s in zip(taps, window.stride, strict=True))
    return fits and set(window.dilation) == {1} and window.groups == 1


def forward(x, kernel, window: Window):
    taps = kernel.shape[:-2]
    positions = window.positions(x.shape[1:-1], taps)
    y = dot(_patches(x, taps, positions, window), _matrix(kernel))
    return y.reshape(x.shape[0], *positions, -1)


def input_gradient(g, kernel, window: Window, sizes: Sizes):
    taps, positions = kernel.shape[:-2], g.shape[1:-1]
    rows = dot(g.reshape(-1, g.shape[-1]), _matrix(kernel).T)
    blocks = rows.reshape(g.shape[0], *positions, *taps, -1)
    # What a window does not reach, between the taps and the next position, has no gradient.
    gaps = [(0, s - k) for k, s in zip(taps, window.stride, strict=True)]
    blocks = jnp.pad(blocks, [*[(0, 0)] * (1 + len(taps)), *gaps, (0, 0)])
    return side_by_side(blocks, sizes, tuple(low for low, _ in window.pads))


def kernel_gradient(x, g, window: Window, taps: Sizes):
    rows = _patches(x, taps, g.shape[1:-1], window)
    dk = tall_product(rows, g.reshape(-1, g.shape[-1]))
    return dk.reshape(*taps, x.shape[-1], g.shape[-1])


def _matrix(kernel):
    return kernel.reshape(-1, kernel.shape[-1])


def _patches(x, taps, positions, window: Window):
    """(N * positions, taps * C): the values under each window, one row each."""
    batch, channels, ndim = x.shape[0], x.shape[-1], len(taps)
    facts = zip(x.shape[1:-1], positions, window.stride, window.pads, strict=True)
    cuts = tuple((low, p * s - size - low) for size, p, s, (low, _) in facts)
    split = [v for pair in zip(positions, window.stride, strict=True) for v in pair]
    blocks = pad_spatial(x, cuts).reshape(batch, *split, channels)
    ends = [v for pair in zip(positions, taps, strict=True) for v in pair]
    blocks = lax.slice(blocks, [0] * blocks.ndim, [batch, *ends, channels])
    places = [1 + 2 * axis for axis in range(ndim)]
    within = [2 + 2 * axis for axis in range(ndim)]
    blocks = blocks.transpose(0, *places, *within, 2 * ndim + 1)
    return blocks.reshape(-1, math.prod(taps) * channels)
