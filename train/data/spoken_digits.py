"""The Free Spoken Digit Dataset: ten digits, six speakers, 50 recordings of each, 8 kHz.

Jackson et al., https://github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0. A folder of
`{digit}_{speaker}_{index}.wav`; the indices 0 to 4 are the test split, as published: 300 of 3,000.
Each speaker is on both sides.
"""

import re
import struct
import wave
from pathlib import Path

import numpy as np

from train.data import reading
from train.data.dataset import Dataset
from train.data.reading import refusing
from train.errors import DataError

RATE = 8000  # samples a second
LENGTH = RATE  # of each input: one second; 98% of the recordings are shorter
TEST_INDICES = 5
NAME = re.compile(r"([0-9])_([a-z]+)_([0-9]{1,3})\.wav")


def load(data_dir: Path | None) -> Dataset:
    """The recordings (N, 8000, 1) int16, in the middle of one second: padded with zeros, or cut.

    data_dir holds the files, or a folder `recordings` or `free-spoken-digit-dataset/recordings`
    that does.

    Raises DataError for data_dir None, and naming the file or folder: for a file that is damaged,
    not 8 kHz mono of 16 bits, or named otherwise, and where a split has no files.
    """
    if data_dir is None:
        raise DataError(
            "spoken_digits needs --data-dir FOLDER, with the recordings of"
            " https://github.com/Jakobovski/free-spoken-digit-dataset: they are published in no"
            " archive with a checksum"
        )
    folder = reading.folder(reading.folder(data_dir, "free-spoken-digit-dataset"), "recordings")
    parts: dict[bool, list[tuple[np.ndarray, int]]] = {False: [], True: []}
    for path in sorted(folder.glob("*.wav")):
        name = NAME.fullmatch(path.name)
        if name is None:
            raise DataError(f"{path}: expected a name like 7_jackson_32.wav")
        digit, index = int(name[1]), int(name[3])
        parts[index < TEST_INDICES].append((centred(read_wav(path)), digit))
    if not parts[False] or not parts[True]:
        raise DataError(
            f"{folder}: expected files like 7_jackson_32.wav, with indices below {TEST_INDICES}"
            f" (test) and above, found {len(parts[True])} and {len(parts[False])}"
        )
    train, test = (
        (
            np.stack([sound for sound, _ in parts[is_test]]),
            np.array([digit for _, digit in parts[is_test]], np.int32),
        )
        for is_test in (False, True)
    )
    return Dataset(train, test, white=32768.0, classes=tuple("0123456789"))


def read_wav(path: Path) -> np.ndarray:
    """The samples (T,) int16 of a WAV file at 8 kHz, mono, 16 bits.

    Raises DataError naming the file, for any other and for a damaged one.
    """
    # wave raises RuntimeError for chunks that end outside of the file.
    with refusing(path, "a whole WAV file", wave.Error, EOFError, struct.error, RuntimeError):
        size = path.stat().st_size
        with open(path, "rb") as file, wave.open(file) as sound:
            found = sound.getframerate(), sound.getnchannels(), 8 * sound.getsampwidth()
            if found != (RATE, 1, 16):
                raise DataError(
                    f"{path}: expected {RATE} Hz, 1 channel, 16 bits, got {found[0]} Hz,"
                    f" {found[1]}, {found[2]}"
                )
            frames = sound.getnframes()
            # Before anything is read: the header may promise gigabytes.
            body = sound.readframes(frames) if 2 * frames <= size else b""
    if frames == 0 or len(body) != 2 * frames:
        raise DataError(f"{path}: the header says {frames} samples, but {len(body) // 2} follow")
    return np.frombuffer(body, "<i2").astype(np.int16)


def centred(samples: np.ndarray) -> np.ndarray:
    """The samples in the middle of LENGTH, or the middle LENGTH of them: -> (LENGTH, 1)."""
    if len(samples) > LENGTH:
        start = (len(samples) - LENGTH) // 2
        return samples[start : start + LENGTH, None]
    missing = LENGTH - len(samples)
    return np.pad(samples, (missing // 2, missing - missing // 2))[:, None]
