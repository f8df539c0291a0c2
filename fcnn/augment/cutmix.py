"""Pasting a rectangle of another image into each image, and mixing their labels by area."""

import jax
import jax.numpy as jnp

from fcnn.augment.box import inside_box
from fcnn.augment.checks import per_image, spatial
from fcnn.augment.labels import check_alpha, soft_labels


def cutmix(
    key: jax.Array, images: jax.Array, labels: jax.Array, num_classes: int, alpha: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """Paste a rectangle of another image of the batch into each image, at the same place.

    The rectangle has the image's shape and a share of its area that is drawn from
    Beta(alpha, alpha) for each image; its centre is any pixel, and what reaches over the edge is
    cut off. The other image's label counts as much as the share of pixels that really came from it.

    Args:
      key: a JAX random key; the same key pastes the same rectangles.
      images: (N, *S, C) of any dtype.
      labels: (N,) integers, or (N, num_classes) probabilities.
      num_classes: how many classes there are.
      alpha: 1, the paper's choice, makes every share equally likely.

    Returns:
      the images, in shape and dtype as they were, and their labels (N, num_classes), float32, each
      summing to 1.

    Raises:
      ValueError: images, labels or alpha do not fit.

    Source: Yun et al., "CutMix: regularization strategy to train strong classifiers with
    localizable features", ICCV 2019, equations 1 and 2; the authors' code draws one rectangle for
    the whole batch.

    >>> import jax, jax.numpy as jnp
    >>> images = jnp.stack([jnp.zeros((4, 4, 1)), jnp.ones((4, 4, 1))])
    >>> mixed, labels = cutmix(jax.random.key(1), images, jnp.array([0, 1]), 2)
    >>> bool(jnp.allclose(mixed.mean((1, 2, 3)), labels[:, 1]))
    True
    """
    sizes = spatial("cutmix", images)
    check_alpha("cutmix", alpha)
    targets = soft_labels("cutmix", labels, num_classes)
    pair_key, share_key, centre_key = jax.random.split(key, 3)
    count = len(images)
    other = jax.random.permutation(pair_key, count)
    share = jax.random.beta(share_key, alpha, alpha, (count,))

    limits = jnp.array(sizes)[None, :]
    side = share[:, None] ** (1 / len(sizes)) * limits.astype(jnp.float32)
    extent = jnp.floor(side).astype(jnp.int32)
    low = jax.random.randint(centre_key, (count, len(sizes)), 0, limits) - extent // 2
    pasted = inside_box(sizes, low, low + extent)

    area = pasted.astype(jnp.float32).mean(axis=tuple(range(1, pasted.ndim)))
    weight = per_image(area, targets)
    mixed = jnp.where(pasted, images[other], images)
    return mixed, (1 - weight) * targets + weight * targets[other]
