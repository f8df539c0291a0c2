"""Convolutions by oneDNN."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from fcnn.ops.lowering.library import convolution
from fcnn.ops.lowering.window import Window, exchanged, pad_spatial


def forward(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """lax_conv(x, kernel, window)."""
    return _batched(x, kernel, window, False)


def forward_exchanged(g: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """lax_conv(g, exchanged(kernel, groups), window), where the library reads the kernel as it is.

    A transposed copy of it would take a third of the time where images are small and channels many.
    """
    if window.groups > 1:
        return forward(g, exchanged(kernel, window.groups), window)
    return _batched(g, kernel, window, True)


def _batched(x, kernel, window: Window, exchange: bool):
    @custom_vmap
    def run(x, kernel):
        return _forward(x, kernel, window, exchange)

    @run.def_vmap
    def _(size, batched, x, kernel):
        if batched == [True, False]:  # more images
            y = run(x.reshape(-1, *x.shape[2:]), kernel)
            return y.reshape(size, -1, *y.shape[1:]), True
        pairs = zip((x, kernel), batched, strict=True)
        each = tuple(a if b else jnp.broadcast_to(a, (size, *a.shape)) for a, b in pairs)
        return lax.map(lambda pair: run(*pair), each), True

    return run(x, kernel)


def _forward(x, kernel, window: Window, exchange: bool):
    reach = [d * (k - 1) for k, d in zip(kernel.shape, window.dilation, strict=False)]
    # oneDNN's padding is neither negative nor wider than the kernel; what is more is done before.
    own = tuple(
        (min(max(low, 0), most), min(max(high, 0), most))
        for (low, high), most in zip(window.pads, reach, strict=True)
    )
    rest = tuple((low - a, high - b) for (low, high), (a, b) in zip(window.pads, own, strict=True))
    if set(rest) != {(0, 0)}:
        x = pad_spatial(x, rest)
    window = window._replace(pads=own)
    ndim = x.ndim - 2
    inputs, outputs = (ndim + 1, ndim) if exchange else (ndim, ndim + 1)
    positions = window.positions(x.shape[1:-1], kernel.shape[:-2])
    shape = (x.shape[0], *positions, kernel.shape[outputs])
    images = (0, ndim + 1, *range(1, ndim + 1))
    return convolution(x, images, kernel, (inputs, outputs, *range(ndim)), shape, window)
