"""Spoken digits from WAV files, and the sensor windows of UCI HAR in both of their layouts."""

import wave

import numpy as np
import pytest

from train.data import spoken_digits, uci_har
from train.errors import DataError


def write_wav(path, samples, rate=8000, channels=1, width=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(np.asarray(samples, {1: "<u1", 2: "<i2"}[width]).tobytes())


def refused(call, path, expected):
    with pytest.raises(DataError, match=expected) as caught:
        call()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inner", ["", "recordings", "free-spoken-digit-dataset/recordings"])
def test_recordings_lie_in_the_middle_of_a_second(tmp_path, inner):
    folder = tmp_path / inner
    short, long = np.arange(1, 1002), np.arange(9001) - 4500
    write_wav(folder / "7_anna_12.wav", short)
    write_wav(folder / "0_theo_5.wav", long)
    write_wav(folder / "3_anna_4.wav", -short)
    (folder / "README.md").write_text("")
    data = spoken_digits.load(tmp_path)
    (train, labels), (test, test_labels) = data.train, data.test
    assert train.dtype == np.int16
    assert train.shape == (2, 8000, 1)
    assert labels.tolist() == [0, 7]
    assert test_labels.tolist() == [3]
    np.testing.assert_array_equal(train[0, :, 0], long[500:8500])
    np.testing.assert_array_equal(train[1, :, 0], np.pad(short, (3499, 3500)))
    np.testing.assert_array_equal(test[0, :, 0], np.pad(-short, (3499, 3500)))
    assert data.white == 32768.0
    assert data.classes == tuple("0123456789")


def test_recordings_that_are_not_as_expected(tmp_path):
    load = lambda: spoken_digits.load(tmp_path)  # noqa: E731
    refused(load, tmp_path, r"indices below 5 \(test\) and above, found 0 and 0")
    with pytest.raises(DataError, match="spoken_digits needs --data-dir FOLDER"):
        spoken_digits.load(None)
    path = tmp_path / "1_anna_0.wav"
    for options, found in [
        ({"rate": 16000}, "16000 Hz, 1, 16"),
        ({"channels": 2}, "8000 Hz, 2, 16"),
        ({"width": 1}, "8000 Hz, 1, 8"),
    ]:
        write_wav(path, np.ones(10), **options)
        refused(load, path, f"expected 8000 Hz, 1 channel, 16 bits, got {found}")
    write_wav(path, [])
    refused(load, path, "the header says 0 samples, but 0 follow")
    write_wav(path, np.arange(100))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    refused(load, path, "the header says 100 samples, but (85|0) follow")
    path.write_bytes(whole[:30])
    refused(load, path, "expected a whole WAV file")
    path.write_bytes(whole)
    write_wav(tmp_path / "eleven_anna_0.wav", [1])
    refused(load, tmp_path / "eleven_anna_0.wav", "expected a name like 7_jackson_32.wav")


def har(windows=6, seed=0):
    """x, y from 0, subjects, and which are for testing."""
    x = np.random.default_rng(seed).normal(size=(windows, 128, 9)).astype(np.float32)
    return {
        "x": x,
        "y": np.arange(windows, dtype=np.uint8) % 6,
        "subject": np.array([1, 1, 3, 3, 2, 2], np.uint8),
        "official_test": np.array([0, 0, 0, 0, 1, 1], bool),
    }


def write_texts(root, arrays):
    for split, chosen in (
        ("train", ~arrays["official_test"]),
        ("test", arrays["official_test"]),
    ):
        signals = root / split / "Inertial Signals"
        signals.mkdir(parents=True, exist_ok=True)
        for place, channel in enumerate(uci_har.CHANNELS):
            # As the published files look: " 1.8085150e-004".
            np.savetxt(
                signals / f"{channel}_{split}.txt", arrays["x"][chosen][..., place], " %.7e", " "
            )
        np.savetxt(root / split / f"y_{split}.txt", arrays["y"][chosen] + 1, "%d")
        np.savetxt(root / split / f"subject_{split}.txt", arrays["subject"][chosen], "%d")


def test_both_layouts_give_the_same_windows(tmp_path):
    arrays = har()
    (tmp_path / "uci-har").mkdir()
    np.savez(tmp_path / "uci-har" / "uci_har.npz", **arrays)
    packed = uci_har.load(tmp_path)
    np.testing.assert_array_equal(packed.train[0], arrays["x"][:4])
    np.testing.assert_array_equal(packed.test[0], arrays["x"][4:])
    assert packed.train[1].tolist() == [0, 1, 2, 3]
    assert packed.test[1].tolist() == [4, 5]
    assert packed.groups is not None
    assert packed.groups.tolist() == [1, 1, 3, 3]
    assert packed.classes[5] == "laying"

    write_texts(tmp_path / "UCI HAR Dataset", arrays)
    texts = uci_har.load(tmp_path)
    for one, other in zip((*texts.train, *texts.test), (*packed.train, *packed.test), strict=True):
        # Eight digits are written, float32 has seven.
        np.testing.assert_allclose(one, other, rtol=1e-7)
        assert one.dtype == other.dtype
    assert texts.groups is not None
    assert texts.groups.tolist() == [1, 1, 3, 3]


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [
        ({"x": np.ones((6, 127, 9), np.float32)}, r"x as \(6, 128, 9\), got float32 \(6, 127, 9\)"),
        ({"x": np.ones((6, 128, 9), np.int16)}, r"x as \(6, 128, 9\), got int16"),
        ({"x": np.full((6, 128, 9), np.inf, np.float32)}, "expected finite values"),
        ({"y": np.arange(6) + 1}, "expected labels 0 to 5, got 6 at index 5"),
        ({"y": np.arange(5)}, r"expected y as \(6,\), got int64 \(5,\)"),
        ({"official_test": np.arange(6)}, r"expected official_test as \(6,\), got int64"),
        ({"official_test": np.ones(6, bool)}, "expected windows for training and for testing"),
        ({"subject": np.array([1, 1, 3, 3, 3, 2])}, "no person in both splits, but 3 is"),
    ],
)
def test_a_packed_file_that_is_not_as_expected(tmp_path, replaced, expected):
    path = tmp_path / "uci_har.npz"
    np.savez(path, **har() | replaced)
    refused(lambda: uci_har.load(tmp_path), path, expected)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("y_train.txt", "1\n2\n3\n7\n", "expected labels 0 to 5, got 6 at index 3"),
        ("y_train.txt", "1\n2\n3\n0\n", "expected labels 0 to 5, got -1 at index 3"),
        ("y_train.txt", "1\n2\n3\n1.5\n", "expected lines of numbers, but: "),
        ("y_train.txt", "1\n2\n3\n", r"expected files of equally many lines, got \[3, 4\]"),
        ("y_train.txt", "", "expected lines of numbers, but: "),
        ("subject_train.txt", "1 1\n" * 4, "expected 1 numbers a line, got 2"),
        ("subject_train.txt", "1\n1\n2\n3\n", "no person in both splits, but 2 is"),
        ("Inertial Signals/body_acc_x_train.txt", "1 2 3\n" * 4, "128 numbers a line, got 3"),
        ("Inertial Signals/body_acc_x_train.txt", "1 2\n3\n", "expected lines of numbers, but"),
        ("Inertial Signals/body_acc_x_train.txt", "nan " * 128 + "\n", "equally many|finite"),
        ("Inertial Signals/total_acc_z_train.txt", ("1e99 " * 128 + "\n") * 4, "finite values"),
        ("Inertial Signals/total_acc_z_train.txt", "\u00e9", "expected lines of numbers, but"),
    ],
)
def test_texts_that_are_not_as_expected(tmp_path, name, content, expected):
    write_texts(tmp_path, har())
    (tmp_path / "train" / name).write_text(content, encoding="utf-8")
    refused(lambda: uci_har.load(tmp_path), tmp_path, expected)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(DataError, match="uci_har needs --data-dir FOLDER"):
        uci_har.load(None)
    refused(lambda: uci_har.load(tmp_path), tmp_path, "uci_har.npz, or the folders train and test")
    write_texts(tmp_path, har())
    path = tmp_path / "test" / "Inertial Signals" / "body_gyro_y_test.txt"
    path.unlink()
    refused(lambda: uci_har.load(tmp_path), path, "cannot be read: No such file|not found")
