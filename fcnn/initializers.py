"""Initial values: (key, shape, dtype) -> array, for kernels (*K, C/groups, F) and (C, F).

The fan of a kernel is the number of values one output adds up (fan_in = prod(K) * C/groups) or one
input reaches (fan_out = prod(K) * F). Each function draws values whose variance is a constant over
a fan, so that signals neither grow nor fade with depth. They are plain functions, not closures, so
that a layer holding one can be compared, hashed and pickled.

"Normal" draws from a normal distribution cut at two standard deviations, as is usual in JAX, and
rescaled to the variance named. PyTorch's `kaiming_uniform_(a=sqrt(5))`, its layers' own default,
has a sixth of `he_uniform`'s variance.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

Initializer = Callable[..., jax.Array]

_KERNEL_AXES = {"in_axis": -2, "out_axis": -1}
_HE_NORMAL = jax.nn.initializers.he_normal(**_KERNEL_AXES)
_HE_UNIFORM = jax.nn.initializers.he_uniform(**_KERNEL_AXES)
_GLOROT_NORMAL = jax.nn.initializers.glorot_normal(**_KERNEL_AXES)
_GLOROT_UNIFORM = jax.nn.initializers.glorot_uniform(**_KERNEL_AXES)
_LECUN_NORMAL = jax.nn.initializers.lecun_normal(**_KERNEL_AXES)
_LECUN_UNIFORM = jax.nn.initializers.lecun_uniform(**_KERNEL_AXES)
# The deviation of a standard normal cut at two deviations; jax.nn's own kernels divide by it too.
_CUT_DEVIATION = 0.87962566103423978
_TRUNCATED_NORMAL = jax.nn.initializers.truncated_normal(0.02 / _CUT_DEVIATION)


def he_normal(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Variance 2 / fan_in: for what feeds a rectifier, which lets half of the signal through.

    Raises ValueError for a shape of fewer than two axes. Source: He et al., arXiv:1502.01852.

    >>> import jax
    >>> kernel = he_normal(jax.random.key(0), (3, 3, 64, 128))
    >>> round(float(kernel.var()) * 3 * 3 * 64, 1)
    2.0
    """
    return _HE_NORMAL(key, shape, dtype)


def he_uniform(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Uniform within sqrt(6 / fan_in) of zero: variance 2 / fan_in, as `he_normal`.

    Raises ValueError for a shape of fewer than two axes. Source: He et al., arXiv:1502.01852.

    >>> import jax
    >>> bool(abs(he_uniform(jax.random.key(0), (6, 100))).max() <= 1)
    True
    """
    return _HE_UNIFORM(key, shape, dtype)


def glorot_normal(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Variance 2 / (fan_in + fan_out): for tanh and sigmoid, balancing forward and backward.

    Raises ValueError for a shape of fewer than two axes.
    Source: Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.

    >>> import jax
    >>> round(float(glorot_normal(jax.random.key(0), (300, 500)).var()) * 800, 1)
    2.0
    """
    return _GLOROT_NORMAL(key, shape, dtype)


def glorot_uniform(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Uniform within sqrt(6 / (fan_in + fan_out)) of zero; variance as `glorot_normal`.

    Raises ValueError for a shape of fewer than two axes. Source: Glorot & Bengio, AISTATS 2010.

    >>> import jax
    >>> bool(abs(glorot_uniform(jax.random.key(0), (50, 100))).max() <= 0.2)
    True
    """
    return _GLOROT_UNIFORM(key, shape, dtype)


def lecun_normal(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Variance 1 / fan_in: keeps the variance of the signal through a linear layer.

    Raises ValueError for a shape of fewer than two axes.
    Source: LeCun et al., "Efficient BackProp", 1998.

    >>> import jax
    >>> round(float(lecun_normal(jax.random.key(0), (300, 500)).var()) * 300, 1)
    1.0
    """
    return _LECUN_NORMAL(key, shape, dtype)


def lecun_uniform(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Uniform within sqrt(3 / fan_in) of zero; variance 1 / fan_in, as `lecun_normal`.

    Raises ValueError for a shape of fewer than two axes.
    Source: LeCun et al., "Efficient BackProp", 1998.

    >>> import jax
    >>> bool(abs(lecun_uniform(jax.random.key(0), (3, 100))).max() <= 1)
    True
    """
    return _LECUN_UNIFORM(key, shape, dtype)


def truncated_normal_02(
    key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32
) -> jax.Array:
    """Standard deviation 0.02 whatever the fan: ConvNeXt's choice.

    Source: Liu et al., "A ConvNet for the 2020s", arXiv:2201.03545; its PyTorch code asks for 0.02
    too, and cuts so far out (at 2.0) that nothing is cut. Here the cut is at 0.0455.

    >>> import jax
    >>> round(float(truncated_normal_02(jax.random.key(0), (300, 500)).std()), 3)
    0.02
    """
    return _TRUNCATED_NORMAL(key, shape, dtype)


def zeros(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """All zeros: biases, and the last scale of a residual branch. The key is not used.

    >>> zeros(None, (3,)).tolist()
    [0.0, 0.0, 0.0]
    """
    return jnp.zeros(shape, dtype)


def ones(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """All ones: the scale of a normalisation. The key is not used.

    >>> ones(None, (3,)).tolist()
    [1.0, 1.0, 1.0]
    """
    return jnp.ones(shape, dtype)
