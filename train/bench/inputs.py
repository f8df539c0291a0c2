"""Whether the input holds up the step: training against steps on one batch, and files a second."""

import functools
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from fcnn.training import compiler_options, cross_entropy, train_step
from train import devices, settings, streaming
from train.bench import record
from train.bench.timing import interleaved
from train.data import Dataset, digits, image_folder
from train.errors import UserError
from train.log import Terminal
from train.optimizer import make_optimizer
from train.prepare import prepare_of
from train.program import compile_program
from train.recipe import Recipe
from train.recipes import RECIPES

# Training sets on the device; but for the digits noise of the published size, whose content takes
# no other time.
SHAPES = {"mnist": (60_000, 28, 28, 1), "cifar10": (50_000, 32, 32, 3)}
NAMES = ("digits", *SHAPES)
FILES, BATCH, SIZE = 192, 32, 224  # photographs; what they are decoded to
PHOTOGRAPH = (375, 500, 3)  # the usual one of ImageNet


def run(
    names: Sequence[str], workers: Sequence[int], steps: int, rounds: int, path: Path | None
) -> None:
    """Measure these recipes' inputs, and streaming with these numbers of workers.

    Raises UserError for a recipe that has no data set here, or no number.
    """
    for name in names:
        if name not in NAMES:
            raise UserError(f"no input of {name!r} is measured; there are {', '.join(NAMES)}")
    if steps < 1 or min(workers, default=1) < 1:
        raise UserError("--steps and --workers must be at least 1")
    resident = {}
    for name in names:
        print(f"{name}: compiles, then {rounds} rounds of {steps} steps", file=sys.stderr)
        recipe = settings.from_record(RECIPES[name], {"devices": 1})
        resident[name] = on_device(recipe, dataset(name), steps, rounds)
    if names:
        Console(width=132).print(resident_table(resident))
    print(f"{FILES} photographs: {rounds} rounds", file=sys.stderr)
    streamed = from_files(workers, rounds) if workers else {}
    if workers:
        Console(width=132).print(streamed_table(streamed))
    if path:
        arguments = f"input --recipes {' '.join(names)} --workers {' '.join(map(str, workers))}"
        record.write(
            path,
            f"{arguments} --steps {steps} --rounds {rounds}",
            {"resident": resident, "streamed": streamed},
        )


def dataset(name: str) -> Dataset:
    """A data set of the size of the recipe's."""
    if name == "digits":
        return digits.load()
    rng = np.random.default_rng(0)
    shape = SHAPES[name]
    images = rng.integers(0, 256, shape, np.uint8)
    labels = rng.integers(0, 10, shape[0]).astype(np.int32)
    return Dataset((images, labels), (images[:500], labels[:500]), 255.0, tuple("0123456789"))


def on_device(recipe: Recipe, data: Dataset, steps: int, rounds: int) -> dict[str, Any]:
    """Milliseconds a step: as the trainer takes them, and on one batch that is there already.

    The trainer's have the shuffling in them, its share of one order for each epoch, the gathering
    of a batch, its augmentation and its scaling to float32; both are loops in one program.
    """
    mesh = devices.mesh(1, recipe.batch_size)
    program = compile_program(recipe, data, mesh, Terminal(live=False))
    steps = min(steps, program.steps_per_epoch)
    train_set = jax.device_put(data.train, devices.everywhere(mesh))
    ts, key = program.init(jnp.uint32(0))
    order = program.order(key, jnp.int32(0))
    states = {"pipeline": ts, "fixed": program.init(jnp.uint32(0))[0]}

    def pipeline() -> None:
        states["pipeline"], _, taken = program.steps(
            states["pipeline"], train_set, order, key, np.int32(steps)
        )
        assert int(taken) == steps, "a step that is not finite"

    on_one_batch = fixed(recipe, data, program.total_steps, steps)
    first = jnp.arange(recipe.batch_size, dtype=jnp.int32)
    batch = jax.jit(prepare_of(recipe, data, mesh))(
        key, *(part[: recipe.batch_size] for part in train_set), first, jnp.int32(0)
    )

    def one_batch() -> None:
        states["fixed"], _ = jax.block_until_ready(on_one_batch(states["fixed"], batch, key))

    contenders = {
        "pipeline": pipeline,
        "fixed": one_batch,
        "order": lambda: program.order(key, jnp.int32(0)).block_until_ready(),
    }
    taken = interleaved(contenders, rounds)
    pipeline_ms = taken["pipeline"]["median"] / steps
    pipeline_ms += taken["order"]["median"] / program.steps_per_epoch
    fixed_ms = taken["fixed"]["median"] / steps
    return {
        "batch_size": recipe.batch_size,
        "steps": steps,
        "milliseconds": taken,
        "pipeline_per_second": 1e3 * recipe.batch_size / pipeline_ms,
        "fixed_per_second": 1e3 * recipe.batch_size / fixed_ms,
        "share": fixed_ms / pipeline_ms,
    }


