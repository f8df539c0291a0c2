"""Checks shared by the operations: each turns a mistake into a sentence with the shapes in it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

SPATIAL = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
TAPS = {1: ("kl",), 2: ("kh", "kw"), 3: ("kd", "kh", "kw")}


def named(names: Sequence[str]) -> str:
    return "(" + ", ".join(names) + ")"


def image_axes(ndim: int) -> str:
    """The axis names of an image batch with `ndim` spatial dimensions, as "(N, H, W, C)"."""
    return named(("N", *SPATIAL[ndim], "C"))


def floating(op: str, x) -> None:
    """Refuse integer (and boolean, complex) input, which JAX would promote without a word."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"{op} expects floating-point x, but x {tuple(x.shape)} is {x.dtype}: "
            "convert it first, for images as x.astype(jnp.float32) / 255"
        )


def spatial_rank(op: str, x) -> int:
    """The number of spatial dimensions of an image batch, 1, 2 or 3."""
    ndim = len(x.shape) - 2
    if ndim not in SPATIAL:
        raise ValueError(
            f"{op} expects x of rank 3 (N, L, C), 4 (N, H, W, C) or 5 (N, D, H, W, C), "
            f"but x has shape {tuple(x.shape)}"
        )
    return ndim


def weights(op: str, name: str, value) -> jax.Array:
    """`value` as an array of real numbers: not the dict it is in, nor complex, which a cast to
    x's dtype would cut in half.
    """
    if value is None or isinstance(value, (dict, str)):
        raise TypeError(f"{op} {name} must be an array, got {type(value).__name__}")
    value = jnp.asarray(value)
    if not (jnp.issubdtype(value.dtype, jnp.floating) or jnp.issubdtype(value.dtype, jnp.integer)):
        raise TypeError(f"{op} {name} must be an array of real numbers, got {value.dtype}")
    return value


def image(op: str, x) -> tuple[jax.Array, int]:
    """`x` as a floating-point array, with its number of spatial dimensions."""
    x = jnp.asarray(x)
    ndim = spatial_rank(op, x)
    floating(op, x)
    return x, ndim


def is_int(value) -> bool:
    """An integer one may index with (a NumPy one too), but no bool and no float."""
    return hasattr(value, "__index__") and not isinstance(value, bool)


def per_dimension(what: str, value, ndim: int, *, least: int = 1) -> tuple[int, ...]:
    """`value` as one int per spatial dimension: an int stands for all of them."""
    values = (value,) * ndim if is_int(value) else value
    if not isinstance(values, (tuple, list)) or not all(is_int(v) for v in values):
        raise TypeError(f"{what} must be an int or a tuple of ints, got {value!r}")
    if len(values) != ndim:
        raise ValueError(
            f"{what} {value!r} has {len(values)} entries, but x has {ndim} spatial dimensions "
            f"{named(SPATIAL[ndim])}"
        )
    if any(v < least for v in values):
        raise ValueError(f"{what} must be at least {least} in every dimension, got {value!r}")
    return tuple(int(v) for v in values)


def rate(what: str, value) -> None:
    """A rate is the fraction dropped: a Python number in [0, 1); NaN is in no interval."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{what} must be a number in [0, 1), got {value!r}")
    if not 0 <= value < 1:
        raise ValueError(f"{what} is the fraction dropped and must be in [0, 1), got {value!r}")
