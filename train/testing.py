"""The test of a trained network: the same in a run and in `python -m train eval`."""

import functools

import jax.numpy as jnp
from jax.sharding import Mesh

from fcnn.training import cross_entropy, evaluate
from fcnn.training.compiler import Jitted
from train import devices
from train.data import Dataset
from train.prepare import prepare_of
from train.recipe import Recipe

MOST_IN_BATCH = 500


def test_of(recipe: Recipe, data: Dataset, mesh: Mesh) -> Jitted:
    """(params, state, test split) -> what `fcnn.training.evaluate` gives, with the logits.

    The batch size, the dtype and the loss follow from the recipe, the data and the number of
    devices alone, so whoever tests the same weights on as many gets the same figures.
    """
    batch_size = min(MOST_IN_BATCH, len(data.test[1]))
    batch_size += -batch_size % mesh.size  # the last batch is filled up in any case
    return evaluate(
        devices.spread(recipe.model.build(), mesh),
        functools.partial(cross_entropy, label_smoothing=recipe.label_smoothing),
        batch_size=batch_size,
        prepare=prepare_of(recipe, data, mesh),
        dtype=jnp.dtype(recipe.dtype),
        logits=True,
    )
