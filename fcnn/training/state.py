"""The numbers that training carries from one step to the next."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from fcnn.layer import Layer


class TrainState(NamedTuple):
    """Everything a training step reads and writes: one pytree, all arrays.

    step: int32 scalar, the number of steps taken. params, state: the model's two trees.
    opt_state: the optimizer's tree. ema: the averaged params (same tree as params), or None.
    """

    step: jax.Array
    params: Any
    state: Any
    opt_state: Any
    ema: Any = None


def init_train_state(
    model: Layer,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    x: Any,
    *,
    ema: bool = False,
) -> TrainState:
    """Initialise a model and its optimizer at step 0.

    x: what `model.init` takes: an array, a `jax.ShapeDtypeStruct` or a shape tuple, batch included.
    ema: keep an average of the params too; `train_step(..., ema_decay=...)` updates it.

    Every leaf has a buffer of its own, so the whole state can be donated.

    >>> import fcnn, jax, optax
    >>> from fcnn.training import init_train_state
    >>> model = fcnn.sequential(fcnn.flatten, fcnn.Dense(10))
    >>> ts = init_train_state(model, optax.sgd(0.1), jax.random.key(0), (1, 8, 8, 1))
    >>> int(ts.step), ts.params["1"]["kernel"].shape, ts.ema
    (0, (64, 10), None)
    """
    params, state = model.init(key, x)
    average = params if ema else None
    fresh = TrainState(jnp.zeros((), jnp.int32), params, state, optimizer.init(params), average)
    # An optimizer may keep the params themselves in its state, and the average starts as the
    # params: two leaves sharing a buffer cannot both be donated. A weakly typed leaf would come
    # back strongly typed from the first step and recompile the second.
    return jax.tree.map(lambda leaf: jnp.array(leaf, dtype=jnp.asarray(leaf).dtype), fresh)
