"""The input's gradient as convolutions of the output's gradient, one for each phase of the stride.

At stride s, the values of x that lie s apart meet the same taps of the kernel, every s-th: such a
phase of x is a convolution of g at stride 1. Zeros between the values of g would say the same with
s times as many products in each dimension.
"""

import itertools
from collections.abc import Callable

import jax.numpy as jnp
from jax import lax

from fcnn.ops.lowering.window import Window, plain, side_by_side, spread
from fcnn.ops.taps import Sizes


def input_gradient(g, kernel, window: Window, sizes: Sizes, conv: Callable):
    """The gradient with respect to x (N, *sizes, C), by `conv` at stride 1.

    conv(g, kernel, window) is a convolution by the kernel with its channels' sides exchanged.
    """
    ndim, stride = len(sizes), window.stride
    channels = kernel.shape[-2] * window.groups
    if any(s > 1 and d > 1 for s, d in zip(stride, window.dilation, strict=True)):
        # The barrier keeps XLA from folding the zeros into the convolution, where its operand swap
        # takes some shapes (two taps, two apart) for groups and aborts the process.
        wide_g = lax.optimization_barrier(spread(g, kernel.shape[:-2], window, sizes))
        whole = plain(window.dilation)._replace(groups=window.groups)
        return conv(wide_g, jnp.flip(kernel, range(ndim)), whole)
    # x[p] is in phase (p + low) % s, at place (p + low) // s of it; first to last are all places.
    first = [low // s for (low, _), s in zip(window.pads, stride, strict=True)]
    facts = zip(sizes, window.pads, stride, strict=True)
    last = [(size - 1 + low) // s for size, (low, _), s in facts]
    places = [b - a + 1 for a, b in zip(first, last, strict=True)]

    def phase(start: Sizes):
        """What lies at `start` in each window of the stride: the taps from there on, s apart."""
        every = tuple(slice(a, None, s) for a, s in zip(start, stride, strict=True))
        taps = kernel[every]
        if 0 in taps.shape:  # the windows do not reach it
            return jnp.zeros((g.shape[0], *places, channels), g.dtype)
        facts = zip(taps.shape, window.dilation, first, last, g.shape[1:-1], strict=False)
        pads = tuple((d * (m - 1) - a, b - (n - 1)) for m, d, a, b, n in facts)
        facts = plain(window.dilation)._replace(pads=pads, groups=window.groups)
        return conv(g, jnp.flip(taps, range(ndim)), facts)

    starts = itertools.product(*(range(s) for s in stride))
    y = jnp.stack([phase(start) for start in starts], axis=-2)
    y = y.reshape(y.shape[0], *places, *stride, -1)
    skipped = tuple(low - a * s for (low, _), a, s in zip(window.pads, first, stride, strict=True))
    return side_by_side(y, sizes, skipped)
