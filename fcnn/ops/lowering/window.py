"""The static facts of a convolution, and the operation itself."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fcnn.ops.padding import Pads
from fcnn.ops.taps import Sizes


class Window(NamedTuple):
    """Everything that a convolution is but the arrays, one entry for each spatial dimension."""

    stride: Sizes
    pads: Pads
    dilation: Sizes
    groups: int

    def positions(self, sizes: Sizes, taps: Sizes) -> Sizes:
        """How many windows fit an image of these sizes, in each dimension."""
        facts = zip(sizes, taps, self.stride, self.pads, self.dilation, strict=True)
        return tuple(
            (size + low + high - d * (k - 1) - 1) // s + 1 for size, k, s, (low, high), d in facts
        )


def lax_conv(
    x: jax.Array, kernel: jax.Array, window: Window, input_dilation: Sizes | None = None
) -> jax.Array:
    """The untouched operation, channels last: x (N, *S, C), kernel (*K, C/groups, F)."""
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


def pad_spatial(x: jax.Array, pads: Pads, interior: Sizes | None = None) -> jax.Array:
    """x (N, *S, C) with zeros around (a negative pad cuts) and `interior` between its values."""
    between = interior or (0,) * len(pads)
    config = [(low, high, zeros) for (low, high), zeros in zip(pads, between, strict=True)]
    return lax.pad(x, x.dtype.type(0), [(0, 0, 0), *config, (0, 0, 0)])


def side_by_side(blocks: jax.Array, sizes: Sizes, skipped: Sizes) -> jax.Array:
    """Blocks (N, *B, *stride, C) as images (N, *sizes, C), of which `skipped` pixels are cut first.

    Where the blocks do not reach there are zeros.
    """
    ndim = len(sizes)
    counts, stride = blocks.shape[1 : 1 + ndim], blocks.shape[1 + ndim : 1 + 2 * ndim]
    # One axis for the block and one for the place in it, in turn: (N, B0, s0, B1, s1, ..., C).
    order = [1 + v for axis in range(ndim) for v in (axis, ndim + axis)]
    whole = [b * s for b, s in zip(counts, stride, strict=True)]
    images = blocks.transpose(0, *order, 2 * ndim + 1).reshape(
        len(blocks), *whole, blocks.shape[-1]
    )
    facts = zip(sizes, whole, skipped, strict=True)
    return pad_spatial(images, tuple((-skip, size + skip - w) for size, w, skip in facts))


def seen(x: jax.Array, taps: Sizes, positions: Sizes, window: Window) -> jax.Array:
    """x padded, or cut, to just what the windows at these positions see."""
    facts = zip(
        x.shape[1:-1], taps, positions, window.stride, window.pads, window.dilation, strict=True
    )
    pads = tuple(
        (low, (p - 1) * s + d * (k - 1) + 1 - size - low) for size, k, p, s, (low, _), d in facts
    )
    return pad_spatial(x, pads)


def copied(x: jax.Array, features: int) -> jax.Array:
    """Each channel as often as it has kernels: feature f sees channel f // (features / C)."""
    copies = features // x.shape[-1]
    return x if copies == 1 else jnp.repeat(x, copies, axis=-1)


def spread(g: jax.Array, taps: Sizes, window: Window, sizes: Sizes) -> jax.Array:
    """The output's gradient with zeros between and around its values.

    Under the flipped kernel, at stride 1 and without padding, it gives an image of these sizes: the
    input's gradient.
    """
    facts = zip(
        sizes, taps, g.shape[1:-1], window.stride, window.pads, window.dilation, strict=True
    )
    pads = []
    for size, k, p, s, (low, _), d in facts:
        reach = d * (k - 1)
        pads.append((reach - low, size - (p - 1) * s - 1 + low))
    return pad_spatial(g, tuple(pads), tuple(s - 1 for s in window.stride))


def exchanged(kernel: jax.Array, groups: int) -> jax.Array:
    """(*K, C/groups, F) as (*K, F/groups, C): each group's channels change sides."""
    *taps, inputs, features = kernel.shape
    split = kernel.reshape(*taps, inputs, groups, features // groups)
    return split.swapaxes(-1, -3).reshape(*taps, features // groups, inputs * groups)


def plain(dilation: Sizes) -> Window:
    """A window at stride 1, without padding or groups."""
    ndim = len(dilation)
    return Window((1,) * ndim, ((0, 0),) * ndim, dilation, 1)
