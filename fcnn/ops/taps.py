"""What the windows over an image see at each of their places."""

import itertools
from collections.abc import Iterator

import jax
from jax import lax

Sizes = tuple[int, ...]


def shifted(
    x: jax.Array, window: Sizes, positions: Sizes, stride: Sizes, dilation: Sizes
) -> Iterator[jax.Array]:
    """For each tap of the window, in order, the values (N, *positions, C) that the windows have
    there; x (N, *S, C) is padded already.
    """
    for place in itertools.product(*(range(k) for k in window)):
        start = [d * t for d, t in zip(dilation, place, strict=True)]
        stop = [b + (p - 1) * s + 1 for b, p, s in zip(start, positions, stride, strict=True)]
        yield lax.slice(x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *stride, 1))
