"""Image files as input for a network: read with Pillow, and whatever is changed is told."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from train.errors import DataError

# What `Image.convert` turns into gray or RGB faithfully; sixteen bits it would clip.
COMMON = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")


def read_image(
    path: Path, shape: tuple[int, int, int], *, invert: bool = False
) -> tuple[np.ndarray, str]:
    """(image of `shape` (H, W, C) from 0 to 1, what was done to the file to make it fit).

    C is 1 (gray, by the luma of ITU-R 601) or 3 (RGB). Another size is resampled bilinearly with
    antialiasing, to exactly H times W. Nothing is inverted unless `invert`.

    Raises DataError for a file that is missing or is no image.
    """
    height, width, channels = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                file.load()
                image, done = _upright(file)
    except UnidentifiedImageError:
        raise DataError(f"{path}: expected an image, got a file of another kind") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's readers raise
        text = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: expected an image, but it cannot be read: {text}") from None

    original = f"{image.width}×{image.height} {image.mode}"
    mode = "L" if channels == 1 else "RGB"
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA"))
        done.append("laid over black")
    if image.mode.startswith("I;16"):
        # Rounded like every gray level: 65535 is 255.
        image = Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    elif image.mode not in COMMON:
        raise DataError(f"{path}: pixels of the kind {image.mode!r} cannot be converted")
    image = image.convert(mode)
    if image.size != (width, height):
        stretched = image.width * height != image.height * width
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        done.append("resized, stretched" if stretched else "resized")
    values = np.asarray(image, np.float32).reshape(shape) / 255
    if invert:
        values = 1 - values
    done.append("inverted" if invert else "not inverted")
    kind = "gray" if channels == 1 else "RGB"
    return values, f"{original} to {width}×{height} {kind}: {', '.join(done)}"


def _upright(file: Image.Image) -> tuple[Image.Image, list[str]]:
    """The first frame, turned as its EXIF tag says."""
    done = []
    if (frames := getattr(file, "n_frames", 1)) > 1:
        done.append(f"the first of {frames} frames")
    turned = ImageOps.exif_transpose(file)
    if file.getexif().get(0x0112, 1) != 1:  # Orientation
        done.append("turned upright")
    return turned, done
