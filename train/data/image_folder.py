"""Images in folders, one for each class: train/<class>/*.jpg and val/<class>/*.jpg.

The layout of ImageNet as most training scripts expect it, and of one's own photographs.
"""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from train.data import reading
from train.data.dataset import Dataset, Split
from train.data.reading import refusing
from train.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png")
FORMATS = ("JPEG", "PNG")
# Pillow warns from here on: a few kilobytes can unpack to gigabytes of one colour.
MOST_PIXELS = 89_478_485
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


def load(data_dir: Path, size: int, report: Callable[[str], None] = print) -> Dataset:
    """The images of a folder, all in memory: (N, size, size, 3) uint8.

    data_dir holds a folder train, and val or test, each with a folder of JPEG or PNG files for each
    class; the classes are those of train, in alphabetical order. Each image is cut to its central
    square and scaled to size x size (bilinear, antialiased); grey ones become RGB, transparency is
    dropped.

    Raises DataError naming the file or folder: for an image that is truncated, damaged or of more
    than 89 million pixels, a class without images or unknown in training, and for more images than
    the memory holds.
    """
    root = reading.folder(data_dir)
    names = [name for name in ("val", "test") if (root / name).is_dir()]
    if not (root / "train").is_dir() or not names:
        raise DataError(f"{root}: expected the folders train, and val or test")
    classes = tuple(sorted(path.name for path in (root / "train").iterdir() if path.is_dir()))
    train, test = (_files(root / name, classes) for name in ("train", names[0]))
    _check_memory(root, len(train) + len(test), size)
    report(f"reading {len(train) + len(test):,} images from {root}")
    return Dataset(_split(train, size), _split(test, size), white=255.0, classes=classes)


def _files(folder: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Each image of the folder and its label, in alphabetical order."""
    found = {path.name for path in folder.iterdir() if path.is_dir()}
    if not found:
        raise DataError(f"{folder}: expected a folder for each class, found none")
    if unknown := sorted(found - set(classes)):
        raise DataError(f"{folder / unknown[0]}: a class that has no training images")
    files = []
    for label, name in enumerate(classes):
        images = (
            sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in SUFFIXES)
            if name in found
            else []
        )
        if not images and name in found:
            raise DataError(f"{folder / name}: expected JPEG or PNG files, found none")
        files += [(path, label) for path in images]
    return files


def _check_memory(root: Path, count: int, size: int) -> None:
    needed = count * size * size * 3
    if hasattr(os, "sysconf"):  # not on Windows
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if needed > memory:
            raise DataError(
                f"{root}: {count:,} images of {size}x{size} take {needed / 1e9:.1f} GB, and this"
                f" machine has {memory / 1e9:.1f} GB: choose a smaller size"
            )


def _split(files: list[tuple[Path, int]], size: int) -> Split:
    images = np.empty((len(files), size, size, 3), np.uint8)
    # Pillow decodes without holding Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as threads, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        decoded = threads.map(lambda file: read_image(file[0], size), files)
        for index, image in enumerate(decoded):
            images[index] = image
    return images, np.array([label for _, label in files], np.int32)


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
