"""Two real processes on one machine train together: what they leave, and how they end."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from train import folder, manifest, processes
from train.cli import main
from train.errors import UserError
from train.progress import TIMES

ROOT = Path(__file__).parent.parent
# Each device sums its share of a batch first: float32 sums in another order, through 24 steps of
# AdamW, which divides by small gradients' sizes.
CLOSE = {"rtol": 2e-3, "atol": 2e-4}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forks of one")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("together")
    done = subprocess.run(
        [sys.executable, "-m", "tests.together", place],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return place


def codes(place):
    return json.loads((place / "codes.json").read_text())


def said(place, name):
    """What each of two processes said, by lines, without those of the library between them."""
    return [
        [
            line
            for line in (place / name / f"{process}.log").read_text().splitlines()
            if "peer ranks" not in line
        ]
        for process in (0, 1)
    ]


def one(paths):
    (path,) = paths
    return path


def figures(run):
    lines = [json.loads(line) for line in (run / folder.METRICS).read_text().splitlines()]
    return {
        name: np.array([line[name] for line in lines]) for name in lines[0] if name not in TIMES
    }


def same(run, expected):
    """Curves and weights, to rounding."""
    found, wanted = figures(run), figures(expected)
    assert found.keys() == wanted.keys()
    assert found["step"].tolist() == [12, 24]
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(found[name], wanted[name], **CLOSE)
    weights, wanted = (load_file(path / folder.WEIGHTS) for path in (run, expected))
    assert weights.keys() == wanted.keys()
    for name, values in weights.items():
        np.testing.assert_allclose(values, wanted[name], **CLOSE, err_msg=name)


def test_two_processes_train_what_one_does(place):
    assert codes(place)["single"] == 0
    run, expected = (one((place / n / "runs").glob("*-seed0")) for n in ("stopped", "single"))
    same(run, expected)
    # Only the first one wrote: there is nothing twice, and nothing more.
    names = [
        sorted(re.sub(r"\d{6,}.*", "", path.name) for path in each.iterdir())
        for each in (run, expected)
    ]
    assert names[0] == names[1]
    hardware = json.loads((run / folder.CONFIG).read_text())["hardware"]
    assert (hardware["devices"], hardware["processes"]) == (4, 2)
    settings = json.loads((run / folder.CONFIG).read_text())["settings"]
    assert settings["fsdp"] == 2
    assert "process_id" not in settings


def test_a_signal_to_one_stops_both_at_the_same_step(place):
    assert codes(place)["stopped"] == [143, 143]
    run = one((place / "stopped" / "runs").glob("*-seed1"))
    line = f"python -m train: SIGTERM at step 17 (epoch 2); saved {run};"
    first, second = said(place, "stopped")
    assert first[0].startswith("wide: 206 training and 52 test images; 19,254 parameters; 4×cpu;")
    assert first[-1].startswith(line)
    # The second one says nothing but how it ends.
    assert one(second).startswith(line)


def test_a_checkpoint_is_written_by_both_and_restored_by_one_alone(place):
    saved = one((place / "stopped" / "runs").glob("*-seed1")) / folder.CHECKPOINTS / "00000017"
    manifest.verify(saved)
    for process in (0, 1):
        parts = list((saved / "arrays" / f"ocdbt.process_{process}").rglob("*"))
        assert sum(path.stat().st_size for path in parts if path.is_file()) > 10_000
    listed = json.loads((saved / manifest.NAME).read_text())["files"]
    assert any("ocdbt.process_1/" in name for name in listed)

    assert codes(place)["alone"] == 0
    run = place / "alone" / "run"
    said_alone = (place / "alone" / "0.log").read_text()
    assert f"resumed at step 17 (epoch 2), {run}" in said_alone
    same(run, one((place / "single" / "runs").glob("*-seed1")))


def test_one_that_is_killed_ends_the_other(place):
    assert codes(place)["killed"] == [1, -9]
    first, second = said(place, "killed")
    run = place / "killed" / "run"
    assert f"resumed at step 17 (epoch 2), {run}" in first
    assert first[-1] == "python -m train: another process has ended: see its own line"
    assert second == []
    manifest.verify(run / folder.CHECKPOINTS / "00000017")


def test_what_one_cannot_do_ends_both(place):
    assert codes(place)["damaged"] == [2, 2]
    assert said(place, "damaged") == [
        ["python -m train: process 1 cannot go on: see its own line"],
        ["python -m train: image.png: expected a PNG file"],
    ]
    assert codes(place)["unlike"] == [2, 2]
    line = "python -m train: process 1 and process 0 have different settings"
    assert said(place, "unlike") == [[line], [line]]


def test_others_that_do_not_come(place):
    assert codes(place)["missing"] == [2, 2]
    lines = [(place / f"missing-{process}.log").read_text() for process in (0, 1)]
    for who, line in zip(("another process", "process 0, or another one,"), lines, strict=True):
        assert re.fullmatch(
            r"python -m train: --coordinator 127.0.0.1:\d+:"
            rf" {who} has not come after 1 seconds\n",
            line,
        )


def test_without_a_cluster_there_is_nothing_to_ask(place):
    assert codes(place)["auto"] == 2
    line = (place / "auto.log").read_text()
    assert line.startswith("python -m train: --coordinator auto: ")
    assert "it takes --coordinator HOST:PORT, --process-count and --process-id" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--coordinator", "a:1"], "needs --process-count and a --process-id from 0 to one less"),
        (
            ["--coordinator", "a:1", "--process-count", "2", "--process-id", "2"],
            "to one less, got 2 and 2",
        ),
        (["--coordinator", "localhost"], "--coordinator must be HOST:PORT or auto, got localhost"),
        (["--process-id", "1"], "--process-count and --process-id need --coordinator HOST:PORT"),
    ],
)
def test_options_that_are_not_enough(capsys, options, expected):
    assert main(options) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_alone_there_is_nobody_to_ask():
    assert not processes.several()
    assert processes.first()
    assert processes.gather(np.int32(3)).tolist() == [3]
    assert processes.of_first("größer") == "größer"
    with pytest.raises(UserError, match="no"), processes.together():
        raise UserError("no")
    tree = {"a": np.arange(3.0), "b": np.float32(2.0)}
    found = processes.whole(tree)
    np.testing.assert_array_equal(found["a"], tree["a"])
    assert found["b"].shape == ()
