"""A matrix that has in each row what one window sees.

A convolution is that matrix times the kernel, and the kernel's gradient its transpose times g. The
input's gradient is the sum of what its windows give it, and what a window gives is a row of g times
the kernel.

It is for first layers, whose one to three input channels are too few for the fast kernels, and for
few windows under a large kernel, where oneDNN spends its time on laying out the kernel.
"""

import functools
import itertools
import math

import jax.numpy as jnp
from jax import lax

from fcnn.ops.lowering import library
from fcnn.ops.lowering.tall import tall_product
from fcnn.ops.lowering.window import Window, seen, side_by_side
from fcnn.ops.norm import wide
from fcnn.ops.taps import Sizes, shifted

# At most so many input channels are few.
CHANNELS = 3
# At most so many windows, all images together, are few, and a kernel of so many values is large.
WINDOWS, KERNEL = 512, 2**20
# The input's gradient is a sum of so many parts at most: each is compiled, and takes memory.
PARTS = 64


def few_windows(kernel_shape: Sizes, window: Window, count: int) -> bool:
    """Whether so many windows are few for this kernel."""
    return window.groups == 1 and count <= WINDOWS and math.prod(kernel_shape) >= KERNEL


def gives_input(kernel_shape: Sizes, window: Window, count: int) -> bool:
    """Whether the input's gradient can be, and is well, computed so."""
    few = few_windows(kernel_shape, window, count) and set(window.stride) == {1}
    possible = set(window.dilation) == {1} and window.groups == 1
    parts = math.prod(_reach(kernel_shape[:-2], window))
    return (kernel_shape[-2] <= CHANNELS or few) and possible and parts <= PARTS


def _reach(taps: Sizes, window: Window) -> list[int]:
    """How many blocks of the stride's size a window covers, in each dimension."""
    return [-(-k // s) for k, s in zip(taps, window.stride, strict=True)]


def forward(x, kernel, window: Window):
    """lax_conv(x, kernel, window), by oneDNN."""
    taps, features = kernel.shape[:-2], kernel.shape[-1]
    positions = window.positions(x.shape[1:-1], taps)
    y = library.product(_columns(x, taps, positions, window), kernel.reshape(-1, features))
    return y.reshape(x.shape[0], *positions, features)


def input_gradient(g, kernel, window: Window, sizes: Sizes):
    taps, (channels, features) = kernel.shape[:-2], kernel.shape[-2:]
    ndim, stride, positions = len(sizes), window.stride, g.shape[1:-1]
    # Cut the image into blocks of the stride's size: a window covers `reach` of them and starts
    # where one does. So what windows give is added block by block.
    reach = _reach(taps, window)
    pads = [(0, q * s - k) for q, s, k in zip(reach, stride, taps, strict=True)]
    kernel = jnp.pad(kernel, [*pads, (0, 0), (0, 0)])
    split = [v for pair in zip(reach, stride, strict=True) for v in pair]
    kernel = kernel.reshape(*split, channels, features)
    blocks_first = [*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2), 2 * ndim, 2 * ndim + 1]
    matrix = kernel.transpose(blocks_first).reshape(-1, features)
    given = lax.dot(g.reshape(-1, features), matrix.T, preferred_element_type=wide(g.dtype))
    given = given.reshape(g.shape[0], *positions, math.prod(reach), *stride, channels)

    def placed(number, block):
        """What the windows give to their block at this place, where the image has it."""
        around = [(b, q - 1 - b) for b, q in zip(block, reach, strict=True)]
        values = lax.index_in_dim(given, number, ndim + 1, keepdims=False)
        return jnp.pad(values, [(0, 0), *around, *[(0, 0)] * (ndim + 1)])

    blocks = enumerate(itertools.product(*map(range, reach)))
    dx = functools.reduce(jnp.add, itertools.starmap(placed, blocks))
    return side_by_side(dx.astype(g.dtype), sizes, tuple(low for low, _ in window.pads))


def kernel_gradient(x, g, window: Window, taps: Sizes):
    columns = _columns(x, taps, g.shape[1:-1], window)
    dk = tall_product(columns, g.reshape(-1, g.shape[-1]))
    return dk.reshape(*taps, x.shape[-1], g.shape[-1])


def _columns(x, taps: Sizes, positions: Sizes, window: Window):
    """(N * positions, taps * C)."""
    x = seen(x, taps, positions, window)
    shifts = shifted(x, taps, positions, window.stride, window.dilation)
    columns = jnp.concatenate(list(shifts), axis=-1)
    return columns.reshape(-1, columns.shape[-1])
