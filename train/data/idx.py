"""Reading IDX files, the format of MNIST: damage is an error with the file's name, never data.

    offset 0   0x00 0x00, the type (0x08 = unsigned byte), the number of dimensions
    offset 4   each dimension's size, 4 bytes, the highest first
    then       the values, row-major, and nothing after them

http://yann.lecun.com/exdb/mnist (the page is gone; its text is in many mirrors).
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from train.data.reading import read_bytes
from train.errors import DataError

GZIP = b"\x1f\x8b"
UNSIGNED_BYTE = 8
# No published IDX set comes near it, so a header that asks for more is damaged.
MOST_BYTES = 2**30
# Deflate cannot do better: 258 bytes from 2 bits.
MOST_EXPANSION = 1032


def read_idx(path: Path, ndim: int, *, sha256: str | None = None) -> np.ndarray:
    """The uint8 array of an IDX file with `ndim` dimensions, gzipped or not (told by its bytes).

    sha256 is that of the whole content, uncompressed; None does not check it.

    Raises DataError naming the file, what was expected and what came: for a file that is missing or
    cannot be read, that is not gzip or IDX, of another type or rank, with fewer or more values than
    its header says, with a damaged gzip stream or another checksum. No more memory is taken than
    the file can fill.
    """
    try:
        with open(path, "rb") as file:
            size = path.stat().st_size
            packed = file.peek(2)[:2] == GZIP
            if not packed:
                return _parse(path, file, ndim, sha256, most=size, exact=size)
            with gzip.GzipFile(fileobj=file) as content:
                most = min(size * MOST_EXPANSION, MOST_BYTES)
                return _parse(path, content, ndim, sha256, most=most, exact=None)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: expected a whole gzip file, got a damaged one: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _parse(
    path: Path, file: BinaryIO | gzip.GzipFile, ndim: int, sha256: str | None, most: int, exact
) -> np.ndarray:
    magic = bytes((0, 0, UNSIGNED_BYTE, ndim))
    header = file.read(4 + 4 * ndim)
    if header[:4] != magic:
        raise DataError(
            f"{path}: expected the IDX magic number 0x{magic.hex()} (unsigned bytes, {ndim}"
            f" dimension{'s' * (ndim > 1)}) or gzip, got 0x{header[:4].hex()}"
        )
    if len(header) < 4 + 4 * ndim:
        raise DataError(
            f"{path}: expected an IDX header of {4 + 4 * ndim} bytes, got {len(header)}"
        )
    shape = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(4, len(header), 4))
    count = math.prod(shape)
    wanted = f"{path}: the header says shape {shape}, {count} bytes"
    if exact is not None and exact != len(header) + count:
        raise DataError(f"{wanted}, but {exact - len(header)} bytes follow it")
    if count > most:
        raise DataError(f"{wanted}, more than the file can hold ({most})")
    body = read_bytes(file, count + 1)  # one more, to notice what should not be there
    if len(body) != count:
        came = "more than that follow" if len(body) > count else f"{len(body)} bytes follow"
        raise DataError(f"{wanted}, but {came} it")
    if sha256 is not None:
        found = hashlib.sha256(header + body).hexdigest()
        if found != sha256:
            raise DataError(
                f"{path}: expected the published file, content SHA-256 {sha256}, got {found}"
            )
    return np.frombuffer(body, np.uint8).reshape(shape)
