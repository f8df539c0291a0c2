"""A run under way: its numbers, what was measured, and how both are saved and brought back."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fcnn.models import to_json
from train import (
    devices,
    environment,
    folder,
    nonfinite,
    processes,
    settings,
    streaming,
    tensorboard,
    weights,
)
from train.checkpoint import Checkpoints, Record, key_from_json, key_to_json
from train.data import Dataset
from train.errors import UserError
from train.log import Line, Metrics, Terminal
from train.pace import Pace
from train.program import Program
from train.progress import Progress
from train.recipe import Recipe

MOST_SKIPPED = 10  # steps in a row
MOST_ROLLBACKS = 3  # to the same checkpoint


class DivergedError(Exception):
    """Numbers that are not finite, and nothing more to be done about it."""


class Training:
    """One run between its beginning and its end; at first it is at step 0."""

    def __init__(
        self,
        recipe: Recipe,
        place: Path,
        program: Program,
        data: Dataset,
        checkpoints: Checkpoints,
        terminal: Terminal,
        asked: Callable[[], int],
    ) -> None:
        """asked: gives the signal that asks to stop, 0 for none."""
        self.recipe, self.place, self.program, self.terminal = recipe, place, program, terminal
        self.checkpoints, self.asked = checkpoints, asked
        self.metrics = Metrics(place / folder.METRICS)
        self.events = tensorboard.Events(place, recipe.split)
        self.pace = Pace(recipe.checkpoint_every)
        self.streams = data.streams
        splits = (data.train, data.test)
        self.train_set, self.test_set = (
            splits if self.streams else devices.copied(program.mesh, splits)
        )
        self.tested: dict[str, jax.Array] | None = None  # what the last test gave
        self.order: Any = None  # of the epoch that is going on
        self._begin()

    def close(self) -> None:
        """No more steps: what reads ahead for them ends."""
        self._new_order()

    @property
    def epoch(self) -> int:
        """The number, from 1, of the epoch that the last step was in."""
        return max(self.step - 1, 0) // self.program.steps_per_epoch + 1

    @property
    def done(self) -> bool:
        """Whether every step is taken and every epoch is recorded."""
        return self.step == self.program.total_steps and not self._untested

    @property
    def _untested(self) -> bool:
        """Whether the last step has ended an epoch which is not recorded yet."""
        history = self.progress.history
        recorded = history[-1]["step"] if history else 0
        ends = self.step % self.program.steps_per_epoch == 0
        return self.step > recorded and (ends or self.step == self.program.total_steps)

    def advance(self, line: Line) -> None:
        """Take some steps; at the end of an epoch test and record it; save if that is due.

        A test that is interrupted is made again by the next call, or after a resume.
        """
        if not self._untested and not self._take_steps(line):
            return
        epoch_ends = self._untested
        if epoch_ends:
            record = self.progress.finish_epoch(
                self.epoch, self.step, self.recipe.batch_size, self.test()
            )
            if processes.first():
                self.metrics.append(record)
                self.events.append(record)
            line.epoch(record)
        self.checkpoints.poll()
        due = self.pace.due(self.step, epoch_ends, self.checkpoints.cost)
        if processes.gather(np.bool_(due))[0]:
            self.save()

    def _take_steps(self, line: Line) -> bool:
        """Some steps of the epoch that is going on; False if they led back to a checkpoint."""
        per_epoch = self.program.steps_per_epoch
        first = self.step - self.step % per_epoch
        end = min(first + per_epoch, self.program.total_steps)
        if self.order is None:
            self.order = self._order(first)
        count = self.pace.steps(self.step, end - self.step)
        started = time.perf_counter()
        self.ts, measured, taken = self.program.steps(
            self.ts, self.train_set, self.order, self.key, np.int32(count)
        )
        taken = int(taken)
        measured = {name: np.asarray(values)[:taken] for name, values in measured.items()}
        # The first process's clock decides for all how many steps come next, and when to save.
        seconds = float(processes.gather(np.float32(time.perf_counter() - started))[0])
        self.pace.took(taken, seconds)
        self.progress.add(measured, seconds)
        self.step += taken
        if not measured["finite"][-1] and self._not_finite(measured["loss"][-1]):
            return False
        line.update(
            self.step / per_epoch,
            float(measured["loss"].mean()),
            float(measured["accuracy"].mean()),
            taken * self.recipe.batch_size / seconds,
        )
        if self.step == end:
            self._new_order()
        return True

    def test(self) -> dict[str, jax.Array]:
        """Loss, accuracy, predictions and logits on the whole test split."""
        asked = (self.asked,) if self.streams else ()  # on the devices it is one call
        self.tested = self.program.test(self.ts.params, self.ts.state, self.test_set, *asked)
        return self.tested

    def save(self) -> None:
        """A checkpoint of this step, written in the background, if there is not one already."""
        if self.step == self.saved:
            return
        history = self.progress.history
        epoch_ends = bool(history) and history[-1]["step"] == self.step
        record = {
            "step": self.step,
            "epoch": self.epoch,
            "steps_per_epoch": self.program.steps_per_epoch,
            "score": history[-1]["test_accuracy"] if epoch_ends else None,
            "recipe": self.recipe.name,
            "settings": settings.to_record(self.recipe),
            "versions": environment.versions(),
            "key": key_to_json(self.key),
            "rollbacks": self.rollbacks,
            "progress": dataclasses.asdict(self.progress),
        }
        self.checkpoints.save(self.ts, record)
        self.pace.saved(epoch_ends)
        self.saved, self.tries = self.step, 0

    def save_weights(self) -> Any:
        """Write the weights as a file for other programs; returns the params as NumPy arrays."""
        params, state = processes.whole((self.ts.params, self.ts.state))
        if processes.first():
            path = self.place / folder.WEIGHTS
            weights.save(path, params, state, to_json(self.recipe.model))
        return params

    def resume(self) -> None:
        """Go on from the newest checkpoint that is whole; without any, from the beginning.

        Raises DataError where every one is damaged, UserError where one is of another run.
        """
        found = self.checkpoints.restore(self.program.like, self.terminal.say)
        if found is None:
            self._record_again()
            self.terminal.say(f"no checkpoint in {self.place}: beginning at step 0")
            return
        record = found[1]
        others = settings.differences(self.recipe, record["settings"])
        if record["steps_per_epoch"] != self.program.steps_per_epoch:
            others.append("the number of training images is another")
        if others:
            raise UserError(f"--resume {self.place}: {'; '.join(others)}")
        before, now = record["versions"], environment.versions()
        changed = [
            f"{name} is {now[name]}, and was {before.get(name)}"
            for name in now
            if now[name] != before.get(name)
        ]
        if changed:
            self.terminal.say(f"warning: it will not repeat bit for bit: {'; '.join(changed)}")
        self._take(*found)
        self.terminal.say(f"resumed at step {self.step} (epoch {self.epoch}), {self.place}")

    def _begin(self) -> None:
        self.ts, self.key = self.program.init(np.uint32(self.recipe.seed))
        self.first_key = self.key
        self._new_order()
        self.progress = Progress()
        self.step = self.rollbacks = self.tries = 0
        self.saved: int | None = None

    def _take(self, ts: Any, record: Record) -> None:
        """Be where a checkpoint is, metrics.jsonl too."""
        everywhere = devices.everywhere(self.program.mesh)
        self.ts, self.key = ts, key_from_json(record["key"], everywhere)
        self._new_order()
        self.progress = Progress(**record["progress"])
        self.step, self.rollbacks = record["step"], record["rollbacks"]
        self.saved = self.step
        self._record_again()

    def _order(self, first: int) -> Any:
        """Which images are in the batches of the epoch that begins at step `first`."""
        rows = self.program.order(self.key, np.int32(first))
        if not self.streams:
            return rows
        return streaming.batches(self.train_set, rows, self.program.mesh)

    def _new_order(self) -> None:
        """The next step is not of the order that there is: another epoch, or another key."""
        if self.streams and self.order is not None:
            self.order.close()  # it reads ahead
        self.order = None

    def _record_again(self) -> None:
        """What was recorded of steps after this one is void."""
        if processes.first():
            self.metrics.restart(self.progress.history)
        self.events = tensorboard.Events(self.place, self.recipe.split, self.step + 1)

    def _not_finite(self, loss: float) -> bool:
        """Do what --nonfinite says about the last step. Returns whether that was to go back."""
        after = self.ts
        if self.recipe.nonfinite == "skip":  # it was left out: what would it have been?
            before = self.ts._replace(step=self.ts.step - 1)
            after = self.program.repeat(before, self.train_set, self.order, self.key)
        found = nonfinite.first(after, loss)
        what = f"step {self.step} (epoch {self.epoch}): {found} is not finite"
        advice = f"try a smaller --learning-rate; {self.place} has what was saved before"
        if self.recipe.nonfinite == "stop":
            raise DivergedError(f"{what}: {advice}")
        if self.recipe.nonfinite == "skip":
            if self.progress.skipped_in_a_row >= MOST_SKIPPED:
                raise DivergedError(f"{what}, and so in {MOST_SKIPPED} steps in a row: {advice}")
            self.terminal.say(f"{what}: left out")
            return False
        if self.tries >= MOST_ROLLBACKS:
            raise DivergedError(f"{what}, after {MOST_ROLLBACKS} rollbacks: {advice}")
        self._roll_back()
        self.terminal.say(f"{what}: back at step {self.step}, and on with other random numbers")
        return True

    def _roll_back(self) -> None:
        """Be where the last checkpoint is, with another key for all that is drawn from there on.

        The key of the n-th rollback of a run is fold_in(key of the run, n): dropout, augmentation
        and the order of the images differ, in the middle of an epoch that of its remaining steps.
        Nothing else differs, so a run that is killed and resumed rolls back to the same numbers,
        if its checkpoints are at the same steps: --checkpoint-every says where, the clock does not.
        """
        rollbacks, tries = self.rollbacks + 1, self.tries + 1
        found = self.checkpoints.restore(self.program.like, self.terminal.say)
        if found is None:
            self._begin()
            self._record_again()
        else:
            self._take(*found)
        self.rollbacks, self.tries = rollbacks, tries
        self.key = jax.random.fold_in(self.first_key, rollbacks)
