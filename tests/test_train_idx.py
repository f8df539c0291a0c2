"""IDX files: the right array, or one error that names the file, what was expected and what came."""

import gzip
import hashlib
import struct

import numpy as np
import pytest

from train.data.idx import MOST_BYTES, read_idx
from train.errors import DataError

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def idx(array, shape=None, magic=None):
    shape = array.shape if shape is None else shape
    magic = bytes((0, 0, 8, len(shape))) if magic is None else magic
    return magic + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def written(folder, content):
    path = folder / "images-idx3-ubyte"
    path.write_bytes(content)
    return path


def refused(path, expected, **options):
    with pytest.raises(DataError, match=expected) as caught:
        read_idx(path, 3, **options)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_the_array_plain_or_gzipped(tmp_path, pack):
    path = written(tmp_path, pack(idx(IMAGES)))
    digest = hashlib.sha256(idx(IMAGES)).hexdigest()
    np.testing.assert_array_equal(read_idx(path, 3, sha256=digest), IMAGES)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", r"magic number 0x00000803.*got 0x$"),
        (b"<html>not found</html>", r"magic number 0x00000803.*got 0x3c68746d"),
        (idx(IMAGES, magic=b"\0\0\x0d\x03"), r"magic number 0x00000803.*got 0x00000d03"),
        (idx(np.arange(4, dtype=np.uint8)), r"magic number 0x00000803.*got 0x00000801"),
        (idx(IMAGES)[:10], r"header of 16 bytes, got 10"),
        (idx(IMAGES)[:-1], r"\(2, 3, 4\), 24 bytes, but 23 bytes follow"),
        (idx(IMAGES)[:16], r"\(2, 3, 4\), 24 bytes, but 0 bytes follow"),
        (idx(IMAGES) + b"\0", r"\(2, 3, 4\), 24 bytes, but (25 bytes|more than that) follow"),
        (idx(IMAGES, shape=(1, 3, 4)), r"\(1, 3, 4\), 12 bytes, but (24 bytes|more) "),
        (idx(IMAGES, shape=(3, 3, 4)), r"\(3, 3, 4\), 36 bytes, but 24 bytes follow"),
    ],
)
def test_damage_is_named(tmp_path, pack, content, expected):
    refused(written(tmp_path, pack(content)), expected)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_promises_too_much_takes_no_memory(tmp_path, pack):
    shape = (2**32 - 1, 2**32 - 1, 2**32 - 1)
    refused(written(tmp_path, pack(idx(IMAGES, shape=shape))), "bytes follow|more than the file")


def test_a_gzip_bomb_stops_at_the_limit(tmp_path, monkeypatch):
    assert MOST_BYTES == 2**30
    monkeypatch.setattr("train.data.idx.MOST_BYTES", 1000)
    bomb = gzip.compress(idx(np.zeros((1, 1, 1001), np.uint8)))
    refused(written(tmp_path, bomb), "1001 bytes, more than the file can hold")


def test_every_truncation_and_every_flipped_bit_of_a_gzip_is_an_error_or_the_array(tmp_path):
    """The one check of a gzip stream is its CRC-32, which sees every single flipped bit."""
    whole = gzip.compress(idx(IMAGES), mtime=0)
    damaged = [whole[:size] for size in range(len(whole))]
    for position in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        damaged.append(bytes(flipped))
    read = 0
    for content in damaged:
        path = written(tmp_path, content)
        try:
            array = read_idx(path, 3)
        except DataError:
            continue
        np.testing.assert_array_equal(array, IMAGES)
        read += 1
    # Only the gzip header's flags, time, extra flags and system, 7 bytes, may change unnoticed,
    # and the bits that fill up the last byte before the CRC.
    assert read < 7 * 8 + 8


def test_bytes_after_the_gzip_stream_are_refused(tmp_path):
    refused(written(tmp_path, gzip.compress(idx(IMAGES)) + b"more"), "whole gzip file")
    both = gzip.compress(idx(IMAGES)) + gzip.compress(b"more")
    refused(written(tmp_path, both), "more than that follow")


def test_wrong_checksum(tmp_path):
    path = written(tmp_path, idx(IMAGES))
    refused(path, f"SHA-256 {'0' * 64}, got [0-9a-f]{{64}}", sha256="0" * 64)


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "nothing", "cannot be read: No such file")
    refused(tmp_path, "cannot be read: Is a directory")
