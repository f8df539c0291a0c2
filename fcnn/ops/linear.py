"""Flattening and the fully connected layer's arithmetic."""

import math

import jax
import jax.numpy as jnp

from fcnn.ops import checks


def flatten(x: jax.Array) -> jax.Array:
    """Lay each example out as one row: (N, *S, C) to (N, prod(S) * C).

    Row-major over (*S, C), so neighbouring entries are channels of one pixel; PyTorch, whose
    channels come first, has another order.

    Raises ValueError for x without a batch axis.

    >>> import jax.numpy as jnp
    >>> flatten(jnp.zeros((2, 4, 4, 3))).shape
    (2, 48)
    """
    x = jnp.asarray(x)
    if x.ndim < 1:
        raise ValueError("flatten expects x with a batch axis (N, ...), but x is a scalar")
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def dense(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """A fully connected layer: `x @ kernel + bias`, every input to every output.

    Args:
      x: (..., C), floating.
      kernel: (C, F), cast to x.dtype. PyTorch's weight is its transpose, (F, C).
      bias: (F,) or None, cast to x.dtype.

    Returns:
      (..., F) of x.dtype.

    Raises:
      TypeError: x is not floating-point, or the kernel is no array of real numbers.
      ValueError: the shapes do not fit.

    >>> import jax.numpy as jnp
    >>> dense(jnp.array([[1.0, 2.0]]), jnp.eye(2), jnp.array([10.0, 20.0])).tolist()
    [[11.0, 22.0]]
    """
    x, kernel = jnp.asarray(x), checks.weights("dense", "kernel", kernel)
    checks.floating("dense", x)
    if kernel.ndim != 2:
        raise ValueError(f"dense kernel must have shape (C, F), but has shape {kernel.shape}")
    if x.ndim < 1 or x.shape[-1] != kernel.shape[0]:
        raise ValueError(
            f"dense kernel {kernel.shape} (C, F) expects {kernel.shape[0]} input features, but "
            f"x {x.shape} (..., C) has {x.shape[-1] if x.ndim else 'no axis'}"
        )
    y = x @ kernel.astype(x.dtype)
    if bias is None:
        return y
    bias = jnp.asarray(bias)
    if bias.shape != (kernel.shape[1],):
        raise ValueError(
            f"dense bias must have shape ({kernel.shape[1]},) for kernel {kernel.shape} (C, F), "
            f"but has shape {bias.shape}"
        )
    return y + bias.astype(x.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
