"""Matplotlib figures as PNG files, drawn without a display."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from train import files


def save(path: Path, figure: Figure) -> None:
    """Write the figure atomically."""
    FigureCanvasAgg(figure)  # draws without a display
    with files.atomic(path) as file:
        figure.savefig(file, format="png", dpi=120)
