"""Convolution layers: the kernels are parameters."""

import math
from dataclasses import KW_ONLY, dataclass

import jax

from fcnn import initializers, ops
from fcnn.initializers import Initializer
from fcnn.layer import Data, Input, Params, State, entry, spec
from fcnn.layers import fields
from fcnn.ops import checks
from fcnn.ops.padding import Padding


@dataclass(frozen=True, repr=False)
class Conv(Data):
    """`features` kernels slid over the image: `fcnn.ops.conv` with parameters.

    Input (N, *S, C), output (N, *S', features), 1-, 2- or 3-D by the rank of the input. Params:
    kernel (*K, C/groups, features) and, if `bias`, bias (features,). Kernels start at He's
    values, biases at zero. PyTorch's defaults differ: padding is 0 there, and the initial
    values are uniform.

    Raises (at construction) TypeError and ValueError for hyperparameters out of range; (at
    init and apply) those of `fcnn.ops.conv`.

    >>> import jax, jax.numpy as jnp
    >>> layer = Conv(8, kernel_size=5, stride=2, padding=2)
    >>> params, state = layer.init(jax.random.key(0), (1, 28, 28, 3))
    >>> params["kernel"].shape, state
    ((5, 5, 3, 8), {})
    >>> y, state = layer.apply(params, state, jnp.ones((1, 28, 28, 3)), train=False)
    >>> y.shape
    (1, 14, 14, 8)
    """

    features: int
    kernel_size: int | tuple[int, ...] = 3
    _: KW_ONLY
    stride: int | tuple[int, ...] = 1
    padding: Padding = "SAME"
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    bias: bool = True
    kernel_init: Initializer = initializers.he_normal

    def __post_init__(self):
        fields.positive(self, "features", "groups")
        fields.sizes(self, "kernel_size", "stride", "dilation")
        fields.padding(self)

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        x = spec(x)
        taps = kernel_taps(self, x)
        check_groups(self, x, self.groups)
        shape = (*taps, x.shape[-1] // self.groups, self.features)
        return init_kernel(self, key, shape), {}

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        y = ops.conv(
            x,
            entry(self, params, "kernel", (*kernel_taps(self, x), None, self.features)),
            entry(self, params, "bias", (self.features,)) if self.bias else None,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        return y, state

    def reach(self):
        return self.kernel_size, self.stride, self.dilation

    def macs(self, params: Params, x: jax.ShapeDtypeStruct, y: jax.ShapeDtypeStruct) -> int:
        return math.prod(params["kernel"].shape) * math.prod(y.shape[:-1])


@dataclass(frozen=True, repr=False)
class DepthwiseConv(Data):
    """`multiplier` kernels for each channel, every channel on its own: groups = C.

    Input (N, *S, C), output (N, *S', C * multiplier). Params: kernel (*K, 1, C * multiplier)
    and bias. What it shares with `Conv` is as there.
    Source: Howard et al., "MobileNets", arXiv:1704.04861.

    >>> import jax
    >>> params, _ = DepthwiseConv(3).init(jax.random.key(0), (1, 8, 8, 16))
    >>> params["kernel"].shape
    (3, 3, 1, 16)
    """

    kernel_size: int | tuple[int, ...] = 3
    _: KW_ONLY
    multiplier: int = 1
    stride: int | tuple[int, ...] = 1
    padding: Padding = "SAME"
    dilation: int | tuple[int, ...] = 1
    bias: bool = True
    kernel_init: Initializer = initializers.he_normal

    def __post_init__(self):
        fields.positive(self, "multiplier")
        fields.sizes(self, "kernel_size", "stride", "dilation")
        fields.padding(self)

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        x = spec(x)
        return self._conv(x.shape[-1]).init(key, x)

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        return self._conv(x.shape[-1]).apply(params, state, x, train=train)

    def _conv(self, channels: int) -> Conv:
        return Conv(
            channels * self.multiplier,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=channels,
            bias=self.bias,
            kernel_init=self.kernel_init,
        )

    reach = Conv.reach
    macs = Conv.macs


@dataclass(frozen=True, repr=False)
class ConvTranspose(Data):
    """Kernels pasted onto a larger image: `fcnn.ops.conv_transpose` with parameters.

    Input (N, *S, C), output (N, *S', features). Params: kernel (*K, C/groups, features) and, if
    `bias`, bias (features,). Padding 1 with output_padding 1 at stride 2 is the usual doubling
    of PyTorch's decoders; "SAME" doubles too. Raises as `Conv` does.

    >>> import jax, jax.numpy as jnp
    >>> layer = ConvTranspose(8, kernel_size=4, stride=2, padding=1)
    >>> params, state = layer.init(jax.random.key(0), (1, 7, 7, 16))
    >>> layer.apply(params, state, jnp.ones((1, 7, 7, 16)), train=False)[0].shape
    (1, 14, 14, 8)
    """

    features: int
    kernel_size: int | tuple[int, ...] = 3
    _: KW_ONLY
    stride: int | tuple[int, ...] = 1
    padding: Padding = "SAME"
    output_padding: int | tuple[int, ...] = 0
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    bias: bool = True
    kernel_init: Initializer = initializers.he_normal

    def __post_init__(self):
        fields.positive(self, "features", "groups")
        fields.sizes(self, "kernel_size", "stride", "dilation")
        fields.sizes(self, "output_padding", least=0)
        fields.padding(self)

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        y = ops.conv_transpose(
            x,
            entry(self, params, "kernel", (*kernel_taps(self, x), None, self.features)),
            entry(self, params, "bias", (self.features,)) if self.bias else None,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        return y, state

    init = Conv.init  # the same kernel, bias and checks
    reach = Conv.reach

    def macs(self, params: Params, x: jax.ShapeDtypeStruct, y: jax.ShapeDtypeStruct) -> int:
        return math.prod(params["kernel"].shape) * math.prod(x.shape[:-1])


def kernel_taps(layer, x) -> tuple[int, ...]:
    name = type(layer).__name__
    ndim = checks.spatial_rank(name, x)
    return checks.per_dimension(f"{name} kernel_size", layer.kernel_size, ndim)


def check_groups(layer, x: jax.ShapeDtypeStruct, groups: int) -> None:
    if x.shape[-1] % groups or layer.features % groups:
        raise ValueError(
            f"{layer!r}: groups={groups} must divide both the {x.shape[-1]} input channels of "
            f"x {x.shape} and features={layer.features}"
        )


def init_kernel(layer, key: jax.Array, shape: tuple[int, ...]) -> Params:
    kernel = layer.kernel_init(key, shape)
    if not layer.bias:
        return {"kernel": kernel}
    return {"kernel": kernel, "bias": initializers.zeros(key, shape[-1:])}
