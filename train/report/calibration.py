"""Whether a network's probabilities can be believed."""

from typing import NamedTuple

import numpy as np


class Calibration(NamedTuple):
    """Predictions sorted into bins by their confidence, the probability of the predicted class.

    counts, confidence and accuracy have one entry a bin; the means of an empty bin are nan. error
    is the expected calibration error: |accuracy - confidence|, averaged over the predictions.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Calibration:
    """Compare confidence with accuracy: probabilities (N, K), labels (N,).

    The bins are of equal width, bin m (from 1) holding confidences in ((m - 1)/bins, m/bins].
    Source: Guo et al., "On calibration of modern neural networks", arXiv:1706.04599, equations 2
    and 3, with their 15 bins.

    >>> sure = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    >>> round(calibration(sure, np.array([0, 1, 1, 1])).error, 3)
    0.4
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    hits = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin is nan
        means = np.bincount(index, confidence, minlength=bins) / counts
        accuracy = np.bincount(index, hits, minlength=bins) / counts
    gaps = np.nan_to_num(np.abs(accuracy - means))
    return Calibration(counts, means, accuracy, float(np.sum(gaps * counts) / counts.sum()))
