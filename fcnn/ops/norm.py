"""The statistics of an array and normalisation by them; float32 inside."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from fcnn.ops import checks


def wide(dtype) -> jnp.dtype:
    """The dtype of sums and statistics: float32, or float64 where x is float64."""
    return jnp.dtype(jnp.float64 if dtype == jnp.float64 else jnp.float32)


def moments(
    x: jax.Array, axes: int | Sequence[int], *, keepdims: bool = False
) -> tuple[jax.Array, jax.Array]:
    """Mean and (biased) variance of x over `axes`.

    The variance is the mean squared distance from the mean, in a second pass over x: the
    one-pass E[x^2] - E[x]^2 loses every digit where the mean is large beside the spread.

    Args:
      x: any shape, floating.
      axes: the axes to reduce; (0, 1, 2) for the batch statistics of an (N, H, W, C) image.
      keepdims: keep the reduced axes with size 1.

    Returns:
      (mean, var), both float32 (float64 for float64 x).

    Raises:
      TypeError: x is not floating-point, or an axis is no int.
      ValueError: nothing to average, an axis that x does not have, or one named twice.

    >>> import jax.numpy as jnp
    >>> mean, var = moments(jnp.array([[1.0, 10.0], [3.0, 10.0]]), 0)
    >>> mean.tolist(), var.tolist()
    ([2.0, 10.0], [1.0, 0.0])
    """
    x = jnp.asarray(x)
    checks.floating("moments", x)
    over = axes if isinstance(axes, Sequence) else (axes,)
    if not all(checks.is_int(axis) for axis in over):
        raise TypeError(f"moments axes must be an int or a sequence of ints, got {axes!r}")
    over = tuple(int(axis) for axis in over)
    if any(not -x.ndim <= axis < x.ndim for axis in over):
        raise ValueError(f"moments axes {over} do not exist in x of shape {x.shape}")
    if len({axis % x.ndim for axis in over}) < len(over):
        raise ValueError(f"moments axes {over} of x {x.shape} name one of them twice")
    if any(x.shape[axis] == 0 for axis in over):
        raise ValueError(f"moments over axes {over} of x {x.shape}: there is nothing to average")
    x = x.astype(wide(x.dtype))
    mean = jnp.mean(x, axis=over, keepdims=True)
    var = jnp.mean(jnp.square(x - mean), axis=over, keepdims=True)
    if keepdims:
        return mean, var
    return jnp.squeeze(mean, over), jnp.squeeze(var, over)


def normalize(
    x: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    scale: jax.Array | None = None,
    bias: jax.Array | None = None,
    eps: float = 1e-5,
) -> jax.Array:
    """`(x - mean) / sqrt(var + eps) * scale + bias`, in float32, given back in x.dtype.

    Args:
      x: any shape, floating.
      mean, var, scale, bias: shapes that align with the last axes of x, (C,) for one number a
        channel; each size is x's or 1. scale and bias may be None.
      eps: added to the variance.

    Returns:
      an array of x's shape and dtype.

    Raises:
      TypeError: x is not floating-point, or eps is no number.
      ValueError: an argument does not align with x, or eps is negative, infinite or NaN.

    Source: Ioffe & Szegedy, "Batch normalization", arXiv:1502.03167, algorithm 1.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[1.0, 10.0], [3.0, 10.0]])
    >>> normalize(x, *moments(x, 0), eps=0.01).round(2).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    x = jnp.asarray(x)
    checks.floating("normalize", x)
    if not isinstance(eps, (int, float)) or isinstance(eps, bool):
        raise TypeError(f"normalize eps must be a number, got {eps!r}")
    if not 0 <= eps < math.inf:
        raise ValueError(f"normalize eps must be at least 0 and finite, got {eps!r}")
    mean, var = _aligned("mean", mean, x), _aligned("var", var, x)
    multiplier = jax.lax.rsqrt(var + eps)
    if scale is not None:
        multiplier = multiplier * _aligned("scale", scale, x)
    y = (x.astype(wide(x.dtype)) - mean) * multiplier
    if bias is not None:
        y = y + _aligned("bias", bias, x)
    return y.astype(x.dtype)


def normalize_batch(
    x: jax.Array, scale: jax.Array | None, bias: jax.Array | None, eps: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`normalize` by x's own `moments` over all axes but the last: (y, mean, var).

    The gradient is the closed form, two sums and one pass over x, where automatic differentiation
    goes through mean and variance one after the other. mean and var are statistics: no gradient
    flows through what is made of them.

    Source: Ioffe & Szegedy, "Batch normalization", arXiv:1502.03167, section 3.
    """
    return _normalize_batch(x, scale, bias, eps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalize_batch(x, scale, bias, eps: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    mean, var = moments(x, range(x.ndim - 1))
    return normalize(x, mean, var, scale, bias, eps), mean, var


def _normalize_batch_fwd(x, scale, bias, eps: float):
    y, mean, var = normalize_batch(x, scale, bias, eps)
    return (y, mean, var), (x, scale, bias, mean, var)


def _normalize_batch_bwd(eps: float, saved, gradients):
    x, scale, bias, mean, var = saved
    axes, kind = range(x.ndim - 1), wide(x.dtype)
    g = gradients[0].astype(kind)
    centred = x.astype(kind) - _aligned("mean", mean, x)
    along_bias, along = g.sum(axes), (g * centred).sum(axes)
    count = x.size // x.shape[-1]
    inverse = jax.lax.rsqrt(var + eps)
    multiplier = inverse if scale is None else inverse * scale.astype(kind)
    shift = _aligned("mean gradient", along_bias / count, x)
    slope = _aligned("variance gradient", along * jnp.square(inverse) / count, x)
    dx = (g - shift - centred * slope) * _aligned("multiplier", multiplier, x)
    dscale = None if scale is None else (along * inverse).astype(scale.dtype)
    return dx.astype(x.dtype), dscale, None if bias is None else along_bias.astype(bias.dtype)


_normalize_batch.defvjp(_normalize_batch_fwd, _normalize_batch_bwd)


def _aligned(name: str, value, x) -> jax.Array:
    """`value` in the wide dtype, with leading axes of size 1 up to x's rank."""
    value = jnp.asarray(value, wide(x.dtype))
    shape = (1,) * (x.ndim - value.ndim) + value.shape
    if len(shape) != x.ndim or any(v not in (1, n) for v, n in zip(shape, x.shape, strict=True)):
        raise ValueError(
            f"normalize {name} of shape {value.shape} does not align with the last axes of "
            f"x {x.shape}"
        )
    return value.reshape(shape)
