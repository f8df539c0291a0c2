"""Grouped convolution: a dense convolution for each group, or for a few neighbours together.

A dense kernel for several small groups has zeros where one group would see another's channels. That
is more products, and still a third of the time that kernels of a few channels take.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fcnn.ops.lowering.window import Window
from fcnn.ops.taps import Sizes

# A dense convolution gets this many channels on its narrower side, if there are enough groups.
CHANNELS = 16


def applies(kernel_shape: Sizes, window: Window) -> bool:
    return window.groups > 1 and kernel_shape[-2] > 1


def forward(x, kernel, window: Window, dense: Callable):
    kernels = _dense_kernels(kernel, window.groups)
    images = jnp.split(x, len(kernels), -1)
    window = window._replace(groups=1)
    parts = [dense(x, k, window) for x, k in zip(images, kernels, strict=True)]
    return jnp.concatenate(parts, axis=-1)


def input_gradient(g, kernel, window: Window, sizes: Sizes, dense: Callable):
    kernels = _dense_kernels(kernel, window.groups)
    grads = jnp.split(g, len(kernels), -1)
    window = window._replace(groups=1)
    parts = [dense(g, k, window, sizes) for g, k in zip(grads, kernels, strict=True)]
    return jnp.concatenate(parts, axis=-1)


def kernel_gradient(x, g, window: Window, taps: Sizes, dense: Callable):
    together = _together(x.shape[-1] // window.groups, g.shape[-1] // window.groups, window.groups)
    count = window.groups // together
    pairs = zip(jnp.split(x, count, -1), jnp.split(g, count, -1), strict=True)
    window = window._replace(groups=1)
    return jnp.concatenate(
        [_own_blocks(dense(x, g, window, taps), together) for x, g in pairs], axis=-1
    )


def _together(inputs: int, outputs: int, groups: int) -> int:
    """How many neighbouring groups share a dense kernel: a divisor of `groups`."""
    divisors = (n for n in range(1, groups + 1) if groups % n == 0)
    return next((n for n in divisors if n * min(inputs, outputs) >= CHANNELS), groups)


def _dense_kernels(kernel, groups: int) -> list[jax.Array]:
    """(*K, c, F) as one kernel (*K, n * c, n * F / groups) for every n groups."""
    *taps, inputs, features = kernel.shape
    n = _together(inputs, features // groups, groups)
    parts = jnp.split(kernel, groups // n, -1)
    if n == 1:
        return parts
    own = jnp.eye(n, dtype=bool).reshape((1,) * len(taps) + (n, 1, n, 1))
    rows = [part.reshape(*taps, 1, inputs, n, -1) for part in parts]
    blocks = [jnp.where(own, row, jnp.zeros_like(row)) for row in rows]
    return [block.reshape(*taps, n * inputs, -1) for block in blocks]


def _own_blocks(dense, n: int):
    """The blocks of a dense kernel's gradient where a group meets itself: (*K, c, F)."""
    *taps, inputs, features = dense.shape
    blocks = dense.reshape(*taps, n, inputs // n, n, features // n)
    own = [blocks[..., i, :, i, :] for i in range(n)]
    return jnp.concatenate(own, axis=-1)
