"""CIFAR-10 with ResNet-18: 11 million parameters: for an accelerator.

    python -m train cifar10_resnet --data-dir FOLDER --dtype bfloat16

Its accuracy has not been measured.
"""

import dataclasses
from typing import ClassVar

import jax

from fcnn.augment import cutout
from fcnn.models import ResNetConfig
from train.recipes.cifar10 import Cifar10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cifar10Resnet(Cifar10):
    """CIFAR-10 with ResNet-18, 11 million parameters: for an accelerator."""

    name: ClassVar[str] = "cifar10_resnet"

    epochs: int = 50
    warmup_epochs: float = 5.0
    shift: int = 4
    erase: int = 8
    """Side of the square that is erased from each training image."""
    model: ResNetConfig = dataclasses.field(
        default_factory=lambda: ResNetConfig(num_classes=10, stem="cifar")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.erase < 0:
            raise ValueError(f"--erase must be 0 or more, got {self.erase}")

    def augment(self, key: jax.Array, images: jax.Array) -> jax.Array:
        move_key, erase_key = jax.random.split(key)
        return cutout(erase_key, super().augment(move_key, images), self.erase)
