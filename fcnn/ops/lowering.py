"""How a convolution is computed. What it means is `lax.conv_general_dilated`, in every case.

XLA's CPU backend has fast kernels for convolutions in one layout only: channels last in the
input, the kernel and the output, no dilated input, no groups. The gradients that automatic
differentiation makes are in other layouts: at the top of a jitted function XLA transposes them
first, but inside `lax.scan` it does not, and they fall to a naive loop, 20 times slower. So the
gradients are written here as convolutions in the fast layout. On every other backend they are
automatic differentiation's own.
"""

import functools
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
    if method not in ("auto", "lax"):
        raise ValueError(f"conv method must be 'auto' or 'lax', got {method!r}")
    if method == "lax" or window.groups > 1:
        return lax_conv(x, kernel, window)
    if x.ndim == 3:
        # One spatial dimension is two, of which the first has size 1: the fast kernels are 2-D.
        flat = Window((1, *window.stride), ((0, 0), *window.pads), (1, *window.dilation), 1)
        return jnp.squeeze(convolve(x[:, None], kernel[None], flat, method), 1)
    return _convolve(x, kernel, window)


def convolve_transposed(
    x: jax.Array, kernel: jax.Array, window: Window, method: Method
) -> jax.Array:
    """The transpose: window.pads is what is cut from the result (negative: zeros are added)."""
    reach = [d * (k - 1) for k, d in zip(kernel.shape[:-2], window.dilation, strict=True)]
    pads = tuple((r - low, r - high) for r, (low, high) in zip(reach, window.pads, strict=True))
    flipped = jnp.flip(kernel, range(kernel.ndim - 2))
    ones = (1,) * len(reach)
    if method == "lax":
        plain = Window(ones, pads, window.dilation, window.groups)
        return lax_conv(x, flipped, plain, input_dilation=window.stride)
    zeros = ((0, 0),) * len(reach)
    return convolve(
        _spread(x, pads, window.stride, kernel.shape),
        flipped,
        Window(ones, zeros, window.dilation, window.groups),
        method,
    )


def lax_conv(x, kernel, window: Window, input_dilation=None) -> jax.Array:
    """The untouched operation, channels last."""
    spatial = "DHW"[-(x.ndim - 2) :]
    return lax.conv_general_dilated(
        x,
        kernel,
        window.stride,
        window.pads,
        lhs_dilation=input_dilation,
        rhs_dilation=window.dilation,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=window.groups,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    return lax_conv(x, kernel, window)


def _forward(x, kernel, window: Window):
    return lax_conv(x, kernel, window), (x, kernel)


def _backward(window: Window, residuals, g):
    x, kernel = residuals

    def automatic(x, kernel, g):
        return jax.vjp(lambda x, kernel: lax_conv(x, kernel, window), x, kernel)[1](g)

    def canonical(x, kernel, g):
        return _input_gradient(x, kernel, g, window), _kernel_gradient(x, kernel, g, window)

    return lax.platform_dependent(x, kernel, g, cpu=canonical, default=automatic)


_convolve.defvjp(_forward, _backward)


def _input_gradient(x, kernel, g, window: Window):
    """g, its values `stride` apart, under the flipped kernel with its channels exchanged.

    With zeros between and around g the output must have x's size, which fixes the padding.
    """
    pads = []
    facts = zip(x.shape[1:], kernel.shape, g.shape[1:], window.stride, window.pads, window.dilation,
                strict=False)  # fmt: skip
    for size, k, positions, s, (low, _), d in facts:
        reach, spread = d * (k - 1), (positions - 1) * s + 1
        pads.append((reach - low, size - spread + low))
    flipped = jnp.flip(kernel, range(kernel.ndim - 2)).swapaxes(-1, -2)
    ones = (1,) * len(pads)
    if set(window.stride) == {1}:
        return lax_conv(g, flipped, Window(ones, tuple(pads), window.dilation, 1))
    zeros = ((0, 0),) * len(pads)
    spread = _spread(g, pads, window.stride, kernel.shape)
    return lax_conv(spread, flipped, Window(ones, zeros, window.dilation, 1))


def _kernel_gradient(x, kernel, g, window: Window):
    """x with batch and channels exchanged, under g as a kernel whose taps are `stride` apart."""
    pads = []
    facts = zip(x.shape[1:], kernel.shape, g.shape[1:], window.stride, window.pads, window.dilation,
                strict=False)  # fmt: skip
    for size, k, positions, s, (low, _), d in facts:
        reach, spread = d * (k - 1), (positions - 1) * s + 1
        pads.append((low, reach + spread - size - low))
    exchanged = jnp.swapaxes(x, 0, -1)
    taps = jnp.moveaxis(g, 0, -2)
    y = lax_conv(exchanged, taps, Window(window.dilation, tuple(pads), window.stride, 1))
    return jnp.moveaxis(y, 0, -2)


def _spread(x, pads, stride, kernel_shape):
    """Zeros around x and stride - 1 between its values (a negative pad cuts).

    One lax.pad and a plain convolution, where `lhs_dilation` would say the same: the dilated
    input leaves the fast path of the CPU, and of GPUs in 3-D.
    """
    spatial = [(low, high, s - 1) for (low, high), s in zip(pads, stride, strict=True)]
    spread = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *spatial, (0, 0, 0)])
    # XLA folds this pad back into the convolution, and its operand swap then takes a dimension of
    # two taps, two apart, without padding, for a group: it aborts the process where the kernel is
    # larger than the image elsewhere. The barrier keeps the pad out of its sight; it costs time,
    # so only there.
    facts = zip(kernel_shape, stride, pads, strict=False)
    if any(k == s == 2 and tuple(pair) == (0, 0) for k, s, pair in facts):
        return lax.optimization_barrier(spread)
    return spread
