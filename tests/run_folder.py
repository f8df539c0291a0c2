"""A run's folder as the trainer leaves it, without any training."""

import json
from typing import Any, NamedTuple

import jax
import numpy as np

from fcnn.models import PlainConfig, WaveformConfig, to_json
from train import weights
from train.data import Dataset
from train.folder import describe
from train.recipes import RECIPES


class Made(NamedTuple):
    folder: Any
    recipe: Any
    data: Dataset
    params: Any
    logits: np.ndarray  # (N, K) of the test split


def make(folder, *, classes=("zero", "one", "two"), size=(4, 4), channels=1, tests=6, **settings):
    """Random images and labels, an untrained network, and three epochs of metrics."""
    rng = np.random.default_rng(len(size) + channels)

    def split(n):
        images = rng.integers(0, 17, (n, *size, channels)).astype(np.uint8)
        return images, (np.arange(n) % len(classes)).astype(np.int32)

    data = Dataset(split(8), split(tests), white=16.0, classes=classes)
    if len(size) == 1:
        config = WaveformConfig(len(classes), (4,), kernel_size=5, stride=1, window=2)
    else:
        config = PlainConfig(len(classes), widths=(4,), convs=1)
    recipe = RECIPES["digits"](epochs=3, model=config, **settings)
    params, state = config.build().init(jax.random.key(0), (1, *size, channels))
    folder.mkdir(parents=True)
    written = to_json(config)
    (folder / "config.json").write_bytes(describe(recipe, params, data))
    weights.save(folder / "weights.safetensors", params, state, written)
    lines = [json.dumps(epoch(n)) + "\n" for n in (1, 2, 3)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    logits = rng.normal(size=(tests, len(classes))).astype(np.float32)
    return Made(folder, recipe, data, params, logits)


def epoch(number, best=2):
    """A line of metrics.jsonl; the test accuracy is highest in epoch `best`."""
    return {
        "epoch": number,
        "step": 10 * number,
        "train_loss": 1 / number,
        "train_accuracy": 1 - 0.5 / number,
        "test_loss": 1.5 / number,
        "test_accuracy": 0.9 - 0.1 * abs(number - best),
        "images_per_second": 100.0,
        "seconds": 0.5,
    }
