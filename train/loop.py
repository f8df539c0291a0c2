"""A training run from beginning to end: load, compile, train, test, save."""

import dataclasses
import json
from datetime import datetime
from pathlib import Path

import numpy as np

from train import devices, fit, folder, processes, settings
from train.data import Dataset, hold_out
from train.errors import UserError
from train.log import Terminal
from train.program import compile_program
from train.recipe import Recipe
from train.run import run


def train(recipe: Recipe, terminal: Terminal) -> list[float]:
    """Train a recipe, once for each of its seeds, or go on with a run. Returns the test accuracies.

    Raises UserError for settings or data that cannot be used, StoppedError after Ctrl-C or SIGTERM,
    DivergedError for numbers that are not finite and SaveError for a checkpoint that cannot be
    written.
    """
    with processes.together():
        try:
            recipe.runs_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--runs-dir {recipe.runs_dir}: cannot make that folder: {error.strerror}"
            ) from None
        mesh = devices.mesh(recipe.devices, recipe.batch_size, recipe.fsdp)
        data = recipe.load(terminal.say)
        if recipe.validate:
            data = hold_out(data)
        fit.check(recipe, data)
    _check_alike(recipe, data)
    with processes.together():
        program = compile_program(recipe, data, mesh, terminal)
    if recipe.resume:
        return [run(recipe, Path(recipe.resume), program, data, terminal)]
    started = f"{recipe.name}-{datetime.now():%Y%m%d-%H%M%S}"
    seeds = recipe.seeds or (recipe.seed,)
    accuracies = []
    for seed in seeds:
        name = f"{started}-seed{seed}" if recipe.seeds else started
        one = dataclasses.replace(recipe, seed=seed, seeds=())
        made = folder.make(recipe.runs_dir, name).name if processes.first() else ""
        place = recipe.runs_dir / processes.of_first(made)
        accuracies.append(run(one, place, program, data, terminal))
    if len(seeds) > 1:
        mean, spread = np.mean(accuracies), np.std(accuracies, ddof=1)
        terminal.say(f"mean of {len(seeds)} seeds: {mean:.2%} ± {spread:.2%} (standard deviation)")
    return accuracies


def _check_alike(recipe: Recipe, data: Dataset) -> None:
    """Raises UserError where the processes of a run were given different settings or data."""
    record = settings.to_record(recipe)
    decides = {name: record[name] for name in record if name not in settings.LOCAL}
    processes.check_same("settings", json.dumps(decides).encode())
    processes.check_same("ways to read it: say --stream always", bytes([data.streams]))
    processes.check_same("labels", data.train[1].tobytes() + data.test[1].tobytes())
