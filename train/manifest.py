"""manifest.json: the size and SHA-256 of every file of a folder, written when all are on the disk.

A folder without one is not complete, one whose files are not those listed is damaged.
"""

import hashlib
import json
from pathlib import Path

from train import files
from train.errors import DataError

NAME = "manifest.json"


def write(folder: Path) -> None:
    """Bring everything in the folder to the disk (fsync), then write its manifest atomically."""
    listed = {}
    for path in sorted(folder.rglob("*")):
        files.sync(path)
        if path.is_file():
            listed[path.relative_to(folder).as_posix()] = _describe(path)
    files.sync(folder)
    files.write(folder / NAME, json.dumps({"files": listed}, indent=1).encode())


def is_complete(folder: Path) -> bool:
    """Whether it was written to the end. That it is undamaged only `verify` says."""
    return (folder / NAME).is_file()


def verify(folder: Path) -> None:
    """Raises DataError, which names the file, unless each is as the manifest lists it."""
    path = folder / NAME
    try:
        listed = json.loads(path.read_bytes())["files"]
        listed = {
            name: {"bytes": file["bytes"], "sha256": file["sha256"]}
            for name, file in listed.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: expected a list of files, but: {error!r}") from None
    if not listed:
        raise DataError(f"{path}: it lists no file")
    for name, expected in listed.items():
        path = folder / name
        try:
            found = _describe(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        if found["bytes"] != expected["bytes"]:
            raise DataError(f"{path}: expected {expected['bytes']} bytes, found {found['bytes']}")
        if found != expected:
            raise DataError(f"{path}: its bytes are not those that were written (SHA-256)")


def _describe(path: Path) -> dict[str, int | str]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}
