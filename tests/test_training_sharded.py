import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import fcnn
from fcnn.training import evaluate, init_train_state, train_step

KEY = jax.random.key(11)
MODEL = fcnn.sequential(
    fcnn.Conv(4), fcnn.BatchNorm(), jax.nn.relu, fcnn.Dropout(0.3), fcnn.flatten, fcnn.Dense(3)
)
OPTIMIZER = optax.sgd(0.1, momentum=0.9)
# Each device sums its share first: float32 sums in another order, through four steps.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def mesh():
    devices = jax.devices("cpu")
    if len(devices) < 4:
        pytest.skip("needs 4 CPU devices")
    return Mesh(np.array(devices[:4]), ("data",))


def batches():
    # The examples of each device's share differ in mean and spread, so that statistics of one share
    # are far from those of the batch.
    rng = np.random.default_rng(0)
    shift = np.repeat(np.arange(4.0), 4)[:, None, None, None]
    for _ in range(4):
        inputs = (1 + shift) * rng.normal(size=(16, 6, 6, 2)) + shift
        yield inputs.astype(np.float32), rng.integers(0, 3, 16)


def prepare(key, inputs, labels):
    return inputs + 0.1 * jax.random.normal(key, inputs.shape), labels


@pytest.mark.parametrize("accumulate", [1, 2])
def test_four_devices_are_one(mesh, accumulate):
    split = NamedSharding(mesh, PartitionSpec("data"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    step = train_step(MODEL, OPTIMIZER, prepare=prepare, accumulate=accumulate, ema_decay=0.9)

    def run(state_sharding, batch_sharding):
        ts = init_train_state(MODEL, OPTIMIZER, KEY, (1, 6, 6, 2), ema=True)
        ts = jax.device_put(ts, state_sharding)
        history = []
        for batch in batches():
            ts, metrics = step(ts, jax.device_put(batch, batch_sharding), KEY)
            history.append(metrics)
        return ts, history

    one = run(jax.devices()[0], jax.devices()[0])
    four = run(everywhere, split)
    assert len(four[0].params["0"]["kernel"].sharding.device_set) == 4
    chex.assert_trees_all_close(four, one, **CLOSE)


def test_evaluation_over_four_devices(mesh):
    inputs, labels = next(batches())
    numbers = MODEL.init(KEY, (1, 6, 6, 2))
    one = evaluate(MODEL, batch_size=5)(*numbers, (inputs, labels))
    split = jax.device_put((inputs, labels), NamedSharding(mesh, PartitionSpec("data")))
    numbers = jax.device_put(numbers, NamedSharding(mesh, PartitionSpec()))
    four = evaluate(MODEL, batch_size=5)(*numbers, split)
    chex.assert_trees_all_close(four, one, **CLOSE)
    assert jnp.issubdtype(four["predictions"].dtype, jnp.integer)
