"""Layers made of layers. Each is data like any layer, and has `init` and `apply` like any layer."""

from fcnn.compose.parallel import Parallel, parallel
from fcnn.compose.remat import Remat, remat
from fcnn.compose.repeat import Repeat, repeat
from fcnn.compose.residual import Residual, identity, residual
from fcnn.compose.sequential import Sequential, sequential

__all__ = [
    "Parallel",
    "Remat",
    "Repeat",
    "Residual",
    "Sequential",
    "identity",
    "parallel",
    "remat",
    "repeat",
    "residual",
    "sequential",
]
