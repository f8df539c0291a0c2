import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations

import fcnn
from fcnn.training import cross_entropy, eval_step, evaluate

KEY = jax.random.key(5)
MODEL = fcnn.sequential(
    fcnn.Conv(4), fcnn.BatchNorm(), jax.nn.relu, fcnn.Dropout(0.5), fcnn.flatten, fcnn.Dense(3)
)
CLOSE = 1e-5  # float32 sums in another order


def dataset(n=13):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(n, 6, 6, 2)).astype(np.float32)
    return inputs, rng.integers(0, 3, n).astype(np.int32)


@pytest.fixture(scope="module")
def numbers():
    """Params, and statistics that are not those of the data."""
    params, state = MODEL.init(KEY, (1, 6, 6, 2))
    return params, jax.tree.map(lambda leaf: leaf + 0.5, state)


def direct(numbers, inputs, labels):
    """Loss and correctness of each example, its logits computed alone."""
    params, state = numbers
    logits = np.concatenate(
        [MODEL.apply(params, state, jnp.asarray(x[None]), train=False)[0] for x in inputs]
    )
    losses = cross_entropy(jnp.asarray(logits), jnp.asarray(labels))
    classes = labels if labels.ndim == 1 else labels.argmax(axis=1)
    return np.asarray(losses), logits.argmax(axis=1) == classes, logits.argmax(axis=1)


@pytest.mark.parametrize("batch_size", [1, 4, 13, 20])
def test_every_example_counts_exactly_once(numbers, batch_size):
    inputs, labels = dataset()
    losses, hits, predictions = direct(numbers, inputs, labels)
    result = evaluate(MODEL, batch_size=batch_size)(*numbers, (inputs, labels))
    assert sorted(result) == ["accuracy", "count", "loss", "predictions"]
    assert result["count"] == 13
    np.testing.assert_allclose(result["loss"], losses.mean(), rtol=CLOSE)
    np.testing.assert_allclose(result["accuracy"], hits.mean(), rtol=CLOSE)
    np.testing.assert_array_equal(result["predictions"], predictions)
    assert result["predictions"].dtype == jnp.int32


@pytest.mark.parametrize("batch_size", [4, 13])
def test_logits_are_those_of_each_example_in_order(numbers, batch_size):
    inputs, labels = dataset()
    expected, _ = MODEL.apply(*numbers, jnp.asarray(inputs), train=False)
    result = evaluate(MODEL, batch_size=batch_size, logits=True)(*numbers, (inputs, labels))
    np.testing.assert_allclose(result["logits"], expected, rtol=CLOSE, atol=CLOSE)
    predictions = np.asarray(result["logits"]).argmax(axis=-1)
    np.testing.assert_array_equal(result["predictions"], predictions)


@pytest.mark.parametrize("position", range(13))
def test_each_example_weighs_one_thirteenth(numbers, position):
    # All losses are 0 but one: the last example, which fills the last batch, is not special.
    def one_loss(logits, labels):
        return (labels == position).astype(jnp.float32)

    inputs = dataset()[0]
    result = evaluate(MODEL, one_loss, batch_size=5)(*numbers, (inputs, np.arange(13)))
    np.testing.assert_allclose(result["loss"], 1 / 13, rtol=1e-6)


def test_a_step_gives_the_logits_of_all_its_rows(numbers):
    inputs, labels = dataset(6)
    expected, _ = MODEL.apply(*numbers, jnp.asarray(inputs), train=False)
    mask = np.arange(6) < 4
    plain = eval_step(MODEL)(*numbers, (inputs, labels), mask)
    result = eval_step(MODEL, logits=True)(*numbers, (inputs, labels), mask)
    np.testing.assert_allclose(result.pop("logits"), expected, rtol=CLOSE, atol=CLOSE)
    assert result == plain


