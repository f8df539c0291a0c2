"""Keras on JAX: a compiled model and `train_on_batch`."""

import os
from importlib import import_module

os.environ["KERAS_BACKEND"] = "jax"  # read when keras is imported

import fcnn
from train.bench.models import Subject
from train.bench.peers import LEARNING_RATE, Contender
from train.bench.peers.settings import each

keras = import_module("keras")
layers = keras.layers


@keras.saving.register_keras_serializable("train.bench")
class Scale(layers.Layer):
    """A factor for each channel; Keras has none."""

    def __init__(self, initial: float):
        super().__init__()
        self.initial = initial

    def build(self, input_shape):
        constant = keras.initializers.Constant(self.initial)
        self.scale = self.add_weight(shape=input_shape[-1:], initializer=constant)

    def call(self, inputs):
        return inputs * self.scale


def walk(layer, x):
    """The Keras tensor that this fcnn layer makes of x."""
    ndim = len(x.shape) - 2
    match layer:
        case fcnn.compose.Sequential():
            for _, child in layer.children():
                x = walk(child, x)
            return x
        case fcnn.compose.Residual():
            return walk(
                layer.activation, layers.add([walk(layer.body, x), walk(layer.shortcut, x)])
            )
        case fcnn.Conv() | fcnn.DepthwiseConv():
            if isinstance(layer.padding, str):
                pads = layer.padding.lower()
            else:  # Keras knows names alone
                x, pads = zeros(x, layer.padding, ndim), "valid"
            facts = {"strides": layer.stride, "padding": pads, "use_bias": layer.bias}
            size = each(layer.kernel_size, ndim)
            if isinstance(layer, fcnn.DepthwiseConv):
                kind = {1: layers.DepthwiseConv1D, 2: layers.DepthwiseConv2D}[ndim]
                return kind(size, depth_multiplier=layer.multiplier, **facts)(x)
            kind = {1: layers.Conv1D, 2: layers.Conv2D}[ndim]
            return kind(
                layer.features, size, dilation_rate=layer.dilation, groups=layer.groups, **facts
            )(x)
        case fcnn.BatchNorm():
            return layers.BatchNormalization(momentum=layer.decay, epsilon=layer.eps)(x)
        case fcnn.LayerNorm():
            return layers.LayerNormalization(epsilon=layer.eps)(x)
        case fcnn.MaxPool():
            if isinstance(layer.padding, int) and layer.padding:
                x = zeros(x, layer.padding, ndim)  # behind a rectifier zeros are as good as -inf
            kind = {1: layers.MaxPooling1D, 2: layers.MaxPooling2D}[ndim]
            return kind(layer.window, layer.stride)(x)
        case fcnn.Dense():
            return layers.Dense(layer.features, use_bias=layer.bias)(x)
        case fcnn.Scale():
            return Scale(layer.initial)(x)
        case fcnn.Dropout() | fcnn.DropPath() if layer.rate == 0:
            return x
        case _ if layer is fcnn.flatten:
            return layers.Flatten()(x)
        case _ if layer is fcnn.global_avg_pool:
            kind = {1: layers.GlobalAveragePooling1D, 2: layers.GlobalAveragePooling2D}[ndim]
            return kind()(x)
        case _ if layer is fcnn.identity:
            return x
        case _ if callable(layer):
            return layers.Activation(layer)(x)
    raise TypeError(f"no Keras counterpart of {layer!r}")


def zeros(x, padding: int, ndim: int):
    if not padding:
        return x
    return {1: layers.ZeroPadding1D, 2: layers.ZeroPadding2D}[ndim](padding)(x)


def contender(subject: Subject, images, labels) -> Contender:
    given = keras.Input(subject.shape[1:], batch_size=subject.shape[0])
    network = keras.Model(given, walk(subject.model, given))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(LEARNING_RATE), loss)
    parameters = sum(v.value.size for v in network.trainable_variables)

    def step() -> float:
        return float(network.train_on_batch(images, labels))

    return Contender(lambda: network.predict_on_batch(images), step, parameters)
