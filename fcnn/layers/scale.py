"""A learned factor for each channel."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from fcnn.layer import Data, Input, Params, State, entry, spec
from fcnn.layers import fields
from fcnn.ops import checks


@dataclass(frozen=True, repr=False)
class Scale(Data):
    """Multiply each channel by its own parameter: LayerScale, where `initial` is small.

    Input and output (..., C). Params: scale (C,), which starts at `initial`.

    Raises TypeError for integer x, ValueError for x without a channel axis.
    Source: Touvron et al., "Going deeper with image transformers", arXiv:2103.17239.

    >>> import jax
    >>> Scale(1e-6).init(jax.random.key(0), (1, 8, 8, 2))[0]["scale"].tolist()
    [9.999999974752427e-07, 9.999999974752427e-07]
    """

    initial: float = 1.0

    def __post_init__(self):
        fields.within(self, "initial", float("-inf"), float("inf"))

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        x = spec(x)
        if not x.shape:
            raise ValueError("Scale expects x of shape (..., C), but x is a scalar")
        return {"scale": jnp.full(x.shape[-1:], self.initial, jnp.float32)}, {}

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        checks.floating("Scale", x)
        scale = entry(self, params, "scale", x.shape[-1:]).astype(x.dtype)
        return x * scale.reshape((1,) * (x.ndim - 1) + (-1,)), state
