"""Fashion-MNIST, 28x28 pictures of clothes: MNIST's format, and harder.

    python -m train fashion_mnist --data-dir FOLDER     (without it, 31 MB are downloaded once)

MEASURED-FIGURES fashion_mnist: accuracy (mean, spread, seeds), time, hardware.
"""

import dataclasses
from typing import ClassVar

import jax

from fcnn.augment import random_crop, random_flip
from train.data import mnist
from train.recipes.mnist import Mnist


@dataclasses.dataclass(frozen=True, kw_only=True)
class FashionMnist(Mnist):
    """Fashion-MNIST: 70,000 pictures of clothes in ten classes, 28x28 pixels."""

    name: ClassVar[str] = "fashion_mnist"
    source: ClassVar[mnist.Source] = mnist.FASHION_MNIST

    epochs: int = 8
    shift: int = 1

    def augment(self, key: jax.Array, images: jax.Array) -> jax.Array:
        crop_key, flip_key = jax.random.split(key)
        return random_flip(flip_key, random_crop(crop_key, images, self.shift))
