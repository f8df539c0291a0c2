"""The 1,797 handwritten 8x8 digits that ship inside scikit-learn: nothing is downloaded.

They are the test part of the "Optical Recognition of Handwritten Digits" set of the UCI repository
(E. Alpaydin, C. Kaynak, 1998): digits of 13 people, each pixel the count, 0 to 16, of inked points
in a 4x4 block.

The split, fixed for good: sort the images by label, and within a label by the SHA-256 of their 64
bytes; every fifth is a test image, from the first on. So 1,437 are trained on and 360 tested on,
each class in proportion to within one image, whatever the version of scikit-learn or NumPy. The
writers are not named in the set, so each may be on both sides.
"""

import hashlib

import numpy as np

from train.data.dataset import Dataset
from train.errors import DataError

SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


def load() -> Dataset:
    """The digits: images (N, 8, 8, 1) of 0 … 16, in the split above.

    Raises DataError if scikit-learn's copy is not the one that the split was made for.
    """
    from sklearn.datasets import load_digits  # a second's import that other recipes need not pay

    pixels, labels = (array.astype(np.uint8) for array in load_digits(return_X_y=True))
    images = pixels.reshape(-1, 8, 8, 1)
    found = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    if found != SHA256:
        raise DataError(
            f"sklearn.datasets.load_digits(): expected images and labels with SHA-256 {SHA256},"
            f" got {found}"
        )
    keys = [
        (label, hashlib.sha256(image.tobytes()).digest())
        for image, label in zip(images, labels, strict=True)
    ]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    test = np.arange(len(order)) % 5 == 0
    images, labels = images[order], labels[order].astype(np.int32)
    return Dataset(
        train=(images[~test], labels[~test]),
        test=(images[test], labels[test]),
        white=16.0,
        classes=tuple("0123456789"),
    )
