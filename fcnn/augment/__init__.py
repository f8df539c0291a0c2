"""Augmentation: pure functions (key, images) -> images, to be called inside a jitted step.

Each image of the batch gets its own draw, and "image" is any array (*S, C) with one or more spatial
dimensions: a sound (T, C) too. What only moves or erases pixels keeps shape and dtype, and uint8 is
welcome; what computes with them gives floats. Those that mix two images give soft labels with them.
"""

from fcnn.augment.color import color_jitter
from fcnn.augment.crop import random_crop
from fcnn.augment.cutmix import cutmix
from fcnn.augment.cutout import cutout
from fcnn.augment.flip import alternating_flip, random_flip
from fcnn.augment.mixup import mixup
from fcnn.augment.noise import add_noise
from fcnn.augment.resized_crop import random_resized_crop
from fcnn.augment.shift import time_shift

__all__ = [
    "add_noise",
    "alternating_flip",
    "color_jitter",
    "cutmix",
    "cutout",
    "mixup",
    "random_crop",
    "random_flip",
    "random_resized_crop",
    "time_shift",
]
