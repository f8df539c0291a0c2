"""CIFAR-10, 32x32 colour photographs of ten kinds of things, for a laptop's processor.

    python -m train cifar10 --data-dir FOLDER     (without it, 170 MB are downloaded once)

A ResNet of three blocks and 308,650 parameters. Its accuracy has not been measured; beside other
work on two shared x86-64 cores, float32, Python 3.11, jax 0.10.2, it trains on 220 images a second,
which makes 45 minutes for the 12 epochs.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import jax
import tyro

from fcnn.augment import random_crop, random_flip
from fcnn.models import ResNetConfig
from train.data import Dataset, cifar
from train.recipe import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cifar10(Recipe):
    """CIFAR-10: 60,000 colour photographs of ten kinds of things, 32x32 pixels."""

    name: ClassVar[str] = "cifar10"
    source: ClassVar[cifar.Source] = cifar.CIFAR10

    epochs: int = 12
    batch_size: int = 128
    optimizer: Literal["adamw", "sgd"] = "sgd"
    learning_rate: float = 0.2
    weight_decay: float = 5e-4
    shift: int = 2
    model: ResNetConfig = dataclasses.field(
        default_factory=lambda: ResNetConfig("basic", (1, 1, 1), 32, 10, "cifar")
    )
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder with the binary version's files, their folder, or its archive; without it the archive
    is downloaded into the cache."""
    checksum: bool = True
    """Refuse files that do not have the published size."""

    def load(self, report: Callable[[str], None]) -> Dataset:
        return cifar.load(self.source, self.data_dir, checksum=self.checksum, report=report)

    def augment(self, key: jax.Array, images: jax.Array) -> jax.Array:
        crop_key, flip_key = jax.random.split(key)
        return random_flip(flip_key, random_crop(crop_key, images, self.shift))
