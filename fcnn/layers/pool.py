"""Pooling layers: no parameters, only a window."""

from dataclasses import KW_ONLY, dataclass

import jax

from fcnn import ops
from fcnn.layer import Data, Input, Params, State
from fcnn.layers import fields
from fcnn.ops.padding import Padding


class _Pool(Data):
    """What the two poolings share."""

    window: int | tuple[int, ...]
    stride: int | tuple[int, ...] | None
    dilation: int | tuple[int, ...]

    def __post_init__(self):
        fields.sizes(self, "window", "dilation")
        if self.stride is not None:
            fields.sizes(self, "stride")
        fields.padding(self)

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        return {}, {}

    def reach(self):
        return self.window, self.window if self.stride is None else self.stride, self.dilation


@dataclass(frozen=True, repr=False)
class MaxPool(_Pool):
    """The largest value of each window: `fcnn.ops.max_pool`.

    Input (N, *S, C), output (N, *S', C). `stride=None` means the window, as in PyTorch.

    Raises TypeError and ValueError for hyperparameters out of range, and those of the operation.

    >>> import jax.numpy as jnp
    >>> MaxPool(2).apply({}, {}, jnp.arange(4.0).reshape(1, 2, 2, 1), train=False)[0].item()
    3.0
    """

    window: int | tuple[int, ...]
    _: KW_ONLY
    stride: int | tuple[int, ...] | None = None
    padding: Padding = "VALID"
    dilation: int | tuple[int, ...] = 1

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        y = ops.max_pool(
            x, self.window, stride=self.stride, padding=self.padding, dilation=self.dilation
        )
        return y, state


@dataclass(frozen=True, repr=False)
class AvgPool(_Pool):
    """The mean of each window: `fcnn.ops.avg_pool`.

    Input (N, *S, C), output (N, *S', C). `count_padding=False` divides by the values inside the
    image; PyTorch's default (count_include_pad=True) divides by the whole window.

    Raises TypeError and ValueError for hyperparameters out of range, and those of the operation.

    >>> import jax.numpy as jnp
    >>> AvgPool(2).apply({}, {}, jnp.arange(4.0).reshape(1, 2, 2, 1), train=False)[0].item()
    1.5
    """

    window: int | tuple[int, ...]
    _: KW_ONLY
    stride: int | tuple[int, ...] | None = None
    padding: Padding = "VALID"
    dilation: int | tuple[int, ...] = 1
    count_padding: bool = False

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        y = ops.avg_pool(
            x,
            self.window,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            count_padding=self.count_padding,
        )
        return y, state
