"""A batch in blocks, for a loop that sums over them."""

import jax
from jax import lax


def in_blocks(arrays: tuple[jax.Array, ...], most: int) -> list[jax.Array]:
    """Arrays (N, ...) as (blocks, images, ...), at most so many images in a block.

    The fewest blocks, of equal size; where N does not divide into them, the last is filled up with
    zeros, which add nothing to a sum of products.
    """
    batch = arrays[0].shape[0]
    blocks = -(-batch // most)
    images = -(-batch // blocks)
    missing = blocks * images - batch
    if missing:
        arrays = tuple(
            lax.pad(a, a.dtype.type(0), [(0, missing, 0), *[(0, 0, 0)] * (a.ndim - 1)])
            for a in arrays
        )
    return [a.reshape(blocks, images, *a.shape[1:]) for a in arrays]
