"""Arrays as pictures inside a page."""

import base64
import io

import numpy as np
from PIL import Image

from train.report import chart
from train.report.html import Element, element


def picture(values: np.ndarray, label: str) -> Element:
    """One image (H, W, C) of 0 to 1 as an <img>, one of its pixels a pixel.

    One channel is gray and three are RGB; of any other number the mean is shown, in gray. Values
    (T, C) become lines, one a channel, and of a volume (D, H, W, C) the middle slice is shown.
    """
    if values.ndim == 2:
        return chart.waveform(values, label)
    if values.ndim == 4:
        values = values[len(values) // 2]
    if values.shape[-1] not in (1, 3):
        values = values.mean(axis=-1, keepdims=True)
    pixels = np.round(255 * np.clip(np.nan_to_num(values), 0, 1)).astype(np.uint8)
    height, width = pixels.shape[:2]
    return element(
        "img", src=data_url(pixels), alt=label, width=width, height=height, class_="thumb"
    )


def data_url(pixels: np.ndarray) -> str:
    """A PNG of uint8 pixels (H, W, 1 or 3) as text that stands where an address would."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
