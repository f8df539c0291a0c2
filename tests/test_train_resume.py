"""A run that is stopped and resumed is, bit for bit, the run that was left alone."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torture import Tiny
from watched import Watched

from train import cli, devices, folder, lock, pace, weights
from train.checkpoint import Checkpoints, SaveError
from train.errors import UserError
from train.program import compile_program
from train.progress import TIMES
from train.recipes import RECIPES
from train.run import StoppedError, run
from train.training import DivergedError

ROOT = Path(__file__).parent.parent
RECIPE = Tiny(epochs=3, devices=1)
PER_EPOCH, STEPS = 12, 36  # 206 images // 16


@pytest.fixture(scope="module", autouse=True)
def look_after_every_step():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "LOOK", 0.0)
        yield


@pytest.fixture(autouse=True)
def ctrl_c_interrupts():
    """As in a terminal: a shell starts what it runs in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def compiled():
    data = RECIPE.load(print)
    return compile_program(RECIPE, data, devices.mesh(1, 16), Watched()), data


@pytest.fixture(scope="module")
def alone(compiled, tmp_path_factory):
    """The folder of a run that is left alone."""
    place = tmp_path_factory.mktemp("alone")
    run(RECIPE, place, *compiled, Watched())
    return place


def go(place, compiled, watch=None, *, resume=False, recipe=RECIPE, **changes):
    """Begin or resume a run; gives what it said."""
    place.mkdir(exist_ok=True)
    recipe = dataclasses.replace(recipe, resume=str(place) if resume else "", **changes)
    terminal = Watched(watch and (lambda done: watch(round(done * PER_EPOCH))))
    run(recipe, place, *compiled, terminal)
    return terminal.said


def at(step, action):
    """A watch that acts once, after this step."""
    return lambda number: action() if number == step else None


def interrupt():
    signal.raise_signal(signal.SIGINT)


def lose_power():
    raise KeyboardInterrupt  # nothing more is saved


def lines(place):
    """metrics.jsonl without what it says about time."""
    text = (place / folder.METRICS).read_text()
    return [
        {name: value for name, value in json.loads(line).items() if name not in TIMES}
        for line in text.splitlines()
    ]


def last(place, program):
    """The newest checkpoint: train_state, record without times."""
    with Checkpoints(place / folder.CHECKPOINTS, 2) as checkpoints:
        found = checkpoints.restore(program.like, pytest.fail)
    assert found is not None
    record = found[1]
    record["settings"] = None
    record["progress"]["seconds"] = None
    for line in record["progress"]["history"]:
        for name in TIMES:
            del line[name]
    return found[0], record


