"""Image files as input: the values, what is told, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from train.errors import DataError
from train.images import read_image

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (6, 4), dtype=np.uint8)
RGB = RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8)


def saved(path, pixels, **options):
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)
    return path


def test_what_fits_is_read_bit_for_bit(tmp_path):
    values, done = read_image(saved(tmp_path / "a.png", GRAY), (6, 4, 1))
    np.testing.assert_array_equal(values[..., 0], GRAY.astype(np.float32) / 255)
    assert values.dtype == np.float32
    assert done == "4×6 L to 4×6 gray: not inverted"
    values, done = read_image(saved(tmp_path / "b.bmp", RGB), (6, 4, 3))
    np.testing.assert_array_equal(values, RGB.astype(np.float32) / 255)
    assert done == "4×6 RGB to 4×6 RGB: not inverted"


def test_inversion_is_asked_for(tmp_path):
    values, done = read_image(saved(tmp_path / "a.png", GRAY), (6, 4, 1), invert=True)
    np.testing.assert_array_equal(values[..., 0], 1 - GRAY.astype(np.float32) / 255)
    assert done == "4×6 L to 4×6 gray: inverted"


def test_colour_becomes_luma_and_gray_three_equal_channels(tmp_path):
    values, _ = read_image(saved(tmp_path / "a.png", RGB), (6, 4, 1))
    luma = RGB @ np.array([0.299, 0.587, 0.114])  # ITU-R 601
    np.testing.assert_allclose(255 * values[..., 0], luma, atol=1)  # Pillow rounds in integers
    values, _ = read_image(saved(tmp_path / "b.png", GRAY), (6, 4, 3))
    for channel in range(3):
        np.testing.assert_array_equal(values[..., channel], GRAY.astype(np.float32) / 255)


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    deep = np.array([[0, 257, 25700, 65535]], np.uint16)
    values, done = read_image(saved(tmp_path / "a.png", deep), (1, 4, 1))
    np.testing.assert_array_equal(255 * values[0, :, 0], [0, 1, 100, 255])
    assert done.startswith("4×1 I;16 to 4×1 gray")


def test_transparency_is_laid_over_black_and_told(tmp_path):
    clear = np.dstack([RGB, np.array([[255, 0, 255, 0]] * 6, np.uint8)])
    values, done = read_image(saved(tmp_path / "a.png", clear), (6, 4, 3))
    np.testing.assert_array_equal(values[:, ::2], RGB[:, ::2].astype(np.float32) / 255)
    np.testing.assert_array_equal(values[:, 1::2], 0)
    assert done == "4×6 RGBA to 4×6 RGB: laid over black, not inverted"
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([10, 20, 30, 200, 210, 220])
    saved(tmp_path / "b.gif", palette, transparency=0)
    values, done = read_image(tmp_path / "b.gif", (1, 2, 3))
    np.testing.assert_allclose(255 * values[0], [[0, 0, 0], [200, 210, 220]], atol=1e-4)
    assert "laid over black" in done


def test_another_size_is_resampled_and_told(tmp_path):
    halves = np.repeat(np.repeat(GRAY, 4, axis=0), 4, axis=1)
    values, done = read_image(saved(tmp_path / "a.png", halves), (6, 4, 1))
    expected = Image.fromarray(halves).resize((4, 6), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(255 * values[..., 0], np.asarray(expected))
    assert done == "16×24 L to 4×6 gray: resized, not inverted"
    flat = np.full((10, 30), 77, np.uint8)
    values, done = read_image(saved(tmp_path / "b.png", flat), (5, 5, 1))
    np.testing.assert_array_equal(255 * values, np.full((5, 5, 1), 77))
    assert done == "30×10 L to 5×5 gray: resized, stretched, not inverted"


def test_a_photo_is_turned_upright_and_an_animation_is_its_first_frame(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # by half a turn
    values, done = read_image(saved(tmp_path / "a.png", GRAY, exif=exif), (6, 4, 1))
    np.testing.assert_array_equal(values[..., 0], GRAY[::-1, ::-1].astype(np.float32) / 255)
    assert "turned upright" in done
    frames = [Image.fromarray(np.full((4, 4), v, np.uint8)) for v in (10, 200)]
    frames[0].save(tmp_path / "b.gif", save_all=True, append_images=frames[1:])
    values, done = read_image(tmp_path / "b.gif", (4, 4, 1))
    np.testing.assert_array_equal(255 * values, np.full((4, 4, 1), 10))
    assert "the first of 2 frames" in done


def test_what_is_no_image_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "text").write_text("hello")
    whole = saved(tmp_path / "whole.png", RNG.integers(0, 256, (64, 64), dtype=np.uint8))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "head.png").write_bytes(whole.read_bytes()[:10])
    (tmp_path / "empty.png").write_bytes(b"")
    saved(tmp_path / "float.tiff", np.ones((4, 4), np.float32))
    for name, message in (
        ("text", "expected an image, got a file of another kind"),
        ("empty.png", "expected an image, got a file of another kind"),
        ("head.png", "expected an image, "),
        ("cut.png", "expected an image, but it cannot be read: "),
        ("none.png", "expected an image, but it cannot be read: No such file or directory"),
        (".", "expected an image, but it cannot be read: Is a directory"),
        ("float.tiff", "pixels of the kind 'F' cannot be converted"),
    ):
        with pytest.raises(DataError) as error:
            read_image(tmp_path / name, (4, 4, 1))
        assert str(error.value).startswith(f"{tmp_path / name}: {message}")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"whole.png: .*decompression bomb"):
        read_image(whole, (4, 4, 1))
