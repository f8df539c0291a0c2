"""`python -m train.bench [models|layers|input] [--options]`: measure, print, keep the figures;
`python -m train.bench accuracy RECIPE [--options]`: a recipe in PyTorch.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from train.errors import UserError

PROGRAM = "python -m train.bench"
ACCURACY = (
    "Measure layers and networks. Or train a recipe in PyTorch, to stand beside ours:"
    f" {PROGRAM} accuracy RECIPE, with the options of python -m train RECIPE."
)
JsonPath = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


@dataclasses.dataclass(frozen=True)
class Models:
    """Whole networks: a training step, a forward pass, compilation, memory and import, for fcnn
    and every other library that is installed."""

    models: tuple[str, ...] = ("small", "lenet", "resnet18", "dwnet", "mobilenet_v2", "audio")
    """Networks, of: small lenet resnet18 dwnet mobilenet_v2 resnet50 audio resnet152
    resnet152_repeat."""
    peers: tuple[str, ...] = ()
    """Libraries, of: fcnn fcnn_scan flax haiku equinox keras torch torch_compiled; without any, all
    that are installed."""
    rounds: int = 11
    """How often each is timed; the table shows medians."""
    json: JsonPath = None
    """Write every figure, with versions and hardware, to this file."""


@dataclasses.dataclass(frozen=True)
class Layers:
    """Sweep single convolutions: forward, input gradient and kernel gradient of each."""

    rounds: int = 15
    """How often each is timed; the table shows medians."""
    only: str = ""
    """Just the layers whose name matches this regular expression."""
    json: JsonPath = None
    """Write every figure, with versions and hardware, to this file."""


@dataclasses.dataclass(frozen=True)
class Input:
    """Whether the input holds up the step: images/s of training against those of the same steps on
    one batch, and JPEG files a second out of a folder that streams."""

    recipes: tuple[str, ...] = ("digits", "mnist", "cifar10")
    """Recipes whose training set lies on the device, of: digits mnist cifar10."""
    workers: tuple[int, ...] = (1, 2, 4)
    """Numbers of threads that decode JPEG files."""
    steps: int = 20
    """How many steps are timed at once."""
    rounds: int = 11
    """How often each is timed; the table shows medians."""
    json: JsonPath = None
    """Write every figure, with versions and hardware, to this file."""


def main(args: list[str]) -> int:
    """Run the command line; returns the exit code."""
    if args[:1] == ["accuracy"]:
        return _accuracy(args[1:])
    if not args or args[0] not in ("models", "layers", "input", "-h", "--help"):
        args = ["models", *args]
    settings = tyro.extras.subcommand_cli_from_dict(
        {"models": Models, "layers": Layers, "input": Input},
        args=args,
        prog=PROGRAM,
        description=ACCURACY,
    )
    try:
        if settings.rounds < 1:
            raise UserError("--rounds must be at least 1")
        if isinstance(settings, Layers):
            from train.bench import sweep

            sweep.run(settings.rounds, settings.only, settings.json)
        elif isinstance(settings, Input):
            from train.bench import inputs

            inputs.run(
                settings.recipes, settings.workers, settings.steps, settings.rounds, settings.json
            )
        else:
            from train.bench import networks

            networks.run(settings.models, settings.peers, settings.rounds, settings.json)
    except UserError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    return 0


def _accuracy(args: list[str]) -> int:
    """The options are those of `python -m train RECIPE`."""
    from train.bench import accuracy
    from train.cli import parse
    from train.recipe import Recipe

    try:
        recipe = parse(args)
        if not isinstance(recipe, Recipe):
            raise UserError(f"accuracy expects a recipe, but {args[0]} is a command")
        accuracy.run(recipe, print)
    except UserError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
