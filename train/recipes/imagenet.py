"""ImageNet, or any folder of photographs in one folder for each class.

    python -m train imagenet --data-dir FOLDER --dtype bfloat16
    python -m train imagenet --data-dir MINE --model.num-classes 3 --batch-size 32

FOLDER holds train/<class>/*.jpg and val/<class>/*.jpg. A decoded image takes 150 kB. Where all of
them take less than a quarter of the memory, they are decoded once and lie on the device; else they
stream: `--workers` threads decode each batch ahead of its step, which takes a core about 2 ms for a
photograph of 500x375 pixels. Both train on the same images in the same order. The settings follow
torchvision's for ResNet-50; the accuracy on ImageNet has not been measured. What has been is a
folder of 390 generated JPEG files, three shapes on noise, streamed by two workers, at 64x64: 81% of
the 90 test images after 10 epochs, 49 seconds of training on two x86-64 cores, with

    python -m train imagenet --data-dir MINE --model.num-classes 3 --size 64 --train-size 56 \\
      --batch-size 20 --epochs 10 --warmup-epochs 1 --learning-rate 0.01 --stream always
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import jax
import tyro

from fcnn.augment import random_flip, random_resized_crop
from fcnn.models import ResNetConfig
from train.data import Batch, Dataset
from train.errors import UserError
from train.recipe import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Imagenet(Recipe):
    """ImageNet, or a folder of photographs for each class."""

    name: ClassVar[str] = "imagenet"

    epochs: int = 90
    batch_size: int = 256
    optimizer: Literal["adamw", "sgd"] = "sgd"
    learning_rate: float = 0.1
    warmup_epochs: float = 5.0
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    size: int = 224
    """Height and width that the images are scaled to, and tested at."""
    train_size: int = 176
    """Height and width of the random crops that are trained on: objects look larger in them than in
    a test image, so a smaller crop makes both alike (Touvron et al., arXiv:1906.06423)."""
    model: ResNetConfig = dataclasses.field(
        default_factory=lambda: ResNetConfig("bottleneck", (3, 4, 6, 3))
    )
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder with the folders train, and val or test."""
    stream: Literal["auto", "always", "never"] = "auto"
    """Decode the images while they are trained on, batch by batch, instead of all before; auto:
    where they would take more than a quarter of the memory of this machine or of a device."""
    workers: int = 0
    """Threads that decode images; 0: one for each core."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("size", "train_size"):
            if getattr(self, name) < 1:
                option = "--" + name.replace("_", "-")
                raise ValueError(f"{option} must be 1 or more, got {getattr(self, name)}")
        if self.workers < 0:
            raise ValueError(f"--workers must be 0 or more, got {self.workers}")

    def load(self, report: Callable[[str], None]) -> Dataset:
        from train.data import image_folder  # Pillow, which other recipes need not load

        if self.data_dir is None:
            raise UserError("imagenet needs --data-dir FOLDER: it may not be downloaded freely")
        return image_folder.load(
            self.data_dir, self.size, report, stream=self.stream, workers=self.workers
        )

    def augment(self, key: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        crop_key, flip_key = jax.random.split(key)
        images = random_resized_crop(crop_key, batch.inputs, self.train_size)
        return random_flip(flip_key, images), batch.labels
