"""The single layers of the sweep: what networks for images, sound and video are made of."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layer:
    """One convolution: x (N, *S, C), kernel (*K, C/groups, F)."""

    name: str
    x: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    transposed: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"


def square(batch: int, size: int, channels: int, features: int, k: int, stride: int = 1, **options):
    """A k x k convolution of square images, padded as PyTorch's networks pad."""
    groups, dilation = options.get("groups", 1), options.get("dilation", 1)
    name = f"{k}x{k}"
    name += f" stride {stride}" if stride > 1 else ""
    name += f" dilation {dilation}" if dilation > 1 else ""
    name += " depthwise" if groups == channels > 1 else f" {groups} groups" if groups > 1 else ""
    name += " transposed" if options.get("transposed") else ""
    name += f" {options['dtype']}" if "dtype" in options else ""
    return Layer(
        name,
        (batch, size, size, channels),
        (k, k, channels // groups, features),
        stride,
        options.pop("padding", dilation * (k - 1) // 2),
        **options,
    )


def depthwise(batch: int, size: int, channels: int, k: int, stride: int = 1) -> Layer:
    return square(batch, size, channels, channels, k, stride, groups=channels)


LAYERS = [
    # 3x3, the sizes of small networks, of ResNets at 32x32 and of VGG
    square(128, 28, 32, 32, 3), square(128, 14, 32, 64, 3), square(128, 14, 64, 64, 3),
    square(64, 32, 64, 64, 3), square(32, 16, 128, 128, 3), square(32, 8, 256, 256, 3),
    square(32, 4, 512, 512, 3), square(32, 32, 16, 16, 3), square(32, 16, 32, 32, 3),
    square(4, 56, 64, 64, 3), square(4, 28, 128, 128, 3), square(1, 32, 64, 64, 3),
    # stride 2
    square(32, 32, 64, 128, 3, 2), square(32, 16, 128, 256, 3, 2), square(32, 8, 256, 512, 3, 2),
    square(32, 32, 16, 32, 3, 2), square(8, 28, 128, 128, 3, 2),
    square(32, 32, 64, 128, 4, 2, padding=1),
    # first layers
    square(128, 28, 1, 32, 3), square(128, 28, 1, 6, 5), square(128, 8, 1, 32, 3),
    square(32, 32, 3, 64, 3), square(32, 32, 3, 16, 3), square(8, 64, 3, 32, 3, 2),
    square(4, 224, 3, 64, 7, 2), square(32, 32, 2, 32, 5),
    # 1x1
    square(32, 16, 128, 128, 1), square(32, 32, 64, 64, 1), square(32, 32, 16, 96, 1),
    square(8, 56, 64, 256, 1), square(8, 14, 1024, 256, 1), square(32, 8, 64, 384, 1),
    square(32, 2, 960, 160, 1), square(32, 32, 64, 128, 1, 2), square(32, 16, 128, 256, 1, 2),
    # windows that do not overlap
    square(32, 32, 3, 64, 4, 4, padding=0), square(8, 224, 3, 96, 4, 4, padding=0),
    square(32, 8, 64, 128, 2, 2, padding=0), square(8, 56, 96, 192, 2, 2, padding=0),
    # depthwise
    depthwise(32, 8, 64, 7), depthwise(32, 4, 128, 7), depthwise(8, 56, 96, 7),
    depthwise(32, 32, 32, 3), depthwise(32, 32, 96, 3, 2), depthwise(32, 16, 144, 3),
    depthwise(32, 16, 144, 3, 2), depthwise(32, 8, 384, 3), depthwise(32, 4, 960, 3),
    depthwise(32, 14, 64, 5), square(32, 16, 32, 64, 3, groups=32),
    # groups
    square(32, 16, 128, 128, 3, groups=32), square(32, 16, 128, 128, 3, groups=8),
    square(32, 16, 128, 128, 3, groups=2), square(32, 8, 256, 256, 3, groups=4),
    square(32, 8, 256, 256, 3, 2, groups=32), square(32, 8, 256, 256, 1, groups=4),
    # dilation, large kernels
    square(32, 16, 64, 64, 3, dilation=2), square(32, 16, 64, 64, 3, dilation=4),
    square(16, 32, 32, 32, 7), square(16, 28, 16, 16, 11),
    # transposed
    square(32, 16, 32, 32, 3, 2, transposed=True, padding=1),
    square(32, 16, 64, 32, 4, 2, transposed=True, padding=1),
    square(32, 8, 128, 64, 2, 2, transposed=True, padding=0),
    # sound and series
    Layer("1-D 80 stride 4", (16, 8000, 1), (80, 1, 64), stride=4),
    Layer("1-D 9", (32, 1000, 32), (9, 32, 64), padding=4),
    Layer("1-D 9 stride 2", (32, 1000, 32), (9, 32, 64), stride=2, padding=4),
    Layer("1-D 3", (32, 128, 64), (3, 64, 64), padding=1),
    Layer("1-D 3 dilation 8", (16, 1000, 32), (3, 32, 32), padding=8, dilation=8),
    Layer("1-D 9 depthwise", (32, 500, 64), (9, 1, 64), padding=4, groups=64),
    # video
    Layer("3-D 3x3x3", (4, 8, 32, 32, 16), (3, 3, 3, 16, 32), padding=1),
    Layer("3-D 3x3x3 stride 2", (4, 8, 32, 32, 16), (3, 3, 3, 16, 32), stride=2, padding=1),
    Layer("3-D 1x1x1", (4, 8, 32, 32, 32), (1, 1, 1, 32, 64)),
    # bfloat16
    square(32, 16, 64, 64, 3, dtype="bfloat16"), square(32, 16, 64, 64, 1, dtype="bfloat16"),
]  # fmt: skip
