"""Dropout in three grains: single values, whole feature maps, whole examples."""

import jax
import jax.numpy as jnp

from fcnn.ops import checks


def dropout(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """Set each value to zero with probability `rate`, and scale the others by 1 / (1 - rate).

    The scale keeps every value's expectation, so evaluation needs no correction: there,
    simply do not call it.

    Args:
      key: a JAX random key; the same key drops the same values.
      x: any shape, floating.
      rate: the fraction DROPPED, in [0, 1); some libraries mean the fraction kept.

    Returns:
      an array of x's shape and dtype.

    Raises:
      TypeError: x is not floating-point, or rate is not a number.
      ValueError: rate is outside [0, 1) or NaN.

    Source: Srivastava et al., "Dropout", JMLR 15 (2014).

    >>> import jax, jax.numpy as jnp
    >>> sorted(set(dropout(jax.random.key(0), jnp.ones((4, 8)), 0.75).ravel().tolist()))
    [0.0, 4.0]
    """
    x = jnp.asarray(x)
    return _drop("dropout", key, x, rate, x.shape)


def spatial_dropout(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """Drop whole feature maps: one draw for each example and channel of x (N, *S, C).

    Neighbouring pixels are so alike that dropping single ones removes little; otherwise as
    `dropout` (PyTorch calls it Dropout1d, 2d, 3d).

    Raises TypeError and ValueError as `dropout` does, and ValueError for another rank of x.
    Source: Tompson et al., "Efficient object localization using CNNs", arXiv:1411.4280.

    >>> import jax, jax.numpy as jnp
    >>> maps = spatial_dropout(jax.random.key(1), jnp.ones((1, 5, 5, 4)), 0.5)
    >>> [sorted(set(maps[..., c].ravel().tolist())) for c in range(4)]
    [[2.0], [0.0], [2.0], [2.0]]
    """
    x, ndim = checks.image("spatial_dropout", x)
    return _drop("spatial_dropout", key, x, rate, (x.shape[0], *(1,) * ndim, x.shape[-1]))


def drop_path(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """Drop whole examples: one draw for each row of x (N, ...). Stochastic depth on a branch.

    Args, result and errors as `dropout`; x has at least a batch axis.
    Source: Huang et al., "Deep networks with stochastic depth", arXiv:1603.09382.

    >>> import jax, jax.numpy as jnp
    >>> drop_path(jax.random.key(0), jnp.ones((4, 2)), 0.5).tolist()
    [[0.0, 0.0], [0.0, 0.0], [2.0, 2.0], [2.0, 2.0]]
    """
    x = jnp.asarray(x)
    if x.ndim < 1:
        raise ValueError("drop_path expects x with a batch axis (N, ...), but x is a scalar")
    return _drop("drop_path", key, x, rate, (x.shape[0], *(1,) * (x.ndim - 1)))


def _drop(op, key, x, rate, mask_shape):
    checks.floating(op, x)
    checks.rate(f"{op} rate", rate)
    if rate == 0:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, mask_shape)
    # A choice, not a product with the mask: a dropped infinity must be 0, and 0 * inf is NaN.
    return jnp.where(keep, x / (1 - rate), jnp.zeros((), x.dtype))
