"""One run on one, two, four and eight devices, its numbers whole on each or split over them."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from torture import Tiny
from watched import Watched

from fcnn.models import PlainConfig
from fcnn.ops.lowering import library
from train import devices, folder, pace
from train.cli import main
from train.errors import UserError
from train.log import Terminal
from train.program import compile_program
from train.run import StoppedError, run
from train.weights import load

ROOT = Path(__file__).parent.parent
# With a kernel, (64, 256), that is just large enough to be split.
RECIPE = Tiny(epochs=2, model=PlainConfig(widths=(4,), convs=1, dense=256, dropout=0.2))
# Each device sums its share of a batch first: float32 sums in another order, through 24 steps of
# AdamW, which divides by small gradients' sizes.
CLOSE = {"rtol": 2e-3, "atol": 2e-4}


def program(count, fsdp=1):
    data = RECIPE.load(print)
    return compile_program(RECIPE, data, devices.mesh(count, 16, fsdp), Terminal()), data


@pytest.fixture(scope="module")
def compiled():
    return {shape: program(*shape) for shape in ((1, 1), (2, 1), (4, 1), (4, 2))}


def train(place, parts):
    place.mkdir()
    run(RECIPE, place, *parts, Terminal())


def same(place, expected):
    """Curves and weights, to rounding."""

    def curve(place):
        lines = [json.loads(line) for line in (place / folder.METRICS).read_text().splitlines()]
        return np.array([[line["train_loss"], line["test_loss"]] for line in lines])

    assert curve(expected).shape == (2, 2)
    np.testing.assert_allclose(curve(place), curve(expected), **CLOSE)
    numbers = [load(each / folder.WEIGHTS)[:2] for each in (place, expected)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), *numbers)


@pytest.fixture(scope="module")
def one(compiled, tmp_path_factory):
    """The folder of the run on one device."""
    place = tmp_path_factory.mktemp("runs") / "one"
    train(place, compiled[1, 1])
    return place


@pytest.mark.parametrize(("count", "fsdp"), [(2, 1), (4, 1), (4, 2)])
def test_the_loss_curve_is_that_of_one_device(compiled, one, tmp_path, count, fsdp):
    mesh = compiled[count, fsdp][0].mesh
    assert dict(mesh.shape) == {"data": count // fsdp, "fsdp": fsdp}
    train(tmp_path / "run", compiled[count, fsdp])
    same(tmp_path / "run", one)


def test_eight_devices_in_a_process_of_their_own(one, tmp_path):
    script = """
import sys
from pathlib import Path
import jax
jax.config.update("jax_num_cpu_devices", 8)
sys.path.insert(0, "tests")
from test_train_devices import program, train
for fsdp in (1, 4):
    train(Path(sys.argv[1]) / str(fsdp), program(0, fsdp))
