"""Which equivalent form computes each pass of a convolution on the CPU.

The choice depends on static facts only: the shapes, the stride, the dilation, the groups.

Milliseconds, median of interleaved runs, float32, batch 32, on two x86-64 cores (AVX-512), jaxlib
0.10.2 with `fcnn.training.compiler_options` (0.12 behaves alike); `python -m train.bench layers`
measures every row again.

    form        images, kernel                forward      input gradient   kernel gradient
                                              lax   form   lax    form      lax    form
    product     32x32x64, 1x1, 384            25.1  24.7   14.7    9.8      33     13
                32x32x16, 1x1, 96              1.8   2.2    2.1    1.0       3.4    1.1
    depthwise   32x32x96, 3x3, stride 2       58     1.8  153      2.3      14      4.7
                8x8x64, 7x7                   27     0.4   18      0.6       6.4    1.4
    grouped     16x16x128, 3x3, 32 groups     29     6.0   24      6.0    3007      6.3
    columns     28x28x1, 3x3, 32               -     -      -      -         5.2    1.7
    canonical   32x32x64, 3x3, 128, stride 2   6.8   6.8   40     11         9.8   10.0

Inside `lax.scan` the gradients of `lax` are another 20 times slower; the forms are not.
"""

import math

from fcnn.ops.lowering import canonical, columns, depthwise, grouped, product
from fcnn.ops.lowering.window import Window
from fcnn.ops.taps import Sizes

# Windows of at most this many values are laid out as columns: 3x3 on one channel, 5 on three.
COLUMNS = 16


def forward(x, kernel, window: Window):
    """lax_conv(x, kernel, window)."""
    taps = kernel.shape[:-2]
    if depthwise.applies(kernel.shape, window):
        return depthwise.forward(x, kernel, window)
    if grouped.applies(kernel.shape, window):
        return grouped.forward(x, kernel, window, forward)
    if product.applies(taps, window):
        return product.forward(x, kernel, window)
    return canonical.forward(x, kernel, window)


def input_gradient(g, kernel, window: Window, sizes: Sizes):
    """The gradient with respect to x (N, *sizes, C), given that of the output."""
    taps = kernel.shape[:-2]
    if depthwise.applies(kernel.shape, window):
        return depthwise.input_gradient(g, kernel, window, sizes)
    if grouped.applies(kernel.shape, window):
        return grouped.input_gradient(g, kernel, window, sizes, input_gradient)
    if product.applies(taps, window):
        return product.input_gradient(g, kernel, window, sizes)
    return canonical.input_gradient(g, kernel, window, sizes)


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
    return canonical.kernel_gradient(x, g, window, taps)
