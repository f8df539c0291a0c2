"""The data sets: MNIST's four files in a folder, the split of the digits, the held-out part."""

import gzip
import hashlib
import struct

import numpy as np
import pytest

from train.data import Dataset, digits, hold_out, kmnist, mnist
from train.errors import DataError

NAMES = {
    "train-images-idx3-ubyte": np.arange(5 * 28 * 28).reshape(5, 28, 28) % 256,
    "train-labels-idx1-ubyte": np.array([0, 9, 1, 2, 3]),
    "t10k-images-idx3-ubyte": np.arange(2 * 28 * 28).reshape(2, 28, 28) % 251,
    "t10k-labels-idx1-ubyte": np.array([7, 8]),
}


def write(folder, *, pack=bytes, suffix="", **replaced):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in NAMES.items():
        array = replaced.get(name.replace("-", "_"), array).astype(np.uint8)
        header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / (name + suffix)).write_bytes(pack(header + array.tobytes()))


@pytest.mark.parametrize(("pack", "suffix"), [(bytes, ""), (gzip.compress, ".gz")])
@pytest.mark.parametrize("inner", ["", "fashion-mnist"])
def test_reads_the_four_files_of_a_folder(tmp_path, pack, suffix, inner):
    write(tmp_path / inner, pack=pack, suffix=suffix)
    data = mnist.load(mnist.FASHION_MNIST, tmp_path, checksum=False)
    for (images, labels), prefix in ((data.train, "train"), (data.test, "t10k")):
        np.testing.assert_array_equal(images[..., 0], NAMES[f"{prefix}-images-idx3-ubyte"])
        np.testing.assert_array_equal(labels, NAMES[f"{prefix}-labels-idx1-ubyte"])
        assert images.dtype == np.uint8
        assert labels.dtype == np.int32
    assert data.classes[9] == "Ankle boot"
    assert data.white == 255.0


def test_other_content_than_the_published_is_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: expected the published file"):
        mnist.load(mnist.MNIST, tmp_path)


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [
        (
            {"train_labels_idx1_ubyte": np.array([0, 9, 1, 2])},
            r"train-labels-idx1-ubyte: expected one label for each of the 5 images in"
            r" train-images-idx3-ubyte, got 4 labels",
        ),
        (
            {"t10k_labels_idx1_ubyte": np.array([7, 10])},
            r"t10k-labels-idx1-ubyte: expected labels 0 to 9, got 10 at index 1",
        ),
        (
            {"t10k_images_idx3_ubyte": np.zeros((2, 28, 27))},
            r"expected training and test images of one size, got \(28, 28\) and \(28, 27\)",
        ),
        (
            {
                "train_images_idx3_ubyte": np.zeros((0, 28, 28)),
                "train_labels_idx1_ubyte": np.zeros(0),
            },
            r"train-images-idx3-ubyte: expected images, got shape \(0, 28, 28\)",
        ),
    ],
)
def test_files_that_do_not_fit_each_other(tmp_path, replaced, expected):
    write(tmp_path, **replaced)
    with pytest.raises(DataError, match=expected):
        mnist.load(mnist.MNIST, tmp_path, checksum=False)


def test_a_missing_folder_or_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"--data-dir .*nowhere: .* does not exist"):
        mnist.load(mnist.MNIST, tmp_path / "nowhere")
    write(tmp_path)
    with pytest.raises(DataError, match=r"expected a folder, but it is a file"):
        mnist.load(mnist.MNIST, tmp_path / "t10k-labels-idx1-ubyte")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"a file t10k-labels-idx1-ubyte.gz or t10k-labels-"):
        mnist.load(mnist.MNIST, tmp_path, checksum=False)


def test_digits_split_is_fixed():
    data = digits.load()
    (train, train_labels), (test, test_labels) = data.train, data.test
    assert train.shape == (1437, 8, 8, 1)
    assert test.shape == (360, 8, 8, 1)
    assert data.white == train.max() == 16
    # A fifth of each class, to within one image.
    counts = np.bincount(np.concatenate([train_labels, test_labels]))
    assert np.abs(np.bincount(test_labels) - counts / 5).max() <= 1
    # No image is on both sides.
    assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}
    digest = hashlib.sha256(test.tobytes() + test_labels.astype(np.uint8).tobytes()).hexdigest()
    assert digest == "7ea651387343cbc4c8e847c96d6efbcd7114796f272a8d8864b1e7980b0c5e04"


def test_digits_of_another_version_are_refused(monkeypatch):
    monkeypatch.setattr(digits, "SHA256", "0" * 64)
    with pytest.raises(DataError, match=r"load_digits\(\): expected .* SHA-256 0{64}, got 87ff"):
        digits.load()


def test_held_out_images_are_a_sixth_of_training_and_the_test_split_is_gone():
    def split(start, n):
        return np.arange(start, start + n, dtype=np.uint8).reshape(n, 1, 1, 1), np.arange(n) % 3

    data = Dataset(split(0, 18), split(100, 5), 255.0, ("a", "b", "c"))
    tuning = hold_out(data)
    assert tuning.test[0].ravel().tolist() == [0, 6, 12]
    both = np.concatenate([tuning.train[0], tuning.test[0]]).ravel()
    assert sorted(both.tolist()) == list(range(18))
    for images, labels in (tuning.train, tuning.test):
        np.testing.assert_array_equal(images.ravel() % 3, labels)


def test_groups_stay_together_when_held_out():
    inputs, labels = np.arange(40, dtype=np.float32).reshape(40, 1, 1), np.arange(40) % 4
    persons = np.array([30, 7, 11, 2, 19, 23, 5, 8] * 5)  # ranks 7 2 4 0 5 6 1 3
    data = Dataset((inputs, labels), (inputs, labels), 1.0, tuple("abcd"), persons)
    tuning = hold_out(data)
    held = np.isin(persons, [2, 23])  # ranks 0 and 6
    np.testing.assert_array_equal(tuning.test[0], inputs[held])
    np.testing.assert_array_equal(tuning.test[1], labels[held])
    np.testing.assert_array_equal(tuning.train[0], inputs[~held])
    np.testing.assert_array_equal(tuning.groups, persons[~held])


def test_kmnist_is_read_as_mnist_is_and_its_packed_files_are_checked(tmp_path):
    write(tmp_path / "kmnist")
    data = mnist.load(kmnist.KMNIST, tmp_path)  # nobody has published what is inside
    np.testing.assert_array_equal(data.test[0][..., 0], NAMES["t10k-images-idx3-ubyte"])
    assert data.classes[1] == "ki"
    write(tmp_path / "packed", pack=gzip.compress, suffix=".gz")
    with pytest.raises(DataError, match=r"images-idx3-ubyte.gz: expected 18165135 bytes, got \d+"):
        mnist.load(kmnist.KMNIST, tmp_path / "packed")
    packed = mnist.load(kmnist.KMNIST, tmp_path / "packed", checksum=False)
    np.testing.assert_array_equal(packed.train[0], data.train[0])
