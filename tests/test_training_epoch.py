import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import compilations

import fcnn
from fcnn.training import batch_order, epoch_step, init_train_state, train_step

KEY = jax.random.key(3)
MODEL = fcnn.sequential(
    fcnn.Conv(4), fcnn.BatchNorm(), jax.nn.relu, fcnn.Dropout(0.3), fcnn.flatten, fcnn.Dense(3)
)
OPTIMIZER = optax.adam(1e-2)
OPTIONS = {"ema_decay": 0.9, "clip_norm": 1.0, "accumulate": 2, "skip_nonfinite": True}

# XLA compiles the same step to other machine code inside a loop (other convolution kernels, other
# fusions), so sums come in another order; Adam divides by small numbers, which magnifies that.
SCAN = {"rtol": 1e-4, "atol": 1e-5}


def prepare(key, inputs, labels):
    inputs = inputs.astype(jnp.float32) / 255
    return inputs + 0.1 * jax.random.normal(key, inputs.shape), labels


def dataset(n=22):
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 256, (n, 6, 6, 2)).astype(np.uint8)
    return jnp.asarray(inputs), jnp.asarray(rng.integers(0, 3, n))


STEP = train_step(MODEL, OPTIMIZER, prepare=prepare, **OPTIONS)
EPOCH = epoch_step(MODEL, OPTIMIZER, batch_size=4, prepare=prepare, **OPTIONS)


def start():
    return init_train_state(MODEL, OPTIMIZER, KEY, (1, 6, 6, 2), ema=True)


def test_an_epoch_is_its_steps():
    inputs, labels = dataset()
    one = start()
    rows = []
    for row in batch_order(KEY, 0, 22, 4):
        one, metrics = STEP(one, (inputs[row], labels[row]), KEY)
        rows.append(metrics)
    whole, metrics = EPOCH(start(), (inputs, labels), KEY)
    assert whole.step == one.step == 5
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    chex.assert_trees_all_close(metrics, stacked, **SCAN)
    chex.assert_trees_all_close(whole, one, **SCAN)


def test_an_epoch_from_the_middle_trains_on_what_is_left():
    inputs, labels = dataset()
    order = jnp.concatenate([batch_order(KEY, s, 22, 4) for s in (0, 5)])
    one = start()
    for row in order[:7]:
        one, _ = STEP(one, (inputs[row], labels[row]), KEY)
    resumed = start()
    for row in order[:2]:
        resumed, _ = STEP(resumed, (inputs[row], labels[row]), KEY)
    resumed, _ = EPOCH(resumed, (inputs, labels), KEY)
    assert resumed.step == 7
    chex.assert_trees_all_close(resumed, one, **SCAN)


def test_epochs_repeat_bit_for_bit_and_compile_once():
    runs = []
    for _ in range(2):
        ts = given = start()
        ts, first = EPOCH(ts, dataset(), KEY)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))
        data = dataset()
        with compilations() as again:
            ts, second = EPOCH(ts, data, KEY)
        assert not again
        runs.append((ts, first, second))
    chex.assert_trees_all_equal(*runs)


def test_batch_order():
    first = np.asarray(batch_order(KEY, 0, 22, 4))
    second = np.asarray(batch_order(KEY, 5, 22, 4))
    for order in (first, second):
        assert order.shape == (5, 4)
        assert len(set(order.ravel())) == 20
        assert order.min() >= 0
        assert order.max() < 22
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, batch_order(jax.random.key(4), 0, 22, 4))
    for step in range(5):
        rows = np.concatenate([first, second])[step : step + 5]
        np.testing.assert_array_equal(batch_order(KEY, step, 22, 4), rows)
        np.testing.assert_array_equal(
            jax.jit(batch_order, static_argnums=(2, 3))(KEY, jnp.int32(step), 22, 4), rows
        )


def test_every_example_is_left_out_in_turn():
    # 2 of 22 are left out of each epoch, others each time.
    used = np.zeros(22, int)
    for epoch in range(40):
        used[np.asarray(batch_order(KEY, 5 * epoch, 22, 4)).ravel()] += 1
    assert used.sum() == 40 * 20
    assert used.min() >= 28  # mean 36.4, standard deviation 1.8: 4.6 of them below
    assert used.max() <= 40


@pytest.mark.parametrize("batch_size", [0, 2.5, True])
def test_batch_size_must_count(batch_size):
    with pytest.raises(ValueError, match="batch_size must be an int of 1 or more"):
        epoch_step(MODEL, OPTIMIZER, batch_size=batch_size)


def test_errors():
    with pytest.raises(ValueError, match="batch_size=23 is larger than the set of 22 examples"):
        epoch_step(MODEL, OPTIMIZER, batch_size=23, ema_decay=0.9)(start(), dataset(), KEY)
    inputs, labels = dataset()
    with pytest.raises(ValueError, match=r"the data set: .*\(22, 6, 6, 2\) and labels \(21,\)"):
        epoch_step(MODEL, OPTIMIZER, batch_size=4)(start(), (inputs, labels[:21]), KEY)
