"""One run on one, two and four devices."""

import dataclasses
import json
import signal

import jax
import numpy as np
import pytest
from torture import Tiny
from watched import Watched

from fcnn.ops.lowering import onednn
from train import devices, folder, pace
from train.cli import main
from train.errors import UserError
from train.log import Terminal
from train.program import compile_program
from train.run import StoppedError, run

RECIPE = Tiny(epochs=2)
# Each device sums its share of a batch first: float32 sums in another order, through 24 steps of
# AdamW, which divides by small gradients' sizes.
CLOSE = {"rtol": 2e-3, "atol": 2e-4}


def curve(place):
    lines = [json.loads(line) for line in (place / folder.METRICS).read_text().splitlines()]
    return np.array([[line["train_loss"], line["test_loss"]] for line in lines])


def program(count):
    data = RECIPE.load(print)
    return compile_program(RECIPE, data, devices.mesh(count, 16), Terminal()), data


@pytest.fixture(scope="module")
def compiled():
    return {count: program(count) for count in (1, 2, 4)}


def test_the_loss_curve_is_that_of_one_device(compiled, tmp_path):
    curves = {}
    for count, parts in compiled.items():
        assert parts[0].mesh.size == count
        place = tmp_path / str(count)
        place.mkdir()
        run(RECIPE, place, *parts, Terminal())
        curves[count] = curve(place)
    assert curves[1].shape == (2, 2)
    np.testing.assert_allclose(curves[2], curves[1], **CLOSE)
    np.testing.assert_allclose(curves[4], curves[1], **CLOSE)


def test_a_batch_is_split_and_the_numbers_are_everywhere(monkeypatch):
    # XLA's own convolutions, as on a GPU or TPU: it does not split a call to oneDNN.
    monkeypatch.setattr(onednn, "AVAILABLE", False)
    parts, data = program(4)
    ts, key = parts.init(np.uint32(0))
    train_set = jax.device_put(data.train, devices.everywhere(parts.mesh))
    order = parts.order(key, np.int32(0))
    ts, _, taken = parts.steps(ts, train_set, order, key, np.int32(3))
    assert int(taken) == 3
    for leaf in jax.tree.leaves(ts):
        assert len(leaf.sharding.device_set) == 4
        assert leaf.sharding.is_fully_replicated
    # Every device convolves a quarter of the batch of 16, and sums go between them.
    text = parts.steps.as_text()
    assert "all-reduce" in text
    assert "f32[4,8,8,4]" in text
    assert "f32[16,8,8,4]" not in text


def test_a_run_goes_on_with_another_number_of_devices(compiled, tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "LOOK", 0.0)
    alone, moved = tmp_path / "alone", tmp_path / "moved"
    alone.mkdir()
    moved.mkdir()
    run(RECIPE, alone, *compiled[1], Terminal())

    def stop(done):
        if done > 0.5:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(StoppedError):
        run(RECIPE, moved, *compiled[1], Watched(stop))
    resumed = Watched()
    run(dataclasses.replace(RECIPE, resume=str(moved)), moved, *compiled[4], resumed)
    assert resumed.said[0] == f"resumed at step 7 (epoch 1), {moved}"
    np.testing.assert_allclose(curve(moved), curve(alone), **CLOSE)


def test_what_does_not_fit_is_an_error(capsys):
    with pytest.raises(UserError, match="--devices 5: this machine has 4"):
        devices.mesh(5, 16)
    with pytest.raises(UserError, match="--batch-size 18 cannot be split evenly over 4 devices"):
        devices.mesh(0, 18)
    assert devices.mesh(3, 18).size == 3
    assert main(["--batch-size", "65"]) == 2
    assert (
        "--batch-size 65 cannot be split evenly over 4 devices: choose another, or fewer with"
        in (capsys.readouterr().err)
    )
