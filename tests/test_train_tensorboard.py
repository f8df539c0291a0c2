"""The event file, byte for byte as TensorBoard's own writer would make it."""

import doctest
import struct

from run_folder import epoch

from train import tensorboard

# event_pb2.Event(wall_time=1700000000.5, step=300, summary=…).SerializeToString() of
# tensorboard 2.21.0, and the record that its summary.writer.record_writer makes of it.
EVENT = bytes.fromhex(
    "0900002040fc54d94110ac022a1d0a110a0a6c6f73732f747261696e150000003e0a080a016115000040c0"
)
RECORD = bytes.fromhex("2b00000000000000861bc34b") + EVENT + bytes.fromhex("7857bd15")


def test_an_event_has_the_bytes_of_tensorboards_own():
    assert tensorboard.event(1700000000.5, 300, {"loss/train": 0.125, "a": -3.0}) == EVENT
    assert tensorboard.framed(EVENT) == RECORD


def test_check_sums_are_those_of_rfc_3720():
    assert tensorboard.crc32c(b"") == 0
    assert tensorboard.crc32c(bytes(32)) == 0x8A9136AA
    assert tensorboard.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert tensorboard.crc32c(bytes(range(32))) == 0x46DD794E
    assert doctest.testmod(tensorboard) == (0, 1)


def records(content):
    """The contents of a file's records."""
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        body = content[12 : 12 + length]
        assert content[: 16 + length] == tensorboard.framed(body)
        yield body
        content = content[16 + length :]


def test_a_run_is_a_header_a_start_and_an_event_an_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard.time, "time", lambda: 2.0)
    events = tensorboard.Events(tmp_path, "validation", step=200)
    assert list(tmp_path.iterdir()) == []
    events.append(epoch(30))
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("events.out.tfevents.0000000002.")
    header, start, line = records(path.read_bytes())
    assert header == b"\t" + struct.pack("<d", 2.0) + b"\x1a\rbrain.Event:2"
    # event_pb2.Event(wall_time=2.0, step=200, session_log=event_pb2.SessionLog(status=1)).
    assert start == bytes.fromhex("09000000000000004010c8013a020801")
    made = epoch(30)
    assert line == tensorboard.event(
        2.0,
        300,
        {
            "loss/train": made["train_loss"],
            "loss/validation": made["test_loss"],
            "accuracy/train": made["train_accuracy"],
            "accuracy/validation": made["test_accuracy"],
            "speed/images_per_second": 100.0,
        },
    )
