import dataclasses
import functools
import io

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import compilations

import fcnn
from fcnn.training import TrainState, cross_entropy, init_train_state, train_step

KEY = jax.random.key(7)
CLOSE = 1e-6  # a few float32 roundings of numbers near 1

LINEAR = fcnn.sequential(fcnn.Dense(3))
CONVOLUTIONAL = fcnn.sequential(
    fcnn.Conv(4), jax.nn.relu, fcnn.MaxPool(2), fcnn.flatten, fcnn.Dense(3)
)
NORMALISED = fcnn.sequential(
    fcnn.Conv(4), fcnn.BatchNorm(), jax.nn.relu, fcnn.Dropout(0.2), fcnn.flatten, fcnn.Dense(3)
)


def features(n=8):
    """n examples of 5 features, 3 classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 5)).astype(np.float32), rng.integers(0, 3, n).astype(np.int32)


def images(n=8):
    """n images (6, 6, 2), 3 classes."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, 6, 6, 2)).astype(np.float32), rng.integers(0, 3, n).astype(np.int32)


def copied(tree):
    return jax.tree.map(np.array, tree)


def linear_gradient(params, inputs, labels):
    """Mean loss and its gradient for LINEAR, by hand, in float64."""
    kernel, bias = (np.float64(params["0"][name]) for name in ("kernel", "bias"))
    logits = np.float64(inputs) @ kernel + bias
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    n = len(labels)
    loss = -np.log(softmax[np.arange(n), labels]).mean()
    error = (softmax - np.eye(3)[labels]) / n
    accuracy = (logits.argmax(axis=1) == labels).mean()
    grads = {"0": {"bias": error.sum(axis=0), "kernel": np.float64(inputs).T @ error}}
    return loss, accuracy, grads


def norm(tree):
    return np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(tree)))


def test_a_step_is_gradient_descent_by_hand():
    batch = features()
    ts = init_train_state(LINEAR, optax.sgd(0.5), KEY, batch[0])
    loss, accuracy, grads = linear_gradient(ts.params, *batch)
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, copied(ts.params), grads)
    ts, metrics = train_step(LINEAR, optax.sgd(0.5))(ts, batch, KEY)

    chex.assert_trees_all_close(ts.params, expected, rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=CLOSE)
    np.testing.assert_allclose(metrics["accuracy"], accuracy, rtol=CLOSE)
    np.testing.assert_allclose(metrics["grad_norm"], norm(grads), rtol=CLOSE)
    assert sorted(metrics) == ["accuracy", "finite", "grad_norm", "loss"]
    assert metrics["finite"] == 1.0
    chex.assert_trees_all_equal_dtypes(metrics, {name: jnp.zeros(()) for name in metrics})
    assert ts.step == 1
    assert ts.step.dtype == jnp.int32
    assert ts.state == {}


