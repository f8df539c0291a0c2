"""CIFAR-100, 32x32 colour photographs of a hundred kinds of things: CIFAR-10's format, and harder.

    python -m train cifar100 --data-dir FOLDER     (without it, 169 MB are downloaded once)

The settings are those of cifar10; the accuracy has not been measured.
"""

import dataclasses
from typing import ClassVar

from fcnn.models import PlainConfig
from train.data import cifar
from train.recipes.cifar10 import Cifar10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cifar100(Cifar10):
    """CIFAR-100: 60,000 colour photographs of a hundred kinds of things, 32x32 pixels."""

    name: ClassVar[str] = "cifar100"
    source: ClassVar[cifar.Source] = cifar.CIFAR100

    model: PlainConfig = dataclasses.field(
        default_factory=lambda: dataclasses.replace(Cifar10().model, num_classes=100)
    )
