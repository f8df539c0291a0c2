"""The fully connected layer."""

import math
from dataclasses import KW_ONLY, dataclass

import jax

from fcnn import initializers, ops
from fcnn.initializers import Initializer
from fcnn.layer import Data, Input, Params, State, entry, spec
from fcnn.layers import fields
from fcnn.layers.conv import init_kernel


@dataclass(frozen=True, repr=False)
class Dense(Data):
    """Every input to every output: `fcnn.ops.dense` with parameters.

    Input (..., C), output (..., features). Params: kernel (C, features), He's initial values,
    and, if `bias`, bias (features,), zeros. PyTorch keeps the transpose of the kernel.

    Raises TypeError and ValueError for hyperparameters out of range, or x without an axis.

    >>> import jax
    >>> params, _ = Dense(10).init(jax.random.key(0), (1, 64))
    >>> params["kernel"].shape, params["bias"].shape
    ((64, 10), (10,))
    """

    features: int
    _: KW_ONLY
    bias: bool = True
    kernel_init: Initializer = initializers.he_normal

    def __post_init__(self):
        fields.positive(self, "features")

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        x = spec(x)
        if not x.shape:
            raise ValueError("Dense expects x of shape (..., C), but x is a scalar")
        return init_kernel(self, key, (x.shape[-1], self.features)), {}

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        kernel = entry(self, params, "kernel", (None, self.features))
        bias = entry(self, params, "bias", (self.features,)) if self.bias else None
        return ops.dense(x, kernel, bias), state

    def macs(self, params: Params, x: jax.ShapeDtypeStruct, y: jax.ShapeDtypeStruct) -> int:
        return math.prod(params["kernel"].shape) * math.prod(x.shape[:-1])
