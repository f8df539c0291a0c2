"""What every augmentation asks of its images."""

import jax
import jax.numpy as jnp


def spatial(name: str, images: jax.Array) -> tuple[int, ...]:
    """The spatial dimensions of images (N, *S, C); a ValueError naming `name` if there are none."""
    if images.ndim < 3:
        raise ValueError(f"{name} expects images (N, *S, C), but they have shape {images.shape}")
    return images.shape[1:-1]


def floats(images: jax.Array) -> jax.Array:
    """The images as floating-point numbers: integers become float32, the rest stays."""
    return images if jnp.issubdtype(images.dtype, jnp.floating) else images.astype(jnp.float32)


def per_image(values: jax.Array, images: jax.Array) -> jax.Array:
    """One value for each image (N,), as (N, 1, …, 1) in the images' dtype."""
    return values.astype(images.dtype).reshape(-1, *(1,) * (images.ndim - 1))
