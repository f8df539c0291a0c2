"""What the readers of all formats share: finding files, reading no more than there is, labels."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from train.errors import DataError

# No data set that is read into memory comes near it, so a header that asks for more is damaged.
MOST_BYTES = 2**32


def folder(data_dir: Path, *names: str) -> Path:
    """`data_dir`, or the folder in it that has the first of these names that is there.

    Raises DataError where data_dir is no folder.
    """
    if not data_dir.is_dir():
        what = "it is a file" if data_dir.exists() else "it does not exist"
        raise DataError(f"--data-dir {data_dir}: expected a folder, but {what}")
    inner = [data_dir / name for name in names if (data_dir / name).is_dir()]
    return inner[0] if inner else data_dir


@contextmanager
def refusing(path: Path, what: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what a decoder raises on a damaged file into a DataError that names the file.

    An OSError with a number is the disk's: the file cannot be read. Everything else, and these
    errors, say that it is not `what`.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        raise DataError(f"{path}: expected {what}, but: {error}") from None
    except errors as error:
        text = str(error) or type(error).__name__
        raise DataError(f"{path}: expected {what}, but: {text}") from None


def read_bytes(file: IO[bytes] | gzip.GzipFile, size: int) -> bytes:
    """Up to `size` bytes, in blocks: memory grows with what comes, not with what was promised."""
    body = bytearray()
    while len(body) < size and (block := file.read(min(size - len(body), 2**20))):
        body += block
    return bytes(body)


def checked_labels(path: Path, labels: np.ndarray, classes: int) -> np.ndarray:
    """The labels (N,), N > 0, as int32; DataError if one is not in 0 … classes - 1."""
    for index in (int(labels.argmin()), int(labels.argmax())):
        label = int(labels[index])
        if not 0 <= label < classes:
            raise DataError(
                f"{path}: expected labels 0 to {classes - 1}, got {label} at index {index}"
            )
    return labels.astype(np.int32)
