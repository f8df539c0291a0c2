"""Dropout layers: random in training, the identity in evaluation."""

from dataclasses import dataclass

import jax

from fcnn import ops
from fcnn.layer import Data, Input, Params, State, random_key
from fcnn.layers import fields


@dataclass(frozen=True, repr=False)
class Dropout(Data):
    """Drop single values in training: `fcnn.ops.dropout`. `rate` is the fraction DROPPED.

    Input and output (..., C); no params. `apply(..., train=True)` needs `key`.

    Raises ValueError for a rate outside [0, 1) or NaN, or when the key is missing.

    >>> import jax, jax.numpy as jnp
    >>> Dropout(0.5).apply({}, {}, jnp.ones(3), train=False)[0].tolist()
    [1.0, 1.0, 1.0]
    """

    rate: float

    def __post_init__(self):
        fields.within(self, "rate", 0, 1)

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        return {}, {}

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        if not train or self.rate == 0:
            return x, state
        return self._drop(random_key(self, key), x), state

    def _drop(self, key, x):
        return ops.dropout(key, x, self.rate)


@dataclass(frozen=True, repr=False)
class SpatialDropout(Dropout):
    """Drop whole feature maps in training: `fcnn.ops.spatial_dropout`; otherwise as `Dropout`.

    Input and output (N, *S, C).

    >>> SpatialDropout(0.2)
    SpatialDropout(rate=0.2)
    """

    def _drop(self, key, x):
        return ops.spatial_dropout(key, x, self.rate)


@dataclass(frozen=True, repr=False)
class DropPath(Dropout):
    """Drop whole examples in training: `fcnn.ops.drop_path`, for the end of a residual branch.

    Input and output (N, ...); otherwise as `Dropout`.

    >>> DropPath(0.1)
    DropPath(rate=0.1)
    """

    def _drop(self, key, x):
        return ops.drop_path(key, x, self.rate)
