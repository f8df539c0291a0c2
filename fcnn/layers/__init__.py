"""Layers: hyperparameters as frozen data, with `init` and `apply` (see fcnn/layer.py)."""

from fcnn.layers.conv import Conv, ConvTranspose, DepthwiseConv
from fcnn.layers.dense import Dense
from fcnn.layers.drop import Dropout, DropPath, SpatialDropout
from fcnn.layers.norm import BatchNorm, GroupNorm, LayerNorm
from fcnn.layers.pool import AvgPool, MaxPool
from fcnn.layers.scale import Scale

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
    "LayerNorm",
    "MaxPool",
    "Scale",
    "SpatialDropout",
]
