"""CIFAR's binary files: planes become channels, and every other file is refused by name."""

import hashlib
import io
import tarfile

import numpy as np
import pytest

from train.data import cifar
from train.data.cifar import CIFAR10, CIFAR100
from train.data.download import Published
from train.errors import DataError


def images(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def records(pixels, *labels):
    planes = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    return np.concatenate([*(np.array(row, np.uint8)[:, None] for row in labels), planes], 1)


def write10(folder, count=2):
    folder.mkdir(exist_ok=True)
    parts = []
    for number, name in enumerate((*CIFAR10.train, *CIFAR10.test)):
        pixels, labels = images(count, number), np.arange(number, number + count) % 10
        records(pixels, labels).tofile(folder / name)
        parts.append((pixels, labels))
    return parts


@pytest.mark.parametrize("inner", [".", "cifar-10-batches-bin"])
def test_reads_the_six_files_of_cifar10_in_order(tmp_path, inner):
    parts = write10(tmp_path / inner)
    data = cifar.load(CIFAR10, tmp_path, checksum=False)
    np.testing.assert_array_equal(data.train[0], np.concatenate([x for x, _ in parts[:5]]))
    np.testing.assert_array_equal(data.train[1], np.concatenate([y for _, y in parts[:5]]))
    np.testing.assert_array_equal(data.test[0], parts[5][0])
    np.testing.assert_array_equal(data.test[1], parts[5][1])
    assert data.train[1].dtype == np.int32
    assert data.white == 255.0
    assert data.classes[3] == "cat"
    # A record is the label, then the rows of red, of green and of blue.
    first = np.fromfile(tmp_path / inner / "data_batch_1.bin", np.uint8)
    places = [1 + 1024 * plane + 32 * 1 + 2 for plane in range(3)]
    assert data.train[0][0, 1, 2].tolist() == first[places].tolist()


def test_reads_the_fine_labels_of_cifar100(tmp_path):
    pixels = images(3, 0)
    for name in ("train.bin", "test.bin"):
        records(pixels, [19, 0, 3], [99, 0, 42]).tofile(tmp_path / name)
    data = cifar.load(CIFAR100, tmp_path, checksum=False)
    np.testing.assert_array_equal(data.train[0], pixels)
    assert data.train[1].tolist() == [99, 0, 42]
    assert data.classes[99] == "worm"
    assert len(set(data.classes)) == 100

    records(pixels, [20, 0, 3], [99, 0, 42]).tofile(tmp_path / "test.bin")
    with pytest.raises(DataError, match=r"test.bin: expected labels 0 to 19, got 20 at index 0"):
        cifar.load(CIFAR100, tmp_path, checksum=False)
    records(pixels, [19, 0, 3], [99, 100, 42]).tofile(tmp_path / "test.bin")
    with pytest.raises(DataError, match=r"test.bin: expected labels 0 to 99, got 100 at index 1"):
        cifar.load(CIFAR100, tmp_path, checksum=False)


def test_other_sizes_are_refused(tmp_path):
    write10(tmp_path)
    with pytest.raises(
        DataError,
        match=r"data_batch_1.bin: expected 10000 records of 3073 bytes, got 6146 bytes",
    ):
        cifar.load(CIFAR10, tmp_path)
    path = tmp_path / "data_batch_4.bin"
    for content in (path.read_bytes()[:-1], path.read_bytes() + b"1", b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"data_batch_4.bin: expected records of 3073 bytes"):
            cifar.load(CIFAR10, tmp_path, checksum=False)
    path.unlink()
    with pytest.raises(DataError, match=r"data_batch_4.bin: cannot be read: No such file"):
        cifar.load(CIFAR10, tmp_path, checksum=False)
    with pytest.raises(DataError, match=r"--data-dir .*nowhere: .* does not exist"):
        cifar.load(CIFAR10, tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["cifar-10-batches-py", "cifar-10-python.tar.gz"])
def test_pickles_are_refused_with_the_reason(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=rf"{name}: expected the binary version.*made of pickles"):
        cifar.load(CIFAR10, tmp_path)
    write10(tmp_path / "cifar-10-batches-bin")
    cifar.load(CIFAR10, tmp_path, checksum=False)  # the binary version lies beside it


def test_the_archive_is_checked_and_unpacked_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write10(tmp_path / "cifar-10-batches-bin", count=3)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(tmp_path / "cifar-10-batches-bin", "cifar-10-batches-bin")
    content = packed.getvalue()
    archive = Published("a.tar.gz", len(content), hashlib.sha256(content).hexdigest())
    source = CIFAR10._replace(archive=archive, sizes=(3, 3))
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.tar.gz").write_bytes(content)

    told = []
    data = cifar.load(source, tmp_path / "given", report=told.append)
    np.testing.assert_array_equal(data.test[0], images(3, 5))
    unpacked = tmp_path / "cache" / "fcnn" / "cifar10" / "unpacked"
    assert told == [f"unpacking {tmp_path / 'given' / 'a.tar.gz'} to {unpacked}"]
    # From then on neither the archive nor the network is needed.
    (tmp_path / "given" / "a.tar.gz").write_bytes(b"changed")
    for data_dir in (tmp_path / "given", None):
        again = cifar.load(source, data_dir, report=told.append)
        np.testing.assert_array_equal(again.train[0], data.train[0])
    assert len(told) == 1

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    with pytest.raises(DataError, match=rf"a.tar.gz: expected {len(content)} bytes, got 7"):
        cifar.load(source, tmp_path / "given", report=told.append)
