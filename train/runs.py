"""Finding and reading a run's folder: config.json, metrics.jsonl, and the recipe that it was."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

from train import manifest, settings
from train.errors import DataError, UserError
from train.folder import CHECKPOINTS, CONFIG, METRICS
from train.recipe import Recipe
from train.recipes import RECIPES

LATEST = "latest"
KEYS = {"recipe": str, "settings": dict, "model": dict, "classes": list}  # of config.json


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run wrote down: config.json as it is, and the lines of metrics.jsonl."""

    folder: Path
    config: dict[str, Any]

    @property
    def split(self) -> str:
        """What it was tested on: "validation" after --validate, else "test"."""
        return "validation" if self.config["settings"].get("validate") else "test"

    @functools.cached_property
    def epochs(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, read when they are first asked for.

        Raises DataError for a damaged one. A last line that ends in the middle, left by a kill
        while it was written, is no damage.
        """
        path = self.folder / METRICS
        *lines, _ = _text(path).split("\n") if path.exists() else [""]
        return [_object(f"{path}, line {n}", line) for n, line in enumerate(lines, 1)]


def read(folder: Path) -> Run:
    """The run in a folder.

    Raises UserError where there is none, DataError where its config.json is damaged.
    """
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "it does not exist"
        raise UserError(f"{folder}: expected the folder of a run, but {what}")
    path = folder / CONFIG
    config = _object(path, _text(path))
    for key, kind in KEYS.items():
        if key not in config:
            raise DataError(f'{path}: expected the key "{key}", found {", ".join(config)}')
        if not isinstance(config[key], kind):
            raise DataError(f'{path}: expected "{key}" as {kind.__name__}, got {config[key]!r}')
    return Run(folder, config)


def recipe(run: Run, data_dir: Path | None = None) -> Recipe:
    """The recipe of a run with its settings; `data_dir` takes the place of its own.

    Raises UserError for a recipe or a setting that this version does not know, and for a data_dir
    where the recipe reads no folder.
    """
    name, path = run.config["recipe"], run.folder / CONFIG
    if name not in RECIPES:
        raise UserError(f"{path}: no recipe {name!r}; recipes: {', '.join(RECIPES)}")
    cls = RECIPES[name]
    known = {field.name for field in dataclasses.fields(cls)}
    if data_dir is not None and "data_dir" not in known:
        raise UserError(f"--data-dir {data_dir}: the recipe {name} reads no folder")
    given = dict(run.config["settings"])
    if data_dir is not None:
        given["data_dir"] = str(data_dir)
    if unknown := sorted(set(given) - known):
        raise UserError(f"{path}: the recipe {name} has no setting {', '.join(unknown)}")
    try:
        return settings.from_record(cls, given)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


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
        if recipe in (None, read(folder).config["recipe"]):
            return folder
    what = "run" if recipe is None else f"run of {recipe}"
    raise UserError(f"--resume {LATEST}: no {what} in {runs_dir} has a checkpoint")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path}: expected a file of a run, but it cannot be read: {error.strerror}"
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, but: {error}") from None


def _object(where: Path | str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: expected JSON, but: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected a JSON object, got {text[:40]}")
    return value
