"""Real processes that train one run together, on one machine, and one that goes on with it alone.

    python -m tests.together FOLDER

The processes are forks of this one, which has imported everything and started no thread and no
device: so each takes a second to start, not six. What they print is in FOLDER/*.log, and their exit
codes are in FOLDER/codes.json.
"""

import dataclasses
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax

from fcnn.models import PlainConfig
from tests.torture import Tiny, seventh, start, wait
from train import pace, processes
from train.cli import main as command_line
from train.data import Dataset
from train.errors import DataError
from train.log import Line
from train.recipes import RECIPES

PER_EPOCH = 12  # steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wide(Tiny):
    """With a kernel that is just large enough to be split."""

    name: ClassVar[str] = "wide"

    epochs: int = 2
    model: PlainConfig = dataclasses.field(
        default_factory=lambda: PlainConfig(widths=(4,), convs=1, dense=256)
    )
    damaged: bool = False

    def load(self, report: Callable[[str], None]) -> Dataset:
        if self.damaged:
            raise DataError("image.png: expected a PNG file")
        return seventh()


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Signal(NamedTuple):
    """What a process sends itself, in which of its runs, after which step."""

    number: signal.Signals
    run: int
    step: int

    def arm(self) -> None:
        update, times = Line.update, iter(range(1, 9))

        def watched(line: Line, done: float, *figures: float) -> None:
            update(line, done, *figures)
            if round(PER_EPOCH * done) == self.step and next(times) == self.run:
                os.kill(os.getpid(), self.number)

        Line.update = watched


def pair(
    log: Path,
    options: list[str],
    options_of_second: Sequence[str] = (),
    signal_second: Signal | None = None,
) -> list[int]:
    """The exit codes of two processes of two devices each."""
    address = free_address()

    def work(process: int) -> int:
        jax.config.update("jax_num_cpu_devices", 2)
        if process == 1 and signal_second is not None:
            signal_second.arm()
        joined = ["--coordinator", address, "--process-count", "2", "--process-id", str(process)]
        return command_line([*options, *joined, *(options_of_second if process == 1 else [])])

    started = [start(log / f"{process}.log", lambda p=process: work(p)) for process in (0, 1)]
    return [wait(process) for process in started]


def missing(log: Path, process: int) -> int:
    """The exit code of one process of two, where the other does not come."""

    def work() -> int:
        processes.MEET = 1.0
        joined = ["--process-count", "2", "--process-id", str(process)]
        return command_line(["wide", "--coordinator", free_address(), *joined])

    return wait(start(log, work))


def main(place: Path) -> None:
    import train.loop  # noqa: F401

    seventh()
    RECIPES[Wide.name] = Wide
    pace.LOOK = 0.0  # after every step

    def runs(name: str) -> list[str]:
        (place / name).mkdir()
        return ["wide", "--runs-dir", str(place / name / "runs"), "--checkpoint-every", "9"]

    def alone(name: str, options: list[str]) -> int:
        return wait(start(place / name / "0.log", lambda: command_line(options)))

    codes = {}
    seeds = ["--seeds", "2"]
    codes["single"] = alone("single", [*runs("single"), *seeds])
    # The run of seed 0 ends as it should, that of seed 1 is stopped.
    split = [*seeds, "--fsdp", "2"]
    stop = Signal(signal.SIGTERM, run=2, step=17)
    codes["stopped"] = pair(place / "stopped", [*runs("stopped"), *split], signal_second=stop)

    def resumed(name: str) -> list[str]:
        copy = place / name / "run"
        (stopped,) = (place / "stopped" / "runs").glob("*-seed1")
        shutil.copytree(stopped, copy)
        return ["--resume", str(copy)]

    codes["alone"] = alone("alone", [*resumed("alone"), "--fsdp", "1"])
    kill = Signal(signal.SIGKILL, run=1, step=19)
    options = [*resumed("killed"), "--devices", "1"]
    codes["killed"] = pair(place / "killed", options, signal_second=kill)
    codes["damaged"] = pair(place / "damaged", runs("damaged"), ["--damaged"])
    codes["unlike"] = pair(place / "unlike", runs("unlike"), ["--seed", "1"])
    codes["missing"] = [missing(place / f"missing-{process}.log", process) for process in (0, 1)]
    auto = ["wide", "--coordinator", "auto"]
    codes["auto"] = wait(start(place / "auto.log", lambda: command_line(auto)))
    (place / "codes.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
