"""How a convolution is computed. What it means is `lax.conv_general_dilated`, in every case."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fcnn.ops.padding import Pads

Method = Literal["auto", "lax"]


class Window(NamedTuple):
    """The static facts of a convolution, everything but the arrays."""

    stride: tuple[int, ...]
    pads: Pads
    dilation: tuple[int, ...]
    groups: int


def convolve(x: jax.Array, kernel: jax.Array, window: Window, method: Method) -> jax.Array:
    """x (N, *S, C) with kernel (*K, C/groups, F)."""
    _check(method)
    return lax_conv(x, kernel, window)


def convolve_transposed(
    x: jax.Array, kernel: jax.Array, window: Window, method: Method
) -> jax.Array:
    """The transpose: window.pads is what is cut from the result (negative: zeros are added)."""
    _check(method)
    taps = [d * (k - 1) for k, d in zip(kernel.shape[:-2], window.dilation, strict=True)]
    pads = tuple((k - low, k - high) for k, (low, high) in zip(taps, window.pads, strict=True))
    flipped = jnp.flip(kernel, range(kernel.ndim - 2))
    ones = (1,) * len(taps)
    if method == "lax":
        return lax_conv(
            x, flipped, Window(ones, pads, window.dilation, window.groups), window.stride
        )
    # Zeros between the inputs by one lax.pad, and a plain convolution: the dilated-input
    # convolution that says the same falls off the fast path of the CPU, and of GPUs in 3-D.
    interior = [(low, high, s - 1) for (low, high), s in zip(pads, window.stride, strict=True)]
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *interior, (0, 0, 0)))
    return convolve(
        x, flipped, Window(ones, ((0, 0),) * len(taps), window.dilation, window.groups), method
    )


def lax_conv(x, kernel, window: Window, input_dilation=None) -> jax.Array:
    """The untouched operation, channels last."""
    spatial = "DHW"[-(x.ndim - 2) :]
    layout = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    return lax.conv_general_dilated(
        x,
        kernel,
        window.stride,
        window.pads,
        lhs_dilation=input_dilation,
        rhs_dilation=window.dilation,
        dimension_numbers=layout,
        feature_group_count=window.groups,
    )


def _check(method) -> None:
    if method not in ("auto", "lax"):
        raise ValueError(f"conv method must be 'auto' or 'lax', got {method!r}")
