"""The operations against ONNX's own conformance cases, where installed (`make conformance`).

The `onnx` package carries two collections: a module of cases for each operator, computed by its
authors in NumPy, and models with inputs and outputs that were recorded from PyTorch. Every case
of an operator in TABLE is run; an attribute that its function there does not take is an error.

Not compared: the positions of the maxima (fcnn returns none) and the masks of a random dropout
(another generator: its values are compared where both keep them, and the fraction kept). Integer
images are refused. Operators that no function of fcnn or jax.nn computes are out of scope.
"""

import functools
import importlib
import math
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn import GroupNorm, geometry, ops

onnx = pytest.importorskip("onnx")
node_cases = importlib.import_module("onnx.backend.test.case.node")

# float32 sums of up to 650 products in another order than theirs, functions to a few units in the
# last place (1.2e-7): 1e-5 of a value, or of the largest one where terms cancel.
RTOL = 1e-5
# 16-bit values are rounded once by each side: two units in the last place.
UNITS = 2
NO_COUNTERPART = None
# The inputs and the expected values of these cases were printed to so many decimals.
DECIMALS = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 4}


class Case(NamedTuple):
    name: str
    attributes: dict
    inputs: list  # an optional input that is left out is None
    outputs: list


def generated(module, op):
    """The cases of one operator's module, which importing it computes.

    "_expanded" ones have the same arrays, and spell the operator in terms of others.
    """
    importlib.import_module(f"onnx.backend.test.case.node.{module}")
    for case in node_cases._NodeTestCases:
        nodes = case.model.graph.node
        if "_expanded" in case.name or len(nodes) != 1 or nodes[0].op_type != op:
            continue
        for inputs, outputs in case.data_sets:
            yield as_case(case.name, case.model, inputs, outputs)


@functools.cache
def recorded_models():
    """Folder and model of each recorded case that is a single operator."""
    data = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
    found = []
    for path in sorted(data.glob("*/test_*/model.onnx")):
        if path.parts[-3] in ("pytorch-converted", "pytorch-operator", "simple", "node"):
            model = onnx.load(path)
            if len(model.graph.node) == 1:
                found.append((path.parent, model))
    return found


def recorded(op):
    for folder, model in recorded_models():
        if model.graph.node[0].op_type != op:
            continue
        for data in sorted(folder.glob("test_data_set_*")):
            weights = [onnx.numpy_helper.to_array(w) for w in model.graph.initializer]
            outputs = [tensor(data / f"output_{n}.pb") for n in range(len(model.graph.output))]
            fed = len(list(data.glob("input_*.pb")))
            inputs = [tensor(data / f"input_{n}.pb") for n in range(fed)]
            yield as_case(folder.name, model, [*inputs, *weights], outputs)


def tensor(path):
    return onnx.numpy_helper.to_array(onnx.load_tensor(path))


def as_case(name, model, inputs, outputs):
    (node,) = model.graph.node
    present = iter(inputs)
    return Case(
        name,
        {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
        [None if name == "" else np.asarray(next(present)) for name in node.input],
        [np.asarray(output) for output in outputs],
    )


def last(x):
    return np.moveaxis(x, 1, -1)


def first(x):
    return np.moveaxis(x, -1, 1)


def kernel_last(w, groups, transposed):
    """(F, C/groups, *K) or, transposed, (C, F/groups, *K) as (*K, C/groups, F)."""
    if transposed:
        w = w.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)
        w = w.reshape(-1, *w.shape[2:])
    return np.moveaxis(w, (0, 1), (-1, -2))


def compiled(function, *arrays, **options):
    return np.asarray(jax.jit(functools.partial(function, **options))(*arrays))


def spread(value, ndim):
    return (1,) * ndim if value is None else tuple(value)


def pads_of(auto_pad, pads, sizes, window, stride, dilation):
    """Our padding for theirs: all lows, then all highs; SAME_LOWER has its larger half in front."""
    if auto_pad == b"SAME_UPPER":
        return "SAME"
    if auto_pad == b"VALID":
        return "VALID"
    if auto_pad == b"SAME_LOWER":
        facts = zip(sizes, window, stride, dilation, strict=True)
        return tuple(geometry.same_padding(*fact)[::-1] for fact in facts)
    assert auto_pad == b"NOTSET"
    ndim = len(sizes)
    return tuple(zip(pads[:ndim], pads[ndim:], strict=True)) if pads else 0


