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

# Filled from the tiny variant of every model family.
MODELS: dict[str, Row] = {}
