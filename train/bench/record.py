"""Figures as JSON, with the command, the versions and the hardware that they belong to."""

import contextlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from train import environment, files

LIBRARIES = ("flax", "dm-haiku", "equinox", "keras", "torch")


def write(path: Path, arguments: str, figures: dict[str, Any]) -> None:
    """Write the figures of `python -m train.bench ARGUMENTS` to this file."""
    versions = environment.versions()
    for library in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[library] = version(library)
    record = {
        "command": f"python -m train.bench {arguments}",
        "versions": versions,
        "hardware": environment.hardware(),
        **figures,
    }
    rounded = json.loads(json.dumps(record), parse_float=lambda text: round(float(text), 4))
    files.write(path, json.dumps(rounded, indent=1).encode() + b"\n")
