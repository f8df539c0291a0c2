"""The kernels of the first convolution, made to be looked at."""

from typing import Any

import numpy as np

import fcnn
from fcnn import tree
from fcnn.layer import Layer


def first_kernel(
    model: Layer, params: Any, shape: tuple[int, ...]
) -> tuple[str, np.ndarray] | None:
    """(path, kernel (*K, C, F)) of the first convolution for images of this shape (*S, C), or None.

    First in the order in which the layers run, which is not the order in which params list them.
    """
    named = tree.to_names(params)
    for row in fcnn.summary(model, (1, *shape)).rows:
        path = f"{row.path}/kernel".lstrip("/")  # no "/" where the model is one layer
        kernel = np.asarray(named.get(path, 0.0))
        if row.copies > 1 and kernel.ndim:
            kernel = kernel[0]  # repeat stacks its copies
        if kernel.ndim == len(shape) + 1:
            return path, kernel
    return None


def images(kernel: np.ndarray) -> np.ndarray:
    """(F, *K, C): each kernel as an image of 0 to 1, with 0.5 for 0 and one scale for all."""
    scale = np.abs(kernel).max() or 1.0
    return np.moveaxis(0.5 + kernel / (2 * scale), -1, 0)
