"""One-dimensional networks for waveforms and sensor series."""

from dataclasses import dataclass

from jax.nn import relu

from fcnn.compose import Sequential, sequential
from fcnn.initializers import lecun_normal
from fcnn.layers import BatchNorm, Conv, Dense, MaxPool
from fcnn.models import checks
from fcnn.ops import global_avg_pool


@dataclass(frozen=True)
class WaveformConfig:
    """One wide convolution, then small ones, each with batch norm, rectifier and max pooling.

    widths        features of the stem and of each stage after it
    kernel_size   taps of the stem, long enough to act as a bank of band-pass filters
    stride        stride of the stem
    window        max-pooling window after every convolution

    Input (N, T, C): T samples of C channels, with T at least stride * window ** len(widths).
    Children stem, stage1, …, pool, head.

    Source: Dai, Dai, Qu, Li, Das, "Very deep convolutional neural networks for raw waveforms",
    ICASSP 2017 (arXiv 1610.00087), table 1. waveform is its M5: (N, 32000, 1), four seconds at 8
    kHz, 80 taps at stride 4, 558,090 parameters at 10 classes (the paper's 0.5M), by hand: 550,912
    in kernels, 2,048 in batch norm, 5,130 in the head. sensor is the same net for short series of
    many channels, such as the (N, 128, 9) windows of a phone's accelerometer and gyroscope, 6
    classes: 130,502 parameters by the same construction.
    Differences from the paper: batch norm makes the convolutions' bias unnecessary, and there is
    none.

    Raises ValueError for a value out of range.

    >>> from fcnn.models import WaveformConfig
    >>> WaveformConfig(widths=(8, 16), kernel_size=9).build().names
    ('stem', 'stage1', 'pool', 'head')
    """

    num_classes: int = 10
    widths: tuple[int, ...] = (128, 128, 256, 512)
    kernel_size: int = 80
    stride: int = 4
    window: int = 4

    def __post_init__(self) -> None:
        checks.positive(self, "num_classes", "kernel_size", "stride", "window")
        checks.positives(self, "widths")

    def build(self) -> Sequential:
        """The network as one layer: stem, stage1, …, pool, head."""
        first, *rest = self.widths
        stages = {
            f"stage{i}": conv_block(features, 3, 1, self.window)
            for i, features in enumerate(rest, 1)
        }
        return sequential(
            stem=conv_block(first, self.kernel_size, self.stride, self.window),
            **stages,
            pool=global_avg_pool,
            head=Dense(self.num_classes, kernel_init=lecun_normal),
        )


def conv_block(features: int, kernel_size: int, stride: int, window: int) -> Sequential:
    """Convolution, batch norm, rectifier, max pooling; T // (stride * window) samples come out."""
    padding = (kernel_size - 1) // 2
    conv = Conv(features, (kernel_size,), stride=stride, padding=padding, bias=False)
    return sequential(conv, BatchNorm(), relu, MaxPool(window))
