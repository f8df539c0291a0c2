"""Training and testing on inputs that stream: what a `Program` has for them, batch by batch.

Its functions for a set on the devices have the same arguments and results.
"""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from fcnn.training import TrainState
from train import devices
from train.data.dataset import Batch, Split, StreamedSplit
from train.data.stream import Batches


class InterruptedTestError(Exception):
    """A test was not finished, because a signal asked to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


def batch_like(
    split: Split | StreamedSplit, batch_size: int, mesh: Mesh
) -> tuple[jax.ShapeDtypeStruct, ...]:
    """What a batch (inputs, labels) of the split is like, spread over the devices."""
    return tuple(
        jax.ShapeDtypeStruct(
            (batch_size, *part.shape[1:]), part.dtype, sharding=devices.split(mesh)
        )
        for part in split
    )


def training_batch_like(split: Split | StreamedSplit, batch_size: int, mesh: Mesh) -> Batch:
    """What a batch to train on is like: each device knows all the indices."""
    whole = devices.everywhere(mesh)
    inputs, labels = batch_like(split, batch_size, mesh)
    index = jax.ShapeDtypeStruct((batch_size,), np.int32, sharding=whole)
    return Batch(inputs, labels, index, jax.ShapeDtypeStruct((), np.int32, sharding=whole))


def batches(split: Any, rows: Any, mesh: Mesh) -> Batches:
    """The batches of a split that streams; rows (batches, batch_size) says what is in each."""
    inputs, labels = split
    return Batches(inputs, labels, np.asarray(rows), devices.split(mesh))


def training(step: Callable, unguarded: Callable, per_epoch: int) -> dict[str, Callable]:
    """`steps` and `repeat` of a `Program`, which take the epoch's `Batches` for its order.

    step, unguarded: (train_state, batch, key) -> train_state, metrics.
    """

    def batch_at(step: int, epoch: Batches) -> Batch:
        number, position = divmod(step, per_epoch)
        return Batch(*epoch[position], epoch.rows[position], np.int32(number))

    def steps(ts: TrainState, _: Any, epoch: Batches, key: jax.Array, count: Any):
        first = int(ts.step)
        measured = []
        for number in range(first, first + int(count)):
            ts, got = step(ts, batch_at(number, epoch), key)
            measured.append(jax.device_get(got))  # meanwhile the next batch is on its way
            if measured[-1]["finite"] != 1.0:
                break
        names = ("loss", "accuracy", "finite")
        columns = {name: np.array([got[name] for got in measured]) for name in names}
        return ts, columns, len(measured)

    def repeat(ts: TrainState, _: Any, epoch: Batches, key: jax.Array) -> TrainState:
        return unguarded(ts, batch_at(int(ts.step), epoch), key)[0]

    return {"steps": steps, "repeat": repeat}


def test_with(step: Callable, batch_size: int, mesh: Mesh) -> Callable:
    """`Program.test` out of a compiled `fcnn.training.eval_step` that gives the logits too.

    The last batch is filled up with copies of the last input, which are masked out. It may take
    long, so between two batches it raises InterruptedTestError if `asked` gives a signal's number.
    """

    def test(params: Any, state: Any, split: Any, asked: Callable = lambda: 0) -> dict:
        count = len(split[1])
        index = np.arange(-(-count // batch_size) * batch_size).reshape(-1, batch_size)
        total = {name: np.float32(0) for name in ("loss", "correct", "count")}
        logits = []
        with closing(batches(split, np.minimum(index, count - 1), mesh)) as parts:
            for part, mask in enumerate(index < count):
                if number := asked():
                    raise InterruptedTestError(number)
                got = jax.device_get(step(params, state, parts[part], mask))
                total = {name: total[name] + got[name] for name in total}
                logits.append(got["logits"])
        outputs = np.concatenate(logits)[:count]
        return {
            "loss": total["loss"] / total["count"],
            "accuracy": total["correct"] / total["count"],
            "count": total["count"],
            "predictions": outputs.astype(np.float32).argmax(axis=-1).astype(np.int32),
            "logits": outputs,
        }

    return test
