"""Equinox: one example at a time, channels first, vmapped over the batch, as its examples do."""

from importlib import import_module

import jax
import jax.numpy as jnp

import fcnn
from train.bench.models import Subject
from train.bench.peers import Contender, jitted, shapes
from train.bench.peers.settings import each, padding, pooled

eqx = import_module("equinox")
KEY = jax.random.key(0)


class Residual(eqx.nn.StatefulLayer):
    """body(x) + shortcut(x), then the activation."""

    body: eqx.Module
    shortcut: eqx.Module
    activation: eqx.nn.Lambda

    def __call__(self, x, state, *, key=None):
        body, state = self.body(x, state)
        shortcut, state = self.shortcut(x, state)
        return self.activation(body + shortcut), state


class Scale(eqx.Module):
    """A factor for each channel; Equinox has none."""

    scale: jax.Array

    def __call__(self, x, *, key=None):
        return x * self.scale.reshape(-1, *[1] * (x.ndim - 1))


class Pixels(eqx.Module):
    """A layer for one vector, applied to the channels of every pixel."""

    layer: eqx.Module

    def __call__(self, x, *, key=None):
        rows = x.reshape(x.shape[0], -1)
        rows = jax.vmap(self.layer, in_axes=1, out_axes=1)(rows)
        return rows.reshape(-1, *x.shape[1:])


def translated(layer, shape: tuple[int, ...]):
    """The module for a layer, and the shape (N, *S, C) that comes out of it."""
    if isinstance(layer, fcnn.compose.Sequential):
        modules = []
        for _, child in layer.children():
            built, shape = translated(child, shape)
            modules.append(built)
        return eqx.nn.Sequential(modules), shape
    if isinstance(layer, fcnn.compose.Residual):
        body, after = translated(layer.body, shape)
        shortcut, _ = translated(sequence(layer.shortcut), shape)
        return Residual(body, shortcut, eqx.nn.Lambda(layer.activation)), after
    return module(layer, len(shape) - 2, shape[-1]), shapes.after(layer, shape)


def sequence(layer):
    return layer if isinstance(layer, fcnn.compose.Sequential) else fcnn.sequential(layer)


def module(layer, ndim: int, channels: int):
    """The module that does what this layer without children describes."""
    match layer:
        case fcnn.Conv() | fcnn.DepthwiseConv():
            depthwise = isinstance(layer, fcnn.DepthwiseConv)
            return eqx.nn.Conv(
                ndim,
                channels,
                channels * layer.multiplier if depthwise else layer.features,
                each(layer.kernel_size, ndim),
                each(layer.stride, ndim),
                padding(layer.padding, ndim),
                each(layer.dilation, ndim),
                channels if depthwise else layer.groups,
                layer.bias,
                key=KEY,
            )
        case fcnn.BatchNorm():
            return eqx.nn.BatchNorm(
                channels, "batch", layer.eps, momentum=layer.decay, mode="batch"
            )
        case fcnn.LayerNorm():
            norm = eqx.nn.LayerNorm(channels, layer.eps)
            return norm if ndim < 1 else Pixels(norm)
        case fcnn.MaxPool():
            window, stride = pooled(layer, ndim)
            pads = 0 if layer.padding == "VALID" else layer.padding
            return eqx.nn.Pool(-jnp.inf, jax.lax.max, ndim, window, stride, pads)
        case fcnn.Dense():
            dense = eqx.nn.Linear(channels, layer.features, layer.bias, key=KEY)
            return dense if ndim < 1 else Pixels(dense)
        case fcnn.Scale():
            return Scale(jnp.full(channels, layer.initial))
        case fcnn.Dropout() | fcnn.DropPath() if layer.rate == 0:
            return eqx.nn.Identity()
        case _ if layer is fcnn.flatten:
            return eqx.nn.Lambda(jnp.ravel)
        case _ if layer is fcnn.global_avg_pool:
            return eqx.nn.Lambda(lambda x: x.mean(range(1, x.ndim)))
        case _ if callable(layer):
            return eqx.nn.Lambda(layer)
    raise TypeError(f"no Equinox counterpart of {layer!r}")


def contender(subject: Subject, images, labels) -> Contender:
    network, stats = eqx.nn.make_with_state(lambda: translated(subject.model, subject.shape)[0])()
    params, static = eqx.partition(network, eqx.is_inexact_array)

    def apply(params, stats, images, train):
        network = eqx.nn.inference_mode(eqx.combine(params, static), value=not train)
        over_batch = jax.vmap(
            lambda x, stats: network(x, stats),
            in_axes=(0, None),
            out_axes=(0, None),
            axis_name="batch",
        )
        return over_batch(images, stats)

    first = jnp.moveaxis(jnp.asarray(images), -1, 1)
    return jitted.contender(apply, params, stats, first, labels)
