"""Memory against time: compute again instead of storing."""

from dataclasses import dataclass

import jax

from fcnn.compose import children
from fcnn.compose.children import Combinator
from fcnn.layer import Child, Input, Params, State, apply_child, init_child


@dataclass(frozen=True, repr=False)
class Remat(Combinator):
    """A layer whose activations are not stored; made by `remat`."""

    layer: Child

    def __post_init__(self):
        children.check("remat", "layer", self.layer)

    def children(self):
        return (("layer", self.layer),)

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        return init_child(self.layer, key, x)

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        @jax.checkpoint
        def run(params, state, x, key):
            return apply_child(self.layer, params, state, x, train=train, key=key)

        return run(params, state, x, key)


def remat(layer: Child) -> Remat:
    """Recompute a layer's activations in the backward pass instead of storing them.

    Values, params, state and keys are the layer's own; one more forward pass of it buys the
    memory of everything inside. Best around a whole block.

    Raises TypeError when `layer` is neither a layer nor a function.
    Source: Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174.

    >>> import jax, fcnn
    >>> remat(fcnn.Conv(8)).init(jax.random.key(0), (1, 8, 8, 3))[0]["kernel"].shape
    (3, 3, 3, 8)
    """
    return Remat(layer)
