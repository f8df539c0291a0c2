"""Labels as probabilities, which mixed images need."""

import math

import jax
import jax.numpy as jnp


def soft_labels(name: str, labels: jax.Array, num_classes: int) -> jax.Array:
    """Labels (N,) int as one-hot (N, num_classes) float32; probabilities (N, num_classes) stay.

    Raises ValueError, naming `name`, for labels of another shape.
    """
    if labels.ndim == 1 and jnp.issubdtype(labels.dtype, jnp.integer):
        return jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
    if labels.shape[1:] == (num_classes,) and jnp.issubdtype(labels.dtype, jnp.floating):
        return labels.astype(jnp.float32)
    raise ValueError(
        f"{name} expects labels (N,) of integers or (N, {num_classes}) of probabilities,"
        f" got {labels.dtype}{list(labels.shape)}"
    )


def check_alpha(name: str, alpha: float) -> None:
    """The parameter of a Beta(alpha, alpha) distribution is positive."""
    if not 0 < alpha < math.inf:
        raise ValueError(f"{name} expects a positive, finite alpha, got {alpha!r}")
