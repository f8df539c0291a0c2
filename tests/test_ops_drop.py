import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcnn import ops

DROPS = [ops.dropout, ops.spatial_dropout, ops.drop_path]
every_drop = pytest.mark.parametrize("drop", DROPS, ids=lambda f: f.__name__)


def draws(drop, shape):
    """How many independent draws an array of this shape takes."""
    return {
        "dropout": np.prod(shape),
        "spatial_dropout": shape[0] * shape[-1],
        "drop_path": shape[0],
    }[drop.__name__]


@every_drop
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_rate_is_the_fraction_dropped_and_the_rest_is_scaled(key, drop, rate):
    shape = (2000, 2, 2, 10)
    y = np.asarray(drop(key, jnp.full(shape, 3.0), rate))
    kept = y != 0
    np.testing.assert_allclose(y[kept], 3 / (1 - rate), rtol=1e-6)
    # A binomial fraction of n draws; five standard deviations.
    deviation = np.sqrt(rate * (1 - rate) / draws(drop, shape))
    assert abs(np.mean(~kept) - rate) < 5 * deviation


def test_spatial_dropout_drops_whole_maps_of_single_examples(key):
    y = np.asarray(ops.spatial_dropout(key, jnp.ones((50, 4, 5, 8)), 0.5))
    maps = y.transpose(0, 3, 1, 2).reshape(50 * 8, -1)
    assert all(len(set(values)) == 1 for values in maps.tolist())
    alive = maps[:, 0].reshape(50, 8)
    assert len({tuple(row) for row in alive.tolist()}) > 1, "examples are dropped independently"


def test_drop_path_drops_whole_examples(key):
    y = np.asarray(ops.drop_path(key, jnp.ones((50, 4, 8)), 0.5)).reshape(50, -1)
    assert all(len(set(values)) == 1 for values in y.tolist())


@every_drop
def test_the_same_key_drops_the_same_values(key, drop):
    x = jnp.ones((20, 3, 3, 4))
    np.testing.assert_array_equal(drop(key, x, 0.5), drop(key, x, 0.5))
    other = drop(jax.random.fold_in(key, 1), x, 0.5)
    assert not np.array_equal(drop(key, x, 0.5), other)


@every_drop
def test_rate_0_changes_nothing_and_the_dtype_stays(key, drop):
    x = jax.random.normal(key, (4, 3, 2)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(drop(key, x, 0), x)
    assert drop(key, x, 0.5).dtype == jnp.bfloat16


def test_gradient_is_the_mask(key):
    x = jax.random.normal(key, (5, 6))
    grad = jax.grad(lambda x: ops.dropout(key, x, 0.25).sum())(x)
    np.testing.assert_allclose(grad, ops.dropout(key, jnp.ones((5, 6)), 0.25))


def test_a_dropped_infinity_is_zero(key):
    y = np.asarray(ops.dropout(key, jnp.full(100, jnp.inf), 0.5))
    assert set(y.tolist()) == {0.0, np.inf}


@every_drop
@pytest.mark.parametrize("rate", [float("nan"), -0.1, 1.0, 1.5])
def test_a_rate_outside_0_1_is_refused(key, drop, rate):
    with pytest.raises(ValueError, match=rf"{drop.__name__} rate is the fraction dropped.*{rate}"):
        drop(key, jnp.ones((2, 3, 4)), rate)


@every_drop
def test_other_errors(key, drop):
    with pytest.raises(TypeError, match=r"x \(2, 3, 4\) is int32"):
        drop(key, jnp.ones((2, 3, 4), jnp.int32), 0.5)
    with pytest.raises(TypeError, match="rate must be a number"):
        drop(key, jnp.ones((2, 3, 4)), "0.5")
    with pytest.raises(TypeError, match="keep_prob"):
        drop(key, jnp.ones((2, 3, 4)), keep_prob=0.5)
