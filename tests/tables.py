"""The tables that the laws run over: every layer and combinator once or more, with an input shape.

`count` is the number of parameters, summed by hand.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import fcnn
from fcnn import (
    AvgPool,
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    DepthwiseConv,
    Dropout,
    DropPath,
    GroupNorm,
    LayerNorm,
    MaxPool,
    Scale,
    SpatialDropout,
    flatten,
    global_avg_pool,
    identity,
    parallel,
    remat,
    repeat,
    residual,
    separable_conv,
    sequential,
)
from fcnn.models import (
    ConvNeXtConfig,
    LeNetConfig,
    MobileNetV2Config,
    PlainConfig,
    ResNetConfig,
    VGGConfig,
    WaveformConfig,
    WideResNetConfig,
)


class Row(NamedTuple):
    layer: Any
    shape: tuple[int, ...]
    count: int


def block():
    """A residual block with everything in it: weights, statistics, randomness."""
    body = sequential(Conv(4, bias=False), BatchNorm(), jnp.tanh, Dropout(0.25), Conv(4))
    return residual(body, activation=jnp.tanh)


LAYERS = {
    "conv_1d": Row(Conv(4, 3, padding="CAUSAL", dilation=2), (2, 9, 3), 3 * 3 * 4 + 4),
    "conv_2d": Row(Conv(4, 3, stride=2, padding=1), (2, 7, 6, 3), 9 * 3 * 4 + 4),
    "conv_3d": Row(Conv(2, (1, 3, 3)), (2, 3, 5, 5, 2), 9 * 2 * 2 + 2),
    "conv_1x1": Row(Conv(5, 1, bias=False), (2, 4, 4, 3), 3 * 5),
    "conv_patches": Row(Conv(5, 2, stride=2, padding="VALID"), (2, 6, 6, 2), 4 * 2 * 5 + 5),
    "conv_groups": Row(Conv(6, 3, groups=2), (2, 5, 5, 4), 9 * 2 * 6 + 6),
    "conv_circular": Row(Conv(3, 3, padding="CIRCULAR"), (2, 5, 5, 2), 9 * 2 * 3 + 3),
    "conv_reflect": Row(Conv(3, 3, padding="REFLECT"), (2, 5, 5, 2), 9 * 2 * 3 + 3),
    "depthwise": Row(DepthwiseConv(3, multiplier=2), (2, 5, 5, 3), 9 * 6 + 6),
    "separable": Row(separable_conv(4), (2, 5, 5, 3), 9 * 3 + 3 * 4 + 4),
    "conv_transpose": Row(ConvTranspose(3, 4, stride=2, padding=1), (2, 4, 3, 2), 16 * 2 * 3 + 3),
    "conv_transpose_1d": Row(ConvTranspose(3, 3, stride=2), (2, 5, 2), 3 * 2 * 3 + 3),
    "dense": Row(Dense(4), (3, 5), 5 * 4 + 4),
    "dense_pixels": Row(Dense(4, bias=False), (2, 3, 3, 5), 5 * 4),
    "batch_norm": Row(BatchNorm(), (4, 3, 3, 2), 2 + 2),
    "batch_norm_rows": Row(BatchNorm(decay=0.5, scale=False), (8, 3), 3),
    "layer_norm": Row(LayerNorm(), (2, 3, 3, 6), 6 + 6),
    "group_norm": Row(GroupNorm(2), (2, 3, 3, 6), 6 + 6),
    "instance_norm": Row(GroupNorm(None, group_size=1, bias=False), (2, 4, 4, 3), 3),
    "max_pool": Row(MaxPool(2), (2, 5, 4, 3), 0),
    "max_pool_overlapping": Row(MaxPool(3, stride=2, padding=1), (2, 6, 7, 2), 0),
    "avg_pool": Row(AvgPool(2), (2, 4, 4, 3), 0),
    "avg_pool_padded": Row(AvgPool(3, stride=2, padding="SAME"), (2, 5, 8, 2), 0),
    "dropout": Row(Dropout(0.5), (4, 3, 3, 2), 0),
    "spatial_dropout": Row(SpatialDropout(0.5), (4, 3, 3, 2), 0),
    "drop_path": Row(DropPath(0.5), (6, 3, 3, 2), 0),
    "scale": Row(Scale(0.5), (2, 3, 3, 4), 4),
    "sequential": Row(
        sequential(Conv(4), jnp.tanh, global_avg_pool, head=Dense(3)),
        (2, 5, 5, 2),
        9 * 2 * 4 + 4 + 4 * 3 + 3,
    ),
    "residual": Row(block(), (3, 4, 4, 4), 144 + 8 + 148),
    "residual_shortcut": Row(
        residual(Conv(5, stride=2, padding=1), Conv(5, 1, stride=2, padding=0)),
        (2, 6, 6, 3),
        9 * 15 + 5 + 15 + 5,
    ),
    "parallel_concat": Row(
        parallel(Conv(3, 1), Conv(2, 3), identity, join="concat"), (2, 4, 4, 2), 6 + 3 + 36 + 2
    ),
    "parallel_gate": Row(
        parallel(identity, sequential(AvgPool(4), Conv(3, 1), jax.nn.sigmoid), join="product"),
        (2, 4, 4, 3),
        9 + 3,
    ),
    "parallel_sum": Row(parallel(left=Conv(3), right=Conv(3, 1)), (2, 4, 4, 2), 57 + 9),
    "repeat": Row(repeat(block(), 3), (3, 4, 4, 4), 3 * 300),
    "remat": Row(remat(block()), (3, 4, 4, 4), 300),
    "flattened": Row(sequential(flatten, Dense(3)), (2, 3, 3, 2), 18 * 3 + 3),
    "global_max": Row(sequential(fcnn.global_max_pool, Dense(3)), (2, 3, 3, 2), 2 * 3 + 3),
}

# A few hundred to a few thousand parameters each: every family, every block, stem and option.
TINY = {
    "lenet": (LeNetConfig(5, widths=(2, 3), dense=(7,)), (4, 28, 28, 1)),
    "plain": (PlainConfig(5, widths=(4, 6), dense=8, dropout=0.2), (4, 8, 8, 1)),
    "plain_bias": (PlainConfig(5, (4, 6), 1, pool="average", batch_norm=False), (4, 8, 8, 1)),
    "plain_early": (
        PlainConfig(5, (4, 6), pool="average", stem=3, early_pool=True),
        (4, 8, 8, 3),
    ),
    "vgg": (VGGConfig((1, 2), (4, 6), 5, dense=8), (4, 8, 8, 3)),
    "vgg_bn": (VGGConfig((1, 2), (4, 6), 5, dense=8, batch_norm=True), (4, 8, 8, 3)),
    "resnet_basic": (ResNetConfig("basic", (2, 1), 4, 5), (4, 32, 32, 3)),
    "resnet_bottleneck": (ResNetConfig("bottleneck", (1, 2), 4, 5, "cifar"), (4, 8, 8, 3)),
    "resnet_repeat": (ResNetConfig("basic", (3, 1), 4, 5, "cifar", repeat=True), (4, 8, 8, 3)),
    "wide_resnet": (WideResNetConfig(10, widen=1, num_classes=5, dropout=0.3), (4, 8, 8, 3)),
    "mobilenet_v2": (
        MobileNetV2Config(num_classes=5, stages=((1, 8, 1, 1), (2, 8, 2, 2)), stem=8, last=16),
        (4, 16, 16, 3),
    ),
    "convnext": (
        ConvNeXtConfig((1, 2), (4, 6), 5, patch=2, layer_scale=0.1, drop_path=0.2),
        (4, 16, 16, 3),
    ),
    "waveform": (WaveformConfig(5, (4, 6), kernel_size=9, stride=2, window=2), (4, 64, 2)),
}

# Parameters of the tiny variants, counted once by the code: a change of them is a change of the
# models. The full models' counts, in test_models.py, come from the papers.
TINY_COUNTS = {
    "lenet": 777,
    "plain": 1_005,
    "plain_bias": 297,
    "plain_early": 954,
    "vgg": 981,
    "vgg_bn": 1_013,
    "resnet_basic": 2_193,
    "resnet_bottleneck": 3_465,
    "resnet_repeat": 2_017,
    "wide_resnet": 77_781,
    "mobilenet_v2": 1_605,
    "convnext": 1_849,
    "waveform": 199,
}

MODELS = {
    name: Row(config.build(), shape, TINY_COUNTS[name]) for name, (config, shape) in TINY.items()
}
