"""The compiled functions of a run: initial values, some steps of training, the test."""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike

from fcnn import tree
from fcnn.training import (
    TrainState,
    batch_order,
    compiler_options,
    cross_entropy,
    init_train_state,
    train_step,
)
from train import devices, fit, streaming
from train.data import Batch, Dataset
from train.log import Terminal
from train.optimizer import make_optimizer
from train.prepare import prepare_of
from train.recipe import Recipe
from train.testing import compile_test

Measured = dict[str, jax.Array]


class Program(NamedTuple):
    """Compiled functions, the same for every seed, and the lengths they were compiled for.

    A training set here is a pair (images, labels) on the devices. Where it streams, `steps` and
    `repeat` have no use for it, and take the `Batches` of the epoch for its order.
    """

    mesh: Mesh
    total_steps: int
    steps_per_epoch: int
    like: TrainState  # shapes, dtypes and places on the devices
    # seed -> train_state, key of the run
    init: Callable[[ArrayLike], tuple[TrainState, jax.Array]]
    # key, first step of an epoch -> (steps_per_epoch, batch_size)
    order: Callable[[jax.Array, ArrayLike], jax.Array]
    # train_state, training set, order of the epoch, key, n -> train_state, metrics, steps taken
    steps: Callable[..., tuple[TrainState, Measured, jax.Array]]
    # params, state, test set -> what `fcnn.training.evaluate` gives, with the logits
    test: Callable[..., dict[str, jax.Array]]
    # train_state, training set, order of the epoch, key -> that of one step, whatever its numbers
    repeat: Callable[..., TrainState]


def compile_program(recipe: Recipe, data: Dataset, mesh: Mesh, terminal: Terminal) -> Program:
    """Build the model, the optimizer and the step, and compile them for the shapes of the data."""
    images, labels = data.train
    batch_size, dtype = recipe.batch_size, jnp.dtype(recipe.dtype)
    steps_per_epoch = len(labels) // batch_size
    total_steps = recipe.steps or recipe.epochs * steps_per_epoch
    model = devices.spread(recipe.model.build(), mesh)
    optimizer = make_optimizer(recipe, total_steps, steps_per_epoch)
    loss = functools.partial(cross_entropy, label_smoothing=recipe.label_smoothing)

    prepare = prepare_of(recipe, data, mesh)
    skip = recipe.nonfinite == "skip"
    step = train_step(model, optimizer, loss, prepare=prepare, skip_nonfinite=skip, dtype=dtype)
    unguarded = train_step(model, optimizer, loss, prepare=prepare, dtype=dtype)

    def fresh(seed: jax.Array) -> tuple[TrainState, jax.Array]:
        init_key, run_key = jax.random.split(jax.random.key(seed))
        x = jax.ShapeDtypeStruct((batch_size, *images.shape[1:]), dtype)
        return init_train_state(model, optimizer, init_key, x), run_key

    @functools.partial(jax.jit, out_shardings=devices.everywhere(mesh))
    def order(key: jax.Array, step: jax.Array) -> jax.Array:
        return batch_order(key, step, len(labels), batch_size)

    def batch_of(ts, dataset, order):
        images, labels = dataset
        epoch, position = jnp.divmod(ts.step, steps_per_epoch)
        row = order[position]
        return Batch(images[row], labels[row], row, epoch)

    def steps(ts, dataset, order, key, count):
        """`count` steps of training, fewer where one is not finite: that one is the last.

        One program for any number of steps, so that where a run is cut into pieces changes no bit.
        """
        nothing = jnp.zeros((steps_per_epoch,), jnp.float32)
        measured = dict.fromkeys(("loss", "accuracy", "finite"), nothing)

        def more(carry):
            _, _, taken, finite = carry
            return (taken < count) & finite

        def one(carry):
            ts, measured, taken, _ = carry
            ts, got = step(ts, batch_of(ts, dataset, order), key)
            ts = jax.lax.with_sharding_constraint(ts, stored)
            measured = {name: values.at[taken].set(got[name]) for name, values in measured.items()}
            return ts, measured, taken + 1, got["finite"] == 1.0

        start = (ts, measured, jnp.int32(0), jnp.bool_(True))
        ts, measured, taken, _ = jax.lax.while_loop(more, one, start)
        return ts, measured, taken

    def repeat(ts, dataset, order, key):
        return unguarded(ts, batch_of(ts, dataset, order), key)[0]

    started = time.perf_counter()
    everywhere = devices.everywhere(mesh)
    with fit.to_inputs_of(images.shape[1:]):
        stored = devices.stored(mesh, jax.eval_shape(fresh, np.uint32(0))[0])
    init = jax.jit(fresh, out_shardings=(stored, everywhere))
    like, like_key = jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        init(np.uint32(0)),
        (stored, everywhere),
    )
    options = {"donate_argnums": 0, "compiler_options": compiler_options()}
    if data.streams:
        one_step = jax.jit(step, **options, out_shardings=(stored, everywhere)).lower(
            like, streaming.training_batch_like(data.train, batch_size, mesh), like_key
        )
        again = jax.jit(unguarded, out_shardings=(stored, everywhere))
        training = streaming.training(one_step.compile(), again, steps_per_epoch)
    else:
        train_set, rows = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
            (data.train, jax.eval_shape(order, like_key, 0)),
        )
        count = jax.ShapeDtypeStruct((), jnp.int32)
        many_steps = jax.jit(steps, **options, out_shardings=(stored, everywhere, everywhere))
        training = {
            "steps": many_steps.lower(like, train_set, rows, like_key, count).compile(),
            "repeat": jax.jit(repeat, out_shardings=stored),
        }
    compiled_test = compile_test(recipe, data, mesh, like.params, like.state)
    kind = mesh.devices.flat[0].device_kind
    where = kind if mesh.size == 1 else f"{mesh.size}×{kind}"
    terminal.say(
        f"{recipe.name}: {len(labels):,} training and {len(data.test[1]):,}"
        f" {recipe.split} {data.noun};"
        f" {tree.count(like.params):,} parameters; {where};"
        f" compiled in {time.perf_counter() - started:.1f} s"
    )
    return Program(
        mesh=mesh,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        like=like,
        init=init,
        order=order,
        test=compiled_test,
        **training,
    )
