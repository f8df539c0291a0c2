"""NumPy archives: arrays of numbers that fit each other, and never a pickle."""

import io
import struct
import zipfile

import numpy as np
import pytest

from train.data import npz
from train.errors import DataError

IMAGES = np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3)
LABELS = np.array([2, 0, 1, 2])


def arrays(**replaced):
    return {
        "x_train": IMAGES,
        "y_train": LABELS,
        "x_test": IMAGES[:2],
        "y_test": LABELS[:2],
        **replaced,
    }


def refused(path, expected):
    with pytest.raises(DataError, match=expected) as caught:
        npz.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_the_four_arrays(tmp_path, save):
    save(tmp_path / "data.npz", **arrays())
    data = npz.load(tmp_path / "data.npz")
    np.testing.assert_array_equal(data.train[0], IMAGES)
    np.testing.assert_array_equal(data.train[1], LABELS)
    np.testing.assert_array_equal(data.test[0], IMAGES[:2])
    np.testing.assert_array_equal(data.test[1], LABELS[:2])
    assert data.train[1].dtype == np.int32
    assert (data.white, data.classes) == (255.0, ("0", "1", "2"))


@pytest.mark.parametrize(
    ("x", "shape", "dtype", "white"),
    [
        (IMAGES[..., 0], (4, 5, 6, 1), "uint8", 255.0),  # grey, as in Keras's mnist.npz
        (IMAGES[:, :, 0].astype(np.int16), (4, 5, 3), "int16", 32768.0),
        (IMAGES[:, :, 0].astype(np.float32), (4, 5, 3), "float32", 1.0),
        (IMAGES[:, :, 0].astype(np.float64), (4, 5, 3), "float32", 1.0),
        (IMAGES[:, :, 0].astype(">i2"), (4, 5, 3), "int16", 32768.0),
        (np.asfortranarray(IMAGES), (4, 5, 6, 3), "uint8", 255.0),
    ],
)
def test_kinds_of_inputs(tmp_path, x, shape, dtype, white):
    np.savez(tmp_path / "data.npz", **arrays(x_train=x, x_test=x[:2]))
    data = npz.load(tmp_path / "data.npz")
    np.testing.assert_array_equal(data.train[0], x.reshape(shape))
    assert data.train[0].dtype.name == dtype
    assert data.train[0].dtype.isnative
    assert data.white == white


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [
        ({"x_train": IMAGES.astype(np.int32)}, r"x_train as \(N, \*S, C\) of uint8, .*got int32"),
        ({"x_train": IMAGES[:, 0, 0].astype(np.float32)}, r"x_train as .*got float32 \(4, 3\)"),
        ({"y_train": LABELS.astype(np.float32)}, r"y_train as 4 integers, got float32 \(4,\)"),
        ({"y_train": LABELS[:3]}, r"y_train as 4 integers, got int64 \(3,\)"),
        ({"y_test": LABELS[:2, None]}, r"y_test as 2 integers, got int64 \(2, 1\)"),
        ({"y_test": np.array([0, 3])}, "expected labels 0 to 2, got 3 at index 1"),
        ({"y_train": np.array([0, -1, 2, 1])}, "expected labels 0 to 2, got -1 at index 1"),
        ({"y_train": np.array([0, 1, 2, 2**40])}, "no more classes than the 4 training inputs"),
        ({"x_test": IMAGES[:2, 1:]}, r"of one size and type.*\(4, 5, 6, 3\) and uint8 \(2, 4, 6"),
        ({"x_train": np.array([None] * 4)}, r"expected x_train to be numbers, got object \(4,\)"),
        ({"x_train": np.array(["a"] * 4)}, "expected x_train to be numbers, got <U1"),
        ({"x_train": IMAGES[:0]}, r"expected x_train to be numbers, got uint8 \(0, 5, 6, 3\)"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, replaced, expected):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays(**replaced))
    refused(path, expected)


def test_values_that_are_not_finite(tmp_path):
    path = tmp_path / "data.npz"
    for value in (np.nan, np.inf, 1e300):
        x = np.ones((4, 3, 1))
        x[2, 1] = value
        np.savez(path, **arrays(x_train=x, x_test=x[:2]))
        refused(path, "x_train has values that are not finite")


def test_missing_arrays_and_files(tmp_path):
    path = tmp_path / "data.npz"
    refused(path, "cannot be read: No such file")
    np.savez(path, x_train=IMAGES)
    refused(path, "expected arrays x_train, y_train, x_test, y_test, found no y_train")
    path.write_bytes(b"x" * 100)
    refused(path, "expected a .npz file of arrays of numbers, but: File is not a zip file")


def npy(shape, body, descr="|u1"):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def zipped(path, x_train):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays().items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(f"{name}.npy", x_train if name == "x_train" else content.getvalue())


@pytest.mark.parametrize(
    ("x_train", "expected"),
    [
        (npy((4, 2, 1), bytes(7)), r"x_train says uint8 \(4, 2, 1\), 8 bytes, but 7 follow"),
        (npy((4, 2, 1), bytes(9)), r"x_train says uint8 \(4, 2, 1\), 8 bytes, but more follow"),
        (npy((2**33, 1, 1), b""), r"x_train says uint8 .*: more than 4294967296 bytes"),
        (npy((2**31, 1, 1), b""), r"2147483648 bytes, but 0 follow"),
        (npy((-4, 2, 1), bytes(8)), r"expected x_train to be numbers, got uint8 \(-4, 2, 1\)"),
        (npy((4, 2, 1), bytes(8), "|O"), r"expected x_train to be numbers, got object \(4, 2, 1\)"),
        (npy("__import__('os').abort()", b""), "a .npz file of arrays of numbers, but: "),
        (npy((4, 2, 1), b"")[:20], "a .npz file of arrays of numbers, but: "),
        (b"\x93NUMPY\x09\x00" + bytes(100), "a .npz file of arrays of numbers, but: "),
    ],
)
def test_headers_that_promise_something_else(tmp_path, x_train, expected):
    path = tmp_path / "data.npz"
    zipped(path, x_train)
    refused(path, expected)


def test_a_changed_byte_is_seen_by_the_checksum(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays())
    content = bytearray(path.read_bytes())
    content[content.index(IMAGES.tobytes()) + 100] ^= 1
    path.write_bytes(content)
    refused(path, "Bad CRC-32 for file 'x_train.npy'")
