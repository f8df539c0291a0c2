"""Images that stream from the disk: the same ones in the same order, stopped, resumed, damaged."""

import dataclasses
import os
import re
import signal
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from test_train_resume import at, bad_steps, go, interrupt, last, lines, lose_power, rollbacks, same
from watched import Watched

from fcnn.models import ResNetConfig
from train import cli, devices, environment, fit, folder, pace, streaming, testing
from train.commands.profile import compile_step
from train.data import hold_out, image_folder
from train.data.stream import Batches, Streamed
from train.errors import DataError
from train.program import compile_program
from train.recipes import RECIPES
from train.recipes.imagenet import Imagenet
from train.run import StoppedError, run
from train.training import DivergedError

TRAIN, VAL = 201, 42  # three classes of 67 and of 14
PER_EPOCH, STEPS = 12, 36  # 201 images // 16
MESH = devices.mesh(1, 16)


class Photographs(Imagenet):
    """Now and then the images of a step are not finite, as its random numbers have it."""

    name = "photographs"

    def augment(self, key, batch):
        bad = jax.random.uniform(key) < self.shift / 100
        images, labels = super().augment(key, batch)
        return jnp.where(bad, jnp.nan, images.astype(jnp.float32)), labels


@pytest.fixture(scope="module", autouse=True)
def look_after_every_step():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "LOOK", 0.0)
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Three classes of small JPEG files, each class with a colour, and a network for them."""
    root = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for split, count in (("train", TRAIN), ("val", VAL)):
        for label, name in enumerate(("blue", "green", "red")):
            (root / split / name).mkdir(parents=True)
            for number in range(count // 3):
                pixels = rng.integers(0, 150, (20, 24, 3), np.uint8)
                pixels[..., 2 - label] += 100
                Image.fromarray(pixels).save(root / split / name / f"{number:03}.jpg")
    return Photographs(
        epochs=3,
        batch_size=16,
        learning_rate=0.05,
        warmup_epochs=0,
        shift=3,
        devices=1,
        size=16,
        train_size=12,
        model=ResNetConfig("basic", (1,), 4, 3, "cifar"),
        data_dir=root,
        stream="always",
        workers=2,
    )


def build(recipe):
    data = recipe.load(lambda text: None)
    return compile_program(recipe, data, MESH, Watched()), data


@pytest.fixture(scope="module")
def compiled(recipe):
    return build(recipe)


@pytest.fixture(scope="module")
def in_memory(recipe):
    return build(dataclasses.replace(recipe, stream="never"))


@pytest.fixture(scope="module")
def alone(recipe, compiled, tmp_path_factory):
    """The folder of a run that is left alone."""
    place = tmp_path_factory.mktemp("alone")
    key = compiled[0].init(jnp.uint32(recipe.seed))[1]
    assert bad_steps(recipe, key, 0, STEPS) == []
    run(recipe, place, *compiled, Watched())
    return place


@pytest.fixture(autouse=True)
def nothing_reads_on():
    """After each test, of whatever end, no thread of a worker is left."""
    yield
    deadline = time.monotonic() + 10
    while [thread for thread in threading.enumerate() if thread.name.startswith("grain")]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_learns(alone):
    found = lines(alone)
    assert [(line["epoch"], line["step"]) for line in found] == [(1, 12), (2, 24), (3, 36)]
    assert found[-1]["train_loss"] < found[0]["train_loss"]
    assert found[-1]["test_accuracy"] > 0.9


@pytest.mark.parametrize("step", [1, 12, 17, 35])
def test_stopped_and_resumed_equals_left_alone(recipe, compiled, alone, tmp_path, step):
    place = tmp_path / "run"
    with pytest.raises(StoppedError) as stop:
        go(place, compiled, at(step, interrupt), recipe=recipe)
    assert stop.value.exit_code == 130
    said = go(place, compiled, recipe=recipe, resume=True)
    assert said[0].startswith(f"resumed at step {step} (epoch ")
    same(place, alone, compiled[0])


def test_how_many_steps_are_taken_at_once_changes_nothing(
    recipe, compiled, alone, tmp_path, monkeypatch
):
    monkeypatch.setattr(pace, "LOOK", 60.0)
    seen = []
    go(tmp_path / "run", compiled, seen.append, recipe=recipe, checkpoint_every=10)
    assert seen == [1, 10, 12, 20, 24, 30, 36]
    same(tmp_path / "run", alone, compiled[0])


def test_killed_and_resumed_with_other_workers(recipe, compiled, alone, tmp_path):
    place = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        go(place, compiled, at(20, lose_power), recipe=recipe, checkpoint_every=7)
    program, data = compiled
    (images, labels), workers = data.train, 5
    more = Streamed(images.files, images.read, images.shape[1:], images.dtype, workers)
    said = go(place, (program, data._replace(train=(more, labels))), recipe=recipe, resume=True)
    assert said[0].startswith("resumed at step 14 ")
    same(place, alone, program)


def test_the_batches_are_those_of_the_set_in_memory(compiled, in_memory):
    images, labels = in_memory[1].train
    assert images.shape == (TRAIN, 16, 16, 3)
    for seed in (0, 1):
        key = jax.random.key(seed)
        for first in (0, PER_EPOCH):
            rows = np.asarray(compiled[0].order(key, jnp.int32(first)))
            expected = in_memory[0].order(key, jnp.int32(first))
            np.testing.assert_array_equal(rows, expected)
            batches = streaming.batches(compiled[1].train, rows, MESH)
            for index in range(5, PER_EPOCH):  # as after a resume
                for got, expected in zip(batches[index], (images, labels), strict=True):
                    assert got.dtype == expected.dtype
                    np.testing.assert_array_equal(got, expected[rows[index]])
            batches.close()


def test_a_batch_knows_its_place_in_the_data_set_and_its_epoch(compiled):
    program, data = compiled
    rows = np.asarray(program.order(jax.random.key(0), jnp.int32(PER_EPOCH)))
    seen = []

    def step(ts, batch, key):
        seen.append(batch)
        return ts, dict.fromkeys(("loss", "accuracy", "finite"), np.float32(1))

    ts = program.init(jnp.uint32(0))[0]._replace(step=np.int32(PER_EPOCH + 3))
    batches = streaming.batches(data.train, rows, MESH)
    streaming.training(step, step, PER_EPOCH)["steps"](ts, None, batches, None, 2)
    batches.close()
    for batch, row in zip(seen, rows[3:5], strict=True):
        assert batch.epoch == 1
        np.testing.assert_array_equal(batch.index, row)
        np.testing.assert_array_equal(batch.labels, data.train[1][row])


def test_a_run_is_that_of_the_set_in_memory(recipe, in_memory, alone, tmp_path):
    go(tmp_path / "run", in_memory, recipe=recipe)
    for found, expected in zip(lines(tmp_path / "run"), lines(alone), strict=True):
        # The compiler may add up in another order where the step is part of a loop.
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("most", [14, 16, 500])
def test_every_image_is_tested_exactly_once(recipe, compiled, in_memory, monkeypatch, most):
    monkeypatch.setattr(testing, "MOST_IN_BATCH", most)
    ts, _ = compiled[0].init(jnp.uint32(0))
    results = [
        testing.compile_test(recipe, data, MESH, ts.params, ts.state)(
            ts.params, ts.state, data.test
        )
        for data in (compiled[1], in_memory[1])
    ]
    found, expected = results
    assert sorted(found) == sorted(expected)
    assert found["count"] == VAL
    assert found["logits"].shape == (VAL, 3)
    for name in ("loss", "accuracy", "logits"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found["predictions"], np.argmax(found["logits"], axis=1))


def test_it_streams_over_several_devices(recipe, compiled, in_memory):
    _, data = compiled
    rows = np.arange(32).reshape(2, 16)
    four = devices.mesh(4, 16)
    batches = streaming.batches(data.train, rows, four)
    images, labels = batches[1]
    batches.close()
    assert images.sharding == devices.split(four)
    assert [shard.data.shape for shard in images.addressable_shards] == [(4, 16, 16, 3)] * 4
    np.testing.assert_array_equal(images, in_memory[1].train[0][16:32])
    np.testing.assert_array_equal(labels, data.train[1][16:32])


def test_a_damaged_file_ends_the_run_and_what_was_saved_stays(recipe, compiled, alone, tmp_path):
    program, data = compiled
    place = tmp_path / "run"
    key = program.init(jnp.uint32(recipe.seed))[1]
    rows = program.order(key, jnp.int32(PER_EPOCH))
    path = Path(data.train[0].files[rows[10, 3]])  # of step 23
    content = path.read_bytes()

    def damage():
        path.write_bytes(content[: len(content) // 2])

    with pytest.raises(DataError, match=f"{path}: expected a whole JPEG or PNG image, but: "):
        go(place, compiled, at(13, damage), recipe=recipe, checkpoint_every=8)
    path.write_bytes(content)
    assert go(place, compiled, recipe=recipe, resume=True)[0].startswith("resumed at step 16 ")
    same(place, alone, program)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_damaged_file_is_one_line_and_exit_code_2(
    recipe, compiled, in_memory, tmp_path, monkeypatch, capsys, split
):
    monkeypatch.setitem(RECIPES, "photographs", Photographs)
    monkeypatch.setattr("train.loop.compile_program", lambda *_: compiled[0])
    path = recipe.data_dir / split / "green" / "007.jpg"
    content = path.read_bytes()
    path.write_bytes(b"nothing of a photograph")
    try:
        text = (
            f"--data-dir {recipe.data_dir} --runs-dir {tmp_path} --size 16 --batch-size 16"
            " --stream always --model.num-classes 3"
        )
        assert cli.main(["photographs", *text.split()]) == 2
    finally:
        path.write_bytes(content)
    error = capsys.readouterr().err
    assert error.startswith(f"python -m train: {path}: expected a whole JPEG or PNG image, but: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError(), SystemExit(1)])
def test_what_goes_wrong_in_a_worker_is_raised(compiled, error):
    """Whatever it is: nothing that a worker does makes the trainer wait for ever."""
    images, labels = compiled[1].train

    def read(path):
        if path == images.files[40]:
            raise error
        return images.read(path)

    broken = Streamed(images.files, read, images.shape[1:], images.dtype, 2)
    batches = Batches(broken, labels, np.arange(48).reshape(3, 16), devices.split(MESH))
    for index in (0, 1):
        np.testing.assert_array_equal(batches[index][1], labels[16 * index : 16 * (index + 1)])
    expected = RuntimeError if isinstance(error, SystemExit) else type(error)
    with pytest.raises(expected, match=re.escape(str(error)) or None):
        batches[2]
    batches.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_next_batch_is_waited_for(recipe, compiled, alone, tmp_path, number):
    """A slow disk: the signal comes while nothing but reading goes on."""
    program, data = compiled
    images, labels = data.train
    reads = []

    def read(path):
        reads.append(path)
        if len(reads) == 16 * 8:
            os.kill(os.getpid(), number)
        time.sleep(0.005)
        return images.read(path)

    slow = Streamed(images.files, read, images.shape[1:], images.dtype, 2)
    place = tmp_path / "run"
    with pytest.raises(StoppedError) as stop:
        go(place, (program, data._replace(train=(slow, labels))), recipe=recipe)
    assert stop.value.exit_code == 128 + number
    # Two batches and a half are read ahead of the one that is waited for.
    step = int(re.match(rf"{number.name} at step (\d+) ", str(stop.value))[1])
    assert 3 <= step <= 8
    assert go(place, compiled, recipe=recipe, resume=True)[0].startswith(f"resumed at step {step} ")
    same(place, alone, program)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_signal_in_a_test_stops_between_two_batches(
    recipe, compiled, tmp_path, monkeypatch, epoch
):
    program, data = compiled
    images, labels = data.test
    monkeypatch.setattr(testing, "MOST_IN_BATCH", 4)
    reads = []

    def read(path):
        reads.append(path)
        if len(reads) == (epoch - 1) * VAL + 5:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        return images.read(path)

    slow = Streamed(images.files, read, images.shape[1:], images.dtype, 1)
    ts, step = program.like, epoch * PER_EPOCH
    small = testing.compile_test(recipe, data, MESH, ts.params, ts.state)
    program = program._replace(test=small)
    alone, place = tmp_path / "alone", tmp_path / "run"
    go(alone, (program, data), recipe=recipe)
    with pytest.raises(StoppedError, match=rf"SIGTERM at step {step} \(epoch {epoch}\); saved "):
        go(place, (program, data._replace(test=(slow, labels))), recipe=recipe)
    assert len(reads) < epoch * VAL
    said = go(place, (program, data), recipe=recipe, resume=True)
    assert said[0].startswith(f"resumed at step {step} (epoch {epoch})")
    assert lines(place) == lines(alone)
    files = [each / folder.WEIGHTS for each in (place, alone)]
    assert files[0].read_bytes() == files[1].read_bytes()
    if epoch < 3:  # else the last checkpoint is the one before the test
        same(place, alone, program)


def test_numbers_that_are_not_finite_stop_or_roll_back(recipe, compiled, tmp_path):
    recipe = dataclasses.replace(recipe, seed=2)
    key = compiled[0].init(jnp.uint32(2))[1]
    bad = bad_steps(recipe, key, 0, STEPS)
    assert bad
    assert bad[0] > 8
    what = rf"step {bad[0]} \(epoch {(bad[0] - 1) // PER_EPOCH + 1}\): state/\S+ is not finite"
    with pytest.raises(DivergedError, match=what):
        go(tmp_path / "stop", compiled, recipe=recipe)

    expected = rollbacks(recipe, key, every=8)
    go_on = {"recipe": recipe, "nonfinite": "rollback", "checkpoint_every": 8}
    said = go(tmp_path / "run", compiled, **go_on)
    texts = [text for text in said if "back at step" in text]
    assert [tuple(map(int, re.findall(r"step (\d+)", text))) for text in texts] == expected
    assert last(tmp_path / "run", compiled[0])[1]["rollbacks"] == len(expected)
    # Killed in between and resumed, the same happens again.
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "other", compiled, at(30, lose_power), **go_on)
    go(tmp_path / "other", compiled, resume=True, **go_on)
    same(tmp_path / "other", tmp_path / "run", compiled[0])


def test_numbers_that_are_not_finite_are_left_out(recipe, tmp_path):
    recipe = dataclasses.replace(recipe, seed=2, nonfinite="skip")
    compiled = build(recipe)
    bad = bad_steps(recipe, compiled[0].init(jnp.uint32(2))[1], 0, STEPS)
    said = go(tmp_path, compiled, recipe=recipe)
    texts = [text for text in said if text.endswith("is not finite: left out")]
    assert [int(re.match(r"step (\d+)", text)[1]) for text in texts] == bad
    assert {re.search(r": (\w+)/", text)[1] for text in texts} == {"state"}
    assert [line["skipped_steps"] for line in lines(tmp_path)] == [
        sum(start < step <= start + PER_EPOCH for step in bad) for start in (0, 12, 24)
    ]


def test_whether_it_streams_follows_from_the_memory(recipe, monkeypatch):
    needed = (TRAIN + VAL) * 16 * 16 * 3

    def streams(*memory, stream="auto"):
        monkeypatch.setattr(environment, "memory", lambda: list(memory))
        said = []
        data = image_folder.load(recipe.data_dir, 16, said.append, stream=stream, workers=3)
        how = f"streaming {TRAIN + VAL} images from {recipe.data_dir}, 3 at a time"
        plain = f"reading {TRAIN + VAL} images from {recipe.data_dir}"
        assert said == [how if data.streams else plain]
        return data.streams

    assert not streams()
    assert not streams(4 * needed)
    assert streams(4 * needed - 1)
    assert streams(100 * needed, 3 * needed)  # a device with less
    assert streams(100 * needed, stream="always")
    assert not streams(needed, stream="never")
    with pytest.raises(DataError, match="choose a smaller size, or --stream always"):
        streams(needed - 1, stream="never")


def test_a_part_of_what_streams_is_read_when_it_is_asked_for(recipe, compiled, in_memory):
    images, _ = compiled[1].test
    arrays = in_memory[1].test[0]
    assert (images.shape, images.ndim, images.dtype) == (arrays.shape, 4, np.uint8)
    assert (len(images), images.nbytes) == (VAL, arrays.nbytes)
    np.testing.assert_array_equal(images[np.argmax([0, 1])], arrays[1])
    np.testing.assert_array_equal(np.asarray(images[3:7]), arrays[3:7])
    np.testing.assert_array_equal(np.asarray(images[3:5], np.float32), arrays[3:5])
    # What the rest of the trainer does with a data set.
    tuning, expected = (hold_out(data) for data in (compiled[1], in_memory[1]))
    assert tuning.streams
    for found, array in zip(
        tuning.train + tuning.test, expected.train + expected.test, strict=True
    ):
        np.testing.assert_array_equal(found, array)
    fit.check(recipe, tuning)
    _, _, batch = compile_step(recipe, compiled[1])
    np.testing.assert_array_equal(batch[0], in_memory[1].train[0][:16])


def test_a_run_that_streams_has_its_page_and_is_tested_again(
    recipe, compiled, alone, monkeypatch, capsys
):
    assert (alone / "report.html").read_text().count("<figure") >= 24
    assert (alone / folder.CONFIG).exists()
    monkeypatch.setitem(RECIPES, "photographs", Photographs)
    assert cli.main(["eval", str(alone)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"streaming {TRAIN + VAL} images from ")
    line = lines(alone)[-1]
    assert said[-2:] == [
        f"test loss: {line['test_loss']:.4f}",
        f"test accuracy: {line['test_accuracy']:.2%}",
    ]


def test_a_pipe_is_refused_before_it_is_waited_for(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "a").mkdir(parents=True)
        os.mkfifo(tmp_path / split / "a" / "1.jpg")
    with pytest.raises(DataError, match=r"train/a/1.jpg: expected a JPEG or PNG file, got somethi"):
        image_folder.load(tmp_path, 4, lambda text: None)
