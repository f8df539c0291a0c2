"""Evaluation in which every example counts exactly once."""

from typing import Any

import jax
import jax.numpy as jnp

from fcnn.layer import Layer
from fcnn.training.batch import Loss, Prepare, check_count, check_dtype, measure, pair, prepared
from fcnn.training.compiler import Jitted
from fcnn.training.loss import cross_entropy


def eval_step(
    model: Layer,
    loss: Loss = cross_entropy,
    *,
    prepare: Prepare | None = None,
    dtype: Any = jnp.float32,
    logits: bool = False,
) -> Jitted:
    """One jitted batch of an evaluation: (params, state, (inputs, labels), mask) -> sums.

    mask (N,): true for the rows that count; a padded row may hold anything, nan too. Returns
    float32 scalars `loss`, `correct` and `count`, summed over those rows: add them up over the
    batches, then divide by count. With labels that are probabilities, correct compares
    argmaxes. With `logits`, also those of every row: `logits` (N, K), in dtype.

    prepare is called with key None and must treat each row by itself.

    >>> import fcnn, jax, jax.numpy as jnp
    >>> from fcnn.training import eval_step
    >>> model = fcnn.sequential(fcnn.flatten, fcnn.Dense(2))
    >>> params, state = model.init(jax.random.key(0), (1, 3, 3, 1))
    >>> batch = jnp.zeros((4, 3, 3, 1)), jnp.array([0, 0, 1, 1])
    >>> sums = eval_step(model)(params, state, batch, jnp.array([True, True, True, False]))
    >>> float(sums["correct"]), float(sums["count"])
    (2.0, 3.0)
    """
    rows = _rows(model, loss, prepare, dtype)

    def eval_step(params, state, batch, mask):
        inputs, _ = pair(batch)
        if mask.shape != inputs.shape[:1]:
            raise ValueError(f"mask must have shape {inputs.shape[:1]}, got {mask.shape}")
        losses, hits, output = rows(params, state, batch)
        sums = _sums(losses, hits, mask.astype(bool))
        return sums | ({"logits": output} if logits else {})

    return Jitted(eval_step)


def evaluate(
    model: Layer,
    loss: Loss = cross_entropy,
    *,
    batch_size: int,
    prepare: Prepare | None = None,
    dtype: Any = jnp.float32,
    logits: bool = False,
) -> Jitted:
    """A jitted evaluation of a whole set: (params, state, (inputs, labels)) -> dict.

    The set, n examples on the device, is read in batches of batch_size; the last is filled up with
    copies of the last example, which are masked out, so each example counts exactly once and any
    batch_size gives the same answer. Returns float32 `loss` and `accuracy`, means over the set,
    float32 `count` = n, and int32 `predictions` (n,), the argmax of each example's logits.
    With `logits`, also those: `logits` (n, K), in dtype.

    prepare is called with key None and must treat each row by itself.

    >>> import fcnn, jax, jax.numpy as jnp
    >>> from fcnn.training import evaluate
    >>> model = fcnn.sequential(fcnn.flatten, fcnn.Dense(2))
    >>> params, state = model.init(jax.random.key(0), (1, 3, 3, 1))
    >>> dataset = jnp.zeros((5, 3, 3, 1)), jnp.array([0, 0, 0, 0, 1])
    >>> result = evaluate(model, batch_size=2)(params, state, dataset)
    >>> print(result["accuracy"], result["count"], result["predictions"])
    0.8 5.0 [0 0 0 0 0]
    """
    check_count("batch_size", batch_size)
    rows = _rows(model, loss, prepare, dtype)

    def evaluation(params, state, dataset):
        inputs, labels = pair(dataset, "the data set")
        examples = inputs.shape[0]
        order = jnp.arange(-(-examples // batch_size) * batch_size).reshape(-1, batch_size)

        def body(total, index):
            row = jnp.minimum(index, examples - 1)
            losses, hits, output = rows(params, state, (inputs[row], labels[row]))
            sums = _sums(losses, hits, index < examples)
            each = {"predictions": jnp.argmax(output, axis=-1).astype(jnp.int32)}
            return jax.tree.map(jnp.add, total, sums), each | ({"logits": output} if logits else {})

        zero = jnp.zeros((), jnp.float32)
        start = {"loss": zero, "correct": zero, "count": zero}
        total, each = jax.lax.scan(body, start, order)
        return {
            "loss": total["loss"] / total["count"],
            "accuracy": total["correct"] / total["count"],
            "count": total["count"],
            **jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:examples], each),
        }

    return Jitted(evaluation)


def _rows(model, loss, prepare, dtype):
    """(params, state, batch) -> each row's loss, share of correct predictions, and logits."""
    check_dtype(dtype)

    def rows(params, state, batch):
        inputs, labels = prepared(prepare, None, batch, dtype)
        logits, _ = model.apply(params, state, inputs, train=False, key=None)
        losses, hits = measure(loss, logits, labels)
        return losses, hits, logits

    return rows


def _sums(losses: jax.Array, hits: jax.Array, mask: jax.Array) -> dict[str, jax.Array]:
    # Selected, not multiplied: nan * 0 is nan.
    return {
        "loss": jnp.where(mask, losses, 0.0).sum().astype(jnp.float32),
        "correct": jnp.where(mask, hits, 0.0).sum(),
        "count": mask.sum().astype(jnp.float32),
    }
