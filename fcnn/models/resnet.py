"""Residual networks, for ImageNet and for CIFAR."""

from collections.abc import Callable
from dataclasses import dataclass

from jax.nn import relu

from fcnn.compose import Residual, Sequential, identity, repeat, residual, sequential
from fcnn.initializers import lecun_normal, zeros
from fcnn.layers import BatchNorm, Conv, Dense, MaxPool
from fcnn.models import checks
from fcnn.ops import global_avg_pool


@dataclass(frozen=True)
class ResNetConfig:
    """Residual network: a stem, stages of residual blocks, global average pooling, one dense layer.

    block    "basic": two 3x3 convolutions;
             "bottleneck": 1x1, 3x3, and 1x1 to four times the features
    depths   blocks in each stage; every stage but the first halves the image in its first block
    width    features of the first stage, doubled in each later stage
    stem     "imagenet": 7x7 at stride 2 and 3x3 max pooling at stride 2, for (N, 224, 224, 3);
             "cifar": one 3x3 convolution at stride 1, for (N, 32, 32, 3)
    repeat   the equal blocks of a stage, all but its first, in one `lax.scan`: compile time does
             not grow with depth; their parameters are stacked, in a child "rest"

    Source: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, table 1,
    and section 4.2 for CIFAR. Parameters at 1000 classes, as torchvision counts them: resnet18
    11,689,512, resnet34 21,797,672, resnet50 25,557,032, resnet101 44,549,160, resnet152
    60,192,808. At 10 classes: resnet20 272,474 and resnet56 855,770 (the paper's 0.27M and 0.85M
    plus projection shortcuts).
    Differences from the paper: the bottleneck strides in its 3x3 convolution ("v1.5", as
    torchvision), the last batch norm of each block starts at scale zero, so that a block starts as
    its shortcut (Goyal et al., "Accurate, large minibatch SGD", 2017, section 5.1; torchvision's
    zero_init_residual=True), and the CIFAR nets project where the shape changes (option B) instead
    of padding with zeros (option A). Strided convolutions pad (1, 1), where SAME would pad (0, 1).

    Raises ValueError for a value out of range.

    >>> from fcnn.models import ResNetConfig
    >>> ResNetConfig(depths=(1, 1), width=8, num_classes=10, stem="cifar").build().names
    ('stem', 'stage1', 'stage2', 'pool', 'head')
    """

    block: str = "basic"
    depths: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64
    num_classes: int = 1000
    stem: str = "imagenet"
    repeat: bool = False

    def __post_init__(self) -> None:
        checks.choice(self, "block", BLOCKS)
        checks.positives(self, "depths")
        checks.positive(self, "width", "num_classes")
        checks.choice(self, "stem", STEMS)
        checks.flag(self, "repeat")

    def build(self) -> Sequential:
        """The network as one layer: stem, stage1, …, pool, head."""
        block, expansion = BLOCKS[self.block]
        stages, features_in = {}, self.width
        for i, depth in enumerate(self.depths):
            features = self.width * 2**i * expansion
            first = block(features_in, features, 1 if i == 0 else 2)
            equal = block(features, features, 1)
            if self.repeat and depth > 1:
                stages[f"stage{i + 1}"] = sequential(first, rest=repeat(equal, depth - 1))
            else:
                stages[f"stage{i + 1}"] = sequential(first, *[equal] * (depth - 1))
            features_in = features
        return sequential(
            stem=STEMS[self.stem](self.width),
            **stages,
            pool=global_avg_pool,
            head=Dense(self.num_classes, kernel_init=lecun_normal),
        )


def conv(features: int, kernel_size: int, stride: int = 1) -> Conv:
    """A symmetrically padded convolution, without the bias that batch norm would cancel."""
    return Conv(features, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)


def last_norm() -> BatchNorm:
    """The last batch norm of a body: its scale starts at zero, and the block as its shortcut."""
    return BatchNorm(scale_init=zeros)


def basic_block(features_in: int, features: int, stride: int) -> Residual:
    """Two 3x3 convolutions; the first has the stride."""
    body = sequential(
        *(conv(features, 3, stride), BatchNorm(), relu),
        *(conv(features, 3), last_norm()),
    )
    return residual(body, shortcut(features_in, features, stride), activation=relu)


def bottleneck_block(features_in: int, features: int, stride: int) -> Residual:
    """1x1 to a quarter of the features, 3x3 with the stride, 1x1 back to all of them."""
    body = sequential(
        *(conv(features // 4, 1), BatchNorm(), relu),
        *(conv(features // 4, 3, stride), BatchNorm(), relu),
        *(conv(features, 1), last_norm()),
    )
    return residual(body, shortcut(features_in, features, stride), activation=relu)


def shortcut(features_in: int, features: int, stride: int) -> Sequential | Callable:
    """The identity where the shape stays, else a strided 1x1 convolution and its batch norm."""
    if stride == 1 and features_in == features:
        return identity
    return sequential(conv(features, 1, stride), BatchNorm())


def imagenet_stem(features: int) -> Sequential:
    """7x7 at stride 2 and 3x3 max pooling at stride 2: a quarter of the height and width."""
    return sequential(conv(features, 7, 2), BatchNorm(), relu, MaxPool(3, stride=2, padding=1))


def cifar_stem(features: int) -> Sequential:
    """3x3 at stride 1: small images keep their size."""
    return sequential(conv(features, 3), BatchNorm(), relu)


BLOCKS = {"basic": (basic_block, 1), "bottleneck": (bottleneck_block, 4)}
STEMS = {"imagenet": imagenet_stem, "cifar": cifar_stem}
