"""What is done to a batch on its way from the data set to the network."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from train import devices
from train.data import Dataset
from train.recipe import Recipe

Prepare = Callable[[jax.Array | None, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def prepare_of(recipe: Recipe, data: Dataset, mesh: Mesh) -> Prepare:
    """(key, inputs as they are stored, labels) -> float32 inputs, labels; key None is a test.

    A batch is split over the devices of the mesh; in training it is augmented.
    """

    def prepare(
        key: jax.Array | None, inputs: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        inputs, labels = jax.lax.with_sharding_constraint((inputs, labels), devices.split(mesh))
        if key is not None:
            inputs = recipe.augment(key, inputs)
        return inputs.astype(jnp.float32) / data.white, labels

    return prepare
