"""Plain convolutional networks for small images: 3x3 convolutions, rectifiers, max pooling."""

from dataclasses import dataclass

from jax.nn import relu

from fcnn.compose import Sequential, sequential
from fcnn.initializers import lecun_normal
from fcnn.layers import BatchNorm, Conv, Dense, Dropout, MaxPool
from fcnn.models import checks
from fcnn.ops import flatten, global_avg_pool

POOLS = {"flatten": flatten, "average": global_avg_pool}


@dataclass(frozen=True)
class PlainConfig:
    """Stages of 3x3 convolutions with 2x2 max pooling in each; then a dense classifier.

    Input (N, H, W, C) with H and W at least 2 ** len(widths). The pattern is that of VGG, shrunk:
    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition",
    2014. With early_pool and a stem it is that of Jordan, "94% on CIFAR-10 in 3.29 seconds on a
    single GPU", arXiv:2404.00498, section 3.1, without its whitening. Parameters at 10 classes, by
    hand: plain28 on 28x28x1, 96,554 (64,800 in kernels, 384 in batch norm, 31,370 in the head);
    plain8 on 8x8x1, 67,754 (64,800 + 384 + 2,570); small on 28x28x1, 467,818 (64,992 in
    convolutions, 401,536 + 1,290 in dense layers), no batch norm.

    Raises ValueError for a value out of range.

    >>> from fcnn.models import PlainConfig
    >>> PlainConfig(widths=(8, 16), convs=1).build().names
    ('stage1', 'stage2', 'pool', 'head')
    """

    num_classes: int = 10
    """How many classes the head tells apart."""
    widths: tuple[int, ...] = (32, 64)
    """Features of each stage."""
    convs: int = 2
    """Convolutions in each stage."""
    pool: str = "flatten"
    """What the head sees: "flatten" keeps positions, "average" is the global average."""
    dense: int = 0
    """Features of one hidden dense layer, 0 for none."""
    dropout: float = 0.0
    """Fraction dropped before the last dense layer, in training."""
    batch_norm: bool = True
    """Normalise after each convolution, which then has no bias."""
    stem: int = 0
    """Features of one convolution before the stages, 0 for none."""
    early_pool: bool = False
    """Pool after the first convolution of each stage, before its norm, instead of at the end of the
    stage: its other convolutions then cost a quarter."""

    def __post_init__(self) -> None:
        checks.positive(self, "num_classes", "convs")
        checks.positives(self, "widths")
        checks.choice(self, "pool", POOLS)
        checks.natural(self, "dense", "stem")
        checks.rate(self, "dropout")
        checks.flag(self, "batch_norm", "early_pool")

    def build(self) -> Sequential:
        """The network as one layer: stem where there is one, stage1, …, pool, head."""
        parts = {}
        if self.stem:
            parts["stem"] = sequential(*conv_block(self.stem, batch_norm=self.batch_norm))
        for i, features in enumerate(self.widths, 1):
            parts[f"stage{i}"] = self._stage(features)
        hidden = (Dense(self.dense), relu) if self.dense else ()
        head = sequential(
            *hidden, Dropout(self.dropout), Dense(self.num_classes, kernel_init=lecun_normal)
        )
        return sequential(**parts, pool=POOLS[self.pool], head=head)

    def _stage(self, features: int) -> Sequential:
        block = conv_block(features, batch_norm=self.batch_norm)
        if not self.early_pool:
            return sequential(*block * self.convs, MaxPool(2))
        conv, *rest = block
        return sequential(conv, MaxPool(2), *rest, *block * (self.convs - 1))


def conv_block(features: int, *, batch_norm: bool) -> tuple:
    """One 3x3 convolution and its rectifier, with batch norm between them or a bias instead."""
    norm = (BatchNorm(),) if batch_norm else ()
    return (Conv(features, 3, bias=not batch_norm), *norm, relu)
