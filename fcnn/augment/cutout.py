"""Erasing a square of each image."""

import jax
import jax.numpy as jnp

from fcnn.augment.box import inside_box
from fcnn.augment.checks import spatial


def cutout(key: jax.Array, images: jax.Array, size: int) -> jax.Array:
    """Set a square of each image to zero, around a centre drawn from all of its pixels.

    The square may reach over the image's edge, and then less of it is erased: the paper found that
    to matter. Its rows are centre - size // 2 … centre - size // 2 + size - 1, the columns alike.

    Args:
      key: a JAX random key; the same key erases the same squares.
      images: (N, *S, C) of any dtype; with one or three spatial dimensions, a stretch or a cube.
      size: side of the square in pixels; 0 erases nothing.

    Returns:
      an array of the shape and dtype of images.

    Raises:
      ValueError: images has no spatial dimension, or size is negative.

    Source: DeVries and Taylor, "Improved regularization of convolutional neural networks with
    cutout", arXiv:1708.04552. 16 on CIFAR-10 and 8 on CIFAR-100 are the paper's choice.

    >>> import jax, jax.numpy as jnp
    >>> cutout(jax.random.key(0), jnp.ones((1, 4, 4, 1), jnp.uint8), 2)[0, ..., 0].tolist()
    [[0, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    """
    sizes = spatial("cutout", images)
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"cutout expects size as an int of 0 or more, got {size!r}")
    centres = jax.random.randint(key, (len(images), len(sizes)), 0, jnp.array(sizes)[None, :])
    low = centres - size // 2
    return jnp.where(inside_box(sizes, low, low + size), jnp.zeros((), images.dtype), images)
