"""What a run leaves behind: weights, confusion matrix, pictures, metrics."""

import json
import os
import re

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fcnn.models import PlainConfig, from_json, to_json
from train import files, report, weights
from train.data import dataset
from train.errors import DataError
from train.log import Metrics, Terminal, figures

CONFIG = PlainConfig(widths=(4,), convs=1, num_classes=3)


def network():
    model = CONFIG.build()
    params, state = model.init(jax.random.key(0), (1, 4, 4, 1))
    return model, params, state


def test_weights_come_back_bit_for_bit_and_rebuild_the_network(tmp_path):
    model, params, state = network()
    path = tmp_path / "weights.safetensors"
    weights.save(path, params, state, to_json(CONFIG))
    named = load_file(path)
    assert {"params/stage1/0/kernel", "state/stage1/1/mean"} <= set(named)

    read_params, read_state, config = weights.load(path)
    assert jax.tree.structure((read_params, read_state)) == jax.tree.structure((params, state))
    jax.tree.map(np.testing.assert_array_equal, (read_params, read_state), (params, state))
    assert from_json(config).build() == model


def test_weights_of_a_network_without_state(tmp_path):
    weights.save(tmp_path / "w", {"0": {"kernel": np.ones((2, 3), np.float32)}}, {}, "{}")
    params, state, config = weights.load(tmp_path / "w")
    np.testing.assert_array_equal(params["0"]["kernel"], np.ones((2, 3)))
    assert state == {}
    assert config == "{}"


def test_damaged_weights_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    _, params, state = network()
    weights.save(path, params, state, to_json(CONFIG))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"weights.safetensors: expected weights"):
        weights.load(path)
    with pytest.raises(DataError, match=r"nothing: expected weights"):
        weights.load(tmp_path / "nothing")
    save_file({"kernel": np.ones(3)}, path)
    with pytest.raises(DataError, match='expected the metadata key "model", found none'):
        weights.load(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    files.write(path, b"old")

    def fail_half_way():
        with files.atomic(path) as file:
            file.write(b"ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
    files.write(path, b"new")
    assert path.read_bytes() == b"new"


def test_confusion_matrix_counts_rows_true_columns_predicted():
    labels, predictions = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 2, 1, 2, 2, 0])
    matrix = report.confusion_matrix(labels, predictions, 4)
    assert matrix.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    lines = report.confusion_text(matrix, ["zero", "one", "two", "three"]).splitlines()
    assert lines[1].split() == ["zero", "one", "two", "thre"]
    assert lines[2].split() == ["zero", "1", "·", "1", "·", "50.0%"]
    assert lines[4].split() == ["two", "1", "·", "2", "·", "66.7%"]
    assert lines[5].split() == ["three", "·", "·", "·", "·", "0.0%"]
    # Every column stands under its name.
    assert {line.rindex("  ") for line in lines[2:]} != set()
    assert {len(line) for line in lines[2:]} == {len(lines[2])}


def test_pictures_are_png_files(tmp_path):
    epochs = [
        {
            "epoch": n,
            **{f"{s}_{w}": 1 / n for s in ("train", "test") for w in ("loss", "accuracy")},
        }
        for n in (1, 2, 3)
    ]
    report.save_curves(tmp_path / "curves.png", epochs, "title")
    report.save_confusion(tmp_path / "confusion.png", np.eye(3, dtype=int), ["a", "b", "c"], "t")
    for name in ("curves.png", "confusion.png"):
        content = (tmp_path / name).read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert content.endswith(b"IEND\xaeB`\x82")
    assert sorted(os.listdir(tmp_path)) == ["confusion.png", "curves.png"]


def test_metrics_are_json_lines_and_refuse_nan(tmp_path):
    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.append({"epoch": 1, "loss": 0.5})
    metrics.append({"epoch": 2, "loss": 0.25})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"epoch": 1, "loss": 0.5},
        {"epoch": 2, "loss": 0.25},
    ]
    with pytest.raises(ValueError, match="not JSON compliant"):
        metrics.append({"loss": float("nan")})


def test_without_a_terminal_a_long_training_prints_ten_lines(capsys):
    terminal = Terminal()
    assert not terminal.live
    with terminal.progress(35, "test") as line:
        for epoch in range(1, 36):
            line.update(epoch, 0.5, 0.9, 100.0)
            line.epoch(
                {
                    "epoch": epoch,
                    "train_loss": 0.5,
                    "train_accuracy": 0.9,
                    "test_accuracy": 0.8,
                    "images_per_second": 1234.5,
                }
            )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "epoch 35/35  loss 0.5000  accuracy 90.00%  1,234 images/s  test 80.00%"


def test_live_line_shows_epoch_loss_accuracy_speed(monkeypatch, capsys):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "140")
    terminal = Terminal()
    assert terminal.live
    with terminal.progress(4, "test") as line:
        line.update(1.5, 0.25, 0.95, 4321.0)
        assert line.bar is not None
        line.bar.refresh()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
    assert "epoch 2/4" in shown
    assert "loss 0.2500  accuracy 95.00%  4,321 images/s" in shown
    assert not Terminal(live=False).live


def test_examples_in_the_docstrings():
    import doctest

    from train import log, recipe
    from train.report import calibration, confusion, html, page

    for module in (dataset, confusion, calibration, html, page, log, recipe):
        assert doctest.testmod(module).attempted > 0
        assert doctest.testmod(module).failed == 0
    assert figures(1.0, 0.5, 10.0) == "loss 1.0000  accuracy 50.00%  10 images/s"
