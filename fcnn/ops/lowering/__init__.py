"""How a convolution is computed. What it means is `lax.conv_general_dilated`, in every case.

On a CPU each pass (forward, the input's gradient, the kernel's gradient) takes an equivalent form
that is fast there, chosen by `table`; on every other backend it is the operation itself and its
automatic derivative. `method="lax"` is the untouched operation everywhere.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from fcnn.ops.lowering import table
from fcnn.ops.lowering.window import Window, lax_conv, plain, spread
from fcnn.ops.taps import Sizes

__all__ = ["Method", "Window", "convolve", "convolve_transposed"]

Method = Literal["auto", "lax"]


def convolve(x: jax.Array, kernel: jax.Array, window: Window, method: Method) -> jax.Array:
    """x (N, *S, C) with kernel (*K, C/groups, F)."""
    if method == "auto":
        return _convolve(x, kernel, window)
    if method == "lax":
        return lax_conv(x, kernel, window)
    raise ValueError(f"conv method must be 'auto' or 'lax', got {method!r}")


def convolve_transposed(
    x: jax.Array, kernel: jax.Array, window: Window, method: Method
) -> jax.Array:
    """The transpose: window.pads is what is cut from the result (negative: zeros are added)."""
    if method == "auto":
        facts = zip(
            x.shape[1:], kernel.shape, window.stride, window.pads, window.dilation, strict=False
        )
        sizes = tuple(
            (i - 1) * s + d * (k - 1) + 1 - low - high for i, k, s, (low, high), d in facts
        )
        return _transposed(x, _exchanged(kernel, window.groups), window, sizes)
    if method == "lax":
        return _dilated(x, kernel, window)
    raise ValueError(f"conv_transpose method must be 'auto' or 'lax', got {method!r}")


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    return _forward(x, kernel, window)


def _convolve_fwd(x, kernel, window: Window):
    return _forward(x, kernel, window), (x, kernel)


def _convolve_bwd(window: Window, residuals, g):
    x, kernel = residuals
    dx = _input_gradient(g, kernel, window, x.shape[1:-1])
    return dx, _kernel_gradient(x, g, window, kernel.shape[:-2])


_convolve.defvjp(_convolve_fwd, _convolve_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _transposed(g: jax.Array, kernel: jax.Array, window: Window, sizes: Sizes) -> jax.Array:
    """What `_convolve` with this kernel does to gradients: its input's, of these sizes."""

    def elsewhere(g, kernel):
        kernel = _exchanged(kernel, window.groups)
        if g.ndim < 5:
            return _dilated(g, kernel, window)
        # In 3-D, GPUs are 30 times faster with the zeros put in than with a dilated input.
        flipped = jnp.flip(kernel, range(3))
        zeros_in = spread(g, kernel.shape[:-2], window, sizes)
        return lax_conv(zeros_in, flipped, plain(window.dilation)._replace(groups=window.groups))

    cpu = functools.partial(table.input_gradient, window=window, sizes=sizes)
    return lax.platform_dependent(g, kernel, cpu=cpu, default=elsewhere)


def _transposed_fwd(g, kernel, window: Window, sizes: Sizes):
    return _transposed(g, kernel, window, sizes), (g, kernel)


def _transposed_bwd(window: Window, sizes: Sizes, residuals, dx):
    del sizes  # the shape of dx
    g, kernel = residuals
    return _forward(dx, kernel, window), _kernel_gradient(dx, g, window, kernel.shape[:-2])


_transposed.defvjp(_transposed_fwd, _transposed_bwd)


def _forward(x, kernel, window: Window):
    return lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(table.forward, window=window),
        default=functools.partial(lax_conv, window=window),
    )


def _input_gradient(g, kernel, window: Window, sizes: Sizes):
    def automatic(g, kernel):
        channels = kernel.shape[-2] * window.groups
        x = jax.ShapeDtypeStruct((g.shape[0], *sizes, channels), g.dtype)
        (dx,) = jax.linear_transpose(lambda x: lax_conv(x, kernel, window), x)(g)
        return dx

    cpu = functools.partial(table.input_gradient, window=window, sizes=sizes)
    return lax.platform_dependent(g, kernel, cpu=cpu, default=automatic)


def _kernel_gradient(x, g, window: Window, taps: Sizes):
    def automatic(x, g):
        shape = (*taps, x.shape[-1] // window.groups, g.shape[-1])
        kernel = jax.ShapeDtypeStruct(shape, x.dtype)
        (dk,) = jax.linear_transpose(lambda kernel: lax_conv(x, kernel, window), kernel)(g)
        return dk

    cpu = functools.partial(table.kernel_gradient, window=window, taps=taps)
    return lax.platform_dependent(x, g, cpu=cpu, default=automatic)


def _exchanged(kernel, groups: int):
    """(*K, C/groups, F) as (*K, F/groups, C): each group's channels change sides."""
    *taps, inputs, features = kernel.shape
    split = kernel.reshape(*taps, inputs, groups, features // groups)
    return split.swapaxes(-1, -3).reshape(*taps, features // groups, inputs * groups)


def _dilated(x, kernel, window: Window):
    """The transposed convolution as the operation says it: with zeros between the values of x."""
    reach = [d * (k - 1) for k, d in zip(kernel.shape[:-2], window.dilation, strict=True)]
    pads = tuple((r - low, r - high) for r, (low, high) in zip(reach, window.pads, strict=True))
    flipped = jnp.flip(kernel, range(kernel.ndim - 2))
    ones = (1,) * len(reach)
    return lax_conv(x, flipped, Window(ones, pads, window.dilation, window.groups), window.stride)
