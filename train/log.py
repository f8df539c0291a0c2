"""The run as it is watched and recorded: lines in the terminal, lines in metrics.jsonl."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from train import files

PLAIN_LINES = 10  # of progress, where there is no live line


class Metrics:
    """metrics.jsonl: one JSON object a line, on the disk as soon as it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def restart(self, records: Iterable[dict[str, Any]]) -> None:
        """Begin again, with these lines: those of a checkpoint that the run goes on from."""
        lines = [json.dumps(record, allow_nan=False) + "\n" for record in records]
        files.write(self.path, "".join(lines).encode())

    def append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, allow_nan=False)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


class Terminal:
    """Prints to stdout; with a terminal there, also a live progress line. Or nothing: `silent`."""

    def __init__(self, *, live: bool = True, silent: bool = False) -> None:
        self.console = Console(highlight=False, soft_wrap=True, markup=False, quiet=silent)
        self.live = live and not silent and self.console.is_terminal

    def say(self, text: str = "") -> None:
        self.console.print(text)

    @contextmanager
    def progress(self, epochs: int, split: str) -> Iterator["Line"]:
        """The line that shows how far a training of so many epochs is, tested on `split`."""
        if not self.live:
            yield Line(self, None, epochs, split)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}"),
            TextColumn("eta"),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            yield Line(self, bar, epochs, split)


class Line:
    """One training's progress."""

    def __init__(self, terminal: Terminal, bar: Progress | None, epochs: int, split: str) -> None:
        self.terminal, self.bar, self.epochs, self.split = terminal, bar, epochs, split
        self.test = ""
        if bar is not None:
            self.task = bar.add_task("starting", total=epochs, figures="")

    def update(self, done: float, loss: float, accuracy: float, images_per_second: float) -> None:
        """Inside an epoch: `done` epochs of training so far, and the figures of the last steps."""
        if self.bar is not None:
            epoch = min(int(done) + 1, self.epochs)
            self.bar.update(
                self.task,
                completed=done,
                description=f"epoch {epoch}/{self.epochs}",
                figures=f"{figures(loss, accuracy, images_per_second)}{self.test}",
            )

    def epoch(self, record: dict[str, Any]) -> None:
        """At the end of an epoch, with its line of metrics.jsonl."""
        self.test = f"  {self.split} {record['test_accuracy']:.2%}"
        number = record["epoch"]
        shown = number * PLAIN_LINES // self.epochs > (number - 1) * PLAIN_LINES // self.epochs
        if self.bar is None and shown:
            text = figures(
                record["train_loss"], record["train_accuracy"], record["images_per_second"]
            )
            self.terminal.say(f"epoch {number}/{self.epochs}  {text}{self.test}")


def figures(loss: float, accuracy: float, images_per_second: float) -> str:
    """
    >>> figures(0.12345, 0.98765, 12345.6)
    'loss 0.1235  accuracy 98.77%  12,346 images/s'
    """
    return f"loss {loss:.4f}  accuracy {accuracy:.2%}  {images_per_second:,.0f} images/s"
