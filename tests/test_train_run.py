"""Whole runs, small: what is printed, what is left in the folder, and that it is repeatable."""

import json
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn.models import from_json
from train import loop, weights
from train.cli import main, parse
from train.data import digits
from train.folder import make
from train.log import Terminal

SMALL = [
    "--learning-rate",
    "0.01",
    "--model.widths",
    "8",
    "16",
    "--model.convs",
    "1",
    "--model.dropout",
    "0.1",
    "--devices",
    "1",
]


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory):
    """A run with two seeds: what it printed, and the folders."""
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        said = []
        patch.setattr(Terminal, "say", lambda self, text="": said.append(text))
        recipe = parse(["--epochs", "4", "--seeds", "3,5", "--runs-dir", str(runs), *SMALL])
        accuracies = loop.train(recipe, Terminal())
    return said, sorted(runs.iterdir()), accuracies


def test_it_prints_what_was_promised(two_seeds):
    said, folders, accuracies = two_seeds
    lines = "\n".join(said).splitlines()
    assert re.fullmatch(
        r"digits: 1,437 training and 360 test images; 1,922 parameters; \S+; compiled in \S+ s",
        lines[0],
    )
    assert f"test accuracy: {accuracies[0]:.2%}" in lines
    assert f"test accuracy: {accuracies[1]:.2%}" in lines
    mean, spread = np.mean(accuracies), np.std(accuracies, ddof=1)
    assert lines[-1] == f"mean of 2 seeds: {mean:.2%} ± {spread:.2%} (standard deviation)"
    assert [line for line in lines if line.endswith(str(folders[1]))]
    # Four epochs of a tiny network; a broken one stays near 10%.
    assert min(accuracies) > 0.6


def test_the_folder_holds_config_metrics_weights_and_pictures(two_seeds):
    _, folders, accuracies = two_seeds
    assert [folder.name[-6:] for folder in folders] == ["-seed3", "-seed5"]
    names = [
        "checkpoints",
        "config.json",
        "confusion.png",
        "curves.png",
        "metrics.jsonl",
        "report.html",
        "weights.safetensors",
    ]
    for folder, seed, accuracy in zip(folders, (3, 5), accuracies, strict=True):
        events, *others = sorted(os.listdir(folder), key=lambda name: (name[:6] != "events", name))
        assert others == names
        assert events.startswith("events.out.tfevents.")
        for tag in (b"loss/train", b"loss/test", b"accuracy/train", b"accuracy/test"):
            assert (folder / events).read_bytes().count(tag) == 4
        config = json.loads((folder / "config.json").read_text())
        assert config["recipe"] == "digits"
        assert config["seed"] == seed
        assert config["settings"]["epochs"] == 4
        assert config["model"]["widths"] == [8, 16]
        assert config["images"] == {"train": 1437, "test": 360}
        assert config["versions"]["jax"] == jax.__version__
        assert config["hardware"]["backend"] == jax.default_backend()
        epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4]
        assert [epoch["step"] for epoch in epochs] == [22, 44, 66, 88]  # 1437 // 64 = 22
        assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]
        # The same count of hits divided in float32 and in float64.
        assert epochs[-1]["test_accuracy"] == pytest.approx(accuracy, rel=1e-6)


def test_the_weights_give_the_printed_accuracy(two_seeds):
    _, folders, accuracies = two_seeds
    params, state, config = weights.load(folders[0] / "weights.safetensors")
    data = digits.load()
    images, labels = data.test
    logits, _ = (
        from_json(config)
        .build()
        .apply(params, state, jnp.asarray(images, jnp.float32) / data.white, train=False)
    )
    assert np.mean(np.asarray(logits).argmax(-1) == labels) == accuracies[0]


def test_eval_gives_the_runs_own_figures(two_seeds, capsys):
    _, folders, accuracies = two_seeds
    for folder, accuracy in zip(folders, accuracies, strict=True):
        assert main(["eval", str(folder)]) == 0
        lines = capsys.readouterr().out.splitlines()
        last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
        assert lines[-2:] == [
            f"test loss: {last['test_loss']:.4f}",
            f"test accuracy: {accuracy:.2%}",
        ]
        # One image is 0.28%: equal in two decimals is equal.
        assert accuracy == pytest.approx(last["test_accuracy"], rel=1e-6)


def test_a_seed_alone_repeats_its_run_among_others_bit_for_bit(two_seeds, tmp_path):
    _, folders, _ = two_seeds
    assert main(["--epochs", "4", "--seed", "5", "--runs-dir", str(tmp_path), *SMALL]) == 0
    (folder,) = tmp_path.iterdir()
    first, again = (weights.load(f / "weights.safetensors") for f in (folders[1], folder))
    jax.tree.map(np.testing.assert_array_equal, first[:2], again[:2])


def test_a_folder_is_never_written_twice(tmp_path):
    folders = [make(tmp_path, "run") for _ in range(3)]
    assert [folder.name for folder in folders] == ["run", "run-2", "run-3"]


def test_validation_leaves_the_test_split_alone_and_bfloat16_and_sgd_train(tmp_path, capsys):
    options = ["--validate", "--dtype", "bfloat16", "--optimizer", "sgd", "--weight-decay", "1e-4"]
    options += ["--epochs", "4", "--runs-dir", str(tmp_path), *SMALL, "--learning-rate", "0.2"]
    assert main(options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("digits: 1,197 training and 240 validation images; ")
    assert re.fullmatch(r"validation accuracy: [89]\d\.\d\d%", lines[-1])
    assert not [line for line in lines if line.startswith("test accuracy")]
    params, _, _ = weights.load(next(tmp_path.iterdir()) / "weights.safetensors")
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, capsys):
    options = ["--epochs", "3", "--optimizer", "sgd", "--warmup-epochs", "0", *SMALL]
    assert main([*options, "--learning-rate", "1e30", "--runs-dir", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(
        r"python -m train: step \d+ \(epoch 1\): \S+ is not finite: try a smaller .*\n", error
    )
    assert not list(tmp_path.glob("*/weights*"))
