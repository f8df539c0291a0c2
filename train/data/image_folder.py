"""Images in folders, one for each class: train/<class>/*.jpg and val/<class>/*.jpg.

The layout of ImageNet as most training scripts expect it, and of one's own photographs.
"""

import io
import math
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from train import environment
from train.data import reading
from train.data.dataset import Dataset
from train.data.reading import refusing
from train.data.stream import Streamed
from train.errors import DataError

Stream = Literal["auto", "always", "never"]
SHARE = 0.25  # of the memory that images may take without being streamed
SUFFIXES = (".jpg", ".jpeg", ".png")
FORMATS = ("JPEG", "PNG")
# Pillow warns from here on: a few kilobytes can unpack to gigabytes of one colour.
MOST_PIXELS = 89_478_485
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)  # here: of all threads
DAMAGE = (
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)


def load(
    data_dir: Path,
    size: int,
    report: Callable[[str], None] = print,
    *,
    stream: Stream = "auto",
    workers: int = 0,
) -> Dataset:
    """The images of a folder, in memory or as they are asked for: (N, size, size, 3) uint8.

    data_dir holds a folder train, and val or test, each with a folder of JPEG or PNG files for each
    class; the classes are those of train, in alphabetical order. Each image is cut to its central
    square and scaled to size x size (bilinear, antialiased); grey ones become RGB, transparency is
    dropped.

    stream: whether the images stay on the disk: "always", "never", or "auto", where they would take
        more than a quarter of the memory of this machine or of a device (on a CPU there are two
        copies in the same memory, and a network needs some). Only those in memory are all looked at
        before the training begins.
    workers: threads that read and decode; 0 is one for each core.

    Raises DataError naming the file or folder: for an image that is truncated, damaged or of more
    than 89 million pixels, a class without images or unknown in training, and for more images than
    the memory holds.
    """
    root = reading.folder(data_dir)
    names = [name for name in ("val", "test") if (root / name).is_dir()]
    if not (root / "train").is_dir() or not names:
        raise DataError(f"{root}: expected the folders train, and val or test")
    classes = tuple(sorted(path.name for path in (root / "train").iterdir() if path.is_dir()))
    workers = workers or environment.cores()
    train, test = (
        _split(_files(root / name, classes), size, workers) for name in ("train", names[0])
    )
    count, needed = len(train[0]) + len(test[0]), train[0].nbytes + test[0].nbytes
    memory = min(environment.memory(), default=math.inf)
    if stream == "always" or (stream == "auto" and needed > SHARE * memory):
        report(f"streaming {count:,} images from {root}, {workers} at a time")
    else:
        if needed > memory:
            raise DataError(
                f"{root}: {count:,} images of {size}x{size} take {needed / 1e9:.1f} GB, and there"
                f" are {memory / 1e9:.1f} GB of memory: choose a smaller size, or --stream always"
            )
        report(f"reading {count:,} images from {root}")
        train, test = ((np.asarray(images), labels) for images, labels in (train, test))
    return Dataset(train, test, white=255.0, classes=classes)


def _split(files: list[tuple[str, int]], size: int, workers: int) -> tuple[Streamed, np.ndarray]:
    images = Streamed(
        [path for path, _ in files],
        lambda path: read_image(Path(path), size),
        (size, size, 3),
        np.uint8,
        workers,
    )
    return images, np.array([label for _, label in files], np.int32)


def _files(folder: Path, classes: tuple[str, ...]) -> list[tuple[str, int]]:
    """Each image of the folder and its label, in alphabetical order."""
    found = {path.name for path in folder.iterdir() if path.is_dir()}
    if not found:
        raise DataError(f"{folder}: expected a folder for each class, found none")
    if unknown := sorted(found - set(classes)):
        raise DataError(f"{folder / unknown[0]}: a class that has no training images")
    files = []
    for label, name in enumerate(classes):
        images = _images(folder / name) if name in found else []
        if not images and name in found:
            raise DataError(f"{folder / name}: expected JPEG or PNG files, found none")
        files += [(path, label) for path in images]
    return files


def _images(folder: Path) -> list[str]:
    """The paths of a class, as text and with no look at each: there may be millions."""
    with os.scandir(folder) as entries:
        images = [entry for entry in entries if entry.name.lower().endswith(SUFFIXES)]
    for entry in images:
        if not entry.is_file():  # a pipe would be waited for
            raise DataError(f"{entry.path}: expected a JPEG or PNG file, got something else")
    return sorted(entry.path for entry in images)


def read_image(path: Path, size: int) -> np.ndarray:
    """The central square of a JPEG or PNG file, scaled: (size, size, 3) uint8.

    Raises DataError naming the file.
    """
    with refusing(path, "a whole JPEG or PNG image", *DAMAGE):
        # Of a file, Pillow asks for as many bytes as a PNG chunk promises, up to 4 GB at once, and
        # Python makes room for them; from memory it gets no more than there are.
        content = io.BytesIO(path.read_bytes())
        with Image.open(content, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(
                    f"{path}: expected {MOST_PIXELS} pixels at most, got"
                    f" {image.width}x{image.height}"
                )
            # JPEG decodes to a half, a quarter or an eighth in a fraction of the time.
            image.draft("RGB", (2 * size, 2 * size))
            square = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
        return np.asarray(square)
