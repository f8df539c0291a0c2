"""`python -m train profile RECIPE` or `profile RUN`: what a training step costs."""

import dataclasses
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import tyro

from train import fit, runs
from train.errors import UserError
from train.log import Terminal
from train.recipe import Recipe
from train.spelling import did_you_mean

SECONDS = 2.0  # of steps that are timed
FEWEST, MOST = 5, 200  # of them
TRACED = 5


@dataclasses.dataclass(frozen=True)
class Profile:
    """Measure a training step: FLOPs, memory, images/s, utilisation, a trace.

    After a recipe's name its options follow, as in profile digits --batch-size 128; after a run's
    folder only --data-dir.
    """

    target: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE|RUN")]
    """A recipe's name, or the folder of a run."""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where the data set of a run is, if it is no longer where the run found it."""

    def run(self, terminal: Terminal) -> None:
        from train.recipes import RECIPES

        folder = Path(self.target)
        if not folder.exists():
            hint = did_you_mean(self.target, RECIPES)
            raise UserError(f"no recipe and no run {self.target!r}{hint}")
        profile(runs.recipe(runs.read(folder), self.data_dir), folder, terminal)


@dataclasses.dataclass(frozen=True)
class ProfileRecipe:
    """`profile` with a recipe and its options: the trace goes into a new folder of its own."""

    recipe: Recipe

    def run(self, terminal: Terminal) -> None:
        from train.folder import make

        runs_dir = self.recipe.runs_dir
        try:
            runs_dir.mkdir(parents=True, exist_ok=True)
            name = f"{self.recipe.name}-profile-{datetime.now():%Y%m%d-%H%M%S}"
            folder = make(runs_dir, name)
        except OSError as error:
            raise UserError(f"--runs-dir {runs_dir}: cannot be used: {error.strerror}") from None
        profile(self.recipe, folder, terminal)


def profile(recipe: Recipe, folder: Path, terminal: Terminal) -> None:
    """Compile a training step of the recipe, print what it costs, and trace some steps."""
    import jax

    import fcnn
    from train.peaks import peak

    data = recipe.load(terminal.say)
    fit.check(recipe, data)
    started = time.perf_counter()
    step, ts, batch = compile_step(recipe, data)
    seconds = time.perf_counter() - started
    device, key = jax.devices()[0], jax.random.key(0)
    # What the network is trained on: augmentation may crop.
    shape = jax.eval_shape(recipe.augment, key, batch)[0].shape
    terminal.say(
        f"{recipe.name}: a training step on {recipe.batch_size} {data.noun} of"
        f" {'×'.join(map(str, shape[1:]))},"
        f" {recipe.dtype}, {device.device_kind}; compiled in {seconds:.1f} s"
    )

    macs = fcnn.summary(recipe.model.build(), shape).macs
    flops = 3 * 2 * macs
    terminal.say(f"FLOPs      {_units(flops)}: 3 × forward, {_units(2 * macs)} = 2 × MACs")
    counted = _cost(step).get("flops")
    text = _units(counted) if counted else "not given"
    terminal.say(f"           {text}: XLA's cost analysis, without padding and library calls")
    terminal.say(f"memory     {_memory(step.memory_analysis())}")

    ts, a_step = _timed(step, ts, batch, key)
    rate = recipe.batch_size / a_step
    terminal.say(f"speed      {1e3 * a_step:.2f} ms a step, {rate:,.0f} images/s")
    most = peak(device.device_kind, recipe.dtype)
    terminal.say(
        f"use        {flops / a_step / most.flops:.1%} of {_units(most.flops)}/s ({most.source})"
    )
    with jax.profiler.trace(str(folder)):
        for _ in range(TRACED):
            ts, _ = step(ts, batch, key)
        jax.block_until_ready(ts)
    terminal.say(f"trace      {folder}: xprof --logdir {folder} shows it (pip install xprof)")


def compile_step(recipe: Recipe, data: Any) -> tuple[Any, Any, Any]:
    """(compiled step, train_state, batch): what the recipe's runs do many times."""
    import functools

    import jax
    import jax.numpy as jnp
    import numpy as np

    from fcnn.training import cross_entropy, init_train_state, train_step
    from train import devices
    from train.data import Batch
    from train.optimizer import make_optimizer
    from train.prepare import prepare_of

    images, labels = data.train
    first = np.asarray(images[: recipe.batch_size])  # decoded, where they stream
    index = jnp.arange(recipe.batch_size, dtype=jnp.int32)
    targets = jnp.asarray(labels[: recipe.batch_size])
    batch = Batch(jnp.asarray(first), targets, index, jnp.int32(0))
    dtype = jnp.dtype(recipe.dtype)
    per_epoch = len(labels) // recipe.batch_size
    prepare = prepare_of(recipe, data, devices.mesh(1, recipe.batch_size))
    model = recipe.model.build()
    optimizer = make_optimizer(recipe, recipe.steps or recipe.epochs * per_epoch, per_epoch)
    loss = functools.partial(cross_entropy, label_smoothing=recipe.label_smoothing)
    step = train_step(model, optimizer, loss, prepare=prepare, dtype=dtype)
    x = jax.ShapeDtypeStruct(batch.inputs.shape, dtype)
    with fit.to_inputs_of(images.shape[1:]):
        ts = jax.jit(lambda key: init_train_state(model, optimizer, key, x))(jax.random.key(0))
    return step.lower(ts, batch, jax.random.key(0)).compile(), ts, batch


def _timed(step: Any, ts: Any, batch: Any, key: Any) -> tuple[Any, float]:
    """Seconds a step takes, the mean of some in a row after a first one that warms up."""
    import jax

    ts, _ = jax.block_until_ready(step(ts, batch, key))
    started = time.perf_counter()
    ts, _ = jax.block_until_ready(step(ts, batch, key))
    count = max(FEWEST, min(MOST, round(SECONDS / (time.perf_counter() - started))))
    started = time.perf_counter()
    for _ in range(count):
        ts, _ = step(ts, batch, key)
    jax.block_until_ready(ts)
    return ts, (time.perf_counter() - started) / count


def _cost(step: Any) -> dict[str, float]:
    """A backend may give the analysis as it is, in a list, or not at all."""
    found = step.cost_analysis()
    return (found[0] if isinstance(found, list) else found) or {}


def _memory(stats: Any) -> str:
    if stats is None:
        return "not given by this backend"
    parts = {
        "arguments": stats.argument_size_in_bytes,
        "results": stats.output_size_in_bytes,
        "shared by both": stats.alias_size_in_bytes,
        "temporary": stats.temp_size_in_bytes,
    }
    return ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in parts.items())


def _units(flops: float) -> str:
    """
    >>> _units(1.5e9), _units(3.12e14)
    ('1.50 GFLOP', '312.00 TFLOP')
    """
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if flops >= size:
            return f"{flops / size:.2f} {unit}FLOP"
    return f"{flops:,.0f} FLOP"
