"""The test of a trained network: the same in a run and in `python -m train eval`."""

import functools

import jax
import jax.numpy as jnp

from fcnn.training import cross_entropy, evaluate
from fcnn.training.compiler import Jitted
from train.data import Dataset
from train.recipe import Recipe

MOST_IN_BATCH = 500


def test_of(recipe: Recipe, data: Dataset) -> Jitted:
    """(params, state, test split) -> what `fcnn.training.evaluate` gives, with the logits.

    The batch size, the dtype and the loss follow from the recipe and the data alone, so whoever
    tests the same weights gets the same figures.
    """

    def prepare(key: None, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        return images.astype(jnp.float32) / data.white, labels

    return evaluate(
        recipe.model.build(),
        functools.partial(cross_entropy, label_smoothing=recipe.label_smoothing),
        batch_size=min(MOST_IN_BATCH, len(data.test[1])),
        prepare=prepare,
        dtype=jnp.dtype(recipe.dtype),
        logits=True,
    )
