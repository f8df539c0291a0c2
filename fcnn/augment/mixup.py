"""Mixing pairs of images, and their labels, by a weighted mean."""

import jax

from fcnn.augment.checks import floats, per_image, spatial
from fcnn.augment.labels import check_alpha, soft_labels


def mixup(
    key: jax.Array, images: jax.Array, labels: jax.Array, num_classes: int, alpha: float = 0.2
) -> tuple[jax.Array, jax.Array]:
    """Mix each image with another one of the batch: weight * image + (1 - weight) * other.

    The weight is drawn from Beta(alpha, alpha) for each image, the other is its place in a random
    permutation of the batch (itself, once in a while). The labels are mixed alike.

    Args:
      key: a JAX random key; the same key makes the same mixtures.
      images: (N, *S, C); floats, or integers, which become float32.
      labels: (N,) integers, or (N, num_classes) probabilities.
      num_classes: how many classes there are.
      alpha: near 0 leaves almost every image as it is, 1 makes every weight equally likely; the
        paper takes 0.2 on ImageNet and 1 on CIFAR.

    Returns:
      the images (N, *S, C), floats, and their labels (N, num_classes), float32, each summing to 1.

    Raises:
      ValueError: images, labels or alpha do not fit.

    Source: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR
    2018, equation 2; the authors' code draws one weight for the whole batch.

    >>> import jax, jax.numpy as jnp
    >>> images = jnp.array([0.0, 1.0]).reshape(2, 1, 1)
    >>> mixed, labels = mixup(jax.random.key(1), images, jnp.array([0, 1]), 2)
    >>> bool(jnp.allclose(mixed[:, 0, 0], labels[:, 1]))
    True
    """
    spatial("mixup", images)
    check_alpha("mixup", alpha)
    images, targets = floats(images), soft_labels("mixup", labels, num_classes)
    pair_key, weight_key = jax.random.split(key)
    other = jax.random.permutation(pair_key, len(images))
    weight = jax.random.beta(weight_key, alpha, alpha, (len(images),))

    def mix(x):
        share = per_image(weight, x)
        return share * x + (1 - share) * x[other]

    return mix(images), mix(targets)
