"""The mathematics in float64 NumPy, written as it reads: loops over output positions and taps.

Nothing here is fast, and nothing is shared with the code under test; sizes are worked out anew.
"""

import numpy as np


def per_dimension(value, ndim):
    return (value,) * ndim if isinstance(value, int) else tuple(value)


def covered(k, d):
    """How many pixels a window of k taps, d apart, spans."""
    return d * (k - 1) + 1


def padding_pairs(padding, sizes, window, stride, dilation):
    """(low, high) for each dimension."""
    if isinstance(padding, int):
        return [(padding, padding)] * len(sizes)
    if not isinstance(padding, str):
        return list(padding)
    pairs = []
    for i, k, s, d in zip(sizes, window, stride, dilation, strict=True):
        reach = covered(k, d)
        if padding == "VALID":
            pairs.append((0, 0))
        elif padding == "SAME":
            # The last of ceil(i / s) windows must end inside: what sticks out is shared, the
            # larger half behind.
            out = int(np.ceil(i / s))
            missing = max(s * (out - 1) + reach - i, 0)
            pairs.append((missing // 2, (missing + 1) // 2))
        elif padding == "CAUSAL":
            pairs.append((reach - 1, 0))
        else:
            assert padding in ("CIRCULAR", "REFLECT")
            pairs.append(((reach - 1) // 2, reach // 2))
    return pairs


def pixel(position, size, padding):
    """Where in the image the value at `position` comes from; None where it is padding."""
    if 0 <= position < size:
        return position
    if padding == "CIRCULAR":
        return position % size
    if padding == "REFLECT":
        return -position if position < 0 else 2 * (size - 1) - position
    return None


def windows(sizes, window, stride, padding, dilation):
    """Yield each output position with the list of (tap, pixel) of its window inside the image."""
    pairs = padding_pairs(padding, sizes, window, stride, dilation)
    out = [
        len(range(0, i + low + high - covered(k, d) + 1, s))
        for i, (low, high), k, s, d in zip(sizes, pairs, window, stride, dilation, strict=True)
    ]
    for o in np.ndindex(*out):
        inside = []
        for t in np.ndindex(*window):
            at = tuple(
                pixel(s * o_ + d * t_ - low, i, padding)
                for s, o_, d, t_, (low, _), i in zip(
                    stride, o, dilation, t, pairs, sizes, strict=True
                )
            )
            if None not in at:
                inside.append((t, at))
        yield o, tuple(out), inside


def group_slices(groups, channels, features):
    """The input channels and the kernels of each group."""
    c, f = channels // groups, features // groups
    return [(slice(g * c, (g + 1) * c), slice(g * f, (g + 1) * f)) for g in range(groups)]


def conv(x, kernel, bias=None, *, stride=1, padding="SAME", dilation=1, groups=1):
    """y[o] = sum over taps t of x[s*o + d*t - low] @ kernel[t]."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    ndim = x.ndim - 2
    stride, dilation = per_dimension(stride, ndim), per_dimension(dilation, ndim)
    slices = group_slices(groups, x.shape[-1], kernel.shape[-1])
    y = None
    for o, out, inside in windows(x.shape[1:-1], kernel.shape[:-2], stride, padding, dilation):
        if y is None:
            y = np.zeros((len(x), *out, kernel.shape[-1]))
        for t, at in inside:
            for c, f in slices:
                y[(slice(None), *o, f)] += x[(slice(None), *at, c)] @ kernel[t][:, f]
    return y if bias is None else y + np.asarray(bias, np.float64)


def conv_transpose(
    x, kernel, bias=None, *, stride=1, padding="SAME", output_padding=0, dilation=1, groups=1
):
    """y[s*i + d*t - low] += x[i] @ kernel[t] for every input i and tap t that lands inside."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    sizes, window, ndim = x.shape[1:-1], kernel.shape[:-2], x.ndim - 2
    stride, dilation = per_dimension(stride, ndim), per_dimension(dilation, ndim)
    extra = per_dimension(output_padding, ndim)
    out, lows = [], []
    for n, (i, k, s, d) in enumerate(zip(sizes, window, stride, dilation, strict=True)):
        reach = covered(k, d)
        if padding == "VALID":
            out.append(i * s + max(reach - s, 0))
            lows.append(0)
        elif padding == "SAME":
            out.append(i * s)
            lows.append(max(reach - s, 0) // 2)
        else:
            low, high = (padding, padding) if isinstance(padding, int) else padding[n]
            out.append((i - 1) * s - low - high + reach + extra[n])
            lows.append(low)
    y = np.zeros((len(x), *out, kernel.shape[-1]))
    slices = group_slices(groups, x.shape[-1], kernel.shape[-1])
    for i in np.ndindex(*sizes):
        for t in np.ndindex(*window):
            o = [
                s * i_ + d * t_ - low
                for s, i_, d, t_, low in zip(stride, i, dilation, t, lows, strict=True)
            ]
            if all(0 <= o_ < size for o_, size in zip(o, out, strict=True)):
                for c, f in slices:
                    y[(slice(None), *o, f)] += x[(slice(None), *i, c)] @ kernel[t][:, f]
    return y if bias is None else y + np.asarray(bias, np.float64)


def max_pool(x, window, *, stride=None, padding="VALID", dilation=1):
    """The largest value inside the image of each window."""
    return _pool(x, window, stride, padding, dilation, lambda values, taps: np.max(values, axis=0))


def avg_pool(x, window, *, stride=None, padding="VALID", dilation=1, count_padding=False):
    """The mean of each window, over its values inside the image or over all of its taps."""

    def mean(values, taps):
        return np.sum(values, axis=0) / (taps if count_padding else len(values))

    return _pool(x, window, stride, padding, dilation, mean)


def _pool(x, window, stride, padding, dilation, reduce):
    x = np.asarray(x, np.float64)
    ndim = x.ndim - 2
    window, dilation = per_dimension(window, ndim), per_dimension(dilation, ndim)
    stride = window if stride is None else per_dimension(stride, ndim)
    y = None
    for o, out, inside in windows(x.shape[1:-1], window, stride, padding, dilation):
        if y is None:
            y = np.zeros((len(x), *out, x.shape[-1]))
        values = [x[(slice(None), *at)] for _, at in inside]
        y[(slice(None), *o)] = reduce(values, int(np.prod(window)))
    return y


def dense(x, kernel, bias=None):
    """y[f] = sum over c of x[c] * kernel[c, f]."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    y = np.zeros((*x.shape[:-1], kernel.shape[1]))
    for c, f in np.ndindex(*kernel.shape):
        y[..., f] += x[..., c] * kernel[c, f]
    return y if bias is None else y + np.asarray(bias, np.float64)


def moments(x, axes):
    """Mean and variance of the values at each position of the axes that are kept."""
    x = np.asarray(x, np.float64)
    kept = [axis for axis in range(x.ndim) if axis not in [a % x.ndim for a in axes]]
    shape = [x.shape[axis] for axis in kept]
    mean, var = np.zeros(shape), np.zeros(shape)
    for at in np.ndindex(*shape):
        index = [slice(None)] * x.ndim
        for axis, position in zip(kept, at, strict=True):
            index[axis] = position
        values = x[tuple(index)].ravel()
        mean[at] = sum(values) / len(values)
        var[at] = sum((value - mean[at]) ** 2 for value in values) / len(values)
    return mean, var


def normalize(x, mean, var, scale=None, bias=None, eps=1e-5):
    """Subtract the mean, divide by the deviation, then scale and shift."""
    x, mean, var = (np.asarray(v, np.float64) for v in (x, mean, var))
    y = np.zeros(x.shape)
    mean, var = np.broadcast_to(mean, x.shape), np.broadcast_to(var, x.shape)
    scale = np.broadcast_to(1.0 if scale is None else np.asarray(scale, np.float64), x.shape)
    bias = np.broadcast_to(0.0 if bias is None else np.asarray(bias, np.float64), x.shape)
    for at in np.ndindex(*x.shape):
        y[at] = (x[at] - mean[at]) / np.sqrt(var[at] + eps) * scale[at] + bias[at]
    return y