def conv(
    x, w, bias=None, *, method,
    kernel_shape=None, strides=None, pads=None, dilations=None, group=1, auto_pad=b"NOTSET",
):  # fmt: skip
    x, window = last(x), w.shape[2:]
    assert kernel_shape is None or tuple(kernel_shape) == window
    stride, dilation = spread(strides, len(window)), spread(dilations, len(window))
    y = compiled(
        ops.conv,
        x,
        kernel_last(w, group, transposed=False),
        bias,
        stride=stride,
        padding=pads_of(auto_pad, pads, x.shape[1:-1], window, stride, dilation),
        dilation=dilation,
        groups=group,
        method=method,
    )
    return [first(y)]


def conv_transpose(
    x, w, bias=None, *, method,
    kernel_shape=None, strides=None, pads=None, dilations=None, group=1, auto_pad=b"NOTSET",
    output_padding=None, output_shape=None,
):  # fmt: skip
    x, window = last(x), w.shape[2:]
    ndim = len(window)
    assert kernel_shape is None or tuple(kernel_shape) == window
    stride, dilation = spread(strides, ndim), spread(dilations, ndim)
    extra = [0] * ndim if output_padding is None else list(output_padding)
    padding = pads_of(auto_pad, pads, x.shape[1:-1], window, stride, dilation)
    if output_shape is not None:
        # The shape says how much is cut in all; what it asks for beyond the full size is extra.
        full = [
            geometry.transposed_size(i, k, s, 0, d, e)
            for i, k, s, d, e in zip(x.shape[1:-1], window, stride, dilation, extra, strict=True)
        ]
        cut = [size - wanted for size, wanted in zip(full, output_shape, strict=True)]
        extra = [e - min(c, 0) for e, c in zip(extra, cut, strict=True)]
        halves = [(max(c, 0) // 2, max(c, 0) - max(c, 0) // 2) for c in cut]
        padding = tuple(halves if auto_pad == b"SAME_UPPER" else [h[::-1] for h in halves])
    y = compiled(
        ops.conv_transpose,
        x,
        kernel_last(w, group, transposed=True),
        bias,
        stride=stride,
        padding=padding,
        output_padding=tuple(extra),
        dilation=dilation,
        groups=group,
        method=method,
    )
    return [first(y)]


def ceiling(padding, sizes, window, stride, dilation):
    """ceil_mode: the padding behind that the last, incomplete window needs. None starts there."""
    if padding == "SAME":
        facts = zip(sizes, window, stride, dilation, strict=True)
        padding = tuple(geometry.same_padding(*fact) for fact in facts)
    pads = ((0, 0),) * len(sizes) if padding in (0, "VALID") else padding
    extra = []
    for i, (low, high), k, s, d in zip(sizes, pads, window, stride, dilation, strict=True):
        size, reach = i + low + high, geometry.effective_size(k, d)
        steps = -(-(size - reach) // s)
        if steps * s >= low + i:
            steps -= 1
        extra.append(max(steps * s + reach - size, 0))
    return pads, extra


def pool(
    function, x, *, kernel_shape,
    strides=None, pads=None, dilations=None, auto_pad=b"NOTSET", ceil_mode=0,
    count_include_pad=None, storage_order=0,
):  # fmt: skip
    x, window, ndim = last(x), tuple(kernel_shape), len(kernel_shape)
    stride, dilation = spread(strides, ndim), spread(dilations, ndim)
    padding = pads_of(auto_pad, pads, x.shape[1:-1], window, stride, dilation)
    counted = {} if count_include_pad is None else {"count_padding": bool(count_include_pad)}
    if ceil_mode:
        own, extra = ceiling(padding, x.shape[1:-1], window, stride, dilation)
        if count_include_pad:
            # Counted padding is the image's own zeros, ceil_mode's is not: see `ops.avg_pool`.
            x = np.pad(x, ((0, 0), *own, (0, 0)))
            own, counted = ((0, 0),) * ndim, {}
        padding = tuple((low, high + e) for (low, high), e in zip(own, extra, strict=True))
    options = {"window": window, "stride": stride, "padding": padding, "dilation": dilation}
    return first(compiled(function, x, **options, **counted))


def max_pool(x, **attributes):
    return [pool(ops.max_pool, x, **attributes), NO_COUNTERPART]


def avg_pool(x, **attributes):
    return [pool(ops.avg_pool, x, **attributes)]


def lp_pool(x, *, kernel_shape, p=2, **attributes):
    """(sum of |x|^p over the window)^(1/p), by way of the mean."""
    mean = pool(
        ops.avg_pool, np.abs(x) ** p, kernel_shape=kernel_shape, count_include_pad=1, **attributes
    )
    return [(mean * math.prod(kernel_shape)) ** (1 / p)]


def global_pool(function, x):
    y = function(last(x))
    return [y.reshape(*y.shape, *(1,) * (x.ndim - 2))]


def batch_norm(
    x, scale, bias, mean, var, *,
    epsilon=1e-5, momentum=0.9, training_mode=0, is_test=1,
):  # fmt: skip
    x = last(x)
    assert is_test or training_mode
    if not training_mode:
        return [first(ops.normalize(x, mean, var, scale, bias, epsilon))]
    batch_mean, batch_var = ops.moments(x, range(x.ndim - 1))
    y = ops.normalize(x, batch_mean, batch_var, scale, bias, epsilon)
    moved = [
        momentum * old + (1 - momentum) * batch
        for old, batch in ((mean, batch_mean), (var, batch_var))
    ]
    return [first(y), *moved]


def layer_norm(x, scale, bias=None, *, axis=-1, epsilon=1e-5):
    mean, var = ops.moments(x, range(axis % x.ndim, x.ndim), keepdims=True)
    return [ops.normalize(x, mean, var, scale, bias, epsilon), mean, (var + epsilon) ** -0.5]


def group_norm(x, scale, bias, *, num_groups, epsilon=1e-5):
    layer = GroupNorm(num_groups, eps=epsilon)
    y, _ = layer.apply({"scale": scale, "bias": bias}, {}, last(x), train=True)
    return [first(y)]


def instance_norm(x, scale, bias, *, epsilon=1e-5):
    return group_norm(x, scale, bias, num_groups=x.shape[1], epsilon=epsilon)


def gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0, broadcast=1):  # noqa: N803
    x, kernel = a.T if transA else a, alpha * (b.T if transB else b)
    if c is None or c.ndim < 2 or len(c) == 1:
        bias = None if c is None else np.broadcast_to(beta * c, (1, kernel.shape[1]))[0]
        return [ops.dense(x, kernel, bias)]
    return [ops.dense(x, kernel) + beta * c]  # a bias is one row; this one is a whole matrix


def flatten(x, *, axis=1):
    axis = axis if axis >= 0 else axis + x.ndim
    return [ops.flatten(x.reshape(math.prod(x.shape[:axis]), *x.shape[axis:]))]


def dropout(x, ratio=None, training_mode=False, *, seed=0, **before_opset_12):
    rate = dropout_rate(ratio, training_mode, **before_opset_12)
    assert rate == 0, "random: see test_random_dropout"
    return [ops.dropout(jax.random.key(seed), x, rate), np.ones(x.shape, bool)]


def dropout_rate(ratio=None, training_mode=False, **before_opset_12):
    """The fraction dropped, none outside training; up to opset 11 an attribute gave the ratio."""
    assert before_opset_12.keys() <= {"ratio"}
    return (0.5 if ratio is None else float(ratio)) if training_mode else 0.0


def prelu(x, slope):
    if slope.ndim == 1 and len(slope) not in (1, x.shape[-1]):
        slope = slope.reshape(-1, *(1,) * (x.ndim - 2))  # up to opset 6: one for each channel
    return [jax.nn.leaky_relu(x, np.broadcast_to(slope, x.shape))]


def gelu(x, *, approximate=b"none"):
    return [jax.nn.gelu(x, approximate=approximate == b"tanh")]


def activation(function):
    return lambda x, **attributes: [function(x, **attributes)]


def selu(x, alpha=1.6732632423543772, gamma=1.0507009873554805):
    return gamma * jax.nn.elu(x, alpha)


def hard_sigmoid(x, alpha=0.2, beta=0.5):
    return jax.nn.hard_sigmoid(6 * (alpha * x + beta) - 3)  # jax.nn's is relu6(x + 3) / 6


def swish(x, alpha=1.0):
    return jax.nn.silu(alpha * x) / alpha


class Row(NamedTuple):
    """What computes an operator, and the module with its cases."""

    function: Callable[..., list]
    module: str
    generated: int  # cases of the module in onnx 1.23, at least
    recorded: int = 0  # recorded ones, at least
    ways: tuple[dict, ...] = ({},)  # every case is computed with each of these options


METHODS = ({"method": "auto"}, {"method": "lax"})
TABLE = {
    "Conv": Row(conv, "conv", 6, 27, METHODS),
    "ConvTranspose": Row(conv_transpose, "convtranspose", 11, 3, METHODS),
    "MaxPool": Row(max_pool, "maxpool", 19, 9),
    "AveragePool": Row(avg_pool, "averagepool", 20, 5),
    "LpPool": Row(lp_pool, "lppool", 8),
    "GlobalAveragePool": Row(functools.partial(global_pool, ops.global_avg_pool),
                             "globalaveragepool", 2),
    "GlobalMaxPool": Row(functools.partial(global_pool, ops.global_max_pool), "globalmaxpool", 2),
    "BatchNormalization": Row(batch_norm, "batch_normalization", 4, 5),
    "LayerNormalization": Row(layer_norm, "layernormalization", 19),
    "GroupNormalization": Row(group_norm, "groupnormalization", 2),
    "InstanceNormalization": Row(instance_norm, "instance_normalization", 2, 1),
    "Gemm": Row(gemm, "gemm", 11, 1),
    "Flatten": Row(flatten, "flatten", 9, 2),
    "Dropout": Row(dropout, "dropout", 12),
    "Relu": Row(activation(jax.nn.relu), "relu", 1, 2),
    "LeakyRelu": Row(activation(lambda x, alpha=0.01: jax.nn.leaky_relu(x, alpha)),
                     "leakyrelu", 3, 2),
    "PRelu": Row(prelu, "prelu", 2, 6),
    "ThresholdedRelu": Row(activation(lambda x, alpha=1.0: jnp.where(x > alpha, x, 0.0)),
                           "thresholdedrelu", 3),
    "Elu": Row(activation(lambda x, alpha=1.0: jax.nn.elu(x, alpha)), "elu", 3, 1),
    "Selu": Row(activation(selu), "selu", 3, 2),
    "Celu": Row(activation(lambda x, alpha=1.0: jax.nn.celu(x, alpha)), "celu", 3),
    "Gelu": Row(gelu, "gelu", 4),
    "Mish": Row(activation(jax.nn.mish), "mish", 1),
    "Swish": Row(activation(swish), "swish", 1),
    "HardSigmoid": Row(activation(hard_sigmoid), "hardsigmoid", 3),
    "HardSwish": Row(activation(jax.nn.hard_swish), "hardswish", 1),
    "Sigmoid": Row(activation(jax.nn.sigmoid), "sigmoid", 2, 1),
    "Tanh": Row(activation(jnp.tanh), "tanh", 2, 1),
    "Softplus": Row(activation(jax.nn.softplus), "softplus", 2, 1),
    "Softsign": Row(activation(jax.nn.soft_sign), "softsign", 2),
    "Softmax": Row(activation(lambda x, axis=-1: jax.nn.softmax(x, axis)), "softmax", 7, 3),
    "LogSoftmax": Row(activation(lambda x, axis=-1: jax.nn.log_softmax(x, axis)),
                      "logsoftmax", 7, 3),
}  # fmt: skip


def is_random(op, case):
    return op == "Dropout" and dropout_rate(*case.inputs[1:]) > 0


def assert_close(ours, theirs, decimals=None):
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    rtol = max(RTOL, UNITS * float(jnp.finfo(theirs.dtype).eps)) if ours.dtype != bool else 0
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    atol = rtol * np.abs(theirs).max() if decimals is None else 10.0**-decimals
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


@pytest.mark.parametrize("op", TABLE)
def test_operator(op, subtests):
    row = TABLE[op]
    cases = {"generated": list(generated(row.module, op)), "recorded": list(recorded(op))}
    assert len(cases["generated"]) >= row.generated
    assert len(cases["recorded"]) >= row.recorded
    for case in [*cases["generated"], *cases["recorded"]]:
        if is_random(op, case):
            continue
        for way in row.ways:
            with subtests.test(case=case.name, **way):
                compute = functools.partial(row.function, *case.inputs, **case.attributes, **way)
                if np.issubdtype(case.inputs[0].dtype, np.integer):
                    with pytest.raises(TypeError, match="expects floating-point x"):
                        compute()
                    continue
                outputs = compute()
                assert len(outputs) >= len(case.outputs)
                for ours, theirs in zip(outputs, case.outputs, strict=False):
                    if ours is not NO_COUNTERPART:
                        assert_close(ours, theirs, DECIMALS.get(case.name))


def test_random_dropout(subtests):
    """What both keep is equal, and of 6,000 values the fraction kept is right to 5 deviations."""
    cases = [case for case in generated("dropout", "Dropout") if is_random("Dropout", case)]
    assert len(cases) >= 4
    for case in cases:
        with subtests.test(case=case.name):
            x, rate = case.inputs[0], dropout_rate(*case.inputs[1:])
            keys = jax.random.split(jax.random.key(0), 100)
            drop = functools.partial(ops.dropout, x=x, rate=rate)
            ours = np.asarray(jax.vmap(drop)(keys))
            theirs = np.broadcast_to(case.outputs[0], ours.shape)
            both = (ours != 0) & (theirs != 0)
            np.testing.assert_allclose(ours[both], theirs[both], rtol=RTOL)
            deviation = math.sqrt(rate * (1 - rate) / ours.size)
            assert abs((ours != 0).mean() - (1 - rate)) < 5 * deviation
