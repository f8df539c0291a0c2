"""Real training processes, killed at random moments, resumed, and compared with one left alone.

    python -m tests.torture --kills 200 --resumes 100

A kill is SIGKILL after a random time, from the start of a process to near its end or past it. A
resume point is a step drawn at random: a process saves a checkpoint there and is killed, another
goes on. After every kill, each checkpoint that has a manifest must be whole; after the last process
of a run, its weights, its last checkpoint and its metrics must be, bit for bit, those of the run
left alone.

The processes are forks of this one, which has imported everything and started no thread and no
device: so each takes a second to start, not six.
"""

import argparse
import dataclasses
import functools
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np

from fcnn.models import PlainConfig
from train import folder, manifest
from train.cli import main as command_line
from train.data import Dataset, digits
from train.progress import TIMES
from train.recipes import RECIPES
from train.recipes.digits import Digits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tiny(Digits):
    """A seventh of the digits and a network of a few hundred parameters, for tests."""

    name: ClassVar[str] = "tiny"

    epochs: int = 6
    batch_size: int = 16
    model: PlainConfig = dataclasses.field(
        default_factory=lambda: PlainConfig(widths=(4,), convs=1, dropout=0.2)
    )

    def load(self, report: Callable[[str], None]) -> Dataset:
        return seventh()


@functools.cache
def seventh() -> Dataset:
    data = digits.load()
    parts = [(images[::7], labels[::7]) for images, labels in (data.train, data.test)]
    return data._replace(train=parts[0], test=parts[1])


STEPS = 6 * (206 // 16)


def start(log: Path, work: Callable[[], int]) -> int:
    """A process that does some work, prints to `log` and exits with what it returns."""
    with warnings.catch_warnings():
        # JAX and Python warn of threads, of which there are none.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process:
        return process
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = work()
        sys.stdout.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 70
    os._exit(code)


def wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


class Campaign:
    """Runs in a folder, beside one that was left alone."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place, self.random, self.number = place, random.Random(seed), 0
        self.log = place / "log"
        self.expected = self.outcome(self.finish(place / "alone", 0))
        # Again, now that everything is compiled.
        started = time.monotonic()
        again = self.finish(place / "alone-again", 8)
        self.seconds = time.monotonic() - started
        self.same(self.outcome(again), "a second run left alone")

    def options(self, runs: Path, every: int) -> list[str]:
        """Of the command line: begin a run in the folder `runs`, or go on with the one there."""
        options = ["--checkpoint-every", str(every), "--runs-dir", str(runs), "--no-progress"]
        begun = list(runs.glob(f"*/{folder.CONFIG}"))
        return [*options, "--resume", str(begun[0].parent)] if begun else ["tiny", *options]

    def train(self, runs: Path, every: int) -> int:
        return start(self.log, lambda: command_line(self.options(runs, every)))

    def finish(self, runs: Path, every: int) -> Path:
        """Train to the end; gives the folder of the run."""
        code = wait(self.train(runs, every))
        if code:
            raise AssertionError(f"exit code {code}; {self.log} says:\n{self.log.read_text()}")
        return next(runs.glob(f"*/{folder.CONFIG}")).parent

    def outcome(self, run: Path) -> dict[str, object]:
        """Everything that must not depend on where a run was stopped."""
        lines = [json.loads(line) for line in (run / folder.METRICS).read_text().splitlines()]
        last = run / folder.CHECKPOINTS / f"{STEPS:08d}"
        record = json.loads((last / "record.json").read_text())
        digest = self.place / "digest"
        assert wait(start(self.log, lambda: _digest(last / "arrays", digest))) == 0
        return {
            "weights": hashlib.sha256((run / folder.WEIGHTS).read_bytes()).hexdigest(),
            "checkpoint": digest.read_text(),
            "key": record["key"],
            "metrics": [{k: line[k] for k in line if k not in TIMES} for line in lines],
        }

    def same(self, outcome: dict[str, object], what: str) -> None:
        for name, expected in self.expected.items():
            if outcome[name] != expected:
                raise AssertionError(f"{what}: {name} differ: {outcome[name]} and {expected}")

    def kills(self, count: int) -> None:
        """Kill `count` processes, up to 20 of each run, and finish each run after that."""
        done, runs, within_a_save, before_a_checkpoint = 0, 0, 0, 0
        while done < count:
            self.number += 1
            runs += 1
            place = self.place / f"killed-{self.number}"
            for _ in range(min(self.random.randint(1, 20), count - done)):
                process = self.train(place, self.random.randint(1, 12))
                time.sleep(self.random.uniform(0, 0.7 * self.seconds))
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:  # it was faster
                    assert status == 0, self.log.read_text()
                    break
                os.kill(process, signal.SIGKILL)
                wait(process)
                done += 1
                found = [path for path in place.glob(f"*/{folder.CHECKPOINTS}/0*") if path.is_dir()]
                whole = [path for path in found if manifest.is_complete(path)]
                for path in whole:
                    manifest.verify(path)
                within_a_save += len(found) > len(whole)
                before_a_checkpoint += not whole
            self.same(self.outcome(self.finish(place, 5)), f"run {place} after kills")
            print(
                f"{done} kills ({within_a_save} within a save, {before_a_checkpoint} before there"
                f" was a checkpoint) in {runs} runs: every checkpoint whole, every run as one left"
                " alone",
                flush=True,
            )

    def resumes(self, count: int) -> None:
        """Resume `count` times from a step drawn at random, once each."""
        steps = []
        for _ in range(count):
            self.number += 1
            place = self.place / f"resumed-{self.number}"
            every = self.random.randint(1, STEPS - 1)
            process = self.train(place, every)
            while not list(place.glob(f"*/{folder.CHECKPOINTS}/*/{manifest.NAME}")):
                time.sleep(0.005)
            os.kill(process, signal.SIGKILL)
            wait(process)
            steps.append(
                max(int(path.parent.name) for path in place.glob(f"*/*/*/{manifest.NAME}"))
            )
            outcome = self.outcome(self.finish(place, STEPS))
            self.same(outcome, f"run {place}, resumed at step {steps[-1]}")
            print(
                f"{len(steps)} resumes from {len(set(steps))} different steps of {STEPS}, epochs of"
                f" {STEPS // 6}: every run as one left alone",
                flush=True,
            )


def _digest(arrays: Path, into: Path) -> int:
    """The SHA-256 of a checkpoint's arrays, with their names, shapes and dtypes."""
    import orbax.checkpoint as ocp

    found = hashlib.sha256()
    tree = ocp.PyTreeCheckpointer().restore(arrays.absolute())
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        leaf = np.asarray(leaf)
        found.update(f"{jax.tree_util.keystr(path)} {leaf.shape} {leaf.dtype}".encode())
        found.update(leaf.tobytes())
    into.write_text(found.hexdigest())
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--resumes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # Before the forks:
    import train.loop  # noqa: F401

    seventh()

    RECIPES[Tiny.name] = Tiny
    with tempfile.TemporaryDirectory() as place:
        jax.config.update("jax_compilation_cache_dir", f"{place}/compiled")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        assert threading.active_count() == 1
        campaign = Campaign(Path(place), options.seed)
        print(f"a run left alone: {campaign.seconds:.1f} s", flush=True)
        campaign.kills(options.kills)
        campaign.resumes(options.resumes)


if __name__ == "__main__":
    main()
