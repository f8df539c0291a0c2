"""The folder of a run: config.json, metrics.jsonl, checkpoints/, and what it ends with."""

import json
from pathlib import Path

from fcnn import tree
from fcnn.training import TrainState
from train import environment, files, manifest, settings
from train.data import Dataset
from train.errors import DataError, UserError
from train.recipe import Recipe
from train.recipes import RECIPES

CONFIG = "config.json"
METRICS = "metrics.jsonl"
WEIGHTS = "weights.safetensors"
CHECKPOINTS = "checkpoints"
LATEST = "latest"


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


def describe(recipe: Recipe, ts: TrainState, data: Dataset) -> bytes:
    """config.json: everything that decided the run."""
    record = settings.to_record(recipe)
    record = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "settings": record,
        "model": record["model"],
        "parameters": tree.count(ts.params),
        "images": {"train": len(data.train[1]), "test": len(data.test[1])},
        "white": data.white,
        "classes": data.classes,
        "versions": environment.versions(),
        "hardware": environment.hardware(),
    }
    return json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n"


def read(folder: Path) -> Recipe:
    """The recipe that a run was made with. Raises UserError where there is none to be read."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_bytes())
        cls = RECIPES.get(config["recipe"])
        if cls is None:
            raise UserError(
                f"{path}: no recipe {config['recipe']!r}; recipes: {', '.join(RECIPES)}"
            )
        return settings.from_record(cls, config["settings"])
    except FileNotFoundError:
        raise UserError(f"--resume {folder}: expected the folder of a run, with {CONFIG}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: expected the configuration of a run, but: {error!r}") from None


def find(run: str, runs_dir: Path, recipe: str | None) -> Path:
    """The folder of a run; for "latest", the one that has saved the newest checkpoint.

    recipe: its name, None for any. Raises UserError where there is none.
    """
    if run != LATEST:
        return Path(run)
    saved = [
        (path.stat().st_mtime, path.parents[2])
        for path in runs_dir.glob(f"*/{CHECKPOINTS}/*/{manifest.NAME}")
    ]
    for _, folder in sorted(saved, reverse=True):
        if recipe in (None, read(folder).name):
            return folder
    what = "run" if recipe is None else f"run of {recipe}"
    raise UserError(f"--resume {LATEST}: no {what} in {runs_dir} has a checkpoint")
