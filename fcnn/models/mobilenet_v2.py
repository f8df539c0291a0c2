"""MobileNetV2: inverted residuals with linear bottlenecks."""

from dataclasses import dataclass

from jax.nn import relu6

from fcnn.compose import Residual, Sequential, residual, sequential
from fcnn.initializers import lecun_normal
from fcnn.layers import BatchNorm, Conv, Dense, DepthwiseConv, Dropout
from fcnn.models import checks
from fcnn.ops import global_avg_pool


@dataclass(frozen=True)
class MobileNetV2Config:
    """MobileNetV2: stages of inverted residuals between a strided and a wide 1x1 convolution.

    width     multiplies the features of every stage; the result is rounded to a multiple of 8
    stages    one (expansion, features, blocks, stride) per stage: the paper's table 2
    stem      features of the stem, before `width`
    last      features of the last convolution (`tail`), which `width` enlarges but never shrinks
    dropout   fraction dropped before the dense layer, in training

    Input (N, 224, 224, 3). `head` is dropout and the dense layer.

    Source: Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: inverted residuals and linear
    bottlenecks", CVPR 2018. 3,504,872 parameters at 1000 classes (torchvision's count; the paper's
    3.4M).
    Differences from the paper: torchvision's, that is batch-norm eps 1e-5 and padding (1, 1) at
    stride 2.

    Raises ValueError for a value out of range.

    >>> from fcnn.models import MobileNetV2Config
    >>> MobileNetV2Config(stages=((1, 8, 1, 1), (6, 16, 2, 2)), num_classes=10).build().names
    ('stem', 'stage1', 'stage2', 'tail', 'pool', 'head')
    """

    width: float = 1.0
    num_classes: int = 1000
    dropout: float = 0.2
    stages: tuple[tuple[int, int, int, int], ...] = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    stem: int = 32
    last: int = 1280

    def __post_init__(self) -> None:
        checks.number(self, "width")
        checks.positive(self, "num_classes", "stem", "last")
        checks.rate(self, "dropout")
        good = isinstance(self.stages, tuple) and len(self.stages) > 0
        if not good or not all(_is_stage(stage) for stage in self.stages):
            raise ValueError(
                "MobileNetV2Config: stages must be a tuple of (expansion, features, blocks, "
                f"stride), four positive ints each, got {self.stages!r}"
            )

    def build(self) -> Sequential:
        """The network as one layer: stem, stage1, …, tail, pool, head."""
        features_in = stem = multiple_of_8(self.stem * self.width)
        stages = {}
        for i, (expansion, features, blocks, stride) in enumerate(self.stages, 1):
            features = multiple_of_8(features * self.width)
            strides = (stride,) + (1,) * (blocks - 1)
            widths_in = (features_in,) + (features,) * (blocks - 1)
            stages[f"stage{i}"] = sequential(
                *(
                    inverted_residual(width_in, features, s, expansion)
                    for width_in, s in zip(widths_in, strides, strict=True)
                )
            )
            features_in = features
        tail = multiple_of_8(self.last * max(1.0, self.width))
        return sequential(
            stem=sequential(Conv(stem, 3, stride=2, padding=1, bias=False), BatchNorm(), relu6),
            **stages,
            tail=sequential(*pointwise(tail), relu6),
            pool=global_avg_pool,
            head=sequential(
                Dropout(self.dropout), Dense(self.num_classes, kernel_init=lecun_normal)
            ),
        )


def inverted_residual(
    features_in: int, features: int, stride: int, expansion: int
) -> Sequential | Residual:
    """Widen, filter each channel by 3x3, narrow linearly; a shortcut where the shape stays."""
    widen = (*pointwise(features_in * expansion), relu6) if expansion > 1 else ()
    depthwise = (DepthwiseConv(3, stride=stride, padding=1, bias=False), BatchNorm(), relu6)
    body = sequential(*widen, *depthwise, *pointwise(features))
    return residual(body) if stride == 1 and features_in == features else body


def pointwise(features: int) -> tuple[Conv, BatchNorm]:
    """A 1x1 convolution and its batch norm."""
    return Conv(features, 1, bias=False), BatchNorm()


def multiple_of_8(features: float) -> int:
    """The nearest multiple of 8, at least 8, and never less than 0.9 of what was asked.

    >>> multiple_of_8(24 * 0.5), multiple_of_8(32 * 0.35)
    (16, 16)
    """
    rounded = max(8, int(features + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * features else rounded + 8


def _is_stage(stage: object) -> bool:
    return isinstance(stage, tuple) and len(stage) == 4 and all(map(checks.is_positive, stage))
