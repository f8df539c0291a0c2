"""Damaging data files at random, and seeing what the readers make of them.

    python -m train.data.fuzz --mutations 100000

For each format a small, good data set is written; then, again and again, a few bytes of one of its
files are changed, cut out, repeated or cut off, and the whole set is read. Either the reader
refuses it, with a DataError, or what it read is well-formed: inputs of a known type, finite, as
many labels as inputs, each label a class. Anything else is a failure, and is printed with the
numbers that repeat it. The exit code is 1 if there was one.
"""

import argparse
import gzip
import io
import struct
import sys
import tarfile
import tempfile
import traceback
import wave
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from train.data import cifar, image_folder, mnist, npz, spoken_digits, uci_har
from train.data.dataset import Dataset
from train.data.unpack import unpack
from train.errors import DataError

MEMORY = 4 * 2**30  # bytes of address space: who asks for more fails


class Format(NamedTuple):
    """A good data set in a folder, and how it is read."""

    write: Callable[[Path], None]
    read: Callable[[Path], Dataset | None]


class Outcome(NamedTuple):
    """How many mutated data sets were refused, read, or neither; and a text about each of those."""

    refused: int
    read: int
    failures: tuple[str, ...]


def write_idx(folder: Path, pack: Callable[[bytes], bytes] = bytes) -> None:
    for prefix, count in (("train", 6), ("t10k", 3)):
        for kind, array in (
            ("images-idx3", np.arange(count * 20).reshape(count, 4, 5)),
            ("labels-idx1", np.arange(count)),
        ):
            header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
            content = header + array.astype(np.uint8).tobytes()
            (folder / f"{prefix}-{kind}-ubyte").write_bytes(pack(content))


def write_cifar(source: cifar.Source, folder: Path) -> None:
    for name in (*source.train, *source.test):
        record = bytes([7] * (1 + source.coarse)) + bytes(range(256)) * 12
        (folder / name).write_bytes(2 * record)


def write_wav(folder: Path) -> None:
    for digit in (0, 9):
        for index in (0, 5):
            with wave.open(str(folder / f"{digit}_anna_{index}.wav"), "wb") as sound:
                sound.setparams((1, 2, spoken_digits.RATE, 0, "NONE", "not compressed"))
                sound.writeframes(np.arange(-60, 60, dtype="<i2").tobytes())


def write_npz(folder: Path) -> None:
    x = np.arange(6 * 12, dtype=np.float32).reshape(6, 4, 3)
    y = np.array([0, 1, 2, 0, 1, 2])
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])


