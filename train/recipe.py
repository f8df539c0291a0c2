"""What every recipe has: the settings, which are also the command line's options.

The text under a field is its line in `--help`.
"""

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import jax
import tyro
from tyro.constructors import PrimitiveConstructorSpec

from fcnn.models import Config
from train.data import Batch, Dataset

AUTO = "auto"


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds as "0,1,7", or a count: "5" is 0,1,2,3,4.

    >>> parse_seeds("3"), parse_seeds("4,")
    ((0, 1, 2), (4,))
    """
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"expected a count or seeds like 0,1,7, got {text!r}") from None
    seeds = tuple(numbers) if "," in text else tuple(range(numbers[0] if numbers else 0))
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise ValueError(f"expected one or more different seeds from 0 to 2^32 - 1, got {text!r}")
    return seeds


SEEDS = PrimitiveConstructorSpec(
    nargs=1,
    metavar="COUNT|A,B,C",
    instance_from_str=lambda words: parse_seeds(words[0]),
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda seeds: [",".join(map(str, seeds)) or "none"],
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a training run; a recipe is a subclass with its own defaults, data and draws."""

    name: ClassVar[str]

    epochs: int
    """How many times to go through the training set."""
    batch_size: int
    """Images, or other inputs, in a step."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum 0.9."""
    learning_rate: float
    """The highest one: it is warmed up to linearly, then falls to 0 along a cosine."""
    warmup_epochs: float = 1.0
    """Epochs until the learning rate is at its highest."""
    weight_decay: float
    """How much kernels shrink in a step, as a share of the learning rate; nothing else does."""
    label_smoothing: float = 0.0
    """Share of each target that is spread over all classes."""
    shift: int = 0
    """Shift training images at random by up to this many pixels each way."""
    seed: int = 0
    """Decides the initial weights, the order of the inputs and their augmentation."""
    seeds: Annotated[tuple[int, ...], SEEDS] = ()
    """Train once for each of several seeds, and print the mean; takes the place of --seed."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type that the network computes in; weights and statistics stay float32."""
    validate: bool = False
    """Test on a sixth of the training set instead of the test split: for choosing settings."""
    steps: int = 0
    """Train for so many steps instead of --epochs; 0: the epochs decide."""
    resume: Annotated[str, tyro.conf.arg(metavar="RUN_FOLDER|latest")] = ""
    """Go on with a run that was stopped, from its newest checkpoint and with its settings."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0: every few seconds, as often as takes little of the time."""
    keep: int = 2
    """How many of the last checkpoints to keep, besides the most accurate one."""
    nonfinite: Literal["stop", "skip", "rollback"] = "stop"
    """What to do at a step whose loss or gradient is not finite: stop; leave the step out; or go
    back to the last checkpoint and on with other random numbers."""
    devices: int = 0
    """How many devices to split each batch over, of each process; 0: all that JAX sees."""
    fsdp: int = 1
    """How many devices to split the parameters and the optimizer's state over (fully sharded data
    parallelism), for networks that one device has no room for; 1: each has them whole."""
    coordinator: Annotated[str, tyro.conf.arg(metavar="HOST:PORT|auto")] = ""
    """For one of several processes: where process 0 runs, and a free port there; auto: ask Slurm,
    the TPU or Open MPI."""
    process_count: int = 0
    """How many processes train together, where --coordinator names one."""
    process_id: int = -1
    """The number of this process, from 0."""
    runs_dir: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs")
    """Where the folder of the run is made."""
    progress: bool = True
    """Show a live line; without a terminal, a few plain lines are printed in any case."""
    model: Config
    """The network: a config of fcnn.models, whose fields are described there."""

    def __post_init__(self) -> None:
        least = {"epochs": 1, "batch_size": 1, "warmup_epochs": 0, "weight_decay": 0, "shift": 0}
        least |= {"steps": 0, "checkpoint_every": 0, "keep": 1, "devices": 0, "fsdp": 1}
        least |= {"process_count": 0, "process_id": -1}
        for name, lowest in least.items():
            value = getattr(self, name)
            if not lowest <= value < math.inf:  # false for nan too
                option = "--" + name.replace("_", "-")
                raise ValueError(f"{option} must be {lowest} or more and finite, got {value}")
        self._check_process()
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"--learning-rate must be positive, got {self.learning_rate}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"--label-smoothing must be in [0, 1), got {self.label_smoothing}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"--seed must be from 0 to 2^32 - 1, got {self.seed}")

    def _check_process(self) -> None:
        count, number = self.process_count, self.process_id
        if self.coordinator in ("", AUTO):
            if (count, number) != (0, -1):
                raise ValueError("--process-count and --process-id need --coordinator HOST:PORT")
            return
        if not re.fullmatch(r".+:\d+", self.coordinator):
            raise ValueError(f"--coordinator must be HOST:PORT or auto, got {self.coordinator}")
        if not 0 <= number < count:
            raise ValueError(
                f"--coordinator {self.coordinator} needs --process-count and a --process-id from 0"
                f" to one less, got {count} and {number}"
            )

    @property
    def split(self) -> str:
        """What a run is tested on: "validation" with --validate, else "test"."""
        return "validation" if self.validate else "test"

    def load(self, report: Callable[[str], None]) -> Dataset:
        """The data; what takes long (a download) is told to `report`."""
        raise NotImplementedError

    def augment(self, key: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """A training batch's inputs (N, *S, C) as they are stored, changed at random, and targets.

        The targets are the labels (N,), or (N, classes) probabilities where inputs are mixed: their
        argmax is then what counts as right in the training accuracy.
        """
        raise NotImplementedError