@pytest.mark.parametrize("clip_norm", [0.01, 100.0])
def test_clipping_scales_a_longer_gradient_to_the_norm(clip_norm):
    batch = features()
    ts = init_train_state(LINEAR, optax.sgd(0.5), KEY, batch[0])
    _, _, grads = linear_gradient(ts.params, *batch)
    scale = min(1.0, clip_norm / norm(grads))
    expected = jax.tree.map(lambda p, g: p - 0.5 * scale * g, copied(ts.params), grads)
    opt_state = jax.tree.structure(ts.opt_state)
    ts, metrics = train_step(LINEAR, optax.sgd(0.5), clip_norm=clip_norm)(ts, batch, KEY)
    chex.assert_trees_all_close(ts.params, expected, rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(metrics["grad_norm"], norm(grads), rtol=CLOSE)
    assert jax.tree.structure(ts.opt_state) == opt_state


def test_ema_is_the_debiased_average_of_the_params_after_each_step():
    batch, decay = features(), 0.9
    ts = init_train_state(LINEAR, optax.sgd(0.5), KEY, batch[0], ema=True)
    chex.assert_trees_all_equal(ts.ema, ts.params)
    step = train_step(LINEAR, optax.sgd(0.5), ema_decay=decay)
    visited = []
    for _ in range(4):
        ts, _ = step(ts, batch, KEY)
        visited.append(copied(ts.params))
        t = len(visited)
        weights = np.array([decay ** (t - i) for i in range(1, t + 1)])
        weights /= weights.sum()
        expected = jax.tree.map(lambda *p: np.tensordot(weights, p, 1), *visited)  # noqa: B023
        chex.assert_trees_all_close(ts.ema, expected, rtol=CLOSE, atol=CLOSE)


def test_accumulating_without_batch_norm_is_the_full_batch():
    batch = images(12)
    optimizer = optax.adam(1e-2)
    results = []
    for accumulate in (1, 3):
        ts = init_train_state(CONVOLUTIONAL, optimizer, KEY, batch[0])
        step = train_step(CONVOLUTIONAL, optimizer, accumulate=accumulate)
        for _ in range(3):
            ts, metrics = step(ts, batch, KEY)
        results.append((ts, metrics))
    # Sums in another order, through three steps of Adam, which divides by small numbers.
    chex.assert_trees_all_close(*results, rtol=1e-4, atol=1e-5)


def test_accumulating_threads_the_batch_norm_state():
    model = fcnn.sequential(fcnn.BatchNorm(decay=0.5), fcnn.flatten, fcnn.Dense(3))
    inputs, labels = images(8)
    ts = init_train_state(model, optax.sgd(0.1), KEY, inputs)
    state = copied(ts.state)
    for part in (inputs[0::2], inputs[1::2]):
        _, state = model.apply(ts.params, state, jnp.asarray(part), train=True)
    expected = copied(state)
    ts, _ = train_step(model, optax.sgd(0.1), accumulate=2)(ts, (inputs, labels), KEY)
    chex.assert_trees_all_close(ts.state, expected, rtol=CLOSE, atol=CLOSE)


@dataclasses.dataclass(frozen=True)
class Draws:
    """A layer that remembers the last six numbers its key gave."""

    def init(self, key, x):
        return {}, {"draws": jnp.zeros(6)}

    def apply(self, params, state, x, *, train, key=None):
        if not train:
            return x, state
        return x, {"draws": jnp.roll(state["draws"], 1).at[0].set(jax.random.uniform(key))}


def noise(key, inputs, labels):
    return jax.random.uniform(key, inputs.shape), labels


@dataclasses.dataclass(frozen=True)
class LastInput:
    """A layer that remembers the first number it was given."""

    def init(self, key, x):
        return {}, {"first": jnp.zeros(())}

    def apply(self, params, state, x, *, train, key=None):
        return x, {"first": x[0, 0]}


def test_every_step_and_micro_batch_has_its_own_randomness():
    model = fcnn.sequential(LastInput(), Draws(), fcnn.Dense(3))
    batch = features()
    optimizer = optax.sgd(0.1)
    step = train_step(model, optimizer, prepare=noise, accumulate=3)

    def run(key):
        ts = init_train_state(model, optimizer, KEY, batch[0])
        prepared = []
        for _ in range(2):
            ts, _ = step(ts, (batch[0][:6], batch[1][:6]), key)
            prepared.append(float(ts.state["0"]["first"]))
        return prepared + ts.state["1"]["draws"].tolist()

    numbers = run(KEY)
    assert len(set(numbers)) == 8
    assert numbers == run(KEY)
    assert not set(numbers) & set(run(jax.random.key(8)))


def test_prepare_sees_the_raw_batch():
    def scale(key, inputs, labels):
        return inputs.astype(jnp.float32) / 255, jax.nn.one_hot(labels, 3)

    inputs, labels = features()
    raw = np.random.default_rng(2).integers(0, 256, inputs.shape).astype(np.uint8)
    ts = init_train_state(LINEAR, optax.sgd(0.5), KEY, inputs)
    _, accuracy, grads = linear_gradient(ts.params, raw / 255, labels)
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, copied(ts.params), grads)
    ts, metrics = train_step(LINEAR, optax.sgd(0.5), prepare=scale)(ts, (raw, labels), KEY)
    chex.assert_trees_all_close(ts.params, expected, rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(metrics["accuracy"], accuracy, rtol=CLOSE)  # of soft labels


def test_the_rest_of_a_batch_is_for_prepare_and_mixed_labels_count_by_their_argmax():
    def mix(key, inputs, labels, other, share):
        one_hot = jax.nn.one_hot(labels, 3)
        return inputs, share[:, None] * one_hot + (1 - share[:, None]) * one_hot[other]

    inputs, labels = features()
    other = np.roll(np.arange(8), 1)
    share = np.linspace(0.3, 0.9, 8, dtype=np.float32)
    ts = init_train_state(LINEAR, optax.sgd(0.5), KEY, inputs)
    logits = inputs @ np.array(ts.params["0"]["kernel"]) + np.array(ts.params["0"]["bias"])
    _, metrics = train_step(LINEAR, optax.sgd(0.5), prepare=mix)(
        ts, (inputs, labels, other, share), KEY
    )
    rows = np.arange(8)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    first, second = -np.log(chances[rows, labels]), -np.log(chances[rows, labels[other]])
    np.testing.assert_allclose(metrics["loss"], (share * first + (1 - share) * second).mean(), 1e-6)
    heavier = np.where(share > 0.5, labels, labels[other])
    assert (heavier != labels).any()
    np.testing.assert_allclose(metrics["accuracy"], (logits.argmax(axis=1) == heavier).mean())


def test_skip_nonfinite_keeps_everything_but_the_step():
    inputs, labels = images()
    broken = inputs.copy()
    broken[3, 0, 0, 0] = np.nan
    optimizer = optax.adam(1e-2)
    step = train_step(NORMALISED, optimizer, skip_nonfinite=True, ema_decay=0.9)
    ts = init_train_state(NORMALISED, optimizer, KEY, inputs, ema=True)
    ts, metrics = step(ts, (inputs, labels), KEY)
    assert metrics["finite"] == 1.0
    before = copied(ts)

    ts, metrics = step(ts, (broken, labels), KEY)
    assert metrics["finite"] == 0.0
    assert np.isnan(metrics["loss"])
    chex.assert_trees_all_equal(ts, before._replace(step=before.step + 1))

    ts, metrics = step(ts, (inputs, labels), KEY)
    assert metrics["finite"] == 1.0
    assert ts.step == 3
    assert not np.array_equal(ts.params["0"]["kernel"], before.params["0"]["kernel"])
    chex.assert_tree_all_finite(ts)


def root(logits, labels):
    """0 where the logits are 0, where its gradient is infinite."""
    return jnp.sqrt(jnp.abs(logits).sum(axis=-1))


def test_a_finite_loss_with_a_non_finite_gradient_is_skipped():
    model = fcnn.sequential(fcnn.Dense(3, kernel_init=fcnn.initializers.zeros))
    batch = features()
    step = train_step(model, optax.sgd(0.1), root, skip_nonfinite=True)
    ts = init_train_state(model, optax.sgd(0.1), KEY, batch[0])
    before = copied(ts.params)
    ts, metrics = step(ts, batch, KEY)
    assert metrics["loss"] == 0.0
    assert metrics["finite"] == 0.0
    chex.assert_trees_all_equal(ts.params, before)


def test_an_infinite_statistic_is_skipped():
    model = fcnn.sequential(fcnn.BatchNorm(), fcnn.flatten, fcnn.Dense(3))
    inputs, labels = images()
    inputs[:, :, :, 0] *= 1e25  # its variance is more than float32 holds
    step = train_step(model, optax.sgd(0.1), skip_nonfinite=True)
    ts = init_train_state(model, optax.sgd(0.1), KEY, inputs)
    before = copied(ts.state)
    ts, metrics = step(ts, (inputs, labels), KEY)
    assert metrics["finite"] == 0.0
    chex.assert_trees_all_equal(ts.state, before)


def test_without_the_guard_a_bad_step_is_reported():
    inputs, labels = features()
    step = train_step(LINEAR, optax.sgd(0.1))
    ts = init_train_state(LINEAR, optax.sgd(0.1), KEY, inputs)
    ts, metrics = step(ts, (np.full_like(inputs, np.nan), labels), KEY)
    assert metrics["finite"] == 0.0
    assert np.isnan(ts.params["0"]["kernel"]).all()


def test_bfloat16_touches_the_activations_alone():
    batch = images()
    optimizer = optax.adam(1e-2)

    def seen(logits, labels):
        assert logits.dtype == jnp.float32
        return cross_entropy(logits, labels)

    def relu(x):
        assert x.dtype == jnp.bfloat16
        return jax.nn.relu(x)

    layers = [relu if layer is jax.nn.relu else layer for layer in NORMALISED.layers]
    model = fcnn.sequential(*layers)
    ts = init_train_state(NORMALISED, optimizer, KEY, batch[0], ema=True)
    dtypes = jax.tree.map(lambda leaf: leaf.dtype, ts)
    step = train_step(model, optimizer, seen, dtype=jnp.bfloat16, ema_decay=0.9)
    ts, metrics = step(ts, batch, KEY)
    assert jax.tree.map(lambda leaf: leaf.dtype, ts) == dtypes
    exact = init_train_state(NORMALISED, optimizer, KEY, batch[0], ema=True)
    _, wanted = train_step(NORMALISED, optimizer, ema_decay=0.9)(exact, batch, KEY)
    # bfloat16 keeps 8 bits: 0.4 % a rounding, a few roundings deep.
    np.testing.assert_allclose(metrics["loss"], wanted["loss"], rtol=0.03)
    np.testing.assert_allclose(metrics["grad_norm"], wanted["grad_norm"], rtol=0.03)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adamw(1e-3),
        optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0.9),
        optax.contrib.schedule_free_sgd(0.1),  # keeps the params themselves in its state
    ],
    ids=["adamw", "inject_hyperparams", "schedule_free"],
)
def test_donation_and_no_recompilation(optimizer):
    batch = images()
    step = train_step(NORMALISED, optimizer, ema_decay=0.99, clip_norm=1.0)
    ts = init_train_state(NORMALISED, optimizer, KEY, batch[0], ema=True)
    given = ts
    with compilations() as first:
        ts, _ = step(ts, batch, KEY)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))
    key = jax.random.key(1)
    with compilations() as second:
        ts, _ = step(ts, images(), key)
    assert (len(first), len(second)) == (1, 0)
    assert ts.step == 2


