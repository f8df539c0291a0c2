"""Flax (linen), with optax, jitted and donated as its own examples do."""

import flax.linen as nn
import jax

import fcnn
from train.bench.models import Subject
from train.bench.peers import Contender, jitted
from train.bench.peers.settings import each, padding, pooled


class Network(nn.Module):
    """A Flax module that does what an fcnn model describes."""

    model: fcnn.layer.Layer

    @nn.compact
    def __call__(self, x, train: bool):
        return walk(self.model, x, train)


def walk(layer, x, train: bool):
    """Apply the Flax layer that this fcnn layer describes."""
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
            features = x.shape[-1] * layer.multiplier if depthwise else layer.features
            return nn.Conv(
                features,
                each(layer.kernel_size, ndim),
                each(layer.stride, ndim),
                padding(layer.padding, ndim),
                kernel_dilation=each(layer.dilation, ndim),
                feature_group_count=x.shape[-1] if depthwise else layer.groups,
                use_bias=layer.bias,
            )(x)
        case fcnn.BatchNorm():
            return nn.BatchNorm(not train, momentum=layer.decay, epsilon=layer.eps)(x)
        case fcnn.LayerNorm():
            return nn.LayerNorm(epsilon=layer.eps)(x)
        case fcnn.MaxPool() | fcnn.AvgPool():
            window, stride = pooled(layer, ndim)
            pool = nn.max_pool if isinstance(layer, fcnn.MaxPool) else nn.avg_pool
            return pool(x, window, stride, padding(layer.padding, ndim))
        case fcnn.Dense():
            return nn.Dense(layer.features, use_bias=layer.bias)(x)
        case fcnn.Scale():
            return Scale(layer.initial)(x)
        case fcnn.Dropout() | fcnn.DropPath() if layer.rate == 0:
            return x
        case _ if callable(layer):
            return layer(x)
    raise TypeError(f"no Flax counterpart of {layer!r}")


class Scale(nn.Module):
    """A factor for each channel; Flax has none."""

    initial: float

    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", nn.initializers.constant(self.initial), (x.shape[-1],))


def contender(subject: Subject, images, labels) -> Contender:
    network = Network(subject.model)
    variables = jax.jit(lambda key: network.init(key, images, train=True))(jax.random.key(0))

    def apply(params, stats, images, train):
        variables = {"params": params, "batch_stats": stats}
        if not train:
            return network.apply(variables, images, train=False), stats
        logits, updated = network.apply(variables, images, train=True, mutable=["batch_stats"])
        return logits, updated.get("batch_stats", {})

    return jitted.contender(
        apply, variables["params"], variables.get("batch_stats", {}), images, labels
    )
