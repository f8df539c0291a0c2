"""Shifting series in time."""

import jax

from fcnn.augment.crop import random_crop


def time_shift(key: jax.Array, series: jax.Array, limit: int) -> jax.Array:
    """Shift each series by a random number of samples, with zeros where nothing was.

    `random_crop` for one dimension: every whole shift from -limit to limit is equally likely.

    Args:
      key: a JAX random key; the same key makes the same shifts.
      series: (N, T, C) of any dtype.
      limit: the largest shift, in samples.

    Returns:
      an array of the shape and dtype of series.

    Raises:
      ValueError: series is not of rank 3, or limit is negative.

    Source: Salamon and Bello, "Deep convolutional neural networks and data augmentation for
    environmental sound classification", IEEE Signal Processing Letters 24(3), 2017, shift by time.

    >>> import jax, jax.numpy as jnp
    >>> series = jnp.broadcast_to(jnp.arange(1, 5)[None, :, None], (2, 4, 1))
    >>> time_shift(jax.random.key(3), series, 1)[..., 0].tolist()
    [[0, 1, 2, 3], [1, 2, 3, 4]]
    """
    if series.ndim != 3:
        raise ValueError(f"time_shift expects series (N, T, C), but it has shape {series.shape}")
    return random_crop(key, series, limit)
