"""What every data source gives: two splits of small images, in memory."""

from typing import NamedTuple

import numpy as np

# (images (N, H, W, C) uint8, labels (N,) int32)
Split = tuple[np.ndarray, np.ndarray]


class Dataset(NamedTuple):
    """Images as they are stored, so that they take little room on the device.

    white: the pixel value that becomes 1.0; 0 stays 0, the background.
    classes: their names; label i is classes[i].
    """

    train: Split
    test: Split
    white: float
    classes: tuple[str, ...]


def hold_out(data: Dataset, every: int = 6) -> Dataset:
    """A data set for tuning: each sixth training image is tested on, and the test split is gone.

    >>> import numpy as np
    >>> split = np.zeros((12, 1, 1, 1), np.uint8), np.arange(12, dtype=np.int32)
    >>> tuning = hold_out(Dataset(split, split, 255.0, ("a", "b")))
    >>> tuning.train[1].tolist(), tuning.test[1].tolist()
    ([1, 2, 3, 4, 5, 7, 8, 9, 10, 11], [0, 6])
    """
    images, labels = data.train
    held = np.arange(len(labels)) % every == 0
    return data._replace(
        train=(images[~held], labels[~held]),
        test=(images[held], labels[held]),
    )
