"""What every data source gives: two splits of images, sounds or series."""

from typing import Any, NamedTuple

import numpy as np

from train.data.stream import Streamed

# (inputs (N, *S, C), labels (N,) int32)
Split = tuple[np.ndarray, np.ndarray]
StreamedSplit = tuple[Streamed, np.ndarray]


class Dataset(NamedTuple):
    """Inputs as they are stored, so that they take little room on the device, and their labels.

    Images are (N, H, W, C) uint8, sounds (N, T, C) int16, series (N, T, C) float32.

    white: the stored value that becomes 1.0 when the inputs are made float32; 0 stays 0. 255 for
        most images, 32768 for sounds, 1 for floats.
    classes: their names; label i is classes[i].
    groups: (N,) who or what each training input comes from, where inputs of one origin resemble
        each other too much to be on both sides of `hold_out`; None where nothing is known.
    """

    train: Split | StreamedSplit
    test: Split | StreamedSplit
    white: float
    classes: tuple[str, ...]
    groups: np.ndarray | None = None

    @property
    def streams(self) -> bool:
        """Whether its inputs stay on the disk, those of both splits."""
        return isinstance(self.train[0], Streamed)

    @property
    def noun(self) -> str:
        """What its inputs are called, by their rank."""
        return {3: "series", 4: "images", 5: "volumes"}.get(self.train[0].ndim, "inputs")


class Batch(NamedTuple):
    """What a step of training is given: arrays, or what describes them to a compiler.

    inputs: (N, *S, C) as they are stored.
    labels: (N,) int32.
    index: (N,) int32, the place of each in the training set, the same in every epoch.
    epoch: int32 scalar, from 0.
    """

    inputs: Any
    labels: Any
    index: Any
    epoch: Any


def hold_out(data: Dataset, every: int = 6) -> Dataset:
    """A data set for tuning: a sixth of the training inputs is tested on, the test split is gone.

    It is each sixth input, or, where there are groups, each sixth group whole.

    >>> import numpy as np
    >>> split = np.zeros((12, 1, 1, 1), np.uint8), np.arange(12, dtype=np.int32)
    >>> tuning = hold_out(Dataset(split, split, 255.0, ("a", "b")))
    >>> tuning.train[1].tolist(), tuning.test[1].tolist()
    ([1, 2, 3, 4, 5, 7, 8, 9, 10, 11], [0, 6])
    """
    inputs, labels = data.train
    if data.groups is None:
        held = np.arange(len(labels)) % every == 0
        groups = None
    else:
        held = np.unique(data.groups, return_inverse=True)[1] % every == 0
        groups = data.groups[~held]
    return data._replace(
        train=(inputs[~held], labels[~held]),
        test=(inputs[held], labels[held]),
        groups=groups,
    )
