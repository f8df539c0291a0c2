"""Reading a run's folder: config.json, metrics.jsonl, and the recipe that the run was."""

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any, NamedTuple

from fcnn.models import from_json
from train.errors import DataError, UserError
from train.recipe import Recipe


class Run(NamedTuple):
    """What a run wrote down: config.json as it is, and the lines of metrics.jsonl."""

    folder: Path
    config: dict[str, Any]
    epochs: list[dict[str, Any]]

    @property
    def split(self) -> str:
        """What it was tested on: "validation" after --validate, else "test"."""
        return "validation" if self.config["settings"].get("validate") else "test"


def read(folder: Path) -> Run:
    """The run in a folder.

    Raises UserError where there is none, DataError where one of its files is damaged. A last line
    of metrics.jsonl that ends in the middle, left by a kill while it was written, is no damage.
    """
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "it does not exist"
        raise UserError(f"{folder}: expected the folder of a run, but {what}")
    path = folder / "config.json"
    config = _object(path, _text(path))
    for key in ("recipe", "settings", "model", "classes"):
        if key not in config:
            raise DataError(f'{path}: expected the key "{key}", found {", ".join(config)}')
    metrics = folder / "metrics.jsonl"
    *lines, _ = _text(metrics).split("\n") if metrics.exists() else [""]
    epochs = [_object(f"{metrics}, line {n}", line) for n, line in enumerate(lines, 1)]
    return Run(folder, config, epochs)


def recipe(run: Run, data_dir: Path | None = None) -> Recipe:
    """The recipe of a run with its settings; `data_dir` takes the place of its own.

    Raises UserError for a recipe or a setting that this version does not know, and for a data_dir
    where the recipe reads no folder.
    """
    from train.recipes import RECIPES

    name, path = run.config["recipe"], run.folder / "config.json"
    if name not in RECIPES:
        raise UserError(f"{path}: no recipe {name!r}; recipes: {', '.join(RECIPES)}")
    cls = RECIPES[name]
    types = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}
    given = {**run.config["settings"], "seed": run.config["seed"]}
    if data_dir is not None:
        if "data_dir" not in known:
            raise UserError(f"--data-dir {data_dir}: the recipe {name} reads no folder")
        given["data_dir"] = data_dir
    if unknown := sorted(set(given) - known):
        raise UserError(f"{path}: the recipe {name} has no setting {', '.join(unknown)}")
    try:
        model = from_json(json.dumps(run.config["model"]))
        values = {key: _typed(value, types[key]) for key, value in given.items()}
        return cls(**{**values, "model": model})  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


def _typed(value: Any, annotation: Any) -> Any:
    """What JSON made of a setting, as the recipe has it: paths and tuples."""
    if isinstance(value, str) and Path in (annotation, *typing.get_args(annotation)):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value


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
