"""Shifting images by whole pixels."""

import jax
import jax.numpy as jnp

from fcnn.augment.checks import spatial


def random_crop(key: jax.Array, images: jax.Array, padding: int | tuple[int, ...]) -> jax.Array:
    """Pad each image with zeros, then crop it back to its size at a random place.

    So each image is shifted by -padding … padding pixels, every whole shift equally likely, in
    every spatial dimension by itself.

    Args:
      key: a JAX random key; the same key makes the same crops.
      images: (N, *S, C) of any dtype, one or more spatial dimensions.
      padding: pixels on each side, an int or one for each spatial dimension.

    Returns:
      an array of the shape and dtype of images.

    Raises:
      ValueError: images has no spatial dimension, or padding is negative or does not fit.

    Source: He et al., "Deep residual learning", arXiv:1512.03385, section 4.2.

    >>> import jax, jax.numpy as jnp
    >>> images = jnp.ones((2, 3, 3, 1), jnp.uint8)
    >>> random_crop(jax.random.key(3), images, 1)[..., 0].tolist()
    [[[0, 0, 0], [1, 1, 1], [1, 1, 1]], [[1, 1, 0], [1, 1, 0], [1, 1, 0]]]
    """
    sizes = spatial("random_crop", images)
    pads = padding if isinstance(padding, tuple) else (padding,) * len(sizes)
    if len(pads) != len(sizes) or any(not isinstance(p, int) or p < 0 for p in pads):
        raise ValueError(
            f"random_crop expects padding as an int or {len(sizes)} ints of 0 or more"
            f" for images {images.shape}, got {padding!r}"
        )
    padded = jnp.pad(images, ((0, 0), *((p, p) for p in pads), (0, 0)))
    highest = jnp.array([2 * p + 1 for p in pads])
    corners = jax.random.randint(key, (len(images), len(pads)), 0, highest[None, :])

    def crop(image, corner):
        start = (*corner, jnp.zeros((), corner.dtype))
        return jax.lax.dynamic_slice(image, start, images.shape[1:])

    return jax.vmap(crop)(padded, corners)
