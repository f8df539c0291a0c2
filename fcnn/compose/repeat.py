"""The same layer many times, compiled once."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from fcnn.compose import children
from fcnn.compose.children import Combinator
from fcnn.layer import (
    Child,
    Input,
    Params,
    State,
    apply_child,
    child_key,
    init_child,
    output_spec,
    spec,
)
from fcnn.ops import checks


@dataclass(frozen=True, repr=False)
class Repeat(Combinator):
    """`n` copies of a layer in one `lax.scan`; made by `repeat`."""

    layer: Child
    n: int

    def __post_init__(self):
        children.check("repeat", "layer", self.layer)
        if not checks.is_int(self.n) or self.n < 1:
            raise ValueError(f"repeat n must be a positive int, got {self.n!r}")

    def children(self):
        return ((f"0…{self.n - 1}", self.layer),)

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        x = spec(x)

        def one(key: jax.Array) -> tuple[Params, State]:
            return init_child(self.layer, key, x)

        params, state = jax.vmap(one)(self._keys(key))
        first, first_state = jax.tree.map(lambda leaf: leaf[0], (params, state))
        y = output_spec(self.layer, first, first_state, x)
        if (y.shape, y.dtype) != (x.shape, x.dtype):
            raise ValueError(
                f"repeat needs a layer that keeps shape and dtype, but this one makes "
                f"{y.dtype}{list(y.shape)} of {x.dtype}{list(x.shape)}: {self.layer!r}"
            )
        return params, state

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        def one(x, copy):
            params, state, key = copy
            return apply_child(self.layer, params, state, x, train=train, key=key)

        keys = None if key is None else self._keys(key)
        return jax.lax.scan(one, x, (params, state, keys), length=self.n)

    def _keys(self, key: jax.Array) -> jax.Array:
        """The keys that the children "0", "1", … of a `sequential` would have."""
        return jnp.stack([child_key(key, str(i)) for i in range(self.n)])


def repeat(layer: Child, n: int) -> Repeat:
    """Apply `n` copies of a layer, each with its own parameters, one after the other.

    The copies' parameters are stacked along a new first axis, and one `lax.scan` runs them:
    compile time does not grow with n. Values and keys are those of `sequential(layer, ×n)`.

    Args:
      layer: a layer whose output has the shape and dtype of its input.
      n: how many copies, at least 1.

    Raises:
      ValueError: n is no positive int, or (at init) the layer changes the shape.

    >>> import jax, fcnn
    >>> params, state = repeat(fcnn.Conv(8), 5).init(jax.random.key(0), (1, 8, 8, 8))
    >>> params["kernel"].shape
    (5, 3, 3, 8, 8)
    """
    return Repeat(layer, n)
