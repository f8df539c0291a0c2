"""Convolution and its transpose: one door each, for 1-, 2- and 3-D by the rank of x."""

import jax
import jax.numpy as jnp

from fcnn import geometry
from fcnn.ops import checks, lowering
from fcnn.ops import padding as pad


def conv(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: int | tuple[int, ...] = 1,
    padding: pad.Padding = "SAME",
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
    method: lowering.Method = "auto",
) -> jax.Array:
    """Slide each kernel over the image and take the dot product at every position.

    `y[n, o, f] = sum over t, c of x[n, s*o + d*t - low, c] * kernel[t, c, f] + bias[f]`, with
    zeros outside x: the cross-correlation that the field calls convolution. The same kernel is
    used at every position (weight sharing); each of the F kernels gives one feature map.

    Args:
      x: (N, *S, C), floating; one, two or three spatial dimensions S.
      kernel: (*K, C/groups, F), cast to x.dtype.
      bias: (F,) or None, cast to x.dtype.
      stride: step between positions, an int for all dimensions or one each.
      padding: "SAME" (output size ceil(i / stride), as XLA pads: the larger half behind),
        "VALID" (none), "CIRCULAR" and "REFLECT" (from the image's own values), "CAUSAL" (1-D,
        all in front), an int (both sides of every dimension) or ((low, high), ...). PyTorch's
        default is 0; its padding=1 is 1 here, which at stride 2 is not "SAME".
      dilation: distance between taps of the kernel.
      groups: split the C channels and the F kernels into this many independent convolutions;
        groups=C is a depthwise convolution.
      method: "auto" picks an equivalent form that is fast on the CPU; "lax" is the untouched
        `lax.conv_general_dilated`, which forward-mode differentiation (`jax.jvp`) needs.

    Returns:
      (N, *S', F) of x.dtype, with S' from `fcnn.geometry.output_size`.

    Raises:
      TypeError: x is not floating-point, or the kernel is no array of real numbers.
      ValueError: shapes, groups, padding or window do not fit; the message has the shapes.

    Source: Dumoulin & Visin, "A guide to convolution arithmetic", arXiv:1603.07285.

    >>> import jax.numpy as jnp
    >>> image = jnp.arange(9.0).reshape(1, 3, 3, 1)
    >>> edge = jnp.array([1.0, -1.0]).reshape(1, 2, 1, 1)
    >>> conv(image, edge, padding="VALID")[0, :, :, 0].tolist()
    [[-1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0]]
    """
    x, ndim = checks.image("conv", x)
    kernel = _kernel("conv", x, kernel, bias, groups)
    window = kernel.shape[:-2]
    stride = checks.per_dimension("conv stride", stride, ndim)
    dilation = checks.per_dimension("conv dilation", dilation, ndim)
    if isinstance(padding, str) and padding in pad.FILLED:
        x, padding = pad.fill("conv", x, padding, window, dilation), "VALID"
    pads = pad.zeros("conv", padding, x.shape[1:-1], window, stride, dilation)
    pad.check_fits("conv", x.shape, pads, window, dilation)
    y = lowering.convolve(x, kernel, lowering.Window(stride, pads, dilation, groups), method)
    return _add_bias(y, bias)


