"""Single convolutions, each pass by itself: fcnn against lax and, where installed, PyTorch."""

import functools
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fcnn import ops
from fcnn.training import compiler_options
from train.bench.configurations import Layer
from train.bench.timing import interleaved

PASSES = ("forward", "input gradient", "kernel gradient")


def measure(layer: Layer, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds by pass and contender. lax is compiled as JAX does, fcnn with its options.

    Raises AssertionError where the two disagree: a wrong answer has no speed.
    """
    rng = np.random.default_rng(0)
    x, kernel = (rng.normal(size=shape).astype(np.float32) for shape in (layer.x, layer.kernel))
    ours = _jax_passes(layer, "auto", compiler_options(), x, kernel)
    laxs = _jax_passes(layer, "lax", {}, x, kernel)
    for name in PASSES:
        _agree(f"{layer.name} {name}", ours[name](), laxs[name](), layer.dtype)
    contenders = {"fcnn": ours, "lax": laxs}
    if find_spec("torch"):
        contenders["torch"] = _torch_passes(layer, x, kernel)
    return {
        name: interleaved({who: passes[name] for who, passes in contenders.items()}, rounds)
        for name in PASSES
    }


def _agree(what: str, ours, theirs, dtype: str) -> None:
    ours, theirs = np.asarray(ours, np.float32), np.asarray(theirs, np.float32)
    # Sums of up to 10^5 products, added in another order and for bfloat16 also rounded to 8 bits.
    tolerance = 2e-2 if dtype == "bfloat16" else 1e-4
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert error < tolerance, f"{what}: fcnn and lax differ by {error:.1e}"


def _jax_passes(
    layer: Layer, method: Any, options: dict[str, str], x, kernel
) -> dict[str, Callable[[], Any]]:
    operation = ops.conv_transpose if layer.transposed else ops.conv
    run = functools.partial(
        operation,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        method=method,
    )
    x, kernel = jnp.asarray(x, layer.dtype), jnp.asarray(kernel, layer.dtype)
    g = jnp.ones(jax.eval_shape(run, x, kernel).shape, x.dtype)

    def done(function: Callable, *args) -> Callable:
        jitted = jax.jit(function, compiler_options=options)
        return lambda: jitted(*args).block_until_ready()

    def input_gradient(x, kernel, g):
        return jax.vjp(lambda x: run(x, kernel), x)[1](g)[0]

    def kernel_gradient(x, kernel, g):
        return jax.vjp(lambda kernel: run(x, kernel), kernel)[1](g)[0]

    return {
        "forward": done(run, x, kernel),
        "input gradient": done(input_gradient, x, kernel, g),
        "kernel gradient": done(kernel_gradient, x, kernel, g),
    }


def _torch_passes(layer: Layer, x, kernel) -> dict[str, Callable[[], Any]]:
    """PyTorch's kernels in its own fast memory order for images, channels last."""
    torch = import_module("torch")
    ndim = x.ndim - 2
    order = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d}[ndim]
    kind = getattr(torch, layer.dtype)
    image = torch.tensor(x).movedim(-1, 1).to(kind).contiguous(memory_format=order)
    weight = torch.tensor(kernel).movedim(-1, 0).movedim(-1, 1)  # (F, C/groups, *K)
    if layer.transposed:  # (C, F/groups, *K)
        weight = weight.transpose(0, 1)
    weight = weight.to(kind).contiguous(memory_format=order)
    each = [[v] * ndim for v in (layer.stride, layer.padding, layer.dilation)]
    settings = (*each, layer.transposed, [0] * ndim, layer.groups)
    g = torch.ones_like(torch.ops.aten.convolution(image, weight, None, *settings))

    def backward(mask):
        return torch.ops.aten.convolution_backward(g, image, weight, None, *settings, mask)

    return {
        "forward": lambda: torch.ops.aten.convolution(image, weight, None, *settings),
        "input gradient": lambda: backward([True, False, False]),
        "kernel gradient": lambda: backward([False, True, False]),
    }
