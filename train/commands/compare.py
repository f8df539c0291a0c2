"""`python -m train compare runs/a runs/b …`: runs side by side."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from train import files, runs, settings
from train.errors import UserError
from train.log import Terminal


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare runs: accuracies, settings that differ, curves over each other."""

    folders: Annotated[
        tyro.conf.Positional[tuple[Path, ...]],
        tyro.conf.arg(metavar="RUN ...", help_behavior_hint="(required)"),
    ]
    """The runs' folders, two or more."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("compare.html")
    """Where the page is written."""

    def run(self, terminal: Terminal) -> None:
        if len(self.folders) < 2:
            raise UserError("compare: expected the folders of two runs or more")
        read = [runs.read(folder) for folder in self.folders]
        for run in read:
            if not run.epochs:
                raise UserError(f"{run.folder}: no epoch has been finished there yet")
        rows = table(read)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            terminal.say("  ".join(cells).rstrip())
        try:
            files.write(self.out, page(read, rows))
        except OSError as error:
            raise UserError(f"--out {self.out}: cannot be written: {error.strerror}") from None
        terminal.say(f"saved {self.out}")


def table(read: list[runs.Run]) -> list[list[str]]:
    """A heading, then a row for each run: its name, accuracies, and the settings that differ."""
    flat = [flat_settings(run) for run in read]
    names = list(dict.fromkeys(name for one in flat for name in one))
    differing = [name for name in names if len({str(one.get(name)) for one in flat}) > 1]
    rows = [["run", "tested on", "final", "best", "in epoch", "of", *differing]]
    for run, one in zip(read, flat, strict=True):
        best = max(run.epochs, key=lambda epoch: epoch["test_accuracy"])
        rows.append(
            [
                run.folder.resolve().name,
                run.split,
                f"{run.epochs[-1]['test_accuracy']:.2%}",
                f"{best['test_accuracy']:.2%}",
                str(best["epoch"]),
                str(run.epochs[-1]["epoch"]),
                *(_shown(one.get(name)) for name in differing),
            ]
        )
    return rows


def flat_settings(run: runs.Run) -> dict[str, Any]:
    """What decides a run's figures, under one name each, as model.widths or jaxlib."""
    config = run.config
    flat = {"recipe": config["recipe"]}
    for name, value in {**config["settings"], "seed": config["seed"]}.items():
        if name not in (*settings.FREE, "model"):
            flat[name] = value
    flat |= {f"model.{name}": value for name, value in config["model"].items()}
    return flat | config["versions"] | {"device": config["hardware"]["device"]}


def page(read: list[runs.Run], rows: list[list[str]]) -> bytes:
    """The runs' learning curves over each other, and the table."""
    from train.report import chart, html
    from train.report.html import element
    from train.report.page import style

    names = [row[0] for row in rows[1:]]
    charts = []
    for key, label in (
        ("test_accuracy", "test accuracy"),
        ("test_loss", "test loss"),
        ("train_accuracy", "training accuracy"),
        ("train_loss", "training loss"),
    ):
        series = [
            chart.Series(
                name,
                [epoch["epoch"] for epoch in run.epochs],
                [epoch[key] for epoch in run.epochs],
            )
            for name, run in zip(names, read, strict=True)
        ]
        charts.append(chart.lines(series, "epoch", label))
    # A small table for each run instead of a wide one for all: a phone shows it whole.
    tables = []
    for row in rows[1:]:
        lines = [
            element("tr", element("th", heading), element("td", cell))
            for heading, cell in zip(rows[0][1:], row[1:], strict=True)
        ]
        tables.append(element("div", element("h2", row[0]), element("table", *lines)))
    title = f"{len(read)} runs"
    return html.page(
        title,
        style(),
        element("h1", title),
        element("div", *charts, class_="charts"),
        element("div", *tables, class_="charts"),
    )


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
