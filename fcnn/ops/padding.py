"""Padding: every accepted spelling becomes exact (low, high) pairs, one a spatial dimension."""

import jax
import jax.numpy as jnp

from fcnn import geometry
from fcnn.ops import checks

Pads = tuple[tuple[int, int], ...]
Padding = str | int | Pads

# How the padded border is filled, by jnp.pad's names; every other padding fills with zeros.
FILLED = {"CIRCULAR": "wrap", "REFLECT": "reflect"}


def exact(op: str, padding, ndim: int) -> Pads:
    """The pairs of an int or ((low, high), ...) padding."""
    if checks.is_int(padding):
        pads = ((int(padding), int(padding)),) * ndim
    elif (
        isinstance(padding, (tuple, list))
        and len(padding) == ndim
        and all(isinstance(p, (tuple, list)) and len(p) == 2 for p in padding)
        and all(checks.is_int(v) for p in padding for v in p)
    ):
        pads = tuple((int(low), int(high)) for low, high in padding)
    else:
        pairs = ", ".join(["(low, high)"] * ndim) + ("," if ndim == 1 else "")
        raise ValueError(
            f"{op} padding must be an int, ({pairs}) or a name of this operation, got {padding!r}"
        )
    if any(v < 0 for pair in pads for v in pair):
        raise ValueError(f"{op} padding must not be negative, got {padding!r}")
    return pads


def zeros(op: str, padding, sizes, window, stride, dilation) -> Pads:
    """Pairs for "SAME", "VALID", "CAUSAL", an int or exact pairs, for inputs of `sizes`."""
    ndim = len(sizes)
    if not isinstance(padding, str):
        return exact(op, padding, ndim)
    if padding == "VALID":
        return ((0, 0),) * ndim
    if padding == "SAME":
        facts = zip(sizes, window, stride, dilation, strict=True)
        return tuple(geometry.same_padding(i, k, s, d) for i, k, s, d in facts)
    if padding == "CAUSAL" and ndim == 1:
        return ((geometry.effective_size(window[0], dilation[0]) - 1, 0),)
    if padding == "CAUSAL":
        raise ValueError(f"{op} padding 'CAUSAL' is for 1-D input (N, L, C), got {ndim}-D")
    raise ValueError(
        f"{op} padding {padding!r} is not known: use 'SAME', 'VALID', 'CAUSAL' (1-D), an int "
        "or exact pairs; conv also knows 'CIRCULAR' and 'REFLECT'"
    )


def fill(op: str, x: jax.Array, padding: str, window, dilation) -> jax.Array:
    """Pad `x` from its own values ("CIRCULAR", "REFLECT") so that stride 1 keeps its size."""
    sizes = x.shape[1:-1]
    taps = [geometry.effective_size(k, d) for k, d in zip(window, dilation, strict=True)]
    pads = [((k - 1) // 2, k // 2) for k in taps]
    # A reflection does not repeat the edge value, so it has one value less to give.
    spare = 1 if padding == "REFLECT" else 0
    if any(max(pair) > size - spare for pair, size in zip(pads, sizes, strict=True)):
        raise ValueError(
            f"{op} padding {padding!r} needs {tuple(pads)} values from x {x.shape} "
            f"{checks.image_axes(len(sizes))}, which has too few"
        )
    return jnp.pad(x, ((0, 0), *pads, (0, 0)), mode=FILLED[padding])


def check_fits(op: str, x_shape, pads: Pads, window, dilation) -> None:
    """A window larger than the padded input would give an empty array: an error instead."""
    sizes = x_shape[1:-1]
    for size, (low, high), k, d in zip(sizes, pads, window, dilation, strict=True):
        if size + low + high < geometry.effective_size(k, d):
            raise ValueError(
                f"{op} window {tuple(window)} with dilation {tuple(dilation)} is larger than "
                f"x {tuple(x_shape)} {checks.image_axes(len(sizes))} padded by {pads}"
            )
