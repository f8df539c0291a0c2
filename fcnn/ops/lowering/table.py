"""Which equivalent form computes each pass of a convolution on the CPU.

The choice depends on static facts only: the shapes, the stride, the dilation, the groups, the dtype
and the platform. Where oneDNN can be called (`library.applies`) it computes nearly everything; the
other forms are for what it cannot do, and for other CPUs, jaxlibs and dtypes.

Milliseconds, median of interleaved runs, float32, two x86-64 cores (Intel Xeon, AVX-512), jaxlib
0.10.2, PyTorch 2.13; `python -m train.bench layers` measures all of it again, on more layers.

    images, kernel                    pass              lax   fcnn   PyTorch   form
    128x28x28x32, 3x3, 32             forward            13    5.5       5.5   onednn
                                      input gradient     13    5.8       5.5   phases
                                      kernel gradient    63     13       5.2   onednn_gradient
    32x4x4x512, 3x3, 512              forward            10    8.8        11   columns
                                      input gradient     12    7.9        11   columns
                                      kernel gradient    11    9.0        12   onednn_gradient
    32x32x32x64, 3x3, 128, stride 2   forward           8.2    3.4       3.1   onednn
                                      input gradient    7.2    5.5       3.4   phases
                                      kernel gradient    16    6.9       4.2   onednn_gradient
    32x16x16x144, 3x3, depthwise      forward            26    0.5       0.3   onednn
                                      kernel gradient    28    3.0       0.3   onednn_gradient
    32x16x16x128, 3x3, 32 groups      forward            22    1.8       0.9   onednn
                                      kernel gradient  1936    5.1       1.1   grouped
    32x500x64, 9, depthwise           forward            22    0.7       0.6   depthwise
    4x8x32x32x16, 3x3x3, 32           forward            22    2.5       2.3   onednn
                                      kernel gradient    37    8.4       2.4   onednn_gradient
    32x32x32x64, 1x1, 64              kernel gradient    23    1.0       1.0   product
    32x32x32x3, 3x3, 64               input gradient    2.0    1.6       1.9   columns
                                      kernel gradient   3.6    1.3       0.6   columns
    16x8000x1, 80, 64, stride 4       input gradient    6.6    2.2        16   columns
                                      kernel gradient   3.4    2.0       2.0   onednn_gradient
    4x224x224x3, 7x7, 64, stride 2    kernel gradient    27    7.8       3.7   onednn_gradient

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
