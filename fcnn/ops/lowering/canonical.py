"""Convolutions in the one layout for which XLA's CPU backend has fast kernels.

Channels last in the input, the kernel and the output, two spatial dimensions, no dilated input, no
groups. The gradients that automatic differentiation makes are in other layouts: at the top of a
jitted function XLA transposes them first, but inside `lax.scan` it does not, and they fall to a
naive loop, 20 times slower. Here both are written as convolutions in the fast layout.
"""

import jax.numpy as jnp
from jax import lax

from fcnn.ops.lowering.window import Window, lax_conv, pad_spatial, plain, spread
from fcnn.ops.taps import Sizes


def forward(x, kernel, window: Window):
    if x.ndim == 3:
        return jnp.squeeze(forward(x[:, None], kernel[None], _lifted(window)), 1)
    return lax_conv(x, kernel, window)


def input_gradient(g, kernel, window: Window, sizes: Sizes):
    """g under the flipped kernel, its channels exchanged.

    At stride s, the values of x that lie s apart meet the same taps of the kernel, every s-th:
    each such phase is a convolution of g at stride 1, and all phases together are one, with a
    feature for each phase and channel. Zeros between the values of g would say the same with s
    times as many products in each dimension.
    """
    if g.ndim == 3:
        lifted = input_gradient(g[:, None], kernel[None], _lifted(window), (1, *sizes))
        return jnp.squeeze(lifted, 1)
    if any(s > 1 and d > 1 for s, d in zip(window.stride, window.dilation, strict=True)):
        return _spread_gradient(g, kernel, window, sizes)
    taps, ndim = kernel.shape[:-2], len(sizes)
    exchanged = kernel.swapaxes(-1, -2)
    # Tap t = m * s + r belongs to phase r: (k0, k1, F, C) -> (m0, m1, F, r0, r1, C).
    counts = [-(-k // s) for k, s in zip(taps, window.stride, strict=True)]
    filler = [(0, m * s - k, 0) for k, m, s in zip(taps, counts, window.stride, strict=True)]
    padded = lax.pad(exchanged, kernel.dtype.type(0), [*filler, (0, 0, 0), (0, 0, 0)])
    split = [v for pair in zip(counts, window.stride, strict=True) for v in pair]
    phases = padded.reshape(*split, *exchanged.shape[-2:])
    order = [*range(0, 2 * ndim, 2), 2 * ndim, *range(1, 2 * ndim, 2), 2 * ndim + 1]
    phases = phases.transpose(order).reshape(*counts, kernel.shape[-1], -1)
    # x[p] is in phase (p + low) % s, at place (p + low) // s of it.
    pads, places, cuts = [], [], []
    facts = zip(
        sizes, counts, g.shape[1:-1], window.stride, window.pads, window.dilation, strict=True
    )
    for size, m, positions, s, (low, _), d in facts:
        first, last = low // s, (size - 1 + low) // s
        pads.append((d * (m - 1) - first, last - (positions - 1)))
        places.append(last - first + 1)
        cuts.append((first * s - low, size - (last + 1) * s + low))
    ones = (1,) * ndim
    flipped = jnp.flip(phases, range(ndim))
    y = lax_conv(g, flipped, Window(ones, tuple(pads), window.dilation, 1))
    y = y.reshape(y.shape[0], *places, *window.stride, -1)
    order = [1 + v for axis in range(ndim) for v in (axis, ndim + axis)]
    y = y.transpose(0, *order, 2 * ndim + 1)
    whole = [p * s for p, s in zip(places, window.stride, strict=True)]
    return pad_spatial(y.reshape(y.shape[0], *whole, -1), tuple(cuts))


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
    exchanged, weights = jnp.swapaxes(x, 0, -1), jnp.moveaxis(g, 0, -2)
    y = lax_conv(exchanged, weights, Window(window.dilation, tuple(pads), window.stride, 1))
    return jnp.moveaxis(y, 0, -2)


def _spread_gradient(g, kernel, window: Window, sizes: Sizes):
    """The gradient with zeros between the values of g, for a stride and a dilation together."""
    # The barrier keeps XLA from folding the zeros into the convolution, where its operand swap
    # takes some shapes (two taps, two apart) for groups and aborts the process.
    wide_g = lax.optimization_barrier(spread(g, kernel.shape[:-2], window, sizes))
    flipped = jnp.flip(kernel, range(kernel.ndim - 2)).swapaxes(-1, -2)
    return lax_conv(wide_g, flipped, plain(window.dilation))


def _lifted(window: Window) -> Window:
    """One spatial dimension as two, of which the first has size 1: the fast kernels are 2-D."""
    return Window((1, *window.stride), ((0, 0), *window.pads), (1, *window.dilation), 1)
