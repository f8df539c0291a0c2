"""Law 6, and what users of other libraries suffer from most."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn import BatchNorm


def test_evaluation_before_any_step_is_the_identity(key):
    x = jax.random.normal(key, (4, 5, 5, 3)) * 7 + 3
    layer = BatchNorm()
    params, state = layer.init(key, x)
    y, _ = layer.apply(params, state, x, train=False)
    # Not to the last bit: eps = 1e-5 stands beside the variance 1.
    np.testing.assert_allclose(y, x / np.sqrt(1 + 1e-5), rtol=1e-6)


def test_evaluation_after_one_step_equals_hand_arithmetic():
    x = jnp.asarray([[1.0, 10.0], [3.0, 30.0], [5.0, 20.0], [7.0, 60.0]])
    layer = BatchNorm(decay=0.9, eps=1e-3)
    params, state = layer.init(jax.random.key(0), x)
    _, state = layer.apply(params, state, x, train=True)
    # mean 0.9·0 + 0.1·batch; var 0.9·1 + 0.1·unbiased batch variance (n − 1 = 3).
    np.testing.assert_allclose(state["mean"], [0.4, 3.0], rtol=1e-6)
    np.testing.assert_allclose(state["var"], [0.9 + 2 / 3, 0.9 + 0.1 * 1400 / 3], rtol=1e-6)
    y, _ = layer.apply(params, state, x, train=False)
    expected = (np.asarray(x) - [0.4, 3.0]) / np.sqrt(np.asarray(state["var"]) + 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_evaluation_after_many_steps_equals_the_training_output(key):
    x = jax.random.normal(key, (512, 6)) * 3 + 2
    layer = BatchNorm(decay=0.9)
    params, state = layer.init(key, x)
    step = jax.jit(lambda state: layer.apply(params, state, x, train=True))
    for _ in range(200):  # 0.9^200 = 7e-10: nothing is left of the start
        trained, state = step(state)
    evaluated, _ = layer.apply(params, state, x, train=False)
    # All that differs is n against n − 1 in the variance: 1 / (2 · 512) of each value.
    np.testing.assert_allclose(evaluated, trained, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("decay", [0.9, 0.99])
def test_the_running_variance_is_right_from_the_first_step(key, decay):
    """Data of variance 1 must keep a running variance of about 1: a start at 0 would not."""
    layer = BatchNorm(decay=decay)
    params, state = layer.init(key, (1024, 4))
    for i in range(5):
        x = jax.random.normal(jax.random.fold_in(key, i), (1024, 4))
        _, state = layer.apply(params, state, x, train=True)
        # A sample variance of 1024 values has standard deviation sqrt(2 / 1024) = 0.044.
        np.testing.assert_allclose(state["var"], np.ones(4), atol=4 * 0.044)


def test_variance_at_mean_100_and_std_a_tenth(key):
    """E[x²] − E[x]² in float32 is off by more than the whole variance here."""
    x = 100 + 0.1 * jax.random.normal(key, (4096, 3))
    layer = BatchNorm(decay=0.0)
    params, state = layer.init(key, x)
    y, state = layer.apply(params, state, x, train=True)
    exact = np.var(np.asarray(x, np.float64), axis=0, ddof=1)
    np.testing.assert_allclose(state["var"], exact, rtol=1e-4)
    # eps = 1e-5 beside a variance of 0.01 takes 5e-4 off the unit standard deviation.
    np.testing.assert_allclose(np.std(np.asarray(y, np.float64), axis=0), 1.0, atol=1e-3)


def test_statistics_stay_float32_in_bfloat16_evaluation(key):
    """Statistics cast to bfloat16 would move the output by up to 0.4% of the mean."""
    x = (1000 + jax.random.normal(key, (64, 3))).astype(jnp.bfloat16)
    layer = BatchNorm()
    params, _ = layer.init(key, x)
    state = {"mean": jnp.full(3, 1001.7), "var": jnp.full(3, 1.0)}
    y, same = layer.apply(params, state, x, train=False)
    expected = (np.asarray(x, np.float32) - 1001.7) / np.sqrt(1 + 1e-5)
    assert y.dtype == jnp.bfloat16
    assert same["mean"].dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(y, np.float32), expected, rtol=2**-8)


def test_one_value_a_channel_has_no_variance(key):
    layer = BatchNorm()
    params, state = layer.init(key, (1, 3))
    with pytest.raises(ValueError, match=r"more than one value a channel.*\(1, 3\)"):
        layer.apply(params, state, jnp.ones((1, 3)), train=True)


def test_no_gradient_flows_through_the_state(key):
    x = jax.random.normal(key, (8, 2))
    layer = BatchNorm()
    params, state = layer.init(key, x)

    def moved(x):
        new = layer.apply(params, state, x, train=True)[1]
        return jnp.sum(new["mean"]) + jnp.sum(new["var"])

    np.testing.assert_array_equal(jax.grad(moved)(x), np.zeros((8, 2)))
