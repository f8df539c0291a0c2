"""Rectangles in images, one for each image, as masks."""

import jax
import jax.numpy as jnp


def inside_box(spatial: tuple[int, ...], low: jax.Array, high: jax.Array) -> jax.Array:
    """Which pixels lie inside low <= position < high in every dimension: -> (N, *S, 1) bool.

    low, high: (N, len(spatial)) integers, also outside of the image.
    """
    mask = jnp.ones((len(low), *(1,) * (len(spatial) + 1)), bool)
    for axis, size in enumerate(spatial):
        position = jnp.arange(size)[None, :]
        inside = (position >= low[:, axis, None]) & (position < high[:, axis, None])
        shape = [1] * (len(spatial) + 2)
        shape[0], shape[1 + axis] = len(low), size
        mask = mask & inside.reshape(shape)
    return mask
