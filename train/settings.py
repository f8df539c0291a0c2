"""A recipe's settings as JSON and back, so that a run can be resumed without repeating them."""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

from fcnn.models import from_json, to_json
from train.recipe import Recipe

# The settings that decide nothing of what is learnt, so that a resumed run may have others.
FREE = (
    "resume",
    "runs_dir",
    "data_dir",
    "data_file",
    "checksum",
    "stream",
    "workers",
    "progress",
    "devices",
    "fsdp",
    "checkpoint_every",
    "keep",
    "nonfinite",
)


# Those that each of several processes may have its own of.
LOCAL = ("runs_dir", "data_dir", "data_file", "workers", "progress")
# Those of one process of several: no settings of the run.
PROCESS = ("coordinator", "process_count", "process_id")


def to_record(recipe: Recipe) -> dict[str, Any]:
    """Its fields as JSON has them."""
    names = [field.name for field in dataclasses.fields(recipe) if field.name not in PROCESS]
    fields = {name: getattr(recipe, name) for name in names}
    fields["model"] = json.loads(to_json(recipe.model))
    return json.loads(json.dumps(fields, default=str))


def from_record(cls: type[Recipe], record: dict[str, Any]) -> Recipe:
    """The recipe that `to_record` wrote. Raises ValueError or TypeError for anything else."""
    hints = get_type_hints(cls)
    fields: dict[str, Any] = {}
    for name, value in record.items():
        if name == "model":
            fields[name] = from_json(json.dumps(value))
        elif isinstance(value, list):
            fields[name] = tuple(value)
        elif isinstance(value, str) and Path in (hints.get(name), *get_args(hints.get(name))):
            fields[name] = Path(value)
        else:
            fields[name] = value
    return cls(**fields)


def differences(now: Recipe, before: dict[str, Any]) -> list[str]:
    """The settings, of those that decide what is learnt, that are not those of a record."""
    record = to_record(now)
    names = [name for name in record if name not in FREE]
    return [
        f"--{name.replace('_', '-')} is {record[name]}, and was {before.get(name)}"
        for name in names
        if record[name] != before.get(name)
    ]
