"""Which number is the first that is not finite."""

from typing import Any

import jax.numpy as jnp

from fcnn import tree
from fcnn.training import TrainState


def first(after: TrainState, loss: Any) -> str:
    """The name of the first number, in the order a step computes them, that is not finite.

    after: what the step left. The order is that of the forward pass, the loss, and the update: so
    statistics, then the loss, then params, which are not finite where their gradient was not; each
    of the trees in the order of its names.

    >>> from fcnn.training import TrainState
    >>> nan, one = float("nan"), 1.0
    >>> first(TrainState(1, {"head": {"kernel": nan, "bias": one}}, {}, ()), one)
    'params/head/kernel'
    """
    names = tree.to_names({"state": after.state, "loss": loss, "params": after.params})
    # Where the leaf is: it may be in parts, on the devices of several processes.
    bad = (name for name, leaf in names.items() if not jnp.isfinite(leaf).all())
    return next(bad, "the gradient")
