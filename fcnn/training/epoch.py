"""An epoch in one call: the training step scanned over a data set that lies on the device."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from fcnn.layer import Layer
from fcnn.training.batch import Loss, Prepare, check_count, pair
from fcnn.training.compiler import Jitted
from fcnn.training.loss import cross_entropy
from fcnn.training.state import TrainState
from fcnn.training.step import ORDER, Metrics, pure_step


def batch_order(key: jax.Array, step: Any, examples: int, batch_size: int) -> jax.Array:
    """The examples in the batches of the next epoch's worth of steps: -> (steps, batch_size) int32.

    An epoch is steps = examples // batch_size steps. Step s trains on batch s % steps of epoch
    s // steps, whose order is a permutation drawn from the key and the epoch's number: so the
    batch depends on s alone, wherever training was stopped and resumed. Row i is step `step` + i;
    from the middle of an epoch the rows run over into the next. The remainder of each permutation,
    fewer than batch_size examples, is not trained on in that epoch.

    Raises ValueError where batch_size exceeds examples.

    >>> import jax
    >>> from fcnn.training import batch_order
    >>> order = batch_order(jax.random.key(0), 0, examples=10, batch_size=3)
    >>> order.shape, len(set(order.ravel().tolist()))
    ((3, 3), 9)
    >>> bool((batch_order(jax.random.key(0), 2, 10, 3)[0] == order[2]).all())
    True
    """
    check_count("batch_size", batch_size)
    if batch_size > examples:
        raise ValueError(f"batch_size={batch_size} is larger than the set of {examples} examples")
    steps = examples // batch_size
    epoch, position = jnp.divmod(jnp.asarray(step, jnp.int32), steps)

    def shuffled(epoch):
        epoch_key = jax.random.fold_in(jax.random.fold_in(key, epoch), ORDER)
        return jax.random.permutation(epoch_key, examples)[: steps * batch_size]

    rows = jnp.concatenate([shuffled(epoch), shuffled(epoch + 1)]).reshape(-1, batch_size)
    return jax.lax.dynamic_slice_in_dim(rows, position, steps)


def epoch_step(
    model: Layer,
    optimizer: optax.GradientTransformation,
    loss: Loss = cross_entropy,
    *,
    batch_size: int,
    prepare: Prepare | None = None,
    accumulate: int = 1,
    clip_norm: float | None = None,
    ema_decay: float | None = None,
    skip_nonfinite: bool = False,
    dtype: Any = jnp.float32,
) -> Jitted:
    """A jitted epoch of training: (train_state, (inputs, labels), key) -> (train_state, metrics).

    The step of `train_step`, with its options, under `lax.scan` over the n examples of the whole
    set: n // batch_size steps on batches shuffled by `batch_order`. The set should be on the device
    already; uint8 images with a `prepare` that makes them float take a quarter of the memory.
    train_state is donated. metrics: those of `train_step`, each of shape (n // batch_size,).

    A call from the middle of an epoch finishes it and runs as far into the next.

    >>> import fcnn, jax, jax.numpy as jnp, optax
    >>> from fcnn.training import epoch_step, init_train_state
    >>> model = fcnn.sequential(fcnn.flatten, fcnn.Dense(2))
    >>> optimizer = optax.sgd(0.1)
    >>> ts = init_train_state(model, optimizer, jax.random.key(0), (4, 3, 3, 1))
    >>> epoch = epoch_step(model, optimizer, batch_size=4)
    >>> ts, metrics = epoch(ts, (jnp.ones((10, 3, 3, 1)), jnp.arange(10) % 2), jax.random.key(1))
    >>> int(ts.step), metrics["loss"].shape
    (2, (2,))
    """
    check_count("batch_size", batch_size)
    step = pure_step(
        model,
        optimizer,
        loss,
        prepare=prepare,
        accumulate=accumulate,
        clip_norm=clip_norm,
        ema_decay=ema_decay,
        skip_nonfinite=skip_nonfinite,
        dtype=dtype,
    )

    def epoch(ts: TrainState, dataset: Any, key: jax.Array) -> tuple[TrainState, Metrics]:
        inputs, labels = pair(dataset, "the data set")
        order = batch_order(key, ts.step, inputs.shape[0], batch_size)
        return jax.lax.scan(lambda ts, row: step(ts, (inputs[row], labels[row]), key), ts, order)

    return Jitted(epoch, donate_argnums=0)
