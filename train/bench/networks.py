"""The comparison of whole networks: its table, its record."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from train.bench import models, record
from train.bench.compare import compare
from train.bench.peers import PACKAGES, installed
from train.errors import UserError


def run(names: Sequence[str], peers: Sequence[str], rounds: int, path: Path | None) -> None:
    """Measure these networks in these libraries, or in all that are installed.

    Raises UserError for a network or a library that is not known or not installed.
    """
    for name in names:
        if name not in models.NAMES:
            raise UserError(f"no network {name!r}; there are {', '.join(models.NAMES)}")
    for peer in peers:
        if peer not in installed():
            why = "is not installed" if peer in PACKAGES else f"is none of {', '.join(PACKAGES)}"
            raise UserError(f"--peers: {peer!r} {why}")
    peers = peers or installed()
    results = {}
    for name in names:
        results[name] = compare(name, peers, rounds, lambda text: print(text, file=sys.stderr))
        Console(width=132).print(table(name, results[name]))
    if path:
        arguments = f"models --models {' '.join(names)} --peers {' '.join(peers)}"
        record.write(path, f"{arguments} --rounds {rounds}", {"models": results})


def table(name: str, results: dict[str, dict[str, Any]]) -> Table:
    """A row for each library; the ratios say how many times fcnn's time it takes."""
    shape = "x".join(map(str, models.subject(name).shape))
    shown = Table(title=f"{name}, {shape}", title_justify="left")
    shown.add_column("library")
    for heading in (
        "step ms", "quartiles", "/ fcnn", "forward ms", "/ fcnn", "first step s", "import s", "MiB"
    ):  # fmt: skip
        shown.add_column(heading, justify="right")
    ours = results.get("fcnn", {})
    for peer, figures in results.items():
        if "failed" in figures:
            shown.add_row(peer, figures["failed"])
            continue
        step, forward = figures["step"], figures["forward"]
        shown.add_row(
            peer,
            f"{step['median']:.1f}",
            f"{step['quarter']:.1f}–{step['three_quarters']:.1f}",
            _ratio(step, ours.get("step")),
            f"{forward['median']:.1f}",
            _ratio(forward, ours.get("forward")),
            f"{figures['first_step_s']:.1f}",
            f"{figures['import_s']:.1f}",
            f"{figures['memory_mib']:.0f}",
        )
    return shown


def _ratio(theirs: dict[str, float], ours: dict[str, float] | None) -> str:
    return f"{theirs['median'] / ours['median']:.2f}" if ours else ""
