"""CIFAR-10 and CIFAR-100: 50,000 + 10,000 colour photographs of 32x32 in their binary version.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009. A file is a row of
records: the label (CIFAR-100: the coarse label, then the fine one), then 3,072 bytes, the red, the
green and the blue plane. The Python version, of pickles, is not read: a pickle can run any code.

Sizes and checksums of the archives are those that TensorFlow Datasets records; the MD5 sums on
https://www.cs.toronto.edu/~kriz/cifar.html belong to the same files.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from train.data import reading
from train.data.dataset import Dataset, Split
from train.data.download import Published, cache_folder, check_published, fetch
from train.data.reading import checked_labels, refusing
from train.data.unpack import unpack
from train.errors import DataError

MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
SIDE = 32
PIXELS = 3 * SIDE * SIDE
COARSE_CLASSES = 20

CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR100_CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
    cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
    lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


class Source(NamedTuple):
    """One of the two data sets.

    files: of training and of testing; sizes: how many images are in each of them.
    coarse: whether a coarse label comes before the label.
    pickles: what the Python version, which is refused, is called.
    """

    name: str
    archive: Published
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    sizes: tuple[int, int]
    coarse: bool
    pickles: tuple[str, str]
    classes: tuple[str, ...]


CIFAR10 = Source(
    name="cifar10",
    archive=Published(
        "cifar-10-binary.tar.gz",
        170052171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test=("test_batch.bin",),
    sizes=(10_000, 10_000),
    coarse=False,
    pickles=("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    classes=tuple(CIFAR10_CLASSES.split()),
)

CIFAR100 = Source(
    name="cifar100",
    archive=Published(
        "cifar-100-binary.tar.gz",
        168513733,
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
    folder="cifar-100-binary",
    train=("train.bin",),
    test=("test.bin",),
    sizes=(50_000, 10_000),
    coarse=True,
    pickles=("cifar-100-python", "cifar-100-python.tar.gz"),
    classes=tuple(CIFAR100_CLASSES.split()),
)


def load(
    source: Source,
    data_dir: Path | None,
    *,
    checksum: bool = True,
    report: Callable[[str], None] = print,
) -> Dataset:
    """The data set: images (N, 32, 32, 3), from `data_dir` or, for None, downloaded into the cache.

    data_dir holds the files of the binary version, or their folder, or its archive, which is
    unpacked into the cache and must be the published one. checksum asks for as many images as were
    published; of the files themselves, no checksums are.

    Raises DataError for a file that is missing or damaged, for a label that is no class, and where
    there is only the Python version.
    """
    folder = _folder(source, data_dir, report)
    sizes = source.sizes if checksum else (None, None)
    train = [_read(source, folder / name, sizes[0]) for name in source.train]
    test = [_read(source, folder / name, sizes[1]) for name in source.test]
    return Dataset(_joined(train), _joined(test), white=255.0, classes=source.classes)


def _folder(source: Source, data_dir: Path | None, report: Callable[[str], None]) -> Path:
    """The folder with the files; unpacked, and downloaded before, if need be."""
    cache = cache_folder() / source.name
    unpacked = cache / "unpacked"
    if data_dir is not None:
        folder = reading.folder(data_dir, source.folder)
        archive = data_dir / source.archive.name
        if (folder / source.test[0]).is_file() or not archive.is_file():
            _refuse_pickles(source, data_dir, folder)
            return folder
    if all((unpacked / source.folder / name).is_file() for name in (*source.train, *source.test)):
        return unpacked / source.folder
    if data_dir is None:
        archive = fetch(source.archive, MIRRORS, cache, report)
    else:
        check_published(archive, source.archive)  # the cache holds nothing else
    report(f"unpacking {archive} to {unpacked}")
    unpack(archive, unpacked)
    return unpacked / source.folder


def _refuse_pickles(source: Source, data_dir: Path, folder: Path) -> None:
    found = [name for name in source.pickles if (data_dir / name).exists()]
    if found and not (folder / source.test[0]).is_file():
        raise DataError(
            f"{data_dir / found[0]}: expected the binary version, {source.archive.name}, got the"
            " Python version: it is made of pickles, which can run any code when they are read"
        )


def _read(source: Source, path: Path, count: int | None) -> Split:
    """The images and labels of one file, which holds `count` images; None for any number."""
    before = 2 if source.coarse else 1
    length = before + PIXELS
    with refusing(path, "a file of records"):
        size = path.stat().st_size
        if size == 0 or size % length or (count is not None and size != count * length):
            wanted = "records" if count is None else f"{count} records"
            raise DataError(f"{path}: expected {wanted} of {length} bytes, got {size} bytes")
        records = np.fromfile(path, np.uint8).reshape(-1, length)
    if source.coarse:
        checked_labels(path, records[:, 0], COARSE_CLASSES)
    labels = checked_labels(path, records[:, before - 1], len(source.classes))
    planes = records[:, before:].reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def _joined(parts: list[Split]) -> Split:
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)
