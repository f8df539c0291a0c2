"""Folders of images: classes by name, every image scaled, and damage named."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from train.data import image_folder
from train.data.image_folder import read_image
from train.errors import DataError


def solid(path, colour, size=(9, 12), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def quiet(text):
    pass


def make(root, test="val"):
    solid(root / "train" / "dog" / "b.png", (255, 0, 0))
    solid(root / "train" / "dog" / "a.JPG", (0, 255, 0), (64, 32))
    solid(root / "train" / "cat" / "1.jpeg", (0, 0, 255))
    solid(root / test / "dog" / "x.png", (10, 20, 30))
    (root / "train" / "dog" / "notes.txt").write_text("no image")


@pytest.mark.parametrize("test", ["val", "test"])
def test_classes_are_folders_in_alphabetical_order(tmp_path, test):
    make(tmp_path, test)
    told = []
    data = image_folder.load(tmp_path, 4, told.append)
    assert told == [f"reading 4 images from {tmp_path}"]
    assert data.classes == ("cat", "dog")
    assert data.white == 255.0
    images, labels = data.train
    assert images.dtype == np.uint8
    assert images.shape == (3, 4, 4, 3)
    assert labels.dtype == np.int32
    assert labels.tolist() == [0, 1, 1]
    # One colour stays one colour: exactly in a PNG, to 2 of 255 in a JPEG's other colour space.
    expected = np.array([(0, 0, 255), (0, 255, 0), (255, 0, 0)])[:, None, None, :]
    assert np.abs(images.astype(int) - expected).max() <= 2
    np.testing.assert_array_equal(images[2], np.broadcast_to(expected[2], (4, 4, 3)))
    np.testing.assert_array_equal(data.test[0], np.broadcast_to([10, 20, 30], (1, 4, 4, 3)))
    assert data.test[1].tolist() == [1]


def test_an_image_is_cut_to_its_central_square(tmp_path):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:12] = np.arange(8 * 8 * 3).reshape(8, 8, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 8), pixels[:, 4:12])
    # Half the size with antialiasing: a triangle over four pixels, 1 3 3 1.
    half = read_image(tmp_path / "a.png", 4)
    weights = np.array([1, 3, 3, 1]) / 8
    inner = pixels[1:5, 5:9].astype(float)
    expected = np.einsum("ijc,i,j->c", inner, weights, weights)
    assert np.abs(half[1, 1] - expected).max() <= 1  # two roundings, one for each direction


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [("L", 77, (77, 77, 77)), ("RGBA", (1, 2, 3, 0), (1, 2, 3)), ("1", 1, (255, 255, 255))],
)
def test_every_mode_becomes_rgb(tmp_path, mode, colour, expected):
    solid(tmp_path / "a.png", colour, mode=mode)
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png", 3), np.broadcast_to(expected, (3, 3, 3))
    )


def refused(call, path, expected):
    with pytest.raises(DataError, match=expected) as caught:
        call()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_damaged_images_are_named(tmp_path, suffix):
    make(tmp_path)
    path = tmp_path / "train" / "dog" / f"z{suffix}"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    whole = path.read_bytes()
    load = lambda: image_folder.load(tmp_path, 4, quiet)  # noqa: E731
    for content in (whole[: len(whole) // 2], b"", b"<html>", whole[:10]):
        path.write_bytes(content)
        refused(load, path, "a whole JPEG or PNG image, but")
    # Another format, however it is called.
    gif = io.BytesIO()
    Image.new("L", (4, 4)).save(gif, "GIF")
    path.write_bytes(gif.getvalue())
    refused(load, path, "a whole JPEG or PNG image, but")


def png(width, height, body):
    """A grey PNG by hand."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(10_000, 9_000), (14_000, 14_000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bombs_are_refused_before_they_are_decoded(tmp_path, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(*size, zlib.compress(bytes(1000))))
    refused(
        lambda: read_image(path, 4),
        path,
        "expected 89478485 pixels at most|decompression bomb|a whole JPEG or PNG image",
    )


def test_a_chunk_that_promises_gigabytes_takes_no_memory(tmp_path):
    path = tmp_path / "a.png"
    good = png(2, 2, zlib.compress(bytes(6)))
    path.write_bytes(good)
    assert read_image(path, 2).sum() == 0
    place = good.index(b"IDAT") - 4
    path.write_bytes(good[:place] + struct.pack(">I", 2**31 - 1) + good[place + 4 :])
    tracemalloc.start()
    try:
        # Pillow has all pixels before it comes to the end that is not there.
        assert read_image(path, 2).sum() == 0
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_folders_that_are_not_as_expected(tmp_path):
    load = lambda: image_folder.load(tmp_path, 4, quiet)  # noqa: E731
    refused(load, tmp_path, "expected the folders train, and val or test")
    (tmp_path / "train").mkdir()
    refused(load, tmp_path, "expected the folders train, and val or test")
    (tmp_path / "val").mkdir()
    refused(load, tmp_path / "train", "train: expected a folder for each class, found none")
    make(tmp_path)
    solid(tmp_path / "val" / "bird" / "x.png", 0)
    refused(load, tmp_path / "val" / "bird", "bird: a class that has no training images")
    (tmp_path / "train" / "bird").mkdir()
    refused(load, tmp_path / "train" / "bird", "bird: expected JPEG or PNG files, found none")


def test_more_than_the_memory_holds_is_refused_at_once(tmp_path):
    make(tmp_path)
    refused(
        lambda: image_folder.load(tmp_path, 10**6, quiet, stream="never"),
        tmp_path,
        r"4 images of 1000000x1000000 take 12000.0 GB, and there are .* choose a smaller size, or",
    )
