"""Which equivalent form computes each pass of a convolution on the CPU.

The choice depends on static facts only: the shapes, the stride, the dilation, the groups, the dtype
and the platform. Where oneDNN can be called (`library.applies`) it computes nearly everything; the
other forms are for what it cannot do, and for other CPUs, jaxlibs and dtypes.

Milliseconds, median of interleaved runs, float32, two x86-64 cores (AVX-512, AMD EPYC), jaxlib
0.10.2, PyTorch 2.13; `python -m train.bench layers` measures every row again. XLA: the best of the
forms without oneDNN.

    images, kernel                    pass              lax    XLA   oneDNN   PyTorch
    128x28x28x32, 3x3, 32             forward            26     12      9.5       9.8
                                      input gradient     25     11      9.5      10.6
                                      kernel gradient    30     23     17        11
    32x32x32x64, 3x3, 128, stride 2   forward            13    7.3      6.4       6.4
                                      kernel gradient    19     13      8.1       8.8
    32x16x16x144, 3x3, depthwise      forward            39    1.1      0.7       1.1
                                      kernel gradient    29    2.9      2.7       0.5
    32x16x16x128, 3x3, 32 groups      forward            41    6.9      2.7       9.1
                                      kernel gradient  2430    6.3       -        3.0
    4x8x32x32x16, 3x3x3, 32           forward            38     28      4.3      13.7
    32x32x32x64, 1x1, 64              kernel gradient    17    4.0      7.4       2.3
    32x32x32x3, 3x3, 64               input gradient    4.3    1.9      5.0       3.7
                                      kernel gradient   2.5    1.6      2.8       1.2
    16x8000x1, 80, 64, stride 4       input gradient    11     2.8       25        25
                                      kernel gradient   4.6    3.8      6.9       3.2
    32x4x4x512, 3x3, 512              input gradient    20     16        12        12
    32x500x64, 9, depthwise           forward            32    0.9      2.8       1.7

Inside `lax.scan` the gradients of `lax` are another 20 times slower; the forms are not.
"""

import math

from fcnn.ops.lowering import (
    canonical,
    columns,
    depthwise,
    grouped,
    library,
    onednn,
    onednn_gradient,
    phases,
    product,
)
from fcnn.ops.lowering.window import Window
from fcnn.ops.taps import Sizes

# For the kernel's gradient, windows of at most this many values are laid out as columns: 3x3 on
# three channels. But not where the features are much fewer.
COLUMNS = 32
# Up to this many, with few channels, are better off with XLA than with the library: 5x5 on two.
FEW = 64


def forward(x, kernel, window: Window):
    """lax_conv(x, kernel, window)."""
    by_library = library.applies(x.dtype)
    windows = x.shape[0] * math.prod(window.positions(x.shape[1:-1], kernel.shape[:-2]))
    if depthwise.applies(kernel.shape, window) and (x.ndim == 3 or not by_library):
        return depthwise.forward(x, kernel, window)
    if by_library and columns.few_windows(kernel.shape, window, windows):
        return columns.forward(x, kernel, window)
    if by_library:
        return onednn.forward(x, kernel, window)
    if grouped.applies(kernel.shape, window):
        return grouped.forward(x, kernel, window, forward)
    if product.applies(kernel.shape[:-2], window):
        return product.forward(x, kernel, window)
    return canonical.forward(x, kernel, window)


def input_gradient(g, kernel, window: Window, sizes: Sizes):
    """The gradient with respect to x (N, *sizes, C), given that of the output."""
    by_library = library.applies(g.dtype)
    if depthwise.applies(kernel.shape, window) and (g.ndim == 3 or not by_library):
        return depthwise.input_gradient(g, kernel, window, sizes)
    if product.applies(kernel.shape[:-2], window) and (set(window.stride) != {1} or not by_library):
        return product.input_gradient(g, kernel, window, sizes)
    if columns.gives_input(kernel.shape, window, math.prod(g.shape[:-1])):
        return columns.input_gradient(g, kernel, window, sizes)
    if by_library:
        return phases.input_gradient(g, kernel, window, sizes, onednn.forward_exchanged)
    if grouped.applies(kernel.shape, window):
        return grouped.input_gradient(g, kernel, window, sizes, input_gradient)
    return phases.input_gradient(g, kernel, window, sizes, canonical.forward_exchanged)


def kernel_gradient(x, g, window: Window, taps: Sizes):
    """The gradient with respect to the kernel (*taps, C/groups, F), given that of the output."""
    shape = (*taps, x.shape[-1] // window.groups, g.shape[-1])
    by_library = library.applies(x.dtype)
    if depthwise.applies(shape, window) and x.ndim == 4 and by_library:
        return onednn_gradient.depthwise_kernel_gradient(x, g, window, taps)
    if depthwise.applies(shape, window):
        return depthwise.kernel_gradient(x, g, window, taps)
    if grouped.applies(shape, window):
        return grouped.kernel_gradient(x, g, window, taps, kernel_gradient)
    if product.applies(taps, window):
        return product.kernel_gradient(x, g, window, taps)
    values = math.prod(taps) * x.shape[-1]
    if values <= min(COLUMNS, 2 * g.shape[-1]):
        return columns.kernel_gradient(x, g, window, taps)
    few = x.shape[-1] <= columns.CHANNELS and values <= FEW and len(taps) < 3
    if by_library and not few:
        return onednn_gradient.kernel_gradient(x, g, window, taps)
    return canonical.kernel_gradient(x, g, window, taps)
