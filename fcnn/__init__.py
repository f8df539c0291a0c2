"""fcnn: convolutional networks as pure functions, for JAX.

A layer is immutable data with two pure functions, `init` and `apply`; a network is a bigger
layer; its numbers live in two plain pytrees, `params` and `state`.
"""

import importlib
from typing import TYPE_CHECKING

from fcnn import geometry, initializers, ops, tree
from fcnn.blocks import separable_conv
from fcnn.compose import identity, parallel, remat, repeat, residual, sequential
from fcnn.layer import Layer
from fcnn.layers import (
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
)
from fcnn.ops import flatten, global_avg_pool, global_max_pool

if TYPE_CHECKING:
    from fcnn import augment, features, models, surgery, training
    from fcnn.summarize import Summary, summary

__version__ = "0.1.0"

__all__ = [
    "AvgPool",
    "BatchNorm",
    "Conv",
    "ConvTranspose",
    "Dense",
    "DepthwiseConv",
    "DropPath",
    "Dropout",
    "GroupNorm",
    "Layer",
    "LayerNorm",
    "MaxPool",
    "Scale",
    "SpatialDropout",
    "Summary",
    "augment",
    "features",
    "flatten",
    "geometry",
    "global_avg_pool",
    "global_max_pool",
    "identity",
    "initializers",
    "models",
    "ops",
    "parallel",
    "remat",
    "repeat",
    "residual",
    "separable_conv",
    "sequential",
    "summary",
    "surgery",
    "training",
    "tree",
]


def __getattr__(name: str):
    """`fcnn.models` and its like load when first used, so that `import fcnn` stays light."""
    if name in ("augment", "features", "models", "surgery", "training"):
        return importlib.import_module(f"fcnn.{name}")
    if name in ("Summary", "summary"):
        return getattr(importlib.import_module("fcnn.summarize"), name)
    raise AttributeError(f"module 'fcnn' has no attribute {name!r}")
