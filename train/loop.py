"""A training run from beginning to end: load, compile, train, test, save."""

import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fcnn import tree
from fcnn.models import to_json
from fcnn.training import (
    TrainState,
    batch_order,
    compiler_options,
    cross_entropy,
    init_train_state,
    train_step,
)
from train import environment, files, fit, report, tensorboard, testing, weights
from train.data import Dataset, hold_out
from train.errors import UserError
from train.log import Metrics, Terminal
from train.recipe import Recipe
from train.stop import on_ctrl_c

MOST_PARTS = 20  # of an epoch: how often the live line moves and Ctrl-C is looked for


class StoppedError(Exception):
    """Ctrl-C: the text says what was saved."""


class DivergedError(Exception):
    """The loss is no number any more."""


class Program(NamedTuple):
    """Compiled functions, the same for every seed."""

    init: Callable[[jax.Array], tuple[TrainState, jax.Array]]  # seed -> train_state, key of the run
    order: Callable[[jax.Array, jax.Array], jax.Array]  # key, step -> (parts, steps, batch)
    steps: Callable[..., tuple[TrainState, dict[str, jax.Array]]]  # some steps of training
    test: Callable[..., dict[str, jax.Array]]  # the whole test split


def train(recipe: Recipe, terminal: Terminal) -> list[float]:
    """Train a recipe, once for each of its seeds. Returns the test accuracies.

    Raises UserError for settings or data that cannot be used, StoppedError after Ctrl-C and
    DivergedError for a loss that is not finite.
    """
    try:
        recipe.runs_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--runs-dir {recipe.runs_dir}: cannot make that folder: {error.strerror}"
        ) from None
    data = recipe.load(terminal.say)
    if recipe.validate:
        data = hold_out(data)
    fit.check(recipe, data)
    seeds = recipe.seeds or (recipe.seed,)
    program = compile_program(recipe, data, terminal)
    started = f"{recipe.name}-{datetime.now():%Y%m%d-%H%M%S}"
    accuracies = []
    for seed in seeds:
        name = f"{started}-seed{seed}" if recipe.seeds else started
        folder = make_folder(recipe.runs_dir, name)
        accuracies.append(run(recipe, seed, folder, program, data, terminal))
    if len(seeds) > 1:
        mean, spread = np.mean(accuracies), np.std(accuracies, ddof=1)
        terminal.say(f"mean of {len(seeds)} seeds: {mean:.2%} ± {spread:.2%} (standard deviation)")
    return accuracies


def run(
    recipe: Recipe,
    seed: int,
    folder: Path,
    program: Program,
    data: Dataset,
    terminal: Terminal,
) -> float:
    """Train with one seed, leaving everything in `folder`. Returns the test accuracy."""
    ts, key = program.init(jnp.uint32(seed))
    config = to_json(recipe.model)
    files.write(folder / "config.json", describe(recipe, seed, config, ts.params, data))
    metrics = Metrics(folder / "metrics.jsonl")
    events = tensorboard.Events(folder, "validation" if recipe.validate else "test")
    train_set, test_set = jax.device_put((data.train, data.test))
    history: list[dict[str, Any]] = []
    result: dict[str, jax.Array] = {}
    split = "validation" if recipe.validate else "test"
    with terminal.progress(recipe.epochs, split) as line, on_ctrl_c() as stop:
        for epoch in range(1, recipe.epochs + 1):
            parts: list[dict[str, float]] = []
            seconds = 0.0
            order = program.order(key, ts.step)
            for rows in order:
                started = time.perf_counter()
                ts, measured = program.steps(ts, train_set, rows, key)
                parts.append({name: float(values.mean()) for name, values in measured.items()})
                took = time.perf_counter() - started
                seconds += took
                done = epoch - 1 + len(parts) / len(order)
                line.update(done, parts[-1]["loss"], parts[-1]["accuracy"], rows.size / took)
                if stop.requested:
                    weights.save(folder / "weights.safetensors", ts.params, ts.state, config)
                    raise StoppedError(
                        f"interrupted in epoch {epoch}; saved {folder / 'weights.safetensors'}"
                    )
            loss = float(np.mean([part["loss"] for part in parts]))
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the training loss is {loss} in epoch {epoch}: try a smaller --learning-rate;"
                    f" {metrics.path} has the epochs before"
                )
            result = program.test(ts.params, ts.state, test_set)
            history.append(
                {
                    "epoch": epoch,
                    "step": int(ts.step),
                    "train_loss": loss,
                    "train_accuracy": float(np.mean([part["accuracy"] for part in parts])),
                    "test_loss": float(result["loss"]),
                    "test_accuracy": float(result["accuracy"]),
                    "images_per_second": order.size / seconds,
                    "seconds": seconds,
                }
            )
            metrics.append(history[-1])
            events.append(history[-1])
            line.epoch(history[-1])

    labels, predictions = data.test[1], np.asarray(result["predictions"])
    accuracy = float(np.mean(labels == predictions))
    title = f"{recipe.name}, seed {seed}: {split} accuracy {accuracy:.2%}"
    matrix = report.confusion_matrix(labels, predictions, len(data.classes))
    weights.save(folder / "weights.safetensors", ts.params, ts.state, config)
    report.save_curves(folder / "curves.png", history, title)
    report.save_confusion(folder / "confusion.png", matrix, data.classes, title)
    report.save_page(folder, data, ts.params, np.asarray(result["logits"]))

    seconds = sum(epoch["seconds"] for epoch in history)
    terminal.say(report.confusion_text(matrix, data.classes))
    terminal.say(f"trained {recipe.epochs} epochs in {seconds:.1f} s, saved {folder}")
    terminal.say(f"{split} accuracy: {accuracy:.2%}")
    return accuracy