def write_packed_npz(folder: Path) -> None:
    x = np.arange(6 * 16, dtype=np.int16).reshape(6, 8, 2)
    y = np.array([0, 1, 2, 0, 1, 2], np.uint8)
    np.savez_compressed(folder / "data.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])


def write_images(suffix: str, folder: Path) -> None:
    rows, columns = np.mgrid[:12, :15] * 16
    pixels = np.stack([rows, columns, rows + columns], -1).astype(np.uint8)
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            Image.fromarray(pixels).save(folder / split / name / f"1{suffix}")


def write_texts(folder: Path) -> None:
    for split, person in (("train", 1), ("test", 2)):
        signals = folder / split / "Inertial Signals"
        signals.mkdir(parents=True)
        for channel in uci_har.CHANNELS:
            line = " ".join(["", "1.0128170e+000", *["-1.2501230e-003"] * (uci_har.LENGTH - 1)])
            (signals / f"{channel}_{split}.txt").write_text(f"{line}\n" * 2)
        (folder / split / f"y_{split}.txt").write_text("1\n6\n")
        (folder / split / f"subject_{split}.txt").write_text(f"{person}\n" * 2)


def write_sensor_npz(folder: Path) -> None:
    np.savez_compressed(
        folder / "uci_har.npz",
        x=np.ones((4, uci_har.LENGTH, len(uci_har.CHANNELS)), np.float32),
        y=np.array([0, 5, 1, 2], np.uint8),
        subject=np.array([1, 1, 2, 2], np.uint8),
        official_test=np.array([False, False, True, True]),
    )


def write_tar(folder: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("set/a.bin", "set/" + "long" * 30 + ".bin"):
            member = tarfile.TarInfo(name)
            member.size = 700
            tar.addfile(member, io.BytesIO(bytes(700)))
    (folder / "archive").write_bytes(packed.getvalue())


def write_tar_gz(folder: Path) -> None:
    write_tar(folder)
    packed = gzip.compress((folder / "archive").read_bytes(), mtime=0)
    (folder / "archive").write_bytes(packed)


def write_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "archive", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("set/a.bin", bytes(range(256)) * 3)
        packed.writestr("set/b.bin", b"b" * 100)


def read_archive(folder: Path) -> None:
    """Unpack it next to where it may write, and look that nothing is anywhere else."""
    room = folder / "room"
    room.mkdir(exist_ok=True)
    unpack(folder / "archive", room / "unpacked", most_bytes=2**20, most_files=100)
    inside = [path.relative_to(room).parts[0] for path in room.rglob("*")]
    if set(inside) - {"unpacked"} or any(path.is_symlink() for path in room.rglob("*")):
        raise AssertionError(f"unpacked to {sorted(set(inside))}")


FORMATS: dict[str, Format] = {
    "idx": Format(write_idx, lambda f: mnist.load(mnist.MNIST, f, checksum=False)),
    "idx.gz": Format(
        lambda f: write_idx(f, gzip.compress),
        lambda f: mnist.load(mnist.MNIST, f, checksum=False),
    ),
    "cifar10": Format(
        lambda f: write_cifar(cifar.CIFAR10, f),
        lambda f: cifar.load(cifar.CIFAR10, f, checksum=False),
    ),
    "cifar100": Format(
        lambda f: write_cifar(cifar.CIFAR100, f),
        lambda f: cifar.load(cifar.CIFAR100, f, checksum=False),
    ),
    "wav": Format(write_wav, spoken_digits.load),
    "npz": Format(write_npz, lambda f: npz.load(f / "data.npz")),
    "npz-packed": Format(write_packed_npz, lambda f: npz.load(f / "data.npz")),
    "jpeg": Format(lambda f: write_images(".jpg", f), lambda f: image_folder.load(f, 8, quiet)),
    "png": Format(lambda f: write_images(".png", f), lambda f: image_folder.load(f, 8, quiet)),
    "har-txt": Format(write_texts, uci_har.load),
    "har-npz": Format(write_sensor_npz, uci_har.load),
    "tar": Format(write_tar, read_archive),
    "tar.gz": Format(write_tar_gz, read_archive),
    "zip": Format(write_zip, read_archive),
}


def quiet(text: str) -> None:
    """What a reader reports is not wanted here."""


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one to three changes of random kind, place and size."""
    body = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(0, len(body) + 1))
        # Half of the changes are of a few bytes, as headers and numbers are.
        most = 8 if rng.random() < 0.5 else max(1, len(body))
        end = min(len(body), start + int(rng.integers(1, most + 1)))
        match rng.integers(0, 9):
            case 0 if body:
                body[start % len(body)] ^= 1 << int(rng.integers(0, 8))
            case 1:
                body[start:end] = rng.bytes(end - start)
            case 2:
                body[start:end] = bytes([int(rng.choice([0, 255]))]) * (end - start)
            case 3:
                del body[start:end]
            case 4:
                body[start:start] = body[start:end]
            case 5:
                del body[start:]
            case 6:
                body += rng.bytes(end - start)
            case 7:  # a number at the edge of its range, in either order of bytes
                number = int(rng.choice([0, 1, 2**7, 2**8, 2**15, 2**16, 2**31 - 1, 2**31]))
                body[start : start + 4] = number.to_bytes(4, str(rng.choice(["big", "little"])))
            case 8:  # what text is made of
                body[start : start + 1] = bytes([rng.choice(list(b"0159+-.e nai,()[]{}'\n"))])
    return bytes(body)


def check(data: Dataset | None) -> None:
    """Raise AssertionError if it is not well-formed."""
    if data is None:
        return
    for inputs, labels in (data.train, data.test):
        if inputs.dtype.name not in npz.WHITE or inputs.ndim < 3 or 0 in inputs.shape:
            raise AssertionError(f"inputs are {inputs.dtype} {inputs.shape}")
        if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
            raise AssertionError("inputs are not finite")
        if labels.dtype != np.int32 or labels.shape != inputs.shape[:1]:
            raise AssertionError(f"labels are {labels.dtype} {labels.shape}")
        if labels.min() < 0 or labels.max() >= len(data.classes):
            raise AssertionError(f"labels go from {labels.min()} to {labels.max()}")


def campaign(name: str, folder: Path, mutations: int, seed: int) -> Outcome:
    """Damage a data set of one format so many times. The folder should be new."""
    write, read = FORMATS[name]
    write(folder)
    check(read(folder))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [path for path in files if "room" not in path.relative_to(folder).parts]
    refused, well = 0, 0
    failures = []
    for number in range(mutations):
        rng = np.random.default_rng((seed, number))
        path = files[rng.integers(len(files))]
        content = path.read_bytes()
        path.write_bytes(mutate(content, rng))
        try:
            check(read(folder))
            well += 1
        except DataError:
            refused += 1
        except Exception:
            last = traceback.format_exc().rstrip()
            failures.append(f"{name}, seed {seed}, mutation {number}, {path.name}:\n{last}")
        path.write_bytes(content)
    return Outcome(refused, well, tuple(failures))


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m train.data.fuzz", description=__doc__)
    parser.add_argument("--mutations", type=int, default=1400, help="in all, over the formats")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=FORMATS, nargs="+", default=list(FORMATS))
    options = parser.parse_args(arguments)
    if sys.platform != "win32":
        import resource

        highest = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, highest))
    print(f"{'format':<12}{'mutations':>10}{'refused':>10}{'read':>10}{'failed':>10}")
    totals = np.zeros(4, int)
    for place, name in enumerate(options.only):
        share = (options.mutations + place) // len(options.only)
        with tempfile.TemporaryDirectory() as temporary:
            outcome = campaign(name, Path(temporary), share, options.seed)
        row = [share, outcome.refused, outcome.read, len(outcome.failures)]
        print(f"{name:<12}" + "".join(f"{count:>10,}" for count in row), flush=True)
        totals += row
        for text in outcome.failures[:3]:
            print(text, file=sys.stderr)
    print(f"{'total':<12}" + "".join(f"{count:>10,}" for count in totals))
    return 1 if totals[3] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
