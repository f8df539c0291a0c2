"""The learning curves as a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from train.report import picture


def save_curves(path: Path, epochs: Sequence[dict[str, float]], title: str) -> None:
    """Loss and accuracy of each epoch, training and test, as a PNG."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    numbers = [epoch["epoch"] for epoch in epochs]
    for axes, what in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for split in ("train", "test"):
            axes.plot(numbers, [epoch[f"{split}_{what}"] for epoch in epochs], ".-", label=split)
        axes.set(xlabel="epoch", ylabel=what)
        axes.grid(alpha=0.3)
        axes.legend()
    picture.save(path, figure)