def conv_transpose(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    stride: int | tuple[int, ...] = 1,
    padding: pad.Padding = "SAME",
    output_padding: int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
    method: lowering.Method = "auto",
) -> jax.Array:
    """Paste the kernel, scaled by each input value, onto a larger image: conv's transpose.

    `y[n, s*i + d*t - low, f] += x[n, i, c] * kernel[t, c, f]`, then the bias: exactly the map
    that `conv` with the same stride, padding and dilation applies to gradients. The kernel is
    pasted as it stands, as in PyTorch and in `lax.conv_transpose(..., transpose_kernel=True)`.

    Args:
      x: (N, *S, C), floating.
      kernel: (*K, C/groups, F), cast to x.dtype. PyTorch's weight (C, F/groups, *K) has another
        order of axes but the same values, not flipped.
      bias: (F,) or None.
      stride: distance between pastes.
      padding: what is cut from the result. "SAME": output size i * stride; "VALID": nothing is
        cut (both with XLA's offsets); an int or ((low, high), ...) as PyTorch's padding.
      output_padding: extra size behind, at most stride - 1 or dilation - 1 as in PyTorch; with
        an int or exact padding.
      dilation: distance between taps of the kernel.
      groups: independent convolutions, as in `conv`.
      method: "auto" or "lax", as in `conv`.

    Returns:
      (N, *S', F) of x.dtype: (i - 1) * s - low - high + d * (k - 1) + 1 + output_padding.

    Raises:
      TypeError: x is not floating-point, or the kernel is no array of real numbers.
      ValueError: shapes, groups, padding or output_padding do not fit.

    Source: Dumoulin & Visin, arXiv:1603.07285, section 4.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([1.0, 2.0]).reshape(1, 2, 1)
    >>> kernel = jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    >>> conv_transpose(x, kernel, stride=2, padding=0)[0, :, 0].tolist()
    [1.0, 10.0, 102.0, 20.0, 200.0]
    """
    x, ndim = checks.image("conv_transpose", x)
    kernel = _kernel("conv_transpose", x, kernel, bias, groups)
    stride = checks.per_dimension("conv_transpose stride", stride, ndim)
    dilation = checks.per_dimension("conv_transpose dilation", dilation, ndim)
    extra = checks.per_dimension("conv_transpose output_padding", output_padding, ndim, least=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True) if e):
        raise ValueError(
            f"conv_transpose output_padding {extra} must be smaller than stride {stride} "
            f"or dilation {dilation}"
        )
    taps = [geometry.effective_size(k, d) for k, d in zip(kernel.shape[:-2], dilation, strict=True)]
    cuts = _cuts(padding, taps, stride, extra)
    sizes = [
        (i - 1) * s - low - high + k
        for i, s, (low, high), k in zip(x.shape[1:-1], stride, cuts, taps, strict=True)
    ]
    if min(sizes) < 1:
        raise ValueError(
            f"conv_transpose of x {x.shape} {checks.image_axes(ndim)} with kernel {kernel.shape}, "
            f"stride {stride} and padding {padding!r} would have spatial size {tuple(sizes)}"
        )
    y = lowering.convolve_transposed(
        x, kernel, lowering.Window(stride, cuts, dilation, groups), method
    )
    return _add_bias(y, bias)


def _cuts(padding, taps, stride, extra) -> pad.Pads:
    """What is cut from the full result, (low, high) a dimension; negative means zeros are added."""
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID"):
            raise ValueError(
                f"conv_transpose padding {padding!r} is not known: use 'SAME', 'VALID', an int "
                "or exact pairs"
            )
        if any(extra):
            raise ValueError("conv_transpose output_padding needs an int or exact padding")
        same = padding == "SAME"
        return tuple(
            _same_cut(k, s) if same else (0, min(k - s, 0))
            for k, s in zip(taps, stride, strict=True)
        )
    pairs = pad.exact("conv_transpose", padding, len(taps))
    return tuple((low, high - e) for (low, high), e in zip(pairs, extra, strict=True))


def _same_cut(k: int, s: int) -> tuple[int, int]:
    """XLA's offsets for an output of i * s values: the smaller half is cut in front."""
    low = max(k - s, 0) // 2
    return low, k - s - low


def _kernel(op: str, x, kernel, bias, groups) -> jax.Array:
    """The kernel in x's dtype, once it, the bias and the groups are known to fit x."""
    kernel = checks.weights(op, "kernel", kernel)
    ndim = x.ndim - 2
    axes = checks.named((*checks.TAPS[ndim], "C/groups", "F"))
    if kernel.ndim != x.ndim:
        raise ValueError(
            f"{op} kernel must have shape {axes} for x {x.shape} {checks.image_axes(ndim)}, "
            f"but has shape {kernel.shape}"
        )
    if not checks.is_int(groups) or groups < 1:
        raise ValueError(f"{op} groups must be a positive int, got {groups!r}")
    depth, features = kernel.shape[-2:]
    if min(kernel.shape) < 1:
        raise ValueError(f"{op} kernel {kernel.shape} {axes} has an empty dimension")
    if depth * groups != x.shape[-1]:
        raise ValueError(
            f"{op} kernel {kernel.shape} {axes} with groups={groups} expects {depth * groups} "
            f"input channels, but x {x.shape} {checks.image_axes(ndim)} has {x.shape[-1]}"
        )
    if features % groups:
        raise ValueError(
            f"{op} kernel {kernel.shape} {axes} has {features} features, which groups={groups} "
            "does not divide"
        )
    if bias is not None and jnp.shape(bias) != (features,):
        raise ValueError(
            f"{op} bias must have shape ({features},) for kernel {kernel.shape} {axes}, "
            f"but has shape {jnp.shape(bias)}"
        )
    return kernel.astype(x.dtype)


def _add_bias(y: jax.Array, bias) -> jax.Array:
    if bias is None:
        return y
    return y + jnp.asarray(bias).astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