def fixed(recipe: Recipe, data: Dataset, total: int, steps: int) -> Callable[..., Any]:
    """So many of the recipe's steps in a scan, all on the same batch, which is prepared already."""
    per_epoch = len(data.train[1]) // recipe.batch_size
    step = train_step(
        recipe.model.build(),
        make_optimizer(recipe, total, per_epoch),
        functools.partial(cross_entropy, label_smoothing=recipe.label_smoothing),
        dtype=jnp.dtype(recipe.dtype),
    )

    def run(ts: Any, batch: Any, key: jax.Array) -> Any:
        # The metrics are of use to nobody here; but what nobody gets is not computed.
        return jax.lax.scan(lambda ts, _: step(ts, batch, key), ts, length=steps)

    return jax.jit(run, donate_argnums=0, compiler_options=compiler_options())


def from_files(workers: Sequence[int], rounds: int) -> dict[str, dict[str, float]]:
    """Photographs a second that are read, decoded and batched, by number of workers."""
    with tempfile.TemporaryDirectory() as temporary:
        write_photographs(Path(temporary))
        read = {str(count): reader(Path(temporary), count) for count in workers}
        taken = interleaved(read, rounds)
    return {
        count: {**figures, "per_second": 1e3 * FILES / figures["median"]}
        for count, figures in taken.items()
    }


def reader(folder: Path, workers: int) -> Callable[[], None]:
    """Reads all training images of a folder once, through the batches of a training."""
    data = image_folder.load(folder, SIZE, lambda _: None, stream="always", workers=workers)
    rows = np.arange(FILES).reshape(-1, BATCH)
    mesh = devices.mesh(1, BATCH)

    def read() -> None:
        batches = streaming.batches(data.train, rows, mesh)
        for index in range(len(rows)):
            jax.block_until_ready(batches[index])
        batches.close()

    return read


def write_photographs(folder: Path) -> None:
    """Smooth shapes and some noise, which JPEG makes about as long as photographs: 70 kB each."""
    rng = np.random.default_rng(0)
    height, width, _ = PHOTOGRAPH
    for split, count in (("train", FILES), ("val", 1)):
        (folder / split / "a").mkdir(parents=True)
        for number in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
            smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
            noisy = smooth + rng.integers(-12, 13, PHOTOGRAPH)
            image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
            image.save(folder / split / "a" / f"{number}.jpg", quality=90)


def resident_table(results: dict[str, dict[str, Any]]) -> Table:
    """A row for each recipe."""
    table = Table(title="on the device", title_justify="left")
    table.add_column("recipe")
    for heading in ("batch", "trained images/s", "on one batch images/s", "share"):
        table.add_column(heading, justify="right")
    for name, figures in results.items():
        table.add_row(
            name,
            str(figures["batch_size"]),
            f"{figures['pipeline_per_second']:,.0f}",
            f"{figures['fixed_per_second']:,.0f}",
            f"{figures['share']:.1%}",
        )
    return table


def streamed_table(results: dict[str, dict[str, float]]) -> Table:
    """A row for each number of workers; the last column compares it with the first."""
    height, width, _ = PHOTOGRAPH
    table = Table(title=f"JPEG of {width}x{height}, to {SIZE}x{SIZE}", title_justify="left")
    for heading in ("workers", "images/s", "times the first"):
        table.add_column(heading, justify="right")
    first = next(iter(results.values()))["per_second"]
    for count, figures in results.items():
        rate = figures["per_second"]
        table.add_row(count, f"{rate:,.0f}", f"{rate / first:.2f}")
    return table
