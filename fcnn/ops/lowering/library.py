"""oneDNN, the library of CPU kernels that jaxlib brings along on Linux x86-64: the calls to it.

XLA has custom calls to it, `__onednn$convolution` and `__onednn$matmul`, with the facts in their
backend config. jaxlib 0.12 can be told to make such calls itself and 0.10 cannot; both execute
them. They are PyTorch's kernels, and as fast inside `lax.scan` as outside. Only the forward pass of
a convolution can be called, so gradients are written as forward passes.
"""

import json
import platform
import sys
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxlib import version

from fcnn.ops.lowering.window import Window
from fcnn.ops.taps import Sizes

# Where the calls and the encoding of their configs were found to work; elsewhere XLA computes.
VERSIONS = ("0.10", "0.11", "0.12")
AVAILABLE = (
    sys.platform == "linux"
    and platform.machine() == "x86_64"
    and ".".join(version.__version__.split(".")[:2]) in VERSIONS
)


def applies(dtype: jnp.dtype) -> bool:
    """Whether there is oneDNN here, and for this dtype."""
    return AVAILABLE and dtype == jnp.float32


def convolution(
    x, axes: Sequence[int], kernel, kernel_axes: Sequence[int], shape: Sizes, window: Window
) -> jax.Array:
    """The convolution of x into `shape`, which has the axes of x.

    axes: of x, the images, the channels, the spatial ones; kernel_axes: of the kernel, the input
    channels, the features, the spatial ones.
    """
    places = {
        "data": {
            "batch_dim": str(axes[0]),
            "feature_dim": str(axes[1]),
            "spatial_dims": _strings(axes[2:]),
        }
    }
    config = {
        "dims": str(x.ndim),
        "feature_groups": str(window.groups),
        "input": places,
        "kernel": {
            "filter": {
                "input_feature_dim": str(kernel_axes[0]),
                "output_feature_dim": str(kernel_axes[1]),
                "spatial_dims": _strings(kernel_axes[2:]),
                "shape": _strings(kernel.shape),
            }
        },
        "output": places,
        "window": {
            "strides": _strings(window.stride),
            "pad_left": _strings(low for low, _ in window.pads),
            "pad_right": _strings(high for _, high in window.pads),
            "window_dilations": _strings(window.dilation),
        },
    }
    return _call("__onednn$convolution", {"onednn_conv_config": config}, shape, (x, kernel))


def product(a: jax.Array, b: jax.Array, *, transpose_a: bool = False) -> jax.Array:
    """a b, of two matrices, or a' b."""
    rows = a.shape[1] if transpose_a else a.shape[0]
    config = {"onednn_matmul_config": {"transpose_a": transpose_a}}
    return _call("__onednn$matmul", config, (rows, b.shape[1]), (a, b))


def _call(target: str, config: dict, shape: Sizes, arrays: Sequence[jax.Array]) -> jax.Array:
    call = jax.ffi.ffi_call(
        target,
        jax.ShapeDtypeStruct(shape, arrays[0].dtype),
        vmap_method="sequential",
        custom_call_api_version=2,
        legacy_backend_config=json.dumps(config),
    )
    return call(*arrays)


def _strings(values) -> list[str]:
    return [str(value) for value in values]
