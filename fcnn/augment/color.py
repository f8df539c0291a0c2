"""Changing the colours of images."""

import jax
import jax.numpy as jnp

from fcnn.augment.checks import per_image, spatial

# How bright red, green and blue look: ITU-R BT.601, which torchvision and Pillow use.
LUMA = (0.299, 0.587, 0.114)


def color_jitter(
    key: jax.Array,
    images: jax.Array,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
) -> jax.Array:
    """Change brightness, contrast and saturation of each image, each by a random factor.

    A factor is uniform in [max(0, 1 - s), 1 + s] for a strength s; 0 changes nothing. Brightness
    scales towards black, contrast towards the image's mean grey, saturation towards each pixel's
    own grey; after each the values are clipped to [0, 1].

    Args:
      key: a JAX random key; the same key makes the same colours.
      images: (N, H, W, 3), floats in [0, 1].
      brightness, contrast, saturation: strengths, 0 or more.

    Returns:
      an array of the shape and dtype of images, in [0, 1].

    Raises:
      ValueError: images are not RGB images of floats, or a strength is negative.

    Source: Howard, "Some improvements on deep convolutional neural network based image
    classification", arXiv:1312.5402, section 2.2. Differences from torchvision's ColorJitter: the
    order is always brightness, contrast, saturation, and there is no hue.

    >>> import jax, jax.numpy as jnp
    >>> grey = jnp.full((1, 1, 1, 3), 0.5)
    >>> color_jitter(jax.random.key(0), grey, brightness=0, contrast=0).ravel().tolist()
    [0.5, 0.5, 0.5]
    """
    spatial("color_jitter", images)
    if images.shape[-1] != 3 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            "color_jitter expects RGB images (N, H, W, 3) of floats in [0, 1],"
            f" got {images.dtype}{list(images.shape)}"
        )
    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, strength in strengths.items():
        if not 0 <= strength < float("inf"):
            raise ValueError(f"color_jitter expects {name} of 0 or more, got {strength!r}")

    def factor(key, strength):
        drawn = jax.random.uniform(
            key, (len(images),), minval=max(0.0, 1 - strength), maxval=1 + strength
        )
        return per_image(drawn, images)

    bright, contrasty, colourful = (
        factor(part, strength)
        for part, strength in zip(jax.random.split(key, 3), strengths.values(), strict=True)
    )
    x = blend(images, jnp.zeros_like(images), bright)
    x = blend(x, grey(x).mean(axis=tuple(range(1, images.ndim)), keepdims=True), contrasty)
    return blend(x, grey(x), colourful)


def blend(images: jax.Array, other: jax.Array, factor: jax.Array) -> jax.Array:
    """`other` at factor 0, the images at 1, and further away from `other` above it."""
    return jnp.clip(factor * images + (1 - factor) * other, 0, 1)


def grey(images: jax.Array) -> jax.Array:
    """The luma of each pixel: (..., 3) -> (..., 1)."""
    weights = jnp.array(LUMA, images.dtype).reshape(*(1,) * (images.ndim - 1), 3)
    return (images * weights).sum(axis=-1, keepdims=True)
