"""One network in several libraries: each in a process of its own, timed in turn."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from train.bench.timing import PAUSE, spread


class FailedError(Exception):
    """A contender's process ended: the text has the last line it wrote."""


class Worker:
    """A contender in its process; closing it ends that."""

    def __init__(self, peer: str, model: str) -> None:
        command = [sys.executable, "-m", "train.bench.worker", peer, model]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, what: str) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = self.process.stdout.readline()
        if not line:
            said = self.process.stderr.read().strip().splitlines()
            raise FailedError(said[-1] if said else "it ended without a word")
        return json.loads(line)


def compare(
    model: str, peers: Sequence[str], rounds: int, report: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Figures of each peer on this network; one that fails has the entry "failed" alone.

    They start one after the other, so that each imports and compiles on an idle machine; then every
    round has one step of each, and one forward pass of each.
    """
    results: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for peer in peers:
            report(f"{model}: {peer} starts")
            worker = stack.enter_context(Worker(peer, model))
            try:
                results[peer] = worker.answer()
                worker.ask("step")
                results[peer] |= worker.ask("memory")  # before there is another program
                worker.ask("forward")
                workers[peer] = worker
            except FailedError as error:
                results[peer] = {"failed": str(error)}
                report(f"{model}: {peer} failed: {error}")
        for what in ("step", "forward"):
            taken: dict[str, list[float]] = {peer: [] for peer in workers}
            for number in range(rounds):
                report(f"{model}: {what} {number + 1}/{rounds}")
                for peer, worker in workers.items():
                    time.sleep(PAUSE)
                    taken[peer].append(worker.ask(what)["milliseconds"])
            for peer, times in taken.items():
                results[peer][what] = spread(times)
    return results