"""
    command = [sys.executable, "-c", script, tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "parameters; 8×cpu; compiled" in done.stdout
    for fsdp in (1, 4):
        hardware = json.loads((tmp_path / str(fsdp) / folder.CONFIG).read_text())["hardware"]
        assert hardware["devices"] == 8
        same(tmp_path / str(fsdp), one)


def three_steps(parts, data):
    ts, key = parts.init(np.uint32(0))
    train_set = devices.copied(parts.mesh, data.train)
    ts, _, taken = parts.steps(ts, train_set, parts.order(key, np.int32(0)), key, np.int32(3))
    assert int(taken) == 3
    return ts


def test_a_batch_is_split_and_the_numbers_are_everywhere(monkeypatch):
    # XLA's own convolutions, as on a GPU or TPU: it does not split a call to oneDNN.
    monkeypatch.setattr(library, "AVAILABLE", False)
    parts, data = program(4)
    for leaf in jax.tree.leaves(three_steps(parts, data)):
        assert len(leaf.sharding.device_set) == 4
        assert leaf.sharding.is_fully_replicated
    # Every device convolves a quarter of the batch of 16, and sums go between them.
    text = parts.steps.as_text()
    assert "all-reduce" in text
    assert "f32[4,8,8,4]" in text
    assert "f32[16,8,8,4]" not in text


def test_large_numbers_are_split_and_computed_with_whole(monkeypatch):
    monkeypatch.setattr(library, "AVAILABLE", False)
    parts, data = program(4, fsdp=2)
    ts = three_steps(parts, data)
    kernel = ts.params["head"]["0"]["kernel"]
    assert kernel.shape == (64, 256)
    # Devices 0 and 1 have its halves, and so do 2 and 3: params and AdamW's two moments.
    halves = {shard.device.id: shard.index for shard in kernel.addressable_shards}
    assert halves[0] == halves[2] == (slice(None), slice(0, 128, None))
    assert halves[1] == halves[3] == (slice(None), slice(128, 256, None))
    split = [leaf for leaf in jax.tree.leaves(ts) if not leaf.sharding.is_fully_replicated]
    assert [leaf.shape for leaf in split] == 3 * [(64, 256)]

    def bytes_on(leaf, device):
        return sum(s.data.nbytes for s in leaf.addressable_shards if s.device.id == device)

    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(ts))
    for device in range(4):
        stored = sum(bytes_on(leaf, device) for leaf in jax.tree.leaves(ts))
        assert stored == whole - 3 * 64 * 128 * 4
    # Every device computes with the whole kernel, on a quarter of the batch.
    text = parts.steps.as_text()
    assert "f32[4,8,8,4]" in text
    assert "f32[16,8,8,4]" not in text
    assert "f32[4,256]" in text
    for other in ("f32[8,256]", "f32[8,128]", "f32[4,128]", "f32[16,256]"):
        assert other not in text
    assert "all-gather" in text


def test_what_is_split_and_along_which_axis():
    def spec(*shape, parts=4):
        return devices.fsdp_spec(shape, parts)

    assert spec(3, 3, 64, 128) == PartitionSpec(None, None, None, "fsdp")
    assert spec(3, 3, 128, 64) == PartitionSpec(None, None, "fsdp")
    assert spec(3, 3, 512, 512) == PartitionSpec(None, None, None, "fsdp")
    assert spec(4096, 1000) == PartitionSpec("fsdp")
    assert spec(4096, 1000, parts=5) == PartitionSpec(None, "fsdp")
    # The largest axis that can be divided, not the largest.
    assert spec(3, 3, 64, 102) == PartitionSpec(None, None, "fsdp")
    # A stack of layers, as `repeat` makes, by its layers only if nothing is larger.
    assert spec(8, 3, 3, 64, 64) == PartitionSpec(None, None, None, None, "fsdp")
    for whole in [(), (512,), (7, 7, 3, 64), (3, 3, 57, 57)]:
        assert spec(*whole) == PartitionSpec()
    assert spec(128, 128) == PartitionSpec(None, "fsdp")
    assert spec(128, 127) == PartitionSpec()  # too short
    assert spec(4096, 1000, parts=1) == PartitionSpec()
    assert spec(4096, 1000, parts=3) == PartitionSpec()


def stop_after_half_an_epoch(done):
    if done > 0.5:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("before", "after"), [((1, 1), (4, 2)), ((4, 2), (2, 1)), ((2, 1), (4, 1))]
)
def test_a_run_goes_on_with_other_devices(compiled, one, tmp_path, monkeypatch, before, after):
    monkeypatch.setattr(pace, "LOOK", 0.0)
    with pytest.raises(StoppedError):
        run(RECIPE, tmp_path, *compiled[before], Watched(stop_after_half_an_epoch))
    resumed = Watched()
    run(dataclasses.replace(RECIPE, resume=str(tmp_path)), tmp_path, *compiled[after], resumed)
    assert resumed.said[0] == f"resumed at step 7 (epoch 1), {tmp_path}"
    same(tmp_path, one)


def test_what_does_not_fit_is_an_error(capsys):
    with pytest.raises(UserError, match="--devices 5: this machine has 4"):
        devices.mesh(5, 16)
    with pytest.raises(UserError, match="--batch-size 18 cannot be split evenly over 4 devices"):
        devices.mesh(0, 18)
    with pytest.raises(UserError, match="--fsdp 3: 4 devices cannot be divided into groups of so"):
        devices.mesh(0, 16, 3)
    with pytest.raises(UserError, match="--fsdp 8: 4 devices cannot be divided"):
        devices.mesh(0, 16, 8)
    assert devices.mesh(3, 18).size == 3
    assert main(["--batch-size", "65"]) == 2
    assert (
        "--batch-size 65 cannot be split evenly over 4 devices: choose another, or fewer with"
        in (capsys.readouterr().err)
    )
    assert main(["--fsdp", "0"]) == 2
    assert "--fsdp must be 1 or more" in capsys.readouterr().err
