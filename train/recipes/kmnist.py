"""Kuzushiji-MNIST, 28x28 cursive Japanese characters: MNIST's format, and harder.

    python -m train kmnist --data-dir FOLDER     (without it, 21 MB are downloaded once)

The settings are those of mnist; the accuracy has not been measured.
"""

import dataclasses
from typing import ClassVar

from train.data import mnist
from train.data.kmnist import KMNIST
from train.recipes.mnist import Mnist


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kmnist(Mnist):
    """Kuzushiji-MNIST: 70,000 cursive Japanese characters in ten classes, 28x28 pixels."""

    name: ClassVar[str] = "kmnist"
    source: ClassVar[mnist.Source] = KMNIST
