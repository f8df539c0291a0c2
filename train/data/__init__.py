"""Data sources, one file each; every one gives a `Dataset`."""

from train.data.dataset import Dataset, hold_out

__all__ = ["Dataset", "hold_out"]
