"""What the mathematics does to arrays: array in, array out, channels last, nothing else."""

from fcnn.ops.conv import conv, conv_transpose
from fcnn.ops.drop import drop_path, dropout, spatial_dropout
from fcnn.ops.linear import dense, flatten
from fcnn.ops.norm import moments, normalize
from fcnn.ops.pool import avg_pool, global_avg_pool, global_max_pool, max_pool

__all__ = [
    "avg_pool",
    "conv",
    "conv_transpose",
    "dense",
    "drop_path",
    "dropout",
    "flatten",
    "global_avg_pool",
    "global_max_pool",
    "max_pool",
    "moments",
    "normalize",
    "spatial_dropout",
]
