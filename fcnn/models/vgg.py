"""VGG: deep stacks of 3x3 convolutions."""

from dataclasses import dataclass

from jax.nn import relu

from fcnn.compose import Sequential, sequential
from fcnn.initializers import lecun_normal
from fcnn.layers import BatchNorm, Conv, Dense, Dropout, MaxPool
from fcnn.models import checks
from fcnn.ops import flatten


@dataclass(frozen=True)
class VGGConfig:
    """VGG: stages of 3x3 convolutions, each ending in 2x2 max pooling; then three dense layers.

    depths       convolutions in each stage: (1, 1, 2, 2, 2) is VGG-11, (2, 2, 3, 3, 3) VGG-16
    widths       features of each stage
    dense        features of the two hidden dense layers
    dropout      fraction dropped after each of them, in training
    batch_norm   normalise after each convolution; the convolution keeps its bias, as in torchvision

    Input (N, 224, 224, 3) in the paper; any size whose sides survive five halvings. `pool`
    flattens, at 224 a 7x7x512 map, and `head` is the three dense layers, so the size is fixed by
    the first init.

    Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
    recognition", ICLR 2015, columns A and D of table 1. Parameters at 1000 classes: vgg11
    132,863,336, vgg16 138,357,544 (the paper's 133M and 138M), vgg11_bn 132,868,840, vgg16_bn
    138,365,992 (torchvision's counts).
    Differences from torchvision: no adaptive pooling to 7x7 (the identity at 224), and the
    flattened order is height, width, channel.

    Raises ValueError for a value out of range.

    >>> from fcnn.models import VGGConfig
    >>> VGGConfig(depths=(1, 1), widths=(8, 16), dense=32, num_classes=10).build().names
    ('stage1', 'stage2', 'pool', 'head')
    """

    depths: tuple[int, ...] = (2, 2, 3, 3, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    num_classes: int = 1000
    dense: int = 4096
    dropout: float = 0.5
    batch_norm: bool = False

    def __post_init__(self) -> None:
        checks.positives(self, "depths", "widths")
        checks.same_length(self, "depths", "widths")
        checks.positive(self, "num_classes", "dense")
        checks.rate(self, "dropout")
        checks.flag(self, "batch_norm")

    def build(self) -> Sequential:
        """The network as one layer: stage1, …, pool, head."""
        norm = (BatchNorm(),) if self.batch_norm else ()
        stages = {
            f"stage{i}": sequential(*(Conv(features, 3), *norm, relu) * depth, MaxPool(2))
            for i, (features, depth) in enumerate(zip(self.widths, self.depths, strict=True), 1)
        }
        hidden = (Dense(self.dense), relu, Dropout(self.dropout))
        head = sequential(*hidden * 2, Dense(self.num_classes, kernel_init=lecun_normal))
        return sequential(**stages, pool=flatten, head=head)