def same(place, alone, program):
    """Every leaf of params, statistics, optimizer; every line; the key; the weights file."""
    assert lines(place) == lines(alone)
    (ts, record), (expected_ts, expected) = last(place, program), last(alone, program)
    jax.tree.map(np.testing.assert_array_equal, ts, expected_ts)
    assert record == expected
    files = [each / folder.WEIGHTS for each in (place, alone)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_run_left_alone_has_trained(alone):
    found = lines(alone)
    assert [line["step"] for line in found] == [12, 24, 36]
    assert [line["epoch"] for line in found] == [1, 2, 3]
    assert found[-1]["train_loss"] < 0.95 * found[0]["train_loss"]
    assert {line["skipped_steps"] for line in found} == {0}


# The first and last of an epoch, the middle, the last but one.
@pytest.mark.parametrize("step", [1, 11, 12, 17, 24, 35])
def test_stopped_and_resumed_equals_left_alone(compiled, alone, tmp_path, step):
    place = tmp_path / "run"
    with pytest.raises(StoppedError) as stop:
        go(place, compiled, at(step, interrupt))
    assert stop.value.exit_code == 130
    epoch = (step - 1) // PER_EPOCH + 1
    assert str(stop.value) == (
        f"SIGINT at step {step} (epoch {epoch}); saved {place};"
        f" to go on: python -m train --resume {place}"
    )
    said = go(place, compiled, resume=True)
    assert said[0] == f"resumed at step {step} (epoch {epoch}), {place}"
    same(place, alone, compiled[0])


def test_the_event_files_tell_tensorboard_where_the_run_went_on(compiled, tmp_path):
    place = tmp_path / "run"
    with pytest.raises(StoppedError):
        go(place, compiled, at(17, interrupt))
    go(place, compiled, resume=True)
    content = b"".join(path.read_bytes() for path in place.glob("events.out.tfevents.*"))
    assert content.count(b"accuracy/test") == 3
    # An event of step 18, of field 2, whose SessionLog, field 7, has the status START.
    assert content.count(bytes.fromhex("10123a020801")) == 1


def test_stopped_many_times(compiled, alone, tmp_path):
    place = tmp_path / "run"
    for step in (3, 4, 12, 20, 31):
        with pytest.raises(StoppedError):
            go(place, compiled, at(step, interrupt), resume=step > 3)
    go(place, compiled, resume=True)
    same(place, alone, compiled[0])


def test_how_many_steps_are_taken_at_once_changes_nothing(compiled, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "LOOK", 60.0)
    seen = []
    go(tmp_path / "run", compiled, seen.append, checkpoint_every=5)
    assert seen == [1, 5, 10, 12, 15, 20, 24, 25, 30, 35, 36]
    same(tmp_path / "run", alone, compiled[0])


def test_lines_after_the_checkpoint_are_cut_off(compiled, alone, tmp_path):
    place = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        go(place, compiled, at(25, lose_power), checkpoint_every=7)
    assert len(lines(place)) == 2
    with open(place / folder.METRICS, "a") as file:
        file.write('{"epoch": 3, "st')  # half a line
    said = go(place, compiled, resume=True)
    assert said[0].startswith("resumed at step 21 (epoch 2)")
    same(place, alone, compiled[0])


def test_a_damaged_checkpoint_falls_back_to_the_one_before(compiled, alone, tmp_path):
    place = tmp_path / "run"
    with pytest.raises(StoppedError):
        go(place, compiled, at(20, interrupt), checkpoint_every=8)
    damaged = place / folder.CHECKPOINTS / "00000020" / "record.json"
    damaged.write_bytes(damaged.read_bytes()[:100])
    said = go(place, compiled, resume=True)
    assert said[0].startswith(f"warning: damaged checkpoint: {damaged}: expected")
    assert said[1].startswith("resumed at step 16 (epoch 2)")
    same(place, alone, compiled[0])


def test_a_finished_run_resumed_says_the_same_again(compiled, alone, tmp_path):
    place = tmp_path / "run"
    shutil.copytree(alone, place)
    (place / folder.WEIGHTS).unlink()
    said = go(place, compiled, resume=True)
    assert said[0].startswith("resumed at step 36 (epoch 3)")
    assert said[-1].startswith("test accuracy: ")
    same(place, alone, compiled[0])


def test_without_a_checkpoint_it_begins_again(compiled, alone, tmp_path):
    place = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        go(place, compiled, at(14, lambda: (interrupt(), interrupt())))
    assert not list((place / folder.CHECKPOINTS).glob("0*"))
    assert go(place, compiled, resume=True)[0] == f"no checkpoint in {place}: beginning at step 0"
    same(place, alone, compiled[0])


def test_signals_are_as_before_when_a_run_is_over(compiled, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(StoppedError) as stop:
        go(tmp_path / "run", compiled, at(2, lambda: signal.raise_signal(signal.SIGTERM)))
    assert stop.value.exit_code == 143
    assert str(stop.value).startswith("SIGTERM at step 2 (epoch 1); saved ")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_ctrl_c_interrupts_at_once(compiled, tmp_path):
    # The second comes before the first has been acted upon: nothing is saved.
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "run", compiled, at(2, lambda: (interrupt(), interrupt())))
    assert os.listdir(tmp_path / "run" / folder.CHECKPOINTS) == ["lock"]


def test_steps_end_a_run_in_the_middle_of_an_epoch(tmp_path):
    recipe = dataclasses.replace(RECIPE, steps=17)
    data = recipe.load(print)
    terminal = Watched()
    program = compile_program(recipe, data, devices.mesh(1, 16), terminal)
    run(recipe, tmp_path, program, data, terminal)
    assert [(line["epoch"], line["step"]) for line in lines(tmp_path)] == [(1, 12), (2, 17)]
    # The schedule has fallen to 0 by then: one more step would change nothing.
    ts, record = last(tmp_path, program)
    assert record["score"] == lines(tmp_path)[-1]["test_accuracy"]
    order = program.order(jax.random.key(0), jnp.int32(12))
    data = jax.device_put(data.train)
    after = program.repeat(ts, data, order, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, after.params, ts.params)


def test_two_trainers_in_one_folder(compiled, alone, tmp_path):
    place = tmp_path / "run"
    shutil.copytree(alone, place)
    script = (
        "import sys; from pathlib import Path; from train.lock import only_one\n"
        "with only_one(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(place / folder.CHECKPOINTS / "lock")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"in use: process {other.pid} trains there"):
            go(place, compiled, resume=True)
        other.kill()  # the system lets go of the lock
    go(place, compiled, resume=True)
    same(place, alone, compiled[0])
    with lock.only_one(place / folder.CHECKPOINTS / "lock"):
        pass


@contextmanager
def disk(place, megabytes):
    """A disk of that size at `place`, which only root can make."""
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)],
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("cannot mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full(compiled, alone, tmp_path):
    with disk(tmp_path / "disk", 4) as root:
        place = root / "run"

        def fill():
            while not (place / folder.CHECKPOINTS / "00000008" / "manifest.json").exists():
                time.sleep(0.01)
            left = os.statvfs(root)
            (root / "filler").write_bytes(bytes(left.f_bavail * left.f_bsize))

        with pytest.raises(SaveError) as error:
            go(place, compiled, at(15, fill), checkpoint_every=8)
        saved = place / folder.CHECKPOINTS
        saved = place / folder.CHECKPOINTS
        assert str(error.value) == (
            f"cannot save the checkpoint {saved}/00000016: No space left on device;"
            f" the last complete one is {saved}/00000008"
        )
        (root / "filler").unlink()
        assert go(place, compiled, resume=True)[0].startswith("resumed at step 8 ")
        same(place, alone, compiled[0])


def test_a_disk_that_is_read_only(compiled, alone, tmp_path):
    with disk(tmp_path / "disk", 4) as root:
        place = root / "run"
        go(place, compiled, checkpoint_every=30)
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
        with pytest.raises(OSError, match="Read-only file system"):
            go(place, compiled, resume=True)
        subprocess.run(["mount", "-o", "remount,rw", str(root)], check=True)
        same(place, alone, compiled[0])


class Broken(Tiny):
    """Now and then the images of a step are not finite, as its random numbers have it."""

    def augment(self, key, batch):
        bad = jax.random.uniform(key) < self.shift / 100
        images, labels = super().augment(key, batch)
        return jnp.where(bad, jnp.nan, images.astype(jnp.float32)), labels


BROKEN = Broken(epochs=3, devices=1, shift=5, seed=48)


@pytest.fixture(scope="module", params=["stop", "skip", "rollback"])
def broken(request):
    recipe = dataclasses.replace(BROKEN, nonfinite=request.param)
    data = recipe.load(print)
    return recipe, (compile_program(recipe, data, devices.mesh(1, 16), Watched()), data)


def bad_steps(recipe, key, first, last):
    """The steps after `first` that draw broken images with a key."""
    found = []
    for step in range(first, last):
        prepare = jax.random.fold_in(jax.random.fold_in(key, step), 0)
        if float(jax.random.uniform(prepare)) < recipe.shift / 100:
            found.append(step + 1)
    return found


def rollbacks(recipe, key, every):
    """(broken step, where the run is after it) of each rollback of a run of STEPS steps.

    Each goes to the last multiple of `every`, where the checkpoints are, and takes the next key.
    """
    found = []
    bad = bad_steps(recipe, key, 0, STEPS)
    while bad:
        back = (bad[0] - 1) // every * every
        found.append((bad[0], back))
        bad = bad_steps(recipe, jax.random.fold_in(key, len(found)), back, STEPS)
    return found


def test_numbers_that_are_not_finite(broken, tmp_path):
    recipe, compiled = broken
    place = tmp_path / "run"
    key = compiled[0].init(jnp.uint32(recipe.seed))[1]
    bad = bad_steps(recipe, key, 0, STEPS)
    assert 1 < len(bad) < 9
    assert bad[0] > 8
    what = rf"step {bad[0]} \(epoch {(bad[0] - 1) // PER_EPOCH + 1}\): state/stage1/1/mean is not f"
    go_on = {"recipe": recipe, "checkpoint_every": 8}

    if recipe.nonfinite == "stop":
        with pytest.raises(DivergedError, match=what):
            go(place, compiled, **go_on)
        return

    said = go(place, compiled, **go_on)
    assert re.match(what, said[0])
    skipped = [line["skipped_steps"] for line in lines(place)]
    if recipe.nonfinite == "skip":
        assert len([text for text in said if text.endswith(": left out")]) == len(bad)
        assert skipped == [
            sum(start < step <= start + PER_EPOCH for step in bad) for start in (0, 12, 24)
        ]
    else:
        expected = rollbacks(recipe, key, every=8)
        texts = [text for text in said if "back at step" in text]
        found = [tuple(map(int, re.findall(r"step (\d+)", text))) for text in texts]
        assert found == expected
        assert skipped == [0, 0, 0]
        assert last(place, compiled[0])[1]["rollbacks"] == len(expected)
    # Killed in between and resumed, the same happens again.
    other = tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        go(other, compiled, at(18, lose_power), **go_on)
    go(other, compiled, resume=True, **go_on)
    same(other, place, compiled[0])


def test_what_cannot_be_mended_stops(broken, tmp_path):
    recipe, compiled = broken
    program, data = compiled
    white = data._replace(train=(data.train[0], data.train[1] - 10**6))  # a label of no class
    with pytest.raises(DivergedError) as error:
        run(recipe, tmp_path, program, white, Watched())
    start = {
        "stop": r"step 1 \(epoch 1\): loss is not finite: try a smaller",
        "skip": r"step 10 \(epoch 1\): loss is not finite, and so in 10 steps in a row: try",
        "rollback": r"step 1 \(epoch 1\): loss is not finite, after 3 rollbacks: try",
    }[recipe.nonfinite]
    assert re.match(start, str(error.value))
    assert str(error.value).endswith(f"--learning-rate; {tmp_path} has what was saved before")


def test_sigterm_saves_and_exits(tmp_path):
    number = signal.SIGTERM
    small = ["--model.widths", "4", "--model.convs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "train", *small, "--epochs", "100000", "--runs-dir", tmp_path],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/metrics.jsonl")):  # until it trains
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    (place,) = tmp_path.iterdir()
    found = re.fullmatch(
        rf"python -m train: {number.name} at step (\d+) \(epoch \d+\); saved {place};"
        rf" to go on: python -m train --resume {place}\n",
        error,
    )
    assert found
    weights.load(place / folder.WEIGHTS)
    saved = max((place / folder.CHECKPOINTS).glob("0*"))
    assert int(saved.name) == int(found[1])


