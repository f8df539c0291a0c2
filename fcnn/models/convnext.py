"""ConvNeXt: a convolutional network drawn like a transformer."""

from dataclasses import dataclass

import jax

from fcnn.compose import Residual, Sequential, residual, sequential
from fcnn.initializers import truncated_normal_02
from fcnn.layers import Conv, Dense, DepthwiseConv, DropPath, LayerNorm, Scale
from fcnn.models import checks
from fcnn.ops import global_avg_pool


@dataclass(frozen=True)
class ConvNeXtConfig:
    """ConvNeXt: a patchify stem, stages of 7x7 depthwise blocks, layer norm, exact GELU.

    depths        blocks in each stage
    widths        features of each stage; layer norm and 2x2, stride 2, lead to the next
    patch         size and stride of the stem's convolution
    layer_scale   initial value of the per-channel factor that ends each block's body
    drop_path     fraction of examples that skip the last block, in training; earlier blocks
                  linearly fewer, the first none

    Input (N, 224, 224, 3); sides a multiple of patch * 2 ** (stages - 1). Children stem, stage1,
    down2, stage2, …, pool (global average and layer norm, the authors' features), head.

    Source: Liu, Mao, Wu, Feichtenhofer, Darrell, Xie, "A ConvNet for the 2020s", CVPR 2022.
    Parameters at 1000 classes: convnext_tiny 28,589,128, convnext_small 50,223,688 (the authors'
    and torchvision's; 28.6M and 50.2M in the paper), drop_path 0.1 and 0.4 as the paper trains
    them. dwnet, 2 + 2 blocks of 64 and 128 features on 4x4 patches of 32x32 images, is ours for
    small images: 387,786 parameters at 10 classes.
    Differences from the authors' code: the normal distribution of the kernels (std 0.02) is cut off
    at two standard deviations, theirs at 2.0.

    Raises ValueError for a value out of range.

    >>> from fcnn.models import ConvNeXtConfig
    >>> ConvNeXtConfig(depths=(1, 1), widths=(8, 16), num_classes=10).build().names
    ('stem', 'stage1', 'down2', 'stage2', 'pool', 'head')
    """

    depths: tuple[int, ...] = (3, 3, 9, 3)
    widths: tuple[int, ...] = (96, 192, 384, 768)
    num_classes: int = 1000
    patch: int = 4
    layer_scale: float = 1e-6
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        checks.positives(self, "depths", "widths")
        checks.same_length(self, "depths", "widths")
        checks.positive(self, "num_classes", "patch")
        checks.number(self, "layer_scale")
        checks.rate(self, "drop_path")

    def build(self) -> Sequential:
        """The network as one layer: stem, stage1, down2, stage2, …, pool, head."""
        last = max(1, sum(self.depths) - 1)
        rates = [self.drop_path * i / last for i in range(sum(self.depths))]
        stages = {}
        for i, (features, depth) in enumerate(zip(self.widths, self.depths, strict=True), 1):
            if i > 1:
                stages[f"down{i}"] = sequential(norm(), patchify(features, 2))
            blocks = [block(features, self.layer_scale, rates.pop(0)) for _ in range(depth)]
            stages[f"stage{i}"] = sequential(*blocks)
        return sequential(
            stem=sequential(patchify(self.widths[0], self.patch), norm()),
            **stages,
            pool=sequential(global_avg_pool, norm()),
            head=dense(self.num_classes),
        )


def block(features: int, layer_scale: float, drop_path: float) -> Residual:
    """7x7 depthwise, layer norm, 4 * features and back, layer scale, stochastic depth."""
    return residual(
        sequential(
            DepthwiseConv(7, kernel_init=truncated_normal_02),
            norm(),
            dense(4 * features),
            gelu,
            dense(features),
            Scale(layer_scale),
            DropPath(drop_path),
        )
    )


def norm() -> LayerNorm:
    """Layer norm with the authors' eps."""
    return LayerNorm(eps=1e-6)


def dense(features: int) -> Dense:
    """A dense layer over the channels, from the authors' distribution."""
    return Dense(features, kernel_init=truncated_normal_02)


def patchify(features: int, size: int) -> Conv:
    """A convolution whose patches do not overlap."""
    return Conv(features, size, stride=size, padding="VALID", kernel_init=truncated_normal_02)


def gelu(x: jax.Array) -> jax.Array:
    """x times the normal distribution function of x, by erf; jax.nn.gelu's default is a tanh fit.

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016.

    >>> float(gelu(jax.numpy.ones(()))).__round__(4)
    0.8413
    """
    return jax.nn.gelu(x, approximate=False)
