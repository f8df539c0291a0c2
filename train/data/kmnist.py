"""Kuzushiji-MNIST: ten classes of cursive Japanese characters, in MNIST's format and sizes.

Clanuwat et al., "Deep learning for classical Japanese literature", arXiv:1812.01718. Sizes and
checksums are those that TensorFlow Datasets records for the published, packed files. Nobody has
published checksums of what they hold, so files that were unpacked already are checked for their
format, their size and their labels alone.
"""

from train.data.download import Published
from train.data.mnist import Source

KMNIST = Source(
    name="kmnist",
    mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    train=(
        Published(
            "train-images-idx3-ubyte.gz",
            18165135,
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        ),
        Published(
            "train-labels-idx1-ubyte.gz",
            29497,
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        ),
    ),
    test=(
        Published(
            "t10k-images-idx3-ubyte.gz",
            3041136,
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        ),
        Published(
            "t10k-labels-idx1-ubyte.gz",
            5120,
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    ),
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
)
