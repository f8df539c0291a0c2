"""LeNet-5, the network that read the cheques."""

from dataclasses import dataclass

import jax.numpy as jnp

from fcnn.compose import Sequential, sequential
from fcnn.initializers import lecun_normal
from fcnn.layers import AvgPool, Conv, Dense
from fcnn.models import checks
from fcnn.ops import flatten


@dataclass(frozen=True)
class LeNetConfig:
    """LeNet-5: two 5x5 convolutions, average pooling, three dense layers, tanh throughout.

    Input (N, 28, 28, 1) with padding=2, or (N, 32, 32, 1) with padding=0. `pool` is the flattening
    step and `head` the three dense layers.

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
    recognition", Proc. IEEE 86, 1998. 61,706 parameters, by hand: 156 + 2,416 + 48,120 + 10,164 +
    850.
    Differences from the paper, all usual today: every map of the second convolution sees all maps
    of the first (the paper's connection table has 1,516 weights there), pooling has no trained
    coefficients, tanh is unscaled, and the output layer is dense instead of Gaussian (RBF) units.
    Kernels start from LeCun's normal distribution, which suits tanh.

    Raises ValueError for a value out of range.

    >>> from fcnn.models import LeNetConfig
    >>> LeNetConfig().build().names
    ('stage1', 'stage2', 'pool', 'head')
    """

    num_classes: int = 10
    widths: tuple[int, ...] = (6, 16)
    dense: tuple[int, ...] = (120, 84)
    padding: int = 2

    def __post_init__(self) -> None:
        checks.positive(self, "num_classes")
        checks.positives(self, "widths", "dense")
        checks.natural(self, "padding")

    def build(self) -> Sequential:
        """The network as one layer: stage1, …, pool, head."""
        paddings = (self.padding,) + (0,) * (len(self.widths) - 1)
        stages = {
            f"stage{i}": sequential(
                Conv(features, 5, padding=padding, kernel_init=lecun_normal), jnp.tanh, AvgPool(2)
            )
            for i, (features, padding) in enumerate(zip(self.widths, paddings, strict=True), 1)
        }
        hidden = [
            layer
            for features in self.dense
            for layer in (Dense(features, kernel_init=lecun_normal), jnp.tanh)
        ]
        head = sequential(*hidden, Dense(self.num_classes, kernel_init=lecun_normal))
        return sequential(**stages, pool=flatten, head=head)