def compile_program(recipe: Recipe, data: Dataset, terminal: Terminal) -> Program:
    """Build the model, the optimizer and the step, and compile them for the shapes of the data."""
    images, labels = data.train
    batch_size, dtype = recipe.batch_size, jnp.dtype(recipe.dtype)
    steps_per_epoch = len(labels) // batch_size
    parts = max(n for n in range(1, MOST_PARTS + 1) if steps_per_epoch % n == 0)
    model = recipe.model.build()
    optimizer = make_optimizer(recipe, steps_per_epoch)
    loss = functools.partial(cross_entropy, label_smoothing=recipe.label_smoothing)

    def prepare(key, images, labels):
        return recipe.augment(key, images).astype(jnp.float32) / data.white, labels

    step = train_step(model, optimizer, loss, prepare=prepare, dtype=dtype)

    @jax.jit
    def init(seed: jax.Array) -> tuple[TrainState, jax.Array]:
        init_key, run_key = jax.random.split(jax.random.key(seed))
        x = jax.ShapeDtypeStruct((batch_size, *images.shape[1:]), dtype)
        return init_train_state(model, optimizer, init_key, x), run_key

    def order(key: jax.Array, step: jax.Array) -> jax.Array:
        rows = batch_order(key, step, len(labels), batch_size)
        return rows.reshape(parts, -1, batch_size)

    def steps(ts, dataset, rows, key):
        images, labels = dataset
        return jax.lax.scan(lambda ts, row: step(ts, (images[row], labels[row]), key), ts, rows)

    started = time.perf_counter()
    with fit.to_images_of(images.shape[1:]):
        ts, key = init(jnp.uint32(0))
    rows = jax.eval_shape(order, key, ts.step)
    compiled_steps = (
        jax.jit(steps, donate_argnums=0, compiler_options=compiler_options())
        .lower(ts, data.train, jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype), key)
        .compile()
    )
    test = testing.test_of(recipe, data)
    compiled_test = test.lower(ts.params, ts.state, data.test).compile()
    terminal.say(
        f"{recipe.name}: {len(labels):,} training and {len(data.test[1]):,}"
        f" {'validation' if recipe.validate else 'test'} images;"
        f" {tree.count(ts.params):,} parameters; {jax.devices()[0].device_kind};"
        f" compiled in {time.perf_counter() - started:.1f} s"
    )
    return Program(init, jax.jit(order), compiled_steps, compiled_test)


def make_optimizer(recipe: Recipe, steps_per_epoch: int) -> optax.GradientTransformation:
    """AdamW or SGD along a warmed-up cosine; only kernels decay."""
    total = recipe.epochs * steps_per_epoch
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), total - 1)
    schedule = optax.warmup_cosine_decay_schedule(0.0, recipe.learning_rate, warmup, total)

    def kernels(params):
        return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

    if recipe.optimizer == "adamw":
        return optax.adamw(schedule, weight_decay=recipe.weight_decay, mask=kernels)
    return optax.chain(
        optax.add_decayed_weights(recipe.weight_decay, kernels),
        optax.sgd(schedule, momentum=0.9, nesterov=True),
    )


def make_folder(runs_dir: Path, name: str) -> Path:
    """A new folder in runs_dir; never one that is already there."""
    folder, number = runs_dir / name, 1
    while True:
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1
            folder = runs_dir / f"{name}-{number}"


def describe(recipe: Recipe, seed: int, config: str, params: Any, data: Dataset) -> bytes:
    """config.json: everything that decided the run."""
    record = {
        "recipe": recipe.name,
        "seed": seed,
        "settings": dataclasses.asdict(recipe),
        "model": json.loads(config),
        "parameters": tree.count(params),
        "images": {"train": len(data.train[1]), "test": len(data.test[1])},
        "shape": data.train[0].shape[1:],
        "white": data.white,
        "classes": data.classes,
        "versions": environment.versions(),
        "hardware": environment.hardware(),
    }
    return json.dumps(record, indent=2, default=str, ensure_ascii=False).encode() + b"\n"
