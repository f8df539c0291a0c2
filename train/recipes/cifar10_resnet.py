"""CIFAR-10 with ResNet-18: 11 million parameters: for an accelerator.

    python -m train cifar10_resnet --data-dir FOLDER --dtype bfloat16

Its accuracy has not been measured.
"""

import dataclasses
from typing import ClassVar

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
    model: ResNetConfig = dataclasses.field(
        default_factory=lambda: ResNetConfig(num_classes=10, stem="cifar")
    )
