"""The gradients of a first layer: a matrix that has in each row what one window sees.

With one to three input channels the fast kernels have nothing to work on; the matrix is small. The
kernel's gradient is that matrix times g. The input's is the sum of what its windows give it, and
what a window gives is a row of g times the kernel.
"""

import functools
import itertools
import math

import jax.numpy as jnp
from jax import lax

from fcnn.ops.lowering.window import Window, seen, side_by_side
from fcnn.ops.norm import wide
from fcnn.ops.taps import Sizes, shifted

# At most so many input channels are few.
CHANNELS = 3
# The input's gradient is a sum of so many parts at most: each is compiled, and takes memory.
PARTS = 64


def applies(kernel_shape: Sizes, window: Window) -> bool:
    """Whether the input's gradient can be, and is well, computed so."""
    plain = kernel_shape[-2] <= CHANNELS and set(window.dilation) == {1} and window.groups == 1
    return plain and math.prod(_reach(kernel_shape[:-2], window)) <= PARTS


def _reach(taps: Sizes, window: Window) -> list[int]:
    """How many blocks of the stride's size a window covers, in each dimension."""
    return [-(-k // s) for k, s in zip(taps, window.stride, strict=True)]


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
    positions = g.shape[1:-1]
    x = seen(x, taps, positions, window)
    shifts = shifted(x, taps, positions, window.stride, window.dilation)
    columns = jnp.concatenate(list(shifts), axis=-1)
    columns = columns.reshape(-1, columns.shape[-1])
    grads = g.reshape(-1, g.shape[-1])
    dk = lax.dot(columns.T, grads, preferred_element_type=wide(x.dtype)).astype(x.dtype)
    return dk.reshape(*taps, x.shape[-1], g.shape[-1])
