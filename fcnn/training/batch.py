"""What a batch must look like, and what is measured on it: shared by training and evaluation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fcnn.ops.norm import wide

Loss = Callable[[jax.Array, jax.Array], jax.Array]
# (key, inputs, labels, *rest of the batch) -> (inputs, labels); in an evaluation the key is None,
# and there is no rest.
Prepare = Callable[..., tuple[jax.Array, jax.Array]]


def pair(batch: Any, what: str = "batch") -> tuple[jax.Array, jax.Array]:
    """(inputs, labels), checked to have the same, non-zero number of examples."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise ValueError(f"{what} must be a pair (inputs, labels), got {type(batch).__name__}")
    inputs, labels = batch
    if inputs.ndim < 1 or labels.ndim < 1 or inputs.shape[0] != labels.shape[0]:
        raise ValueError(
            f"{what}: inputs and labels must have the same number of examples,"
            f" got inputs {inputs.shape} and labels {labels.shape}"
        )
    if inputs.shape[0] == 0:
        raise ValueError(f"{what} is empty: inputs {inputs.shape}")
    return inputs, labels


def prepared(
    prepare: Prepare | None, key: jax.Array | None, batch: Any, dtype: Any
) -> tuple[jax.Array, jax.Array]:
    """The batch after `prepare`, its inputs cast to dtype.

    Whatever a batch has besides inputs and labels is for `prepare` alone.
    """
    rest = ()
    if prepare is not None and isinstance(batch, (tuple, list)):
        batch, rest = tuple(batch[:2]), batch[2:]
    inputs, labels = pair(batch)
    if prepare is not None:
        inputs, labels = pair(prepare(key, inputs, labels, *rest), "the result of prepare")
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise TypeError(
            f"inputs must be floating, got {inputs.dtype}:"
            " convert and scale them in prepare, for example images.astype(float) / 255"
        )
    return inputs.astype(dtype), labels


def measure(loss: Loss, logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Each example's loss and share of correct predictions: logits (N, ..., K) -> (N,), (N,).

    The logits reach the loss in float32 at least. Labels as wide as the logits are probabilities,
    and their argmax is the class.
    """
    if logits.ndim < 2 or labels.shape not in (logits.shape[:-1], logits.shape):
        raise ValueError(
            f"the model gives logits {logits.shape}: labels must be {logits.shape[:-1]} (integers)"
            f" or {logits.shape} (probabilities), got shape {labels.shape}"
        )
    logits = logits.astype(wide(logits.dtype))
    losses = loss(logits, labels)
    if jnp.shape(losses) != logits.shape[:1]:
        raise ValueError(
            f"loss must give one value per example, shape {logits.shape[:1]},"
            f" got shape {jnp.shape(losses)}: leave the mean over the batch to the step"
        )
    classes = labels if labels.ndim < logits.ndim else jnp.argmax(labels, axis=-1)
    hits = (jnp.argmax(logits, axis=-1) == classes.astype(jnp.int32)).astype(jnp.float32)
    return losses, hits.mean(axis=tuple(range(1, hits.ndim)))


def check_count(name: str, value: int) -> None:
    """A static option that counts something is an int of 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an int of 1 or more, got {value!r}")


def check_dtype(dtype: Any) -> None:
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"dtype must be floating, got {jnp.dtype(dtype)}")