def test_killed_processes(tmp_path):
    """A few of what `python -m tests.torture` does by the hundred."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture", "--kills", "2", "--resumes", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^2 kills .* every run as one left alone$", done.stdout, re.MULTILINE)
    assert re.search(r"^1 resumes .* every run as one left alone$", done.stdout, re.MULTILINE)


@pytest.fixture
def on_the_command_line(alone, tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "tiny", Tiny)
    runs = tmp_path / "runs"
    shutil.copytree(alone, runs / "older")
    shutil.copytree(alone, runs / "newer")
    newest = runs / "newer" / folder.CHECKPOINTS / "00000036" / "manifest.json"
    os.utime(newest, (time.time() + 60, time.time() + 60))
    return runs


def test_resume_takes_the_settings_of_the_run(on_the_command_line):
    runs = on_the_command_line
    expected = dataclasses.replace(RECIPE, resume=str(runs / "older"), runs_dir=runs)
    assert cli.parse(["--resume", str(runs / "older")]) == expected
    assert cli.parse(["tiny", f"--resume={runs / 'older'}", "--devices", "2", "--keep", "5"]) == (
        dataclasses.replace(expected, devices=2, keep=5)
    )
    latest = dataclasses.replace(expected, resume=str(runs / "newer"))
    in_words = ["--set", "resume=latest", "--set", f"runs_dir={runs}", "--set", "model.convs=1"]
    assert cli.parse(in_words) == latest
    assert cli.parse(["--resume", "latest", "--runs-dir", str(runs)]) == latest
    assert cli.parse(["tiny", "--resume", "latest", "--runs_dir", str(runs)]) == latest


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--resume {runs}/older --epochs 9", "older: --epochs is 9, and was 3"),
        ("--resume {runs}/older --seeds 2", "older: --seeds is [0, 1], and was []"),
        ("--resume {runs}/older --model.widths 5", "older: --model is {'family': 'plain', "),
        ("digits --resume {runs}/older", "older: it is a run of tiny, not of digits"),
        (
            "--resume {runs}",
            "config.json: expected a file of a run, but it cannot be read: No such",
        ),
        ("digits --resume latest --runs-dir {runs}", "no run of digits in {runs} has a checkpoint"),
        ("--resume latest --runs-dir {runs}/x", "--resume latest: no run in {runs}/x has a check"),
        ("--resume", "Missing value for argument '--resume'"),
        ("--resume {runs}/older --epoch 9", "no option --epoch, did you mean --epochs?"),
    ],
)
def test_resume_refuses_what_does_not_fit(on_the_command_line, capsys, options, expected):
    runs = on_the_command_line
    assert cli.main(options.format(runs=runs).split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m train: ")
    assert expected.replace("{runs}", str(runs)) in error
    assert error.count("\n") == 1


def test_a_damaged_configuration_is_named(on_the_command_line, capsys):
    config = on_the_command_line / "older" / folder.CONFIG
    config.write_text(config.read_text()[:-20])
    assert cli.main(["--resume", str(config.parent)]) == 2
    assert f"{config}: expected JSON, but: " in capsys.readouterr().err


def test_a_checkpoint_of_other_settings_is_refused(compiled, alone, tmp_path):
    place = tmp_path / "run"
    shutil.copytree(alone, place)
    with pytest.raises(UserError, match=r"--learning-rate is 0.5, and was 0.003"):
        go(place, compiled, resume=True, learning_rate=0.5)
