"""MNIST and Fashion-MNIST: 60,000 + 10,000 grey images of 28x28, as four IDX files each.

MNIST: LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998. Fashion-MNIST: Xiao,
Rasul, Vollgraf, arXiv:1708.07747. The split is the published one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from train.data import reading
from train.data.dataset import Dataset, Split
from train.data.download import Published, cache_folder, check_published, fetch
from train.data.idx import read_idx
from train.data.reading import checked_labels
from train.errors import DataError


class Source(NamedTuple):
    """One data set: its folder's name, where it is published, its files and its classes."""

    name: str
    mirrors: tuple[str, ...]
    train: tuple[Published, Published]
    test: tuple[Published, Published]
    classes: tuple[str, ...]


MNIST = Source(
    name="mnist",
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    train=(
        Published(
            "train-images-idx3-ubyte.gz",
            9912422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        Published(
            "train-labels-idx1-ubyte.gz",
            28881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
    ),
    test=(
        Published(
            "t10k-images-idx3-ubyte.gz",
            1648877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        Published(
            "t10k-labels-idx1-ubyte.gz",
            4542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    classes=tuple("0123456789"),
)

FASHION_MNIST = Source(
    name="fashion-mnist",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    train=(
        Published(
            "train-images-idx3-ubyte.gz",
            26421880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        Published(
            "train-labels-idx1-ubyte.gz",
            29515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
    ),
    test=(
        Published(
            "t10k-images-idx3-ubyte.gz",
            4422102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        Published(
            "t10k-labels-idx1-ubyte.gz",
            5148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    classes=(
        "T-shirt",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
)


def load(
    source: Source,
    data_dir: Path | None,
    *,
    checksum: bool = True,
    report: Callable[[str], None] = print,
) -> Dataset:
    """The data set: images (N, H, W, 1), from `data_dir` or, for None, downloaded into the cache.

    data_dir holds the four files under their published names, with or without .gz, or a folder
    `source.name` that does. checksum asks for exactly the published content.

    Raises DataError for a file that is missing or damaged, for images and labels that do not match,
    and for a label that is no class.
    """
    if data_dir is None:
        folder = cache_folder() / source.name
        for file in (*source.train, *source.test):
            fetch(file, source.mirrors, folder, report)
    else:
        folder = reading.folder(data_dir, source.name)
    train = _split(source, folder, source.train, checksum)
    test = _split(source, folder, source.test, checksum)
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(
            f"{folder}: expected training and test images of one size, got"
            f" {train[0].shape[1:3]} and {test[0].shape[1:3]}"
        )
    return Dataset(train, test, white=255.0, classes=source.classes)


def _split(source: Source, folder: Path, files: tuple[Published, Published], checksum) -> Split:
    image_path, label_path = (_find(folder, file) for file in files)
    images = _read(image_path, 3, files[0], checksum)
    labels = _read(label_path, 1, files[1], checksum)
    if images.size == 0:
        raise DataError(f"{image_path}: expected images, got shape {images.shape}")
    if len(images) != len(labels):
        raise DataError(
            f"{label_path}: expected one label for each of the {len(images)} images in"
            f" {image_path.name}, got {len(labels)} labels"
        )
    return images[..., None], checked_labels(label_path, labels, len(source.classes))


def _read(path: Path, ndim: int, file: Published, checksum: bool) -> np.ndarray:
    if not checksum:
        return read_idx(path, ndim)
    if file.content_sha256 is None and path.name == file.name:
        check_published(path, file)
    return read_idx(path, ndim, sha256=file.content_sha256)


def _find(folder: Path, file: Published) -> Path:
    plain = file.name.removesuffix(".gz")
    for name in (file.name, plain):
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder}: expected a file {file.name} or {plain}, found neither")