def test_a_restart_repeats_the_run_bit_for_bit():
    optimizer = optax.adam(1e-2)
    batches = [(images(40)[0][i : i + 8], images(40)[1][i : i + 8]) for i in range(0, 40, 8)]
    step = train_step(NORMALISED, optimizer, ema_decay=0.9, prepare=augment, accumulate=2)

    def run(ts, batches):
        metrics = []
        for batch in batches:
            ts, row = step(ts, batch, KEY)
            metrics.append(row)
        return ts, metrics

    whole, whole_metrics = run(fresh(optimizer), batches)
    half, first = run(fresh(optimizer), batches[:2])
    file = io.BytesIO()
    leaves, treedef = jax.tree.flatten(half)
    np.savez(file, *leaves)
    file.seek(0)
    saved = np.load(file)
    restored = jax.tree.unflatten(treedef, [jnp.asarray(saved[name]) for name in saved.files])
    resumed, second = run(restored, batches[2:])
    chex.assert_trees_all_equal(resumed, whole)
    chex.assert_trees_all_equal(first + second, whole_metrics)


def fresh(optimizer):
    return init_train_state(NORMALISED, optimizer, KEY, (1, 6, 6, 2), ema=True)


def augment(key, inputs, labels):
    return inputs + 0.1 * jax.random.normal(key, inputs.shape), labels


