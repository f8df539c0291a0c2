"""Cutting out a random part of an image and scaling it to a fixed size."""

import math

import jax
import jax.numpy as jnp

from fcnn.augment.checks import floats, spatial

ATTEMPTS = 10  # torchvision's; at its defaults on a square image, 3 in 10^9 have none that fits


def random_resized_crop(
    key: jax.Array,
    images: jax.Array,
    size: int | tuple[int, int],
    *,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> jax.Array:
    """Cut a random rectangle out of each image and scale it to `size`: the ImageNet augmentation.

    The rectangle's share of the image's area is uniform in `area`, the logarithm of its width over
    its height uniform in `ratio`'s, its place uniform among those inside the image. Where none of
    ten draws fits into the image, the largest centred rectangle within `ratio` is taken. Scaling is
    bilinear, and antialiased where it shrinks.

    Args:
      key: a JAX random key; the same key makes the same crops.
      images: (N, H, W, C) of any dtype.
      size: height and width of the results, an int for both.
      area: lowest and highest share of the image's area, 0 < lowest <= highest <= 1.
      ratio: lowest and highest width / height.

    Returns:
      (N, *size, C) of the dtype of images; integers are rounded to the nearest.

    Raises:
      ValueError: images is not of rank 4, or size, area or ratio is out of range.

    Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6; the draws are
    torchvision's RandomResizedCrop. Differences from it: at the rectangle's edge the filter sees
    the image's pixels beyond, where torchvision repeats the last one inside.

    >>> import jax, jax.numpy as jnp
    >>> image = jnp.arange(64.0).reshape(1, 8, 8, 1)
    >>> random_resized_crop(jax.random.key(0), image, 4).shape
    (1, 4, 4, 1)
    """
    sizes = (size, size) if isinstance(size, int) else size
    if len(spatial("random_resized_crop", images)) != 2:
        raise ValueError(
            f"random_resized_crop expects images (N, H, W, C), but they have shape {images.shape}"
        )
    if len(sizes) != 2 or min(sizes) < 1:
        raise ValueError(f"random_resized_crop expects size of 1 or more, got {size!r}")
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"random_resized_crop expects area within (0, 1], got {area!r}")
    if not 0 < ratio[0] <= ratio[1] < math.inf:
        raise ValueError(f"random_resized_crop expects ratio as (low, high) > 0, got {ratio!r}")

    def crop(key, image):
        place = random_box(key, image.shape[0], image.shape[1], area, ratio)
        low, extent = place[:2].astype(jnp.float32), place[2:].astype(jnp.float32)
        scale = jnp.array(sizes, jnp.float32) / extent
        shape = (*sizes, image.shape[2])
        return jax.image.scale_and_translate(image, shape, (0, 1), scale, -low * scale, "linear")

    pixels = floats(images).astype(jnp.float32)
    out = jax.vmap(crop)(jax.random.split(key, len(images)), pixels)
    whole = jnp.issubdtype(images.dtype, jnp.integer)
    return (jnp.rint(out) if whole else out).astype(images.dtype)


def random_box(
    key: jax.Array, height: int, width: int, area: tuple[float, float], ratio: tuple[float, float]
) -> jax.Array:
    """One rectangle: (top, left, rows, columns) int32, inside of height x width."""
    area_key, ratio_key, place_key = jax.random.split(key, 3)
    pixels = (
        height * width * jax.random.uniform(area_key, (ATTEMPTS,), minval=area[0], maxval=area[1])
    )
    logs = jax.random.uniform(
        ratio_key, (ATTEMPTS,), minval=math.log(ratio[0]), maxval=math.log(ratio[1])
    )
    # Width over height is the ratio, and their product the area.
    columns = jnp.rint(jnp.sqrt(pixels * jnp.exp(logs))).astype(jnp.int32)
    rows = jnp.rint(jnp.sqrt(pixels / jnp.exp(logs))).astype(jnp.int32)
    fits = (columns >= 1) & (columns <= width) & (rows >= 1) & (rows <= height)
    first = jnp.argmax(fits)
    drawn = jnp.stack([rows[first], columns[first]])
    room = jnp.array([height, width]) - drawn + 1
    corner = jax.random.randint(place_key, (2,), 0, jnp.maximum(room, 1))

    rows_in = max(1, min(height, round(width / ratio[0])))
    columns_in = max(1, min(width, round(height * ratio[1])))
    centred = [(height - rows_in) // 2, (width - columns_in) // 2, rows_in, columns_in]
    return jnp.where(fits.any(), jnp.concatenate([corner, drawn]), jnp.array(centred))