def test_padded_rows_never_matter(numbers):
    inputs, labels = dataset(8)
    losses, hits, _ = direct(numbers, inputs[:5], labels[:5])
    step = eval_step(MODEL)
    mask = np.arange(8) < 5
    for junk, label in ((0.0, 0), (np.nan, -7), (np.inf, 99)):
        padded = inputs.copy(), labels.copy()
        padded[0][5:] = junk
        padded[1][5:] = label
        with compilations() as made:
            sums = step(*numbers, padded, mask)
        assert len(made) == (junk == 0.0)  # the first time alone
        np.testing.assert_allclose(sums["loss"], losses.sum(), rtol=CLOSE)
        assert int(sums["correct"]) == hits.sum()
        assert sums["count"] == 5


def test_a_mask_may_have_holes(numbers):
    inputs, labels = dataset(8)
    mask = np.array([1, 0, 1, 1, 0, 0, 1, 0])
    losses, hits, _ = direct(numbers, inputs, labels)
    sums = eval_step(MODEL)(*numbers, (inputs, labels), mask)
    np.testing.assert_allclose(sums["loss"], losses[mask == 1].sum(), rtol=CLOSE)
    assert int(sums["correct"]) == hits[mask == 1].sum()


def test_soft_labels_compare_argmaxes(numbers):
    inputs, labels = dataset()
    soft = 0.6 * np.eye(3, dtype=np.float32)[labels] + np.float32(0.4 / 3)
    losses, hits, _ = direct(numbers, inputs, soft)
    result = evaluate(MODEL, batch_size=4)(*numbers, (inputs, soft))
    np.testing.assert_allclose(result["loss"], losses.mean(), rtol=CLOSE)
    np.testing.assert_allclose(result["accuracy"], hits.mean(), rtol=CLOSE)


def test_prepare_has_no_key(numbers):
    def prepare(key, inputs, labels):
        assert key is None
        return inputs.astype(jnp.float32) / 255, labels

    raw = np.random.default_rng(1).integers(0, 256, (13, 6, 6, 2)).astype(np.uint8)
    labels = dataset()[1]
    losses, _, predictions = direct(numbers, (raw / 255).astype(np.float32), labels)
    result = evaluate(MODEL, batch_size=4, prepare=prepare)(*numbers, (raw, labels))
    np.testing.assert_allclose(result["loss"], losses.mean(), rtol=CLOSE)
    np.testing.assert_array_equal(result["predictions"], predictions)


def test_bfloat16(numbers):
    inputs, labels = dataset()
    losses, _, _ = direct(numbers, inputs, labels)
    result = evaluate(MODEL, batch_size=4, dtype=jnp.bfloat16)(*numbers, (inputs, labels))
    assert result["loss"].dtype == jnp.float32
    np.testing.assert_allclose(result["loss"], losses.mean(), rtol=0.02)  # 8 bits, a few deep


def test_dense_predictions():
    model = fcnn.sequential(fcnn.Conv(3))
    inputs = dataset()[0]
    labels = np.random.default_rng(2).integers(0, 3, (13, 6, 6))
    numbers = model.init(KEY, inputs)

    def pixels(logits, labels):
        return jnp.zeros(logits.shape[:1])

    logits, _ = model.apply(*numbers, jnp.asarray(inputs), train=False)
    predictions = np.asarray(logits).argmax(axis=-1)
    result = evaluate(model, pixels, batch_size=4)(*numbers, (inputs, labels))
    np.testing.assert_array_equal(result["predictions"], predictions)
    np.testing.assert_allclose(result["accuracy"], (predictions == labels).mean(), rtol=CLOSE)


def test_errors(numbers):
    inputs, labels = dataset()
    with pytest.raises(ValueError, match=r"mask must have shape \(13,\), got \(4,\)"):
        eval_step(MODEL)(*numbers, (inputs, labels), np.ones(4, bool))
    with pytest.raises(ValueError, match=r"got inputs \(13, 6, 6, 2\) and labels \(12,\)"):
        evaluate(MODEL, batch_size=4)(*numbers, (inputs, labels[:12]))
    with pytest.raises(ValueError, match="the data set is empty"):
        evaluate(MODEL, batch_size=4)(*numbers, (inputs[:0], labels[:0]))
    with pytest.raises(ValueError, match="batch_size must be an int of 1 or more, got 0"):
        evaluate(MODEL, batch_size=0)
    with pytest.raises(ValueError, match="dtype must be floating, got uint8"):
        evaluate(MODEL, batch_size=4, dtype=jnp.uint8)