def test_overfits_32_images():
    model = fcnn.sequential(
        fcnn.Conv(8), fcnn.BatchNorm(), jax.nn.relu, fcnn.MaxPool(2), fcnn.flatten, fcnn.Dense(10)
    )
    rng = np.random.default_rng(3)
    batch = rng.normal(size=(32, 8, 8, 1)).astype(np.float32), rng.integers(0, 10, 32)
    optimizer = optax.adam(1e-2)
    step = train_step(model, optimizer)
    ts = init_train_state(model, optimizer, KEY, batch[0])
    for _ in range(100):
        ts, metrics = step(ts, batch, KEY)
    assert metrics["accuracy"] == 1.0
    assert metrics["loss"] < 0.05
    logits, _ = model.apply(ts.params, ts.state, jnp.asarray(batch[0]), train=False)
    np.testing.assert_array_equal(logits.argmax(axis=1), batch[1])


def test_a_custom_loss_and_dense_predictions():
    model = fcnn.sequential(fcnn.Conv(3))
    inputs = images()[0]
    labels = np.random.default_rng(4).integers(0, 3, inputs.shape[:3])

    def pixels(logits, labels):
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(axis=(1, 2))

    ts = init_train_state(model, optax.sgd(0.1), KEY, inputs)
    logits, _ = model.apply(ts.params, ts.state, jnp.asarray(inputs), train=True)
    accuracy = (np.asarray(logits).argmax(axis=-1) == labels).mean()
    _, metrics = train_step(model, optax.sgd(0.1), pixels)(ts, (inputs, labels), KEY)
    np.testing.assert_allclose(metrics["accuracy"], accuracy, rtol=CLOSE)


