"""The run for TensorBoard: an event file, written without TensorFlow.

    tensorboard --logdir runs

A file is records of: length (8 bytes, little-endian), its masked CRC-32C, content, its masked
CRC-32C. A content is one `Event` in protobuf's encoding, of which this is the part that is needed:

    Event    1 wall_time double, 2 step int64, 3 file_version string, 5 Summary, 7 SessionLog
    Summary  1 Value, repeated            Value  1 tag string, 2 simple_value float
    SessionLog  1 status enum (1 is START)

Source: tensorflow/core/lib/io/record_writer.cc and core/util/event.proto. tensorboardX, the library
that writes the same without TensorFlow, imports PyTorch where it is installed (3 seconds) and runs
a thread.
"""

import os
import struct
import time
from pathlib import Path
from typing import Any

TAGS = {
    "train_loss": "loss/train",
    "test_loss": "loss/{split}",
    "train_accuracy": "accuracy/train",
    "test_accuracy": "accuracy/{split}",
    "images_per_second": "speed/images_per_second",
}


class Events:
    """An event file in a run's folder, which begins with its first line.

    split: what the run is tested on, for the names of the figures. step: the first one of a resumed
    run; TensorBoard then drops what an earlier file of the folder says of this step and later ones.
    """

    def __init__(self, folder: Path, split: str, step: int = 0) -> None:
        self.folder, self.split, self.step = folder, split, step
        self.path: Path | None = None

    def append(self, record: dict[str, Any]) -> None:
        """The figures of one line of metrics.jsonl, on the disk when this returns."""
        if self.path is None:
            now = time.time()
            self.path = self.folder / f"events.out.tfevents.{int(now):010d}.{os.getpid()}"
            _write(self.path, _double(1, now) + _bytes(3, b"brain.Event:2"))
            _write(self.path, _double(1, now) + _varint(2, self.step) + _bytes(7, _varint(1, 1)))
        scalars = {
            tag.format(split=self.split): record[name]
            for name, tag in TAGS.items()
            if name in record
        }
        _write(self.path, event(time.time(), record["step"], scalars))


def _write(path: Path, content: bytes) -> None:
    with open(path, "ab") as file:
        file.write(framed(content))


def event(wall_time: float, step: int, scalars: dict[str, float]) -> bytes:
    """An `Event` with some scalars, encoded."""
    values = b"".join(
        _bytes(1, _bytes(1, tag.encode()) + _float(2, value)) for tag, value in scalars.items()
    )
    return _double(1, wall_time) + _varint(2, step) + _bytes(5, values)


def framed(content: bytes) -> bytes:
    """A record with its length and check sums."""
    length = struct.pack("<Q", len(content))
    return length + _masked_crc(length) + content + _masked_crc(content)


# Protobuf: a field is its number and wire type (0 varint, 1 eight bytes, 2 length and bytes,
# 5 four bytes) in one varint, then the value.


def _varint(field: int, value: int) -> bytes:
    return _number(field << 3 | 0) + _number(value)


def _double(field: int, value: float) -> bytes:
    return _number(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _number(field << 3 | 2) + _number(len(value)) + value


def _float(field: int, value: float) -> bytes:
    return _number(field << 3 | 5) + struct.pack("<f", value)


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def crc32c(content: bytes) -> int:
    """The Castagnoli CRC (RFC 3720, appendix B.4).

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


CRC_TABLE = _crc_table()


def _masked_crc(content: bytes) -> bytes:
    """Turned and shifted, so that a check sum of check sums is no special value."""
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
