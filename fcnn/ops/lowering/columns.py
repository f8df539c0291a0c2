"""The kernel's gradient of a first layer: what the windows see side by side, times g.

With one input channel the fast kernels have nothing to work on; the matrix of all windows is small.
"""

import jax.numpy as jnp
from jax import lax

from fcnn.ops.lowering.window import Window, seen
from fcnn.ops.norm import wide
from fcnn.ops.taps import Sizes, shifted


def kernel_gradient(x, g, window: Window, taps: Sizes):
    positions = g.shape[1:-1]
    x = seen(x, taps, positions, window)
    shifts = shifted(x, taps, positions, window.stride, window.dilation)
    columns = jnp.concatenate(list(shifts), axis=-1)
    columns = columns.reshape(-1, columns.shape[-1])
    grads = g.reshape(-1, g.shape[-1])
    dk = lax.dot(columns.T, grads, preferred_element_type=wide(x.dtype)).astype(x.dtype)
    return dk.reshape(*taps, x.shape[-1], g.shape[-1])
