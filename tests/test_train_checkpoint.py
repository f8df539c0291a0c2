"""Checkpoints: what is saved comes back bit for bit; what is damaged is named and passed over."""

import errno
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fcnn
from fcnn.training import init_train_state, train_step
from train.checkpoint import Checkpoints, SaveError, key_from_json, key_to_json
from train.errors import DataError

MODEL = fcnn.sequential(fcnn.Conv(3), fcnn.BatchNorm(), fcnn.flatten, fcnn.Dense(2))
OPTIMIZER = optax.adamw(1e-2, mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params))
BATCH = jnp.arange(4 * 9.0).reshape(4, 3, 3, 1), jnp.arange(4) % 2


@pytest.fixture(scope="module")
def states():
    """A train_state after 0, 1, … 5 steps."""
    step = train_step(MODEL, OPTIMIZER, ema_decay=0.9)
    ts = init_train_state(MODEL, OPTIMIZER, jax.random.key(0), BATCH[0], ema=True)
    found = []
    for _ in range(6):
        found.append(jax.tree.map(jnp.copy, ts))
        ts, _ = step(ts, BATCH, jax.random.key(1))
    return found


def record(score=None, **more):
    return {"score": score, **more}


def save(folder, states, keep=9, scores=None):
    """Checkpoints of steps 1, 2, 3 …"""
    with Checkpoints(folder, keep) as checkpoints:
        for index, ts in enumerate(states[1:]):
            checkpoints.save(ts, record(scores[index] if scores else None, number=index + 1))
        checkpoints.wait()


def restore(folder, states):
    warnings = []
    with Checkpoints(folder, 9) as checkpoints:
        found = checkpoints.restore(states[0], warnings.append)
    return found, warnings


def equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert [leaf.dtype for leaf in jax.tree.leaves(one)] == [
        leaf.dtype for leaf in jax.tree.leaves(other)
    ]


def test_what_is_saved_comes_back_bit_for_bit(tmp_path, states):
    save(tmp_path, states[:4])
    (ts, read), warnings = restore(tmp_path, states)
    equal(ts, states[3])
    assert read == record(number=3)
    assert warnings == []


def test_nothing_saved_is_none(tmp_path, states):
    assert restore(tmp_path, states) == (None, [])


def test_a_save_is_of_its_moment_though_training_goes_on_in_the_same_buffers(tmp_path, states):
    step = train_step(MODEL, OPTIMIZER, ema_decay=0.9)
    ts = jax.tree.map(jnp.copy, states[2])
    with Checkpoints(tmp_path, 2) as checkpoints:
        checkpoints.save(ts, record())
        for _ in range(30):
            ts, _ = step(ts, BATCH, jax.random.key(1))  # donates what is being written
    equal(restore(tmp_path, states)[0][0], states[2])


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([0.5, 0.9, 0.7, 0.6, 0.8], [2, 4, 5]),
        ([0.5, 0.6, 0.7, 0.8, 0.9], [4, 5]),
        ([None, None, None, None, None], [4, 5]),
        ([0.0, None, None, None, None], [1, 4, 5]),
        ([None, None, 0.1, None, None], [3, 4, 5]),
    ],
)
def test_the_last_ones_and_the_best_are_kept(tmp_path, states, scores, kept):
    save(tmp_path, states, keep=2, scores=scores)
    assert sorted(int(name) for name in os.listdir(tmp_path)) == kept


@pytest.mark.parametrize("name", ["record.json", "arrays/_METADATA", "arrays/manifest.ocdbt"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, states, name, damage):
    save(tmp_path, states[:3])
    path = tmp_path / "00000002" / name
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:-1])
    elif damage == "flipped":
        path.write_bytes(content[:9] + bytes([content[9] ^ 16]) + content[10:])
    else:
        path.unlink()
    (ts, read), warnings = restore(tmp_path, states)
    equal(ts, states[1])
    assert read == record(number=1)
    (warning,) = warnings
    assert warning.startswith(f"warning: damaged checkpoint: {path}: ")
    size = len(content)
    expected = {
        "truncated": f"expected {size} bytes, found {size - 1}",
        "flipped": "its bytes are not those that were written",
        "missing": "No such file",
    }
    assert expected[damage] in warning
    # It does not get in the way of the next one of the same step.
    save(tmp_path, states[:3])
    equal(restore(tmp_path, states)[0][0], states[2])


def test_every_array_file_is_covered(tmp_path, states):
    save(tmp_path, states[:3])
    arrays = tmp_path / "00000002" / "arrays"
    names = [path for path in arrays.rglob("*") if path.is_file()]
    assert len(names) > 5
    for path in names:
        shutil.copytree(tmp_path, other := tmp_path.with_name("other"))
        target = other / path.relative_to(tmp_path)
        target.write_bytes(target.read_bytes()[:-1] or b"more")
        (ts, _), warnings = restore(other, states)
        assert str(target) in warnings[0]
        equal(ts, states[1])
        shutil.rmtree(other)


def test_what_a_kill_left_is_no_checkpoint(tmp_path, states):
    save(tmp_path, states[:3])
    (tmp_path / "00000002" / "manifest.json").unlink()
    (ts, _), warnings = restore(tmp_path, states)
    equal(ts, states[1])
    assert warnings == []
    assert sorted(os.listdir(tmp_path)) == ["00000001"]


def test_damage_everywhere_is_an_error(tmp_path, states):
    save(tmp_path, states[:3])
    for name in ("00000001", "00000002"):
        (tmp_path / name / "record.json").write_text("{}")
    with pytest.raises(DataError, match="every checkpoint is damaged"):
        restore(tmp_path, states)
    with pytest.raises(DataError, match="every checkpoint is damaged"):  # and stays one
        restore(tmp_path, states)


# A save calls fsync 24 times or, as Orbax's threads divide the work, a few times more; 99 stands
# for the last call, of the folder of the checkpoints.
@pytest.mark.parametrize("call", [1, 2, 3, 12, 23, 24, 99])
def test_a_full_disk_is_an_error_and_the_old_checkpoint_stays(tmp_path, states, monkeypatch, call):
    save(tmp_path, states[:2])
    calls = []
    folder = os.open(tmp_path, os.O_RDONLY)

    def full(handle):
        calls.append(handle)
        if len(calls) >= call or os.path.sameopenfile(handle, folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Checkpoints(tmp_path, 1) as checkpoints:
        monkeypatch.setattr(os, "fsync", full)
        checkpoints.save(states[2], record())
        with pytest.raises(SaveError) as error:
            checkpoints.wait()
        monkeypatch.undo()
        assert "00000002: " in str(error.value)
        assert "No space left on device" in str(error.value)
        assert str(error.value).endswith(f"the last complete one is {tmp_path / '00000001'}")
        assert sorted(os.listdir(tmp_path)) == ["00000001"]
        os.close(folder)
        # With room again, it goes on.
        checkpoints.save(states[3], record())
    equal(restore(tmp_path, states)[0][0], states[3])


def test_keys_come_back():
    key = jax.random.fold_in(jax.random.key(3), 8)
    again = key_from_json(key_to_json(key))
    assert again.dtype == key.dtype
    np.testing.assert_array_equal(jax.random.key_data(again), jax.random.key_data(key))
