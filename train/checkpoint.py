"""The checkpoints of a run: everything it needs to go on as if it had never stopped.

One folder each, named after its step:

    00000440/arrays/         the TrainState, written by Orbax
    00000440/record.json     the key, what was measured, the settings, the versions
    00000440/manifest.json   size and SHA-256 of every file, written last

Everything is on the disk (fsync) before the manifest is: a folder without a manifest is not a
checkpoint, and older ones are deleted only then.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from fcnn.training import TrainState
from train import files, manifest, processes
from train.errors import DataError

ARRAYS, RECORD, DAMAGED = "arrays", "record.json", ".damaged"

Record = dict[str, Any]


def _quiet_orbax() -> None:
    """What Orbax raises it also logs, with tracebacks, and its other writes fail after it has gone.

    Here a failed save is one SaveError, so the rest is noise.
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = hook


_quiet_orbax()


class SaveError(Exception):
    """A checkpoint could not be written: where, why, and which one there is."""


class Checkpoints:
    """Saves in the background, one at a time, and keeps the last `keep` and the best."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self._orbax = ocp.StandardCheckpointer()
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._saving: Future[None] | None = None
        self.cost = 0.0  # seconds that the last save took, in the background too

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None and processes.several():
            return  # a save under way would wait for the others, which may be gone
        # A save under way is finished before another process may come here.
        self._thread.shutdown()
        with contextlib.suppress(Exception):  # of a failed save: `wait` has raised the first one
            self._orbax.close()

    def save(self, ts: TrainState, record: Record) -> None:
        """Copy the train_state, and write it in the background; record["score"] is what is best.

        Raises SaveError where this, or the save before, failed.
        """
        self.wait()
        started = time.perf_counter()
        place = self.folder / f"{int(ts.step):08d}"
        content = json.dumps(record, indent=1, allow_nan=False).encode()
        try:
            if processes.first():
                _remove(place)
            self._orbax.save((place / ARRAYS).absolute(), ts)
        except Exception as error:
            raise self._failed(place, error) from error
        self._saving = self._thread.submit(self._finish, place, content, started)

    def poll(self) -> None:
        """Raises SaveError if a save has failed; does not wait."""
        if self._saving is not None and self._saving.done():
            self.wait()

    def wait(self) -> None:
        """Wait until everything is on the disk. Raises SaveError."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def restore(
        self, like: TrainState, warn: Callable[[str], None]
    ) -> tuple[TrainState, Record] | None:
        """The newest checkpoint that is whole, as arrays like `like`; None if there never was one.

        A damaged one is told to `warn` and set aside under another name; what a killed save left
        is removed. Raises DataError if every one is damaged. Of several processes the first one
        looks.
        """
        self.wait()
        with processes.together():
            place = self._newest(warn) if processes.first() else None
        name = processes.of_first(place.name if place else "")
        if not name:
            return None
        record = json.loads((self.folder / name / RECORD).read_bytes())
        return self._orbax.restore((self.folder / name / ARRAYS).absolute(), like), record

    def _newest(self, warn: Callable[[str], None]) -> Path | None:
        """The newest one that is whole, after cleaning up."""
        for path in self.folder.glob("[0-9]*[0-9]"):
            if not manifest.is_complete(path):
                _remove(path)
        places = self.complete()
        for place in reversed(places):
            try:
                manifest.verify(place)
            except DataError as error:
                warn(f"warning: damaged checkpoint: {error}; taking the one before")
                aside = place.with_name(place.name + DAMAGED)
                _remove(aside)
                place.rename(aside)
                continue
            return place
        if places or list(self.folder.glob(f"*{DAMAGED}")):
            raise DataError(
                f"{self.folder}: every checkpoint is damaged; without that folder, it begins again"
            )
        return None

    def complete(self) -> list[Path]:
        """The folders that were written to the end, oldest first."""
        places = filter(manifest.is_complete, self.folder.glob("[0-9]*[0-9]"))
        return sorted(places, key=lambda place: int(place.name))

    def _finish(self, place: Path, content: bytes, started: float) -> None:
        """In the background: the rest of a save, then the deletion of older ones."""
        try:
            self._orbax.wait_until_finished()
            if processes.first():
                files.write(place / RECORD, content)
                manifest.write(place)
                files.sync(self.folder)
        except Exception as error:
            raise self._failed(place, error) from error
        if processes.first():
            self._prune()
        self.cost = time.perf_counter() - started

    def _prune(self) -> None:
        places = self.complete()
        scores = {place: score for place in places if (score := _score(place)) is not None}
        best = max(scores, key=lambda place: scores[place], default=None)
        for place in places[: -self.keep]:
            if place != best:
                _remove(place)

    def _failed(self, place: Path, error: Exception) -> SaveError:
        if processes.first():
            shutil.rmtree(place, ignore_errors=True)  # room, on a full disk
        last = self.complete()[-1:]
        system = re.search(r"os_error_code='(\d+)'", str(error))  # tensorstore's
        why = os.strerror(int(system[1])) if system else error
        rest = f"the last complete one is {last[0]}" if last else "there is none before it"
        return SaveError(f"cannot save the checkpoint {place}: {why}; {rest}")


def key_to_json(key: jax.Array) -> list[int]:
    """The numbers of a key."""
    return jax.random.key_data(key).tolist()


def key_from_json(numbers: list[int], place: jax.sharding.Sharding | None = None) -> jax.Array:
    """The key, on the devices of `place`."""
    # In a jit, so that they may be of several processes.
    wrap = jax.jit(jax.random.wrap_key_data, out_shardings=place)
    return wrap(np.array(numbers, np.uint32))


def _score(place: Path) -> float | None:
    try:
        return json.loads((place / RECORD).read_bytes())["score"]
    except (OSError, ValueError, KeyError):  # damaged
        return None


def _remove(place: Path) -> None:
    """Delete a checkpoint; stopped half-way, what is left is no checkpoint."""
    if place.exists():
        (place / manifest.NAME).unlink(missing_ok=True)
        files.sync(place)
        shutil.rmtree(place)
