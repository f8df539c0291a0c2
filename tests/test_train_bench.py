"""What is measured: right answers, figures in order, a file that says where they come from."""

import json
import re
import time

import pytest

from train.bench import __main__ as bench
from train.bench import accuracy, configurations, inputs, models
from train.bench.compare import compare
from train.bench.configurations import Layer
from train.bench.layers import PASSES, measure
from train.bench.timing import interleaved

TINY = [
    Layer("tiny", (2, 5, 6, 3), (3, 3, 3, 4), padding=1),
    Layer("tiny series", (2, 20, 3), (5, 3, 4), stride=2),
    Layer("tiny transposed", (2, 4, 4, 3), (3, 3, 3, 4), stride=2, transposed=True),
    Layer("tiny depthwise", (2, 5, 6, 4), (3, 3, 1, 8), padding=1, groups=4, dtype="bfloat16"),
]


def test_interleaved_takes_turns_and_orders_its_figures():
    calls = []
    runs = {"a": lambda: calls.append("a"), "b": lambda: (calls.append("b"), time.sleep(3e-3))}
    measured = interleaved(runs, rounds=3)
    assert list(measured) == ["a", "b"]
    for figures in measured.values():
        assert 0 < figures["quarter"] <= figures["median"] <= figures["three_quarters"]
    assert measured["b"]["quarter"] >= 3.0  # it sleeps that many milliseconds
    turns = [name for name, before in zip(calls, ["", *calls], strict=False) if name != before]
    assert turns == ["a", "b"] * 4  # once to compile and see how long, and three rounds
    assert calls.count("b") >= 2 + 3 * 2  # a warm-up and a figure in every round


@pytest.mark.parametrize("layer", TINY, ids=[layer.name for layer in TINY])
def test_every_pass_is_measured(layer):
    measured = measure(layer, rounds=1)
    assert tuple(measured) == PASSES
    for contenders in measured.values():
        assert {"fcnn", "lax"} <= set(contenders)


def test_the_command_prints_a_table_and_keeps_the_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(configurations, "LAYERS", TINY)
    path = tmp_path / "layers.json"
    assert bench.main(["layers", "--rounds", "1", "--only", "series", "--json", str(path)]) == 0
    record = json.loads(path.read_text())
    assert [layer["name"] for layer in record["layers"]] == ["tiny series"]
    assert record["layers"][0]["milliseconds"]["forward"]["fcnn"]["median"] > 0
    assert {"jax", "jaxlib", "python"} <= set(record["versions"])
    assert record["hardware"]["cores"] >= 1
    printed = capsys.readouterr().out
    assert "kernel gradient" in printed
    assert "slower than lax by more than 5%" in printed


def test_what_cannot_be_measured_is_one_line(capsys):
    assert bench.main(["layers", "--only", "no such layer"]) == 2
    assert bench.main(["layers", "--rounds", "0"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors == [
        "python -m train.bench: no layer matches 'no such layer'",
        "python -m train.bench: --rounds must be at least 1",
    ]
    assert bench.main(["--models", "big"]) == 2
    assert bench.main(["--models", "small", "--peers", "caffe"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("python -m train.bench: no network 'big'; there are small, ")
    assert errors[1].startswith("python -m train.bench: --peers: 'caffe' is none of fcnn, ")
    assert bench.main(["input", "--recipes", "imagenet"]) == 2
    assert bench.main(["input", "--workers", "0"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].endswith(
        "no input of 'imagenet' is measured; there are digits, mnist, cifar10"
    )
    assert errors[1].endswith("--steps and --workers must be at least 1")


def test_the_sweep_has_sixty_different_layers():
    assert len(configurations.LAYERS) == len(set(configurations.LAYERS)) >= 60
    for layer in configurations.LAYERS:
        assert layer.x[-1] == layer.kernel[-2] * layer.groups


def test_networks_are_compared_in_processes_of_their_own(tmp_path, capsys):
    path = tmp_path / "models.json"
    arguments = ["--models", "lenet", "--peers", "fcnn", "--rounds", "2", "--json", str(path)]
    assert bench.main(arguments) == 0
    record = json.loads(path.read_text())
    measured = record["models"]["lenet"]["fcnn"]
    assert measured["parameters"] == 61_706
    assert measured["memory_mib"] > 100  # an interpreter with JAX is no smaller
    for what in ("step", "forward"):
        figures = measured[what]
        assert 0 < figures["quarter"] <= figures["median"] <= figures["three_quarters"]
    # The training step has the forward pass in it, and twice as much besides.
    assert measured["step"]["median"] > measured["forward"]["median"]
    assert "lenet, 128x28x28x1" in capsys.readouterr().out


def test_a_contender_that_fails_is_named(monkeypatch):
    monkeypatch.setitem(models.SUBJECTS, "gone", models.SUBJECTS["lenet"])
    said = []
    results = compare("gone", ["fcnn"], 1, said.append)  # the other process knows no such network
    assert "gone" in results["fcnn"]["failed"]
    assert any("fcnn failed" in line for line in said)


def test_the_input_is_compared_with_steps_on_one_batch(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inputs, "FILES", 32)
    path = tmp_path / "input.json"
    options = "--recipes digits --steps 2 --rounds 1 --workers 1 2 --json"
    assert bench.main(["input", *options.split(), str(path)]) == 0
    record = json.loads(path.read_text())
    digits = record["resident"]["digits"]
    taken = {name: figures["median"] for name, figures in digits["milliseconds"].items()}
    pipeline, fixed = taken["pipeline"] / 2 + taken["order"] / (1437 // 64), taken["fixed"] / 2
    assert digits["pipeline_per_second"] == pytest.approx(64e3 / pipeline, rel=1e-3)
    assert digits["share"] == pytest.approx(fixed / pipeline, abs=1e-3)
    for workers in ("1", "2"):
        figures = record["streamed"][workers]
        assert figures["per_second"] == pytest.approx(32e3 / figures["median"], rel=1e-3)
    printed = capsys.readouterr().out
    (share,) = re.findall(r"([\d.]+)%", printed)
    # Both are rounded: the record's to the fourth place.
    assert float(share) == pytest.approx(100 * digits["share"], abs=0.056)
    assert "JPEG of 500x375, to 224x224" in printed


def test_the_networks_are_those_of_the_catalogue():
    assert models.subject("resnet18").classes == 10
    for name in models.NAMES:
        assert len(models.subject(name).shape) in (3, 4)


def test_what_cannot_be_trained_is_one_line(monkeypatch, capsys):
    for arguments, expected in (
        (["accuracy", "dgits"], "no recipe or command 'dgits', did you mean digits?"),
        (["accuracy", "eval", "run"], "accuracy expects a recipe, but eval is a command"),
    ):
        assert bench.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"python -m train.bench: {expected}")
        assert error.count("\n") == 1
    monkeypatch.setattr(accuracy, "installed", lambda: ["torch"])
    assert bench.main(["accuracy", "digits", "--dtype", "bfloat16"]) == 2
    assert "accuracy trains in float32, not --dtype bfloat16" in capsys.readouterr().err
    monkeypatch.setattr(accuracy, "installed", list)
    assert bench.main(["accuracy", "digits"]) == 2
    assert "accuracy needs PyTorch: python -m pip install torch" in capsys.readouterr().err
