"""Random arrays for tests, the same on every run."""

import numpy as np


def normals(seed, *shapes, dtype=np.float32):
    """One standard normal array for each shape."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]
