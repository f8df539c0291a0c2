"""Wide residual networks for CIFAR, with pre-activation blocks."""

from dataclasses import dataclass

from jax.nn import relu

from fcnn.compose import Residual, Sequential, residual, sequential
from fcnn.initializers import lecun_normal
from fcnn.layers import BatchNorm, Conv, Dense, Dropout
from fcnn.models import checks
from fcnn.ops import global_avg_pool


@dataclass(frozen=True)
class WideResNetConfig:
    """WRN-depth-widen: three stages of pre-activation blocks, 16, 32 and 64 times `widen` wide.

    depth     convolutions in the main path: 6 * n + 4, with n blocks in each stage widen     the
    paper's k dropout   fraction dropped between the two convolutions of a block, in training (the
    paper: 0 or 0.3)

    Input (N, 32, 32, 3). Children stem, stage1, stage2, stage3, norm (the last batch norm and its
    rectifier), pool, head.

    Source: Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016, table 1 and figure 1 (b)
    and (d). 36,479,194 parameters for WRN-28-10 at 10 classes (the paper's 36.5M), by hand: 432 in
    the stem; 1,640,672, 6,968,000 and 27,862,400 in the stages; 1,280 in the last batch norm; 6,410
    in the head. As in the authors' code, a block that changes the shape shares its first batch norm
    and rectifier between body and projection, and the projection has no batch norm of its own.

    Raises ValueError for a value out of range, or a depth that is not 6 * n + 4.

    >>> from fcnn.models import WideResNetConfig
    >>> WideResNetConfig(depth=10, widen=1).build().names
    ('stem', 'stage1', 'stage2', 'stage3', 'norm', 'pool', 'head')
    """

    depth: int = 28
    widen: int = 10
    num_classes: int = 10
    dropout: float = 0.0

    def __post_init__(self) -> None:
        checks.positive(self, "depth", "widen", "num_classes")
        checks.rate(self, "dropout")
        if self.depth < 10 or self.depth % 6 != 4:
            raise ValueError(
                "WideResNetConfig: depth must be 6 * n + 4 with n >= 1 (10, 16, 22, 28, …), "
                f"got {self.depth}"
            )

    def build(self) -> Sequential:
        """The network as one layer: stem, stage1, stage2, stage3, norm, pool, head."""
        blocks = (self.depth - 4) // 6
        stages = {
            f"stage{i}": sequential(
                first_block(features * self.widen, stride, self.dropout),
                *[block(features * self.widen, self.dropout)] * (blocks - 1),
            )
            for i, features, stride in ((1, 16, 1), (2, 32, 2), (3, 64, 2))
        }
        return sequential(
            stem=conv(16, 3),
            **stages,
            norm=sequential(BatchNorm(), relu),
            pool=global_avg_pool,
            head=Dense(self.num_classes, kernel_init=lecun_normal),
        )


def conv(features: int, kernel_size: int, stride: int = 1) -> Conv:
    """A convolution without bias, padded symmetrically."""
    return Conv(features, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)


def convs(features: int, stride: int, dropout: float) -> tuple:
    """The two convolutions of a block and what stands between them."""
    return (conv(features, 3, stride), BatchNorm(), relu, Dropout(dropout), conv(features, 3))


def first_block(features: int, stride: int, dropout: float) -> Sequential:
    """A block that changes the shape: body and projection both read the normalised input."""
    body = sequential(*convs(features, stride, dropout))
    return sequential(BatchNorm(), relu, residual(body, conv(features, 1, stride)))


def block(features: int, dropout: float) -> Residual:
    """A block that keeps the shape: the shortcut carries the input untouched."""
    return residual(sequential(BatchNorm(), relu, *convs(features, 1, dropout)))
