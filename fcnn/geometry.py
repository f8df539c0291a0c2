"""The size arithmetic of convolutions, one dimension at a time: plain integers in, integers out.

The letters are the field's own: i input size, k kernel size, s stride, p padding (an int for both
sides, or (low, high)), d dilation. Source of the relationships: Dumoulin & Visin, "A guide to
convolution arithmetic for deep learning", arXiv:1603.07285.
"""

from collections.abc import Iterable
from typing import NamedTuple

Pad = int | tuple[int, int]


def effective_size(k: int, d: int = 1) -> int:
    """The stretch of input that a kernel of k taps, d apart, covers: d * (k - 1) + 1.

    Raises ValueError unless k and d are at least 1.

    >>> effective_size(3), effective_size(3, d=2)
    (3, 5)
    """
    _at_least(1, kernel_size=k, dilation=d)
    return d * (k - 1) + 1


def output_size(i: int, k: int, s: int = 1, p: Pad = 0, d: int = 1) -> int:
    """The number of positions of a window: floor((i + low + high - d*(k - 1) - 1) / s) + 1.

    The same for convolution and pooling. Raises ValueError when the window is larger than the
    padded input, or a size, stride or dilation is below 1. Source: relationships 6 and 15.

    >>> output_size(224, 7, s=2, p=3)
    112
    """
    _at_least(1, input_size=i, stride=s)
    low, high = _pair(p)
    window = effective_size(k, d)
    if window > i + low + high:
        raise ValueError(
            f"a window of {window} (kernel {k}, dilation {d}) is larger than the input {i} "
            f"padded by ({low}, {high})"
        )
    return (i + low + high - window) // s + 1


def transposed_size(
    i: int, k: int, s: int = 1, p: Pad = 0, d: int = 1, output_padding: int = 0
) -> int:
    """The size of i pasted kernels: (i - 1)*s + d*(k - 1) + 1 - low - high + output_padding.

    It inverts `output_size`: i positions come back to the smallest input that has i of them, and
    `output_padding` up to s - 1 names the larger ones. Raises ValueError when nothing is left, or
    `output_padding` is not smaller than s or d (PyTorch's rule). Source: relationship 14.

    >>> transposed_size(112, 7, s=2, p=3, output_padding=1)
    224
    """
    _at_least(1, input_size=i, stride=s)
    _at_least(0, output_padding=output_padding)
    low, high = _pair(p)
    window = effective_size(k, d)
    if output_padding and output_padding >= max(s, d):
        raise ValueError(
            f"output_padding {output_padding} must be smaller than stride {s} or dilation {d}"
        )
    size = (i - 1) * s - low - high + window + output_padding
    if size < 1:
        raise ValueError(
            f"an input of {i} with kernel {k}, stride {s}, dilation {d}, padding ({low}, {high}) "
            f"and output_padding {output_padding} leaves a transposed size of {size}"
        )
    return size


def keep_padding(k: int, d: int = 1) -> int:
    """The symmetric padding that keeps the size at stride 1: d * (k - 1) / 2.

    Raises ValueError when d * (k - 1) is odd: no symmetric padding does it then.
    Source: relationship 3, "half" padding.

    >>> keep_padding(3), keep_padding(5, d=2)
    (1, 4)
    """
    window = effective_size(k, d)
    if window % 2 == 0:
        raise ValueError(
            f"kernel {k} with dilation {d} covers {window} values, an even number, so no padding "
            "that is equal on both sides keeps the size: use (low, high) pairs or 'SAME'"
        )
    return (window - 1) // 2


def same_padding(i: int, k: int, s: int = 1, d: int = 1) -> tuple[int, int]:
    """The (low, high) padding that "SAME" stands for: the output size is ceil(i / s).

    The larger half is behind, as in XLA. At stride 2 a 3-tap kernel over an even input gets
    (0, 1), where PyTorch models pad (1, 1). Raises ValueError for i below 0, others below 1.

    >>> same_padding(224, 3, s=2), same_padding(5, 3)
    ((0, 1), (1, 1))
    """
    _at_least(0, input_size=i)
    _at_least(1, stride=s)
    positions = -(-i // s)
    total = max((positions - 1) * s + effective_size(k, d) - i, 0)
    return total // 2, total - total // 2


class ReceptiveField(NamedTuple):
    """What one output value sees, in input pixels.

    size: how many pixels the field spans. stride: how far the field moves from one output to the
    next. offset: the coordinate of the centre of the first output's field, where pixel 0 is at 0
    and padding has negative coordinates; a half where the size is even.
    """

    size: int
    stride: int
    offset: float


def receptive_field(chain: Iterable[tuple[int, int, Pad, int]]) -> ReceptiveField:
    """The receptive field of a chain of (k, s, p, d) convolutions or poolings, first layer first.

    Raises ValueError for a kernel, stride or dilation below 1 or a negative padding.
    Source: Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks",
    distill.pub/2019/computing-receptive-fields.

    >>> receptive_field([(7, 2, 3, 1), (3, 2, 1, 1)])  # the stem of a ResNet
    ReceptiveField(size=11, stride=4, offset=0.0)
    """
    size, stride, offset = 1, 1, 0.0
    for k, s, p, d in chain:
        _at_least(1, stride=s)
        low, _ = _pair(p)
        reach = effective_size(k, d) - 1
        size += reach * stride
        offset += (reach / 2 - low) * stride
        stride *= s
    return ReceptiveField(size, stride, offset)


def _pair(p: Pad) -> tuple[int, int]:
    low, high = p if isinstance(p, (tuple, list)) else (p, p)
    _at_least(0, padding=low)
    _at_least(0, padding=high)
    return low, high


def _at_least(least: int, **sizes: int) -> None:
    for name, value in sizes.items():
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{name} must be an int, got {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
