"""The folder of a run, as it is made: config.json, metrics.jsonl, checkpoints/, and more."""

import json
from pathlib import Path
from typing import Any

from fcnn import tree
from train import environment, files, settings
from train.data import Dataset
from train.recipe import Recipe

CONFIG = "config.json"
METRICS = "metrics.jsonl"
WEIGHTS = "weights.safetensors"
CHECKPOINTS = "checkpoints"


def make(runs_dir: Path, name: str) -> Path:
    """A new folder in runs_dir; never one that is already there."""
    folder, number = runs_dir / name, 1
    while True:
        try:
            folder.mkdir()
            break
        except FileExistsError:
            number += 1
            folder = runs_dir / f"{name}-{number}"
    files.sync(runs_dir)
    return folder


def describe(recipe: Recipe, params: Any, data: Dataset) -> bytes:
    """config.json: everything that decided the run."""
    record = settings.to_record(recipe)
    record = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "settings": record,
        "model": record["model"],
        "parameters": tree.count(params),
        "images": {"train": len(data.train[1]), "test": len(data.test[1])},
        "shape": data.train[0].shape[1:],
        "white": data.white,
        "classes": data.classes,
        "versions": environment.versions(),
        "hardware": environment.hardware(),
    }
    return json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n"
