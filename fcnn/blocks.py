"""Well-known small combinations of layers."""

from fcnn.compose import Sequential, sequential
from fcnn.layers import Conv, DepthwiseConv
from fcnn.ops.padding import Padding


def separable_conv(
    features: int,
    kernel_size: int | tuple[int, ...] = 3,
    *,
    stride: int | tuple[int, ...] = 1,
    padding: Padding = "SAME",
    dilation: int | tuple[int, ...] = 1,
    bias: bool = True,
) -> Sequential:
    """A depthwise convolution, then a 1x1 convolution that mixes the channels.

    Input (N, *S, C), output (N, *S', features), with about 1/features + 1/k^2 of the arithmetic
    of the full convolution. Children "depthwise" (without bias) and "pointwise". Raises as
    `Conv` does. Source: Howard et al., "MobileNets", arXiv:1704.04861, section 3.1.

    >>> separable_conv(64).names
    ('depthwise', 'pointwise')
    """
    depthwise = DepthwiseConv(
        kernel_size, stride=stride, padding=padding, dilation=dilation, bias=False
    )
    return sequential(depthwise=depthwise, pointwise=Conv(features, 1, bias=bias))
