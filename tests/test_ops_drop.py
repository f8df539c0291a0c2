"""Dropout in its three grains: how much is dropped, what is kept, and in which pattern."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn import ops

RATES = [0.1, 0.5, 0.9]


def check_fraction(dropped, rate):
    """The dropped fraction of n draws within five binomial deviations, sqrt(rate (1 - rate) / n).

    A right sampler misses that once in two million keys, and the key is fixed.
    """
    assert abs(np.mean(dropped) - rate) < 5 * np.sqrt(rate * (1 - rate) / dropped.size)


@pytest.mark.parametrize("rate", RATES)
def test_dropout_drops_rate_and_scales_the_rest(rate, key):
    x = jax.random.uniform(key, (100, 20, 20, 2), minval=1.0, maxval=2.0)
    y = ops.dropout(jax.random.key(1), x, rate)
    dropped = np.asarray(y == 0)
    check_fraction(dropped, rate)
    # One division in float32.
    np.testing.assert_allclose(y[~dropped], x[~dropped] / (1 - rate), rtol=1e-6)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("spatial", [(5,), (3, 2), (2, 2, 2)])
def test_spatial_dropout_drops_whole_maps(rate, spatial):
    shape = (100, *spatial, 50)
    y = np.asarray(ops.spatial_dropout(jax.random.key(1), jnp.ones(shape), rate))
    maps = y.reshape(100, -1, 50)
    assert (maps == maps[:, :1]).all()
    dropped = maps[:, 0] == 0
    check_fraction(dropped, rate)
    np.testing.assert_allclose(maps[:, 0][~dropped], 1 / (1 - rate), rtol=1e-6)
    # Each example draws for itself, and so does each channel.
    assert len(np.unique(dropped, axis=0)) > 1
    assert len(np.unique(dropped, axis=1)) > 1


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shape", [(5000,), (5000, 3), (5000, 2, 2, 2)])
def test_drop_path_drops_whole_examples(rate, shape):
    rows = np.asarray(ops.drop_path(jax.random.key(1), jnp.ones(shape), rate)).reshape(5000, -1)
    assert (rows == rows[:, :1]).all()
    dropped = rows[:, 0] == 0
    check_fraction(dropped, rate)
    np.testing.assert_allclose(rows[:, 0][~dropped], 1 / (1 - rate), rtol=1e-6)


DROPS = [ops.dropout, ops.spatial_dropout, ops.drop_path]


@pytest.mark.parametrize("drop", DROPS)
def test_the_expectation_is_kept(drop):
    # 40,000 examples, or more draws: the mean of values 0 and 1 / 0.7 has deviation
    # sqrt(0.3 / 0.7 / n), five of which are 0.017 at n = 40,000.
    y = drop(jax.random.key(2), jnp.ones((40_000, 2, 1)), 0.3)
    assert abs(float(y.mean()) - 1) < 0.017


@pytest.mark.parametrize("drop", DROPS)
def test_the_key_alone_decides(drop):
    x = jnp.ones((64, 2, 2, 8))
    first, again = (drop(jax.random.key(1), x, 0.5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(jax.jit(drop, static_argnums=2)(jax.random.key(1), x, 0.5), first)
    # Two independent masks at rate one half differ in half of their draws, 64 at the fewest.
    assert 0.2 < float((drop(jax.random.key(2), x, 0.5) != first).mean()) < 0.8


@pytest.mark.parametrize("drop", DROPS)
def test_rate_zero_is_the_identity(drop, key):
    x = jax.random.normal(key, (4, 3, 2))
    np.testing.assert_array_equal(drop(key, x, 0), x)
    np.testing.assert_array_equal(drop(key, x, 0.0), x)


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_the_dtype_stays(drop, dtype):
    y = drop(jax.random.key(0), jnp.ones((16, 4, 4, 3), dtype), 0.5)
    assert y.dtype == dtype
    assert set(np.unique(np.asarray(y, np.float32))) == {0.0, 2.0}  # exact in both


def test_a_high_rate_in_bfloat16_drops_as_much():
    """1 - 0.999 in bfloat16 would be 0.0: the draw must not be made in x's dtype."""
    y = ops.dropout(jax.random.key(0), jnp.ones((1000, 1000), jnp.bfloat16), 0.999)
    check_fraction(np.asarray(y == 0), 0.999)


@pytest.mark.parametrize("drop", DROPS)
def test_a_dropped_infinity_is_zero(drop):
    y = np.asarray(drop(jax.random.key(0), jnp.full((64, 2, 2, 1), jnp.inf), 0.5))
    assert set(np.unique(y)) == {0.0, np.inf}


@pytest.mark.parametrize("drop", DROPS)
def test_the_gradient_is_the_mask(drop, key):
    x = jax.random.normal(key, (8, 3, 3, 4))
    gradient = jax.grad(lambda x: drop(jax.random.key(3), x, 0.25).sum())(x)
    np.testing.assert_array_equal(gradient, drop(jax.random.key(3), jnp.ones_like(x), 0.25))


X = jnp.ones((2, 4, 4, 3))


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("rate", [1.0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_a_rate_outside_its_interval(drop, rate, key):
    message = rf"{drop.__name__} rate is the fraction dropped and must be in \[0, 1\), got {rate}"
    with pytest.raises(ValueError, match=message):
        drop(key, X, rate)


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("rate", [True, "0.5", None])
def test_a_rate_that_is_no_number(drop, rate, key):
    with pytest.raises(TypeError, match=rf"{drop.__name__} rate must be a number"):
        drop(key, X, rate)


@pytest.mark.parametrize("drop", DROPS)
def test_integers_are_refused(drop, key):
    message = rf"{drop.__name__} expects floating-point x, but x \(2, 4, 4, 3\) is int32"
    with pytest.raises(TypeError, match=message):
        drop(key, X.astype(jnp.int32), 0.5)


def test_shapes_are_checked(key):
    with pytest.raises(ValueError, match=r"spatial_dropout expects x of rank 3.*\(2, 3\)"):
        ops.spatial_dropout(key, jnp.ones((2, 3)), 0.5)
    with pytest.raises(ValueError, match="x is a scalar"):
        ops.drop_path(key, jnp.ones(()), 0.5)


@pytest.mark.parametrize("drop", DROPS)
def test_a_misspelled_keyword(drop, key):
    with pytest.raises(TypeError, match="keep_rate"):
        drop(key, X, keep_rate=0.5)
