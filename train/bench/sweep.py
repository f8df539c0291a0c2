"""The sweep over single layers: its table, what it names as slow, its record."""

import dataclasses
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from train.bench import configurations, record
from train.bench.layers import PASSES, measure
from train.errors import UserError

NOISE = 1.05  # what is slower than lax by more is named at the end
AGAIN = 5  # times the rounds, for a layer with such a pass: its second figures are kept


def run(rounds: int, only: str, path: Path | None) -> None:
    """Measure the layers whose name matches `only`. Raises UserError where none does."""
    chosen = [layer for layer in configurations.LAYERS if re.search(only, layer.name)]
    if not chosen:
        raise UserError(f"no layer matches {only!r}")
    table = Table("layer", "x", "kernel", "pass")
    for heading in ("fcnn ms", "lax ms", "lax/fcnn", "torch ms", "torch/fcnn"):
        table.add_column(heading, justify="right")
    results, slower = [], []
    for number, layer in enumerate(chosen, 1):
        print(f"{number}/{len(chosen)} {layer.name} {layer.x}", file=sys.stderr)
        measured = measure(layer, rounds)
        if any(_slower(measured[name]) > NOISE for name in PASSES):
            measured = measure(layer, AGAIN * rounds)
        results.append({**dataclasses.asdict(layer), "milliseconds": measured})
        for name in PASSES:
            medians = {who: figures["median"] for who, figures in measured[name].items()}
            ours, laxs, torch = medians["fcnn"], medians["lax"], medians.get("torch")
            if _slower(measured[name]) > NOISE:
                slower.append(f"{layer.name} {layer.x} {name}: {ours / laxs:.2f}")
            table.add_row(
                layer.name, _shape(layer.x), _shape(layer.kernel), name,
                f"{ours:.2f}", f"{laxs:.2f}", f"{laxs / ours:.2f}",
                f"{torch:.2f}" if torch else "", f"{torch / ours:.2f}" if torch else "",
            )  # fmt: skip
    Console(width=132).print(table)
    print(f"slower than lax by more than {NOISE - 1:.0%}: {len(slower)} of {3 * len(chosen)}")
    for line in slower:
        print(" ", line)
    if path:
        record.write(path, f"layers --rounds {rounds}", {"layers": results})


def _slower(figures: dict[str, dict[str, float]]) -> float:
    return figures["fcnn"]["median"] / figures["lax"]["median"]


def _shape(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
