"""Which equivalent form computes each pass of a convolution on the CPU.

The choice depends on static facts only: the shapes, the stride, the dilation, the groups, the dtype
and the platform. MEASURE
"""

import math

from fcnn.ops.lowering import canonical, columns, depthwise, grouped, onednn, phases, product
from fcnn.ops.lowering.window import Window
from fcnn.ops.taps import Sizes

# Windows of at most this many values are laid out as columns: 3x3 on three channels, 5x5 on one.
COLUMNS = 32


def forward(x, kernel, window: Window):
    """lax_conv(x, kernel, window)."""
    by_library = onednn.applies(x.dtype, x.ndim - 2)
    if depthwise.applies(kernel.shape, window) and (x.ndim == 3 or not by_library):
        return depthwise.forward(x, kernel, window)
    if by_library:
        return onednn.forward(x, kernel, window)
    if grouped.applies(kernel.shape, window):
        return grouped.forward(x, kernel, window, forward)
    if product.applies(kernel.shape[:-2], window):
        return product.forward(x, kernel, window)
    return canonical.forward(x, kernel, window)


def input_gradient(g, kernel, window: Window, sizes: Sizes):
    """The gradient with respect to x (N, *sizes, C), given that of the output."""
    by_library = onednn.applies(g.dtype, g.ndim - 2)
    if depthwise.applies(kernel.shape, window) and (g.ndim == 3 or not by_library):
        return depthwise.input_gradient(g, kernel, window, sizes)
    if product.applies(kernel.shape[:-2], window) and (set(window.stride) != {1} or not by_library):
        return product.input_gradient(g, kernel, window, sizes)
    if by_library:
        return phases.input_gradient(g, kernel, window, sizes, onednn.forward)
    if grouped.applies(kernel.shape, window):
        return grouped.input_gradient(g, kernel, window, sizes, input_gradient)
    return phases.input_gradient(g, kernel, window, sizes, canonical.forward)


def kernel_gradient(x, g, window: Window, taps: Sizes):
    """The gradient with respect to the kernel (*taps, C/groups, F), given that of the output."""
    shape = (*taps, x.shape[-1] // window.groups, g.shape[-1])
    if depthwise.applies(shape, window):
        return depthwise.kernel_gradient(x, g, window, taps)
    if grouped.applies(shape, window):
        return grouped.kernel_gradient(x, g, window, taps, kernel_gradient)
    if product.applies(taps, window):
        return product.kernel_gradient(x, g, window, taps)
    if math.prod(taps) * x.shape[-1] <= COLUMNS:
        return columns.kernel_gradient(x, g, window, taps)
    if onednn.applies(x.dtype, x.ndim - 2):
        return onednn.kernel_gradient(x, g, window, taps)
    return canonical.kernel_gradient(x, g, window, taps)
