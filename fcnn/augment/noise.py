"""Adding noise."""

import jax

from fcnn.augment.checks import floats


def add_noise(key: jax.Array, images: jax.Array, std: float) -> jax.Array:
    """Add independent Gaussian noise of standard deviation `std` to every value.

    Args:
      key: a JAX random key; the same key adds the same noise.
      images: any shape; floats, or integers, which become float32.
      std: in the units of images; 0 adds nothing.

    Returns:
      floats in the shape of images; nothing is clipped.

    Raises:
      ValueError: std is negative or not finite.

    Source: Bishop, "Training with noise is equivalent to Tikhonov regularization", Neural
    Computation 7(1), 1995.

    >>> import jax, jax.numpy as jnp
    >>> noisy = add_noise(jax.random.key(0), jnp.zeros((1000, 1), jnp.int16), 10.0)
    >>> noisy.dtype.name, round(float(noisy.std()))
    ('float32', 10)
    """
    if not 0 <= std < float("inf"):
        raise ValueError(f"add_noise expects std of 0 or more, got {std!r}")
    x = floats(images)
    return x + std * jax.random.normal(key, x.shape, x.dtype)
