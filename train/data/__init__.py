"""Data sources, one file each; every one gives a `Dataset`."""

from train.data.dataset import Batch, Dataset, hold_out

__all__ = ["Batch", "Dataset", "hold_out"]
