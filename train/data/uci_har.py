"""Human activities from a phone's motion sensors: 10,299 windows of 2.56 s at 50 Hz, 9 channels.

Anguita, Ghio, Oneto, Parra, Reyes-Ortiz, "A public domain dataset for human activity recognition
using smartphones", ESANN 2013: 30 people, six activities. The split is the published one, by
person: 21 train, 9 test. Windows overlap by half, so `groups` names the person of each.
"""

import warnings
from pathlib import Path

import numpy as np

from train.data import reading
from train.data.dataset import Dataset
from train.data.npz import read_npz
from train.data.reading import checked_labels, refusing
from train.errors import DataError

CLASSES = ("walking", "upstairs", "downstairs", "sitting", "standing", "laying")
LENGTH = 128
# In g, in rad/s, in g; the first is without gravity.
CHANNELS = tuple(
    f"{signal}_{axis}" for signal in ("body_acc", "body_gyro", "total_acc") for axis in "xyz"
)


def load(data_dir: Path | None) -> Dataset:
    """The windows (N, 128, 9) float32: body acceleration, angular velocity, total acceleration.

    data_dir holds the unpacked archive ("UCI HAR Dataset", or its content), or uci_har.npz with the
    arrays x (N, 128, 9), y (N,) from 0, subject (N,) and official_test (N,), or a folder uci-har
    that does.

    Raises DataError for data_dir None, and naming the file: for one that is missing or damaged, has
    another number of values or one that is not finite, a label out of range, and for a person on
    both sides of the split.
    """
    if data_dir is None:
        raise DataError(
            "uci_har needs --data-dir FOLDER, with the unpacked archive of"
            " https://archive.ics.uci.edu/dataset/240: it is published without a checksum"
        )
    folder = reading.folder(data_dir, "UCI HAR Dataset", "uci-har")
    if (folder / "uci_har.npz").is_file():
        path = folder / "uci_har.npz"
        train, test = _packed(path)
    elif (folder / "train").is_dir() and (folder / "test").is_dir():
        path = folder
        train, test = _texts(folder / "train"), _texts(folder / "test")
    else:
        raise DataError(f"{folder}: expected uci_har.npz, or the folders train and test")
    if both := sorted(set(train[2].tolist()) & set(test[2].tolist())):
        raise DataError(f"{path}: expected no person in both splits, but {both[0]} is")
    return Dataset(train[:2], test[:2], white=1.0, classes=CLASSES, groups=train[2])


Part = tuple[np.ndarray, np.ndarray, np.ndarray]  # windows, labels, persons


def _packed(path: Path) -> tuple[Part, Part]:
    arrays = read_npz(path, ("x", "y", "subject", "official_test"))
    x, y, subject, is_test = arrays.values()
    count = len(x) if x.ndim else 0
    expected = {
        "x": (count, LENGTH, len(CHANNELS)),
        "y": (count,),
        "subject": (count,),
        "official_test": (count,),
    }
    for name, shape in expected.items():
        kind = {"x": "f", "official_test": "b"}.get(name, "iu")
        if arrays[name].shape != shape or arrays[name].dtype.kind not in kind:
            raise DataError(
                f"{path}: expected {name} as {shape}, got {arrays[name].dtype} {arrays[name].shape}"
            )
    if is_test.all() or not is_test.any():
        raise DataError(f"{path}: expected windows for training and for testing")
    labels = checked_labels(path, y, len(CLASSES))
    windows = _finite(path, x)
    train, test = (
        (windows[chosen], labels[chosen], subject[chosen]) for chosen in (~is_test, is_test)
    )
    return train, test


def _texts(folder: Path) -> Part:
    """One split of the published archive: text files, a line for each window."""
    labels = _table(folder / f"y_{folder.name}.txt", np.int64, 1)
    persons = _table(folder / f"subject_{folder.name}.txt", np.int64, 1)
    signals = [
        _table(folder / "Inertial Signals" / f"{channel}_{folder.name}.txt", np.float64, LENGTH)
        for channel in CHANNELS
    ]
    counts = {len(table) for table in (labels, persons, *signals)}
    if len(counts) > 1:
        raise DataError(f"{folder}: expected files of equally many lines, got {sorted(counts)}")
    path = folder / f"y_{folder.name}.txt"
    # Counted from 1 there.
    return (
        _finite(folder, np.stack(signals, -1)),
        checked_labels(path, labels[:, 0] - 1, len(CLASSES)),
        persons[:, 0],
    )


def _table(path: Path, dtype: type, columns: int) -> np.ndarray:
    """The numbers (lines, columns) of a text file."""
    with (
        refusing(path, "lines of numbers", ValueError, OverflowError, Warning),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")  # an empty file is no more than a warning
        table = np.loadtxt(path, dtype, comments=None, ndmin=2, encoding="ascii")
    if table.shape[1] != columns:
        raise DataError(f"{path}: expected {columns} numbers a line, got {table.shape[1]}")
    return table


def _finite(path: Path, values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: expected finite values, got some that are not")
    return values
