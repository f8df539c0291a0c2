"""Pooling: the largest or the mean value of each window, each channel on its own."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fcnn.ops import checks
from fcnn.ops import padding as pad
from fcnn.ops.norm import wide
from fcnn.ops.taps import shifted

# A window of 4×4 is the largest whose values are still taken one slice each.
MOST_SLICES = 16


def max_pool(
    x: jax.Array,
    window: int | tuple[int, ...],
    *,
    stride: int | tuple[int, ...] | None = None,
    padding: pad.Padding = "VALID",
    dilation: int | tuple[int, ...] = 1,
) -> jax.Array:
    """Keep the largest value of each window.

    Args:
      x: (N, *S, C), floating.
      window: size, an int for every spatial dimension or one each.
      stride: step between windows; None means the window (they do not overlap), as in PyTorch.
      padding: "VALID", "SAME", an int or ((low, high), ...); padding never wins (it is -inf).
        PyTorch's ceil_mode=True is an exact padding with a larger high.
      dilation: distance between the values of one window.

    Returns:
      (N, *S', C) of x.dtype.

    Raises:
      TypeError: x is not floating-point.
      ValueError: the window is larger than the padded x, or one lies wholly in the padding.

    >>> import jax.numpy as jnp
    >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    x, facts = _facts("max_pool", x, window, stride, padding, dilation)
    # The gradient of reduce_window (select_and_scatter) is 30 times slower on a CPU than that of a
    # maximum of slices, and there is none for dilated windows. A maximum over the axes of a reshape
    # would be neat, but XLA gets the gradient of it wrong under batch norm when x is sharded.
    if math.prod(facts.window) <= MOST_SLICES:
        return facts.largest_of_tiles(x) if facts.tiles() else facts.largest(x)
    if set(facts.dilation) != {1}:
        return facts.largest_by_doubling(x)
    return facts.reduce(x, -np.inf, lax.max)


def avg_pool(
    x: jax.Array,
    window: int | tuple[int, ...],
    *,
    stride: int | tuple[int, ...] | None = None,
    padding: pad.Padding = "VALID",
    dilation: int | tuple[int, ...] = 1,
    count_padding: bool = False,
) -> jax.Array:
    """Take the mean of each window; the sums are float32 whatever x is.

    Args:
      x, window, stride, padding, dilation: as in `max_pool`.
      count_padding: divide by the whole window (True) or by the values inside x (False).
        PyTorch's count_include_pad is True unless said otherwise. Its ceil_mode together with
        count_include_pad=True pads x by hand first and leaves only ceil_mode's extra to `padding`.

    Returns:
      (N, *S', C) of x.dtype.

    Raises:
      TypeError: x is not floating-point.
      ValueError: the window is larger than the padded x, or one lies wholly in the padding.

    >>> import jax.numpy as jnp
    >>> avg_pool(jnp.arange(4.0).reshape(1, 4, 1), 3, stride=3, padding=1)[0, :, 0].tolist()
    [0.5, 2.5]
    """
    x, facts = _facts("avg_pool", x, window, stride, padding, dilation)
    x32 = x.astype(wide(x.dtype))
    if facts.tiles():
        return jnp.mean(facts.tiled(x32), axis=facts.tile_axes()).astype(x.dtype)
    total = facts.reduce(x32, 0.0, lax.add)
    if count_padding:
        return (total / float(np.prod(facts.window))).astype(x.dtype)
    counts = facts.counts()
    inside = np.ones(())
    for count in counts:
        inside = inside[..., None] * count
    return (total / jnp.asarray(inside[None, ..., None], total.dtype)).astype(x.dtype)


def global_avg_pool(x: jax.Array) -> jax.Array:
    """Average each feature map to one number: (N, *S, C) to (N, C), summed in float32.

    Raises TypeError for integer x and ValueError for another rank.
    Source: Lin et al., "Network in network", arXiv:1312.4400.

    >>> import jax.numpy as jnp
    >>> global_avg_pool(jnp.arange(8.0).reshape(1, 2, 2, 2)).tolist()
    [[3.0, 4.0]]
    """
    x, ndim = checks.image("global_avg_pool", x)
    _not_empty("global_avg_pool", x)
    return jnp.mean(x.astype(wide(x.dtype)), axis=range(1, ndim + 1)).astype(x.dtype)


def global_max_pool(x: jax.Array) -> jax.Array:
    """Keep the largest value of each feature map: (N, *S, C) to (N, C).

    Raises TypeError for integer x and ValueError for another rank.

    >>> import jax.numpy as jnp
    >>> global_max_pool(jnp.arange(8.0).reshape(1, 2, 2, 2)).tolist()
    [[6.0, 7.0]]
    """
    x, ndim = checks.image("global_max_pool", x)
    _not_empty("global_max_pool", x)
    return jnp.max(x, axis=range(1, ndim + 1))


def _not_empty(op, x):
    if 0 in x.shape[1:-1]:
        raise ValueError(f"{op} of x {x.shape}: there is nothing to pool")


class _Facts:
    """The static facts of one pooling, and the reductions they describe."""

    def __init__(self, sizes, window, stride, pads, dilation):
        self.sizes, self.window, self.stride = sizes, window, stride
        self.pads, self.dilation = pads, dilation

    def counts(self):
        """Per dimension, how many values of each window lie inside x."""
        facts = zip(self.sizes, self.window, self.stride, self.pads, self.dilation, strict=True)
        counts = []
        for size, k, s, (low, high), d in facts:
            starts = np.arange(-low, size + high - d * (k - 1), s)
            taps = starts[:, None] + d * np.arange(k)
            counts.append(((taps >= 0) & (taps < size)).sum(axis=1))
        return counts

    def tiles(self):
        """Whether the windows tile x side by side, so that a reshape can replace reduce_window."""
        plain = all(p == (0, 0) for p in self.pads) and set(self.dilation) == {1}
        return plain and self.window == self.stride

    def tiled(self, x):
        """(N, *S, C) as (N, S0', w0, S1', w1, ..., C); what no window covers is cut off."""
        whole = [i // w for i, w in zip(self.sizes, self.window, strict=True)]
        for axis, (n, w) in enumerate(zip(whole, self.window, strict=True), start=1):
            x = lax.slice_in_dim(x, 0, n * w, axis=axis)
        split = [v for pair in zip(whole, self.window, strict=True) for v in pair]
        return x.reshape(x.shape[0], *split, x.shape[-1])

    def tile_axes(self):
        return tuple(range(2, 2 * len(self.sizes) + 1, 2))

    def padded(self, x, fill):
        pads = [(0, 0, 0), *((low, high, 0) for low, high in self.pads), (0, 0, 0)]
        return lax.pad(x, x.dtype.type(fill), pads)

    def taps(self, x, fill):
        """For each place in the window, the values that the windows have there."""
        positions = tuple(len(count) for count in self.counts())
        return shifted(self.padded(x, fill), self.window, positions, self.stride, self.dilation)

    def largest(self, x):
        return functools.reduce(lax.max, self.taps(x, -np.inf))

    def largest_of_tiles(self, x):
        """`largest` where each value is in one window, with a derivative that makes use of it.

        A value is compared with the maximum of its own window. The derivative of a maximum of
        slices compares it in turn with those of every slice, which takes twice the time.
        """

        @jax.custom_jvp
        def largest(x):
            return self.largest(x)

        @largest.defjvp
        def _(primals, tangents):
            (x,), (dx,) = primals, tangents
            y = largest(x)
            # Values that tie for the maximum share its gradient.
            ties = functools.reduce(lax.add, [(v == y).astype(x.dtype) for v in self.taps(x, 0)])
            axes = self.tile_axes()
            wins = self.tiled(x) == jnp.expand_dims(y, axes)
            share = jnp.where(wins, jnp.expand_dims(1 / ties, axes), 0)
            return y, jnp.sum(self.tiled(dx) * share, axes)

        return largest(x)

    def largest_by_doubling(self, x):
        """The largest value of each window, one dimension after the other.

        Two runs of n taps side by side make one of 2n, and two that overlap one in between: an
        80-tap line takes 7 maxima, where a slice for each tap of a 60x80 window takes 4,800.
        """
        x = self.padded(x, -np.inf)
        facts = zip(self.counts(), self.window, self.stride, self.dilation, strict=True)
        for axis, (count, k, s, d) in enumerate(facts, start=1):
            taps = 1
            while taps < k:
                more = min(taps, k - taps)
                left = lax.slice_in_dim(x, 0, x.shape[axis] - d * more, axis=axis)
                right = lax.slice_in_dim(x, d * more, None, axis=axis)
                x = lax.max(left, right)
                taps += more
            x = lax.slice_in_dim(x, 0, (len(count) - 1) * s + 1, s, axis)
        return x

    def reduce(self, x, start, operation):
        return lax.reduce_window(
            x,
            x.dtype.type(start),
            operation,
            window_dimensions=(1, *self.window, 1),
            window_strides=(1, *self.stride, 1),
            padding=((0, 0), *self.pads, (0, 0)),
            window_dilation=(1, *self.dilation, 1),
        )


def _facts(op, x, window, stride, padding, dilation):
    x, ndim = checks.image(op, x)
    window = checks.per_dimension(f"{op} window", window, ndim)
    stride = window if stride is None else checks.per_dimension(f"{op} stride", stride, ndim)
    dilation = checks.per_dimension(f"{op} dilation", dilation, ndim)
    pads = pad.zeros(op, padding, x.shape[1:-1], window, stride, dilation)
    pad.check_fits(op, x.shape, pads, window, dilation)
    facts = _Facts(x.shape[1:-1], window, stride, pads, dilation)
    if any(count.min() == 0 for count in facts.counts()):
        raise ValueError(
            f"{op} window {window} with stride {stride} over x {x.shape} "
            f"{checks.image_axes(ndim)} padded by {pads} would lie wholly in the padding somewhere"
        )
    return x, facts
