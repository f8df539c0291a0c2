"""The confusion matrix: counted, as text and as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from train.report import picture


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes): row = label, column = prediction.

    >>> import numpy as np
    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    pairs = labels.astype(np.int64) * classes + predictions
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def confusion_text(matrix: np.ndarray, classes: Sequence[str]) -> str:
    """The matrix as text: a row for each true class, a dot for 0, and each class's accuracy.

    >>> import numpy as np
    >>> print(confusion_text(np.array([[4, 1], [0, 5]]), ["cat", "dog"]))
    true / predicted
        cat dog
    cat   4   1   80.0%
    dog   ·   5  100.0%
    """
    left = max(map(len, classes))
    width = max(len(str(matrix.max())), *(len(_short(name)) for name in classes)) + 1
    lines = ["true / predicted"]
    lines.append(" " * left + "".join(f"{_short(name):>{width}}" for name in classes))
    for name, row in zip(classes, matrix, strict=True):
        cells = "".join(f"{count or '·':>{width}}" for count in row)
        share = row[len(lines) - 2] / max(row.sum(), 1)
        lines.append(f"{name:<{left}}{cells}  {share:6.1%}")
    return "\n".join(lines)


def _short(name: str) -> str:
    return name[:4]


def save_confusion(path: Path, matrix: np.ndarray, classes: Sequence[str], title: str) -> None:
    """The confusion matrix as a PNG; the colour is the share of the true class."""
    size = 2 + 0.5 * len(classes)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=45, ha="right")
    axes.set_yticks(ticks, classes)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    for row, column in zip(*np.nonzero(matrix), strict=True):
        colour = "white" if share[row, column] > 0.5 else "black"
        text = str(matrix[row, column])
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    picture.save(path, figure)
