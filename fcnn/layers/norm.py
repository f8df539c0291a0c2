"""Normalisation: by the batch, by the pixel, by groups of channels."""

import math
from dataclasses import KW_ONLY, dataclass

import jax
import jax.numpy as jnp

from fcnn import initializers, ops
from fcnn.initializers import Initializer
from fcnn.layer import Data, Input, Params, State, entry, spec
from fcnn.layers import fields
from fcnn.ops import checks
from fcnn.ops.norm import normalize_batch, wide


class _Norm(Data):
    """What the normalisations share: a scale and a bias for each channel, both optional."""

    eps: float
    scale: bool
    bias: bool

    def _init_params(self, key: jax.Array, x: Input, scale_init=initializers.ones) -> Params:
        x = spec(x)
        if len(x.shape) < 2:
            raise ValueError(f"{self!r} expects x of shape (N, ..., C), but x has shape {x.shape}")
        params = {}
        if self.scale:
            params["scale"] = scale_init(key, x.shape[-1:])
        if self.bias:
            params["bias"] = initializers.zeros(key, x.shape[-1:])
        return params

    def _normalize(self, params: Params, x: jax.Array, mean, var) -> jax.Array:
        return ops.normalize(x, mean, var, *self._scale_and_bias(params, x), self.eps)

    def _scale_and_bias(self, params: Params, x: jax.Array):
        scale = entry(self, params, "scale", x.shape[-1:]) if self.scale else None
        return scale, entry(self, params, "bias", x.shape[-1:]) if self.bias else None


@dataclass(frozen=True, repr=False)
class BatchNorm(_Norm):
    """Normalise each channel by the mean and variance of the batch, or of past batches.

    Input and output (N, ..., C). Params: scale (ones) and bias (zeros), both (C,). State: mean
    (zeros) and var (ones), both (C,), so that an untrained network evaluates as the identity.

    In training the batch's own moments normalise, and the state moves:
    `new = decay * old + (1 - decay) * batch`, with the unbiased variance (n - 1). Evaluation
    uses the state. `decay` is 1 - momentum of PyTorch, whose default 0.1 is our 0.9. Under a
    sharded `jax.jit` the moments are those of the whole batch.

    Raises ValueError for decay or eps out of range, and in training for a single value a
    channel, which has no variance.
    Source: Ioffe & Szegedy, "Batch normalization", arXiv:1502.03167.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = BatchNorm(decay=0.5), jnp.array([[1.0], [3.0]])
    >>> params, state = layer.init(jax.random.key(0), x)
    >>> y, state = layer.apply(params, state, x, train=True)
    >>> y.round(3).tolist(), state["mean"].item(), state["var"].item()
    ([[-1.0], [1.0]], 1.0, 1.5)
    """

    _: KW_ONLY
    decay: float = 0.9
    eps: float = 1e-5
    scale: bool = True
    bias: bool = True
    scale_init: Initializer = initializers.ones

    def __post_init__(self):
        fields.within(self, "decay", 0, 1)
        fields.within(self, "eps", 0, float("inf"))

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        params = self._init_params(key, x, self.scale_init)
        channels = spec(x).shape[-1:]
        return params, {
            "mean": jnp.zeros(channels, jnp.float32),
            "var": jnp.ones(channels, jnp.float32),
        }

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        mean = entry(self, state, "mean", x.shape[-1:])
        var = entry(self, state, "var", x.shape[-1:])
        if not train:
            return self._normalize(params, x, mean, var), state
        count = math.prod(x.shape[:-1])
        if count < 2:
            raise ValueError(
                f"{self!r} with train=True needs more than one value a channel to have a "
                f"variance, but x has shape {x.shape}"
            )
        scale, bias = self._scale_and_bias(params, x)
        y, batch_mean, batch_var = normalize_batch(x, scale, bias, self.eps)
        unbiased = batch_var * (count / (count - 1))
        return y, {"mean": self._move(mean, batch_mean), "var": self._move(var, unbiased)}

    def _move(self, old: jax.Array, batch: jax.Array) -> jax.Array:
        # No gradient flows through the statistics, and their dtype never changes.
        batch = jax.lax.stop_gradient(batch).astype(old.dtype)
        return self.decay * old + (1 - self.decay) * batch


@dataclass(frozen=True, repr=False)
class LayerNorm(_Norm):
    """Normalise the channels of every single pixel (or row): over the last axis.

    Input and output (N, ..., C). Params: scale (ones) and bias (zeros), both (C,); no state, and
    training and evaluation are the same. PyTorch's LayerNorm(C) on channels-last data.

    Raises ValueError for eps out of range. Source: Ba et al., arXiv:1607.06450.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = LayerNorm(), jnp.array([[1.0, 3.0]])
    >>> params, state = layer.init(jax.random.key(0), x)
    >>> layer.apply(params, state, x, train=False)[0].round(3).tolist()
    [[-1.0, 1.0]]
    """

    _: KW_ONLY
    eps: float = 1e-5
    scale: bool = True
    bias: bool = True

    def __post_init__(self):
        fields.within(self, "eps", 0, float("inf"))

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        return self._init_params(key, x), {}

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        mean, var = ops.moments(x, -1, keepdims=True)
        return self._normalize(params, x, mean, var), state


@dataclass(frozen=True, repr=False)
class GroupNorm(_Norm):
    """Normalise groups of channels over the whole image, each example on its own.

    Input and output (N, *S, C). Give the number of groups, or `GroupNorm(None, group_size=n)`.
    group_size=1 is instance normalisation; groups=1 normalises the whole example. Params: scale
    (ones) and bias (zeros), both (C,); no state.

    Raises ValueError when the groups do not divide the channels, or both or none of `groups`
    and `group_size` is given. Source: Wu & He, "Group normalization", arXiv:1803.08494.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = GroupNorm(1), jnp.array([[[1.0, 3.0]]])
    >>> params, state = layer.init(jax.random.key(0), x)
    >>> layer.apply(params, state, x, train=False)[0].round(3).tolist()
    [[[-1.0, 1.0]]]
    """

    groups: int | None = 32
    _: KW_ONLY
    group_size: int | None = None
    eps: float = 1e-5
    scale: bool = True
    bias: bool = True

    def __post_init__(self):
        if (self.groups is None) == (self.group_size is None):
            raise ValueError(
                "GroupNorm takes either groups or group_size (then groups=None), got "
                f"groups={self.groups}, group_size={self.group_size}"
            )
        fields.positive(self, "groups" if self.group_size is None else "group_size")
        fields.within(self, "eps", 0, float("inf"))

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        self._groups(spec(x).shape)
        return self._init_params(key, x), {}

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        checks.floating("GroupNorm", x)
        groups = self._groups(x.shape)
        split = (*x.shape[:-1], groups, x.shape[-1] // groups)
        axes = (*range(1, x.ndim - 1), x.ndim)
        mean, var = ops.moments(x.reshape(split), axes, keepdims=True)
        # Back to one number a channel, so that scale and bias apply in the same pass.
        flat = (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])
        wide_shape = (*mean.shape[:-1], split[-1])
        mean = jnp.broadcast_to(mean, wide_shape).reshape(flat)
        var = jnp.broadcast_to(var, wide_shape).reshape(flat)
        return self._normalize(params, x.astype(wide(x.dtype)), mean, var).astype(x.dtype), state

    def _groups(self, shape: tuple[int, ...]) -> int:
        size = self.group_size or 1
        groups = shape[-1] // size if self.groups is None else self.groups
        if shape[-1] % (size if self.groups is None else groups):
            raise ValueError(f"{self!r} does not divide the {shape[-1]} channels of x {shape}")
        return groups
