"""One training step as a pure function, and its jitted, donated form."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from fcnn.layer import Layer
from fcnn.training.batch import Loss, Prepare, check_count, check_dtype, measure, prepared
from fcnn.training.compiler import Jitted
from fcnn.training.loss import cross_entropy
from fcnn.training.state import TrainState

Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, Any, jax.Array], tuple[TrainState, Metrics]]

# The streams drawn from fold_in(key, number). A third one, ORDER, numbers epochs and not steps.
PREPARE, DROPOUT, ORDER = 0, 1, 2

SHORT = 2**14  # values: copying so few costs less than compiling a loop for them


def train_step(
    model: Layer,
    optimizer: optax.GradientTransformation,
    loss: Loss = cross_entropy,
    *,
    prepare: Prepare | None = None,
    accumulate: int = 1,
    clip_norm: float | None = None,
    ema_decay: float | None = None,
    skip_nonfinite: bool = False,
    dtype: Any = jnp.float32,
) -> Jitted:
    """One jitted step of training: (train_state, (inputs, labels), key) -> (train_state, metrics).

    The train_state passed in is donated: its buffers are reused, so keep only the one returned.
    Pass the same key at every step: the step's number is folded into it.
    On several devices: put the batch on a `jax.sharding.Mesh` split along its first axis and the
    train_state replicated. The mesh axes must be Auto (`jax.make_mesh` makes Explicit ones unless
    told `axis_types`).

    loss: (logits, labels) -> (N,), not averaged; the step averages over the batch.
    prepare: pure (key, inputs, labels) -> (inputs, labels) on the whole batch inside the step:
        augmentation, uint8 to float. A batch (inputs, labels, a, b) calls it with key, inputs,
        labels, a, b: what an augmentation must know besides, such as the epoch.
    accumulate: split the batch into this many micro-batches and average their gradients.
        Micro-batch j is examples j, j + accumulate, ...: a batch split over devices stays evenly
        split. Batch norm normalises each micro-batch by itself and updates its statistics once for
        each; each has its own dropout key.
    clip_norm: scale the gradient down to this global L2 norm where it is longer (Pascanu et al.
        2012).
    ema_decay: update train_state.ema, the average of the params after steps 1..t with weights
        decay^(t - i), normalised to sum to 1. This is the debiased average (Kingma & Ba 2015,
        section 3): the initial params have no weight in it and it is usable after any step. Batch
        norm statistics, an average themselves, are not averaged again: evaluate (ema, state).
    skip_nonfinite: when the loss, the gradient's norm or a new batch norm statistic is not finite,
        params, state, opt_state and ema stay as they were; step advances, so the next step draws
        new randomness.
    dtype: the inputs are cast to it after prepare, and so the network computes in it; params,
        gradients, statistics, optimizer and loss stay float32.

    metrics: float32 scalars. loss and accuracy are of the training batch before the update,
    grad_norm is before clipping, finite is 1.0, or 0.0 where skip_nonfinite skips or would have.
    With labels that are probabilities, accuracy compares argmaxes.

    Raises ValueError for an option out of its range; ValueError or TypeError at the first call for
    a batch, loss or train_state that does not fit.

    >>> import fcnn, jax, jax.numpy as jnp, optax
    >>> from fcnn.training import init_train_state, train_step
    >>> model = fcnn.sequential(fcnn.flatten, fcnn.Dense(2))
    >>> optimizer = optax.sgd(0.1)
    >>> ts = init_train_state(model, optimizer, jax.random.key(0), (4, 3, 3, 1))
    >>> step = train_step(model, optimizer, clip_norm=1.0)
    >>> batch = jnp.ones((4, 3, 3, 1)), jnp.array([0, 0, 0, 0])
    >>> for _ in range(20):
    ...     ts, metrics = step(ts, batch, jax.random.key(1))
    >>> int(ts.step), float(metrics["accuracy"]), sorted(metrics)
    (20, 1.0, ['accuracy', 'finite', 'grad_norm', 'loss'])
    """
    pure = pure_step(
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
    return Jitted(pure, donate_argnums=0)


def pure_step(
    model: Layer,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    *,
    prepare: Prepare | None,
    accumulate: int,
    clip_norm: float | None,
    ema_decay: float | None,
    skip_nonfinite: bool,
    dtype: Any,
) -> Step:
    """The step of `train_step`, not jitted: what `train_step` and `epoch_step` both run."""
    check_count("accumulate", accumulate)
    check_dtype(dtype)
    if clip_norm is not None and not 0.0 < clip_norm < math.inf:
        raise ValueError(f"clip_norm must be positive and finite, got {clip_norm}")
    if ema_decay is not None and not 0.0 < ema_decay < 1.0:
        raise ValueError(f"ema_decay must be in (0, 1), got {ema_decay}")
    clip = optax.identity() if clip_norm is None else optax.clip_by_global_norm(clip_norm)

    def train_step(old: TrainState, batch: Any, key: jax.Array) -> tuple[TrainState, Metrics]:
        if (old.ema is None) != (ema_decay is None):
            raise ValueError(
                "ema_decay needs init_train_state(..., ema=True)"
                if old.ema is None
                else "train_state has an ema, so train_step needs an ema_decay"
            )
        key = jax.random.fold_in(key, old.step)
        inputs, labels = prepared(prepare, jax.random.fold_in(key, PREPARE), batch, dtype)
        dropout_key = jax.random.fold_in(key, DROPOUT)
        value, accuracy, state, grads = _gradient(
            model, loss, accumulate, old.params, old.state, inputs, labels, dropout_key
        )

        # clip_by_global_norm has no state of its own, so opt_state stays the optimizer's.
        clipped, _ = clip.update(grads, clip.init(old.params))
        # optax mixes dtypes inside (decay ** count), which strict promotion would forbid.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = optimizer.update(clipped, old.opt_state, old.params)
        params = optax.apply_updates(old.params, updates)
        new = TrainState(old.step + 1, params, state, opt_state, _average(old, params, ema_decay))

        norm = _norm(grads)
        finite = jnp.isfinite(jnp.stack([value, norm])).all() & _all_finite(state)
        if skip_nonfinite:
            kept = jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)
            new = kept._replace(step=new.step)
        metrics = {
            "loss": value.astype(jnp.float32),
            "accuracy": accuracy,
            "grad_norm": norm,
            "finite": finite.astype(jnp.float32),
        }
        return new, metrics

    return train_step


def _gradient(model, loss, accumulate, params, state, inputs, labels, key):
    """Mean loss, accuracy, new state and mean gradient of a batch, in `accumulate` parts."""

    def part(state, inputs, labels, index):
        def mean_loss(params):
            part_key = jax.random.fold_in(key, index)
            logits, new_state = model.apply(params, state, inputs, train=True, key=part_key)
            losses, hits = measure(loss, logits, labels)
            return losses.mean(), (hits.mean(), new_state)

        (value, (accuracy, new_state)), grads = jax.value_and_grad(mean_loss, has_aux=True)(params)
        return value, accuracy, new_state, grads

    if accumulate == 1:
        return part(state, inputs, labels, 0)
    if inputs.shape[0] % accumulate:
        raise ValueError(
            f"accumulate={accumulate} does not divide the batch of {inputs.shape[0]} examples"
        )

    def body(carry, micro):
        state, total = carry
        value, accuracy, state, grads = part(state, *micro)
        return (state, jax.tree.map(jnp.add, total, grads)), (value, accuracy)

    def split(x):
        return x.reshape(-1, accumulate, *x.shape[1:]).swapaxes(0, 1)

    zeros = jax.tree.map(jnp.zeros_like, params)
    micros = (split(inputs), split(labels), jnp.arange(accumulate))
    (state, total), (values, accuracies) = jax.lax.scan(body, (state, zeros), micros)
    mean = jax.tree.map(lambda leaf: leaf / accumulate, total)
    return values.mean(), accuracies.mean(), state, mean


def _average(old: TrainState, params: Any, decay: float | None) -> Any:
    """The debiased moving average of the params, one step on.

    m = decay m + (1 - decay) p from m = 0, debiased by 1 - decay^t, is for t = step + 1 the same
    as moving from the last average to p by (1 - decay) / (1 - decay^t).
    """
    if decay is None:
        return None
    t = (old.step + 1).astype(jnp.float32)
    step_size = (1.0 - decay) / -jnp.expm1(t * math.log(decay))
    return optax.incremental_update(params, old.ema, step_size)


def _norm(grads: Any) -> jax.Array:
    """The length of the gradient, float32. Short leaves are one vector: each leaf is a loop."""
    leaves = [leaf.ravel() for leaf in jax.tree.leaves(grads)]
    short = [leaf for leaf in leaves if leaf.size <= SHORT]
    parts = [leaf for leaf in leaves if leaf.size > SHORT]
    if short:
        parts.append(jnp.concatenate(short))
    squares = (jnp.square(part).sum().astype(jnp.float32) for part in parts)
    return jnp.sqrt(sum(squares, start=jnp.zeros((), jnp.float32)))


def _all_finite(state: Any) -> jax.Array:
    """Whether every statistic is finite."""
    leaves = [leaf.ravel() for leaf in jax.tree.leaves(state)]
    return jnp.isfinite(jnp.concatenate(leaves)).all() if leaves else jnp.array(True)