def mean_loss(logits, labels):
    return cross_entropy(logits, labels).mean()


def dropping(key, inputs, labels):
    return inputs[:-1], labels


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"accumulate": 0}, "accumulate must be an int of 1 or more, got 0"),
        ({"accumulate": 2.0}, "accumulate must be an int of 1 or more, got 2.0"),
        ({"clip_norm": 0.0}, "clip_norm must be positive and finite, got 0.0"),
        ({"clip_norm": float("nan")}, "clip_norm must be positive and finite, got nan"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \(0, 1\), got 1.0"),
        ({"ema_decay": float("nan")}, r"ema_decay must be in \(0, 1\), got nan"),
        ({"dtype": jnp.int32}, "dtype must be floating, got int32"),
    ],
)
def test_options_out_of_range(options, text):
    with pytest.raises(ValueError, match=text):
        train_step(LINEAR, optax.sgd(0.1), **options)


X, Y = features()


@pytest.mark.parametrize(
    ("batch", "options", "error", "text"),
    [
        (X, {}, ValueError, r"batch must be a pair \(inputs, labels\), got"),
        ((X, Y, Y), {}, ValueError, r"batch must be a pair"),
        ((X, Y[:5]), {}, ValueError, r"got inputs \(8, 5\) and labels \(5,\)"),
        ((X[:0], Y[:0]), {}, ValueError, r"batch is empty"),
        ((X, np.zeros((8, 2), np.float32)), {}, ValueError, r"logits \(8, 3\): labels must be"),
        ((X, Y.astype(np.float32)), {}, TypeError, r"must be integers, got float32"),
        ((X.astype(np.uint8), Y), {}, TypeError, r"inputs must be floating, got uint8"),
        ((X, Y), {"accumulate": 3}, ValueError, r"accumulate=3 does not divide the batch of 8"),
        ((X, Y), {"loss": mean_loss}, ValueError, r"per example, shape \(8,\), got shape \(\)"),
        ((X, Y), {"prepare": dropping}, ValueError, r"result of prepare: .* \(7, 5\) and .* \(8,"),
        ((X, Y), {"ema_decay": 0.9}, ValueError, r"needs init_train_state\(..., ema=True\)"),
    ],
)
def test_errors(batch, options, error, text):
    step = train_step(LINEAR, optax.sgd(0.1), **options)
    ts = init_train_state(LINEAR, optax.sgd(0.1), KEY, X)
    with pytest.raises(error, match=text):
        step(ts, batch, KEY)


def test_an_average_that_would_not_move_is_an_error():
    ts = init_train_state(LINEAR, optax.sgd(0.1), KEY, X, ema=True)
    with pytest.raises(ValueError, match="needs an ema_decay"):
        train_step(LINEAR, optax.sgd(0.1))(ts, (X, Y), KEY)


def test_label_smoothing_reaches_the_step():
    smooth = functools.partial(cross_entropy, label_smoothing=0.2)
    ts = init_train_state(LINEAR, optax.sgd(0.1), KEY, X)
    logits, _ = LINEAR.apply(ts.params, ts.state, jnp.asarray(X), train=True)
    expected = cross_entropy(logits, jnp.asarray(Y), label_smoothing=0.2).mean()
    _, metrics = train_step(LINEAR, optax.sgd(0.1), smooth)(ts, (X, Y), KEY)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=CLOSE)


def test_the_state_is_a_plain_pytree():
    ts = init_train_state(NORMALISED, optax.adam(1e-2), KEY, (1, 6, 6, 2))
    assert isinstance(ts, TrainState)
    assert set(ts.state) == {"1"}
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(ts))
