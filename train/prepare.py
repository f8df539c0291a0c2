"""What is done to a batch on its way from the data set to the network."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from train import devices
from train.data import Batch, Dataset
from train.recipe import Recipe

Prepare = Callable[..., tuple[jax.Array, jax.Array]]


def prepare_of(recipe: Recipe, data: Dataset, mesh: Mesh) -> Prepare:
    """(key, *batch) -> float32 inputs, targets: for a `Batch`, which is augmented.

    In a test the key is None, and the batch a pair (inputs as they are stored, labels). A batch is
    split over the devices of the mesh.
    """

    def prepare(
        key: jax.Array | None, inputs: jax.Array, labels: jax.Array, *place: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        inputs, labels = jax.lax.with_sharding_constraint((inputs, labels), devices.split(mesh))
        if key is not None:
            inputs, labels = recipe.augment(key, Batch(inputs, labels, *place))
        return inputs.astype(jnp.float32) / data.white, labels

    return prepare
