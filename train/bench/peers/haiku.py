"""Haiku, with optax, jitted and donated as its own examples do."""

from importlib import import_module

import jax
import jax.numpy as jnp

import fcnn
from train.bench.models import Subject
from train.bench.peers import Contender, jitted
from train.bench.peers.settings import each, padding, pooled

hk = import_module("haiku")


def walk(layer, x, train: bool):
    """Apply the Haiku module that this fcnn layer describes."""
    ndim = x.ndim - 2
    match layer:
        case fcnn.compose.Sequential():
            for _, child in layer.children():
                x = walk(child, x, train)
            return x
        case fcnn.compose.Residual():
            return layer.activation(walk(layer.body, x, train) + walk(layer.shortcut, x, train))
        case fcnn.Conv() | fcnn.DepthwiseConv():
            depthwise = isinstance(layer, fcnn.DepthwiseConv)
            return hk.ConvND(
                ndim,
                x.shape[-1] * layer.multiplier if depthwise else layer.features,
                each(layer.kernel_size, ndim),
                each(layer.stride, ndim),
                each(layer.dilation, ndim),
                padding=padding(layer.padding, ndim),
                feature_group_count=x.shape[-1] if depthwise else layer.groups,
                with_bias=layer.bias,
            )(x)
        case fcnn.BatchNorm():
            return hk.BatchNorm(True, True, layer.decay, layer.eps)(x, is_training=train)
        case fcnn.LayerNorm():
            return hk.LayerNorm(-1, True, True, layer.eps)(x)
        case fcnn.MaxPool():
            window, stride = pooled(layer, ndim)
            pads = padding(layer.padding, ndim)
            if not isinstance(pads, str):  # hk.max_pool knows names alone
                pads = [(0, 0), *pads, (0, 0)]
            window, stride = (1, *window, 1), (1, *stride, 1)
            return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, stride, pads)
        case fcnn.Dense():
            return hk.Linear(layer.features, with_bias=layer.bias)(x)
        case fcnn.Scale():
            constant = hk.initializers.Constant(layer.initial)
            return x * hk.get_parameter("scale", x.shape[-1:], init=constant)
        case fcnn.Dropout() | fcnn.DropPath() if layer.rate == 0:
            return x
        case _ if callable(layer):
            return layer(x)
    raise TypeError(f"no Haiku counterpart of {layer!r}")


def contender(subject: Subject, images, labels) -> Contender:
    network = hk.without_apply_rng(
        hk.transform_with_state(lambda x, train: walk(subject.model, x, train))
    )
    params, stats = jax.jit(lambda key: network.init(key, images, True))(jax.random.key(0))
    return jitted.contender(network.apply, params, stats, images, labels)
