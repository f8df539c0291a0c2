"""The test of a trained network, compiled as a run compiles its own."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from fcnn.training import cross_entropy, evaluate
from train.data import Dataset
from train.recipe import Recipe

MOST_IN_BATCH = 500


def compile_test(recipe: Recipe, data: Dataset) -> Callable[..., dict[str, jax.Array]]:
    """(params, state, test split) -> what `fcnn.training.evaluate` gives, with the logits.

    The batch size, the dtype and the loss are those of a run, so the figures are too.
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
