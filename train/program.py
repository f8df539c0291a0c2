"""The compiled functions of a run: initial values, some steps of training, the test."""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from fcnn import tree
from fcnn.training import (
    TrainState,
    batch_order,
    compiler_options,
    cross_entropy,
    init_train_state,
    train_step,
)
from train import devices, fit
from train.data import Batch, Dataset
from train.log import Terminal
from train.optimizer import make_optimizer
from train.prepare import prepare_of
from train.recipe import Recipe
from train.testing import test_of

Measured = dict[str, jax.Array]


class Program(NamedTuple):
    """Compiled functions, the same for every seed, and the lengths they were compiled for.

    A training set here is a pair (images, labels) on the devices.
    """

    mesh: Mesh
    total_steps: int
    steps_per_epoch: int
    like: TrainState  # shapes, dtypes and places on the devices
    # seed -> train_state, key of the run
    init: Callable[[jax.Array], tuple[TrainState, jax.Array]]
    # key, first step of an epoch -> (steps_per_epoch, batch_size)
    order: Callable[[jax.Array, jax.Array], jax.Array]
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
    model = recipe.model.build()
    optimizer = make_optimizer(recipe, total_steps, steps_per_epoch)
    loss = functools.partial(cross_entropy, label_smoothing=recipe.label_smoothing)

    prepare = prepare_of(recipe, data, mesh)
    skip = recipe.nonfinite == "skip"
    step = train_step(model, optimizer, loss, prepare=prepare, skip_nonfinite=skip, dtype=dtype)
    unguarded = train_step(model, optimizer, loss, prepare=prepare, dtype=dtype)

    @functools.partial(jax.jit, out_shardings=devices.everywhere(mesh))
    def init(seed: jax.Array) -> tuple[TrainState, jax.Array]:
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
            measured = {name: values.at[taken].set(got[name]) for name, values in measured.items()}
            return ts, measured, taken + 1, got["finite"] == 1.0

        start = (ts, measured, jnp.int32(0), jnp.bool_(True))
        ts, measured, taken, _ = jax.lax.while_loop(more, one, start)
        return ts, measured, taken

    @jax.jit
    def repeat(ts, dataset, order, key):
        return unguarded(ts, batch_of(ts, dataset, order), key)[0]

    started = time.perf_counter()
    with fit.to_inputs_of(images.shape[1:]):
        ts, key = init(jnp.uint32(0))
    like, like_key, train_set, test_set = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=devices.everywhere(mesh)),
        (ts, key, data.train, data.test),
    )
    rows = jax.ShapeDtypeStruct(
        (steps_per_epoch, batch_size), jnp.int32, sharding=devices.everywhere(mesh)
    )
    compiled_steps = (
        jax.jit(
            steps,
            donate_argnums=0,
            compiler_options=compiler_options(),
            out_shardings=devices.everywhere(mesh),
        )
        .lower(like, train_set, rows, like_key, jax.ShapeDtypeStruct((), jnp.int32))
        .compile()
    )
    compiled_test = test_of(recipe, data, mesh).lower(like.params, like.state, test_set).compile()
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
        steps=compiled_steps,
        test=compiled_test,
        repeat=repeat,
    )
