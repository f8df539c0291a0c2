"""Convolutions in the one layout for which XLA's CPU backend has fast kernels.

Channels last in the input, the kernel and the output, two spatial dimensions, no dilated input, no
groups. The gradients that automatic differentiation makes are in other layouts: at the top of a
jitted function XLA transposes them first, but inside `lax.scan` it does not, and they fall to a
naive loop, 20 times slower. Here the kernel's is written as a convolution in the fast layout, and
`phases` writes the input's with such convolutions.
"""

import jax.numpy as jnp
from jax import lax

from fcnn.ops.lowering.window import Window, exchanged, lax_conv
from fcnn.ops.taps import Sizes


def forward(x, kernel, window: Window):
    if x.ndim == 3:
        return jnp.squeeze(forward(x[:, None], kernel[None], _lifted(window)), 1)
    return lax_conv(x, kernel, window)


def forward_exchanged(g, kernel, window: Window):
    """lax_conv(g, exchanged(kernel, groups), window)."""
    return forward(g, exchanged(kernel, window.groups), window)


def kernel_gradient(x, g, window: Window, taps: Sizes):
    """x with batch and channels exchanged, under g as a kernel whose taps are `stride` apart."""
    if x.ndim == 3:
        lifted = kernel_gradient(x[:, None], g[:, None], _lifted(window), (1, *taps))
        return jnp.squeeze(lifted, 0)
    pads = []
    facts = zip(
        x.shape[1:-1], taps, g.shape[1:-1], window.stride, window.pads, window.dilation, strict=True
    )
    for size, k, positions, s, (low, _), d in facts:
        reach, spread = d * (k - 1), (positions - 1) * s + 1
        pads.append((low, reach + spread - size - low))
    # Without the barrier XLA computes x again, from what it was made of, inside the transposition,
    # in an order that suits neither: up to 5 times slower.
    x, g = lax.optimization_barrier((x, g))
    images, weights = jnp.swapaxes(x, 0, -1), jnp.moveaxis(g, 0, -2)
    y = lax_conv(images, weights, Window(window.dilation, tuple(pads), window.stride, 1))
    return jnp.moveaxis(y, 0, -2)


def _lifted(window: Window) -> Window:
    """One spatial dimension as two, of which the first has size 1: the fast kernels are 2-D."""
    return Window((1, *window.stride), ((0, 0), *window.pads), (1, *window.dilation), 1)
