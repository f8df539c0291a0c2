"""The classification loss, built on optax."""

import jax
import jax.numpy as jnp
import optax

from fcnn.ops.norm import wide


def cross_entropy(
    logits: jax.Array, labels: jax.Array, *, label_smoothing: float = 0.0
) -> jax.Array:
    """Softmax cross-entropy of each example: logits (N, K), labels (N,) or (N, K) -> (N,).

    labels: integers 0..K-1, or one probability per class (one-hot, mixed or distilled targets).
    label_smoothing s in [0, 1] replaces the target q by (1 - s) q + s / K (Szegedy et al. 2016,
    "Rethinking the Inception Architecture", section 7). Computed in float32 at least, whatever the
    logits are. Unlike PyTorch's, the result is not averaged, and no label is ignored: an integer
    label outside 0..K-1 (-1 too) gives nan, since a jitted function cannot raise.

    Raises ValueError for other shapes or a label_smoothing outside [0, 1], TypeError for labels
    (N,) that are not integers.

    >>> import jax.numpy as jnp
    >>> from fcnn.training import cross_entropy
    >>> print(cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 3])))  # log 4
    [1.3862944 1.3862944]
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")
    if logits.ndim != 2:
        raise ValueError(f"cross_entropy expects logits (N, K), got shape {logits.shape}")
    if labels.shape not in (logits.shape[:1], logits.shape):
        raise ValueError(
            f"cross_entropy with logits {logits.shape} expects labels {logits.shape[:1]} (integers)"
            f" or {logits.shape} (probabilities), got shape {labels.shape}"
        )
    logits = logits.astype(wide(logits.dtype))
    if labels.ndim == 2:
        return _soft(logits, labels.astype(logits.dtype), label_smoothing)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"labels {labels.shape} must be integers, got {labels.dtype}")
    classes = logits.shape[1]
    labels = labels.astype(jnp.int32)
    if label_smoothing == 0.0:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    else:
        one_hot = jax.nn.one_hot(labels, classes, dtype=logits.dtype)
        losses = _soft(logits, one_hot, label_smoothing)
    return jnp.where((labels >= 0) & (labels < classes), losses, jnp.nan)


def _soft(logits: jax.Array, targets: jax.Array, label_smoothing: float) -> jax.Array:
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, label_smoothing))
