"""`python -m train.bench layers [--options]`: measure, print a table, keep the figures as JSON."""

import contextlib
import dataclasses
import json
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from train import environment, files

NOISE = 1.05  # what is slower than lax by more is named at the end


@dataclasses.dataclass(frozen=True)
class Layers:
    """Sweep single convolutions: forward, input gradient and kernel gradient of each."""

    rounds: int = 15
    """How often each is timed; the table shows medians."""
    only: str = ""
    """Just the layers whose name matches this regular expression."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write every figure, with versions and hardware, to this file."""


def main(args: list[str]) -> int:
    settings = tyro.extras.subcommand_cli_from_dict(
        {"layers": Layers}, args=args, prog="python -m train.bench"
    )
    if settings.rounds < 1:
        print("python -m train.bench: --rounds must be at least 1", file=sys.stderr)
        return 2
    return sweep(settings)


def sweep(settings: Layers) -> int:
    """Measure the layers; exit code 0, or 2 where none matches."""
    from train.bench.configurations import LAYERS
    from train.bench.layers import PASSES, measure

    chosen = [layer for layer in LAYERS if re.search(settings.only, layer.name)]
    if not chosen:
        print(f"python -m train.bench: no layer matches {settings.only!r}", file=sys.stderr)
        return 2
    table = Table("layer", "x", "kernel", "pass")
    for heading in ("fcnn ms", "lax ms", "lax/fcnn", "torch ms", "torch/fcnn"):
        table.add_column(heading, justify="right")
    results, slower = [], []
    for number, layer in enumerate(chosen, 1):
        print(f"{number}/{len(chosen)} {layer.name} {layer.x}", file=sys.stderr)
        measured = measure(layer, settings.rounds)
        results.append({**dataclasses.asdict(layer), "milliseconds": measured})
        for name in PASSES:
            medians = {who: figures["median"] for who, figures in measured[name].items()}
            ours, laxs, torch = medians["fcnn"], medians["lax"], medians.get("torch")
            if ours > NOISE * laxs:
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
    if settings.json:
        files.write(settings.json, _record(settings, results))
    return 0


def _record(settings: Layers, results: list) -> bytes:
    versions = environment.versions()
    with contextlib.suppress(PackageNotFoundError):
        versions["torch"] = version("torch")
    record = {
        "command": f"python -m train.bench layers --rounds {settings.rounds}",
        "versions": versions,
        "hardware": environment.hardware(),
        "layers": results,
    }
    rounded = json.loads(json.dumps(record), parse_float=lambda text: round(float(text), 4))
    return json.dumps(rounded, indent=1).encode() + b"\n"


def _shape(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
