"""A recipe trained in PyTorch: its accuracy and its time, to stand beside ours."""

from collections.abc import Callable
from importlib import import_module

import numpy as np

from train import fit
from train.bench.peers import installed
from train.data import hold_out
from train.errors import UserError
from train.recipe import Recipe


def run(recipe: Recipe, say: Callable[[str], None]) -> list[float]:
    """Train the recipe once for each of its seeds, and tell the accuracies. Returns them.

    Raises UserError where PyTorch is not installed, or for settings that do not fit.
    """
    if "torch" not in installed():
        raise UserError("accuracy needs PyTorch: python -m pip install torch==2.13.0")
    if recipe.dtype != "float32":
        raise UserError(f"accuracy trains in float32, not --dtype {recipe.dtype}")
    data = recipe.load(say)
    if recipe.validate:
        data = hold_out(data)
    fit.check(recipe, data)
    torch_training = import_module("train.bench.peers.torch_training")
    accuracies = []
    for seed in recipe.seeds or (recipe.seed,):
        trained = torch_training.train(recipe, data, seed, say)
        accuracies.append(trained.accuracy)
        say(
            f"{recipe.name} in PyTorch, seed {seed}: {recipe.split} accuracy"
            f" {trained.accuracy:.2%}, {trained.seconds:.1f} s of training"
        )
    if len(accuracies) > 1:
        mean, spread = np.mean(accuracies), np.std(accuracies, ddof=1)
        say(f"{recipe.split} accuracy over {len(accuracies)} seeds: {mean:.2%} ± {spread:.2%}")
    return accuracies
