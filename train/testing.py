"""The test of a trained network: the same in a run and in `python -m train eval`."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from fcnn.training import compiler_options, cross_entropy, eval_step, evaluate
from train import devices, streaming
from train.data import Dataset
from train.prepare import prepare_of
from train.recipe import Recipe

MOST_IN_BATCH = 500

# (params, state, test split) -> what `fcnn.training.evaluate` gives, with the logits
Test = Callable[..., dict[str, jax.Array]]


def compile_test(recipe: Recipe, data: Dataset, mesh: Mesh, params: Any, state: Any) -> Test:
    """The test on the data's test split, compiled for params and state of these shapes.

    The batch size, the dtype and the loss follow from the recipe, the data and the number of
    devices alone, so whoever tests the same weights on as many gets the same figures.
    """
    batch_size = min(MOST_IN_BATCH, len(data.test[1]))
    batch_size += -batch_size % mesh.size  # the last batch is filled up in any case
    model = devices.spread(recipe.model.build(), mesh)
    loss = functools.partial(cross_entropy, label_smoothing=recipe.label_smoothing)
    prepare, dtype = prepare_of(recipe, data, mesh), jnp.dtype(recipe.dtype)
    everywhere = devices.everywhere(mesh)
    options = {"compiler_options": compiler_options(), "out_shardings": everywhere}
    if not data.streams:
        test = evaluate(
            model, loss, batch_size=batch_size, prepare=prepare, dtype=dtype, logits=True
        )
        split = tuple(
            jax.ShapeDtypeStruct(part.shape, part.dtype, sharding=everywhere) for part in data.test
        )
        return jax.jit(test, **options).lower(params, state, split).compile()
    step = jax.jit(eval_step(model, loss, prepare=prepare, dtype=dtype, logits=True), **options)
    batch = streaming.batch_like(data.test, batch_size, mesh)
    mask = jax.ShapeDtypeStruct((batch_size,), bool)
    return streaming.test_with(step.lower(params, state, batch, mask).compile(), batch_size, mesh)
