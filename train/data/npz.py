"""NumPy archives (.npz): a zip file of arrays, read without ever unpickling.

One's own data set is such a file with the arrays x_train, y_train, x_test and y_test: the layout of
Keras's mnist.npz.
"""

import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.data.dataset import Dataset, Split
from train.data.reading import MOST_BYTES, checked_labels, read_bytes, refusing
from train.errors import DataError

# The stored value that becomes 1.0, by the type of the inputs.
WHITE = {"uint8": 255.0, "int16": 32768.0, "float32": 1.0}
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    TypeError,
    SyntaxError,
    OverflowError,
    tokenize.TokenError,
    NotImplementedError,  # an unknown compression
    RuntimeError,  # an encrypted member
    Warning,  # headers that NumPy reads, but not gladly
)


def load(path: Path) -> Dataset:
    """The data set in a .npz file with x_train (N, *S, C), y_train (N,), x_test and y_test.

    Inputs are uint8 images, int16 sounds or float32 (or float64) series, channels last; uint8
    images (N, H, W) are grey. Labels are integers, 0 to the highest in y_train.

    Raises DataError naming the file and the array: for a file that is missing or damaged, an array
    that is missing or of another type or shape, a value that is not finite, a label out of range.
    """
    arrays = read_npz(path, ("x_train", "y_train", "x_test", "y_test"))
    train, test = (_split(path, arrays, part) for part in ("train", "test"))
    if train[0].shape[1:] != test[0].shape[1:] or train[0].dtype != test[0].dtype:
        raise DataError(
            f"{path}: expected x_train and x_test of one size and type, got"
            f" {_kind(train[0])} and {_kind(test[0])}"
        )
    classes = int(train[1].max()) + 1
    if classes > len(train[1]):
        raise DataError(
            f"{path}: expected no more classes than the {len(train[1])} training inputs, but"
            f" y_train says {classes}"
        )
    return Dataset(
        (train[0], checked_labels(path, train[1], classes)),
        (test[0], checked_labels(path, test[1], classes)),
        white=WHITE[train[0].dtype.name],
        classes=tuple(map(str, range(classes))),
    )


def _split(path: Path, arrays: dict[str, np.ndarray], part: str) -> Split:
    inputs, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
    if inputs.dtype == np.uint8 and inputs.ndim == 3:
        inputs = inputs[..., None]
    if inputs.dtype == np.float64:
        with np.errstate(over="ignore"):  # infinity is refused below
            inputs = inputs.astype(np.float32)
    if inputs.dtype.name not in WHITE or inputs.ndim < 3:
        raise DataError(
            f"{path}: expected x_{part} as (N, *S, C) of uint8, int16 or float32,"
            f" got {_kind(inputs)}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != inputs.shape[:1]:
        raise DataError(f"{path}: expected y_{part} as {len(inputs)} integers, got {_kind(labels)}")
    if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
        raise DataError(f"{path}: x_{part} has values that are not finite")
    return inputs, labels


def read_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of these names, each of numbers and with at least one.

    Raises DataError for a file that is missing or damaged, an array that is missing, of objects
    (pickled) or more than MOST_BYTES. No more memory is taken than the file can fill.
    """
    with refusing(path, "a .npz file of arrays of numbers", *DAMAGE), warnings.catch_warnings():
        warnings.simplefilter("error")
        with zipfile.ZipFile(path) as archive:
            found = archive.namelist()
            for name in names:
                if f"{name}.npy" not in found:
                    raise DataError(f"{path}: expected arrays {', '.join(names)}, found no {name}")
            return {name: _array(path, archive, name) for name in names}


def _array(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        else:  # NumPy's error for anything but (2, 0); version 3 is for names of fields
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in "buif" or min((1, *shape)) < 1:
            raise DataError(f"{path}: expected {name} to be numbers, got {dtype} {shape}")
        if size > MOST_BYTES:
            raise DataError(f"{path}: {name} says {dtype} {shape}: more than {MOST_BYTES} bytes")
        # NumPy's own reader would make room for the whole array first. One byte more than the
        # array has makes zipfile come to the end, where it compares the checksum.
        body = read_bytes(file, size + 1)
    if len(body) != size:
        came = "more" if len(body) > size else str(len(body))
        raise DataError(f"{path}: {name} says {dtype} {shape}, {size} bytes, but {came} follow")
    array = np.frombuffer(body, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
