"""Laws that hold for every layer and every model; the tables are in tables.py.

Values are compared with an independent oracle in test_ops_*.py, parameter counts of the full
models in test_models.py; here is what needs no oracle.
"""

import functools
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.test_util import check_grads
from tables import LAYERS, MODELS, Row

from fcnn import remat, repeat, sequential, tree

ROWS = LAYERS | MODELS
every_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
every_layer = pytest.mark.parametrize("row", LAYERS.values(), ids=LAYERS.keys())


@functools.cache  # several laws look at the same example
def example(row: Row):
    """Params, state and an input, with nothing at a special value such as 0 or 1."""

    def make(key):
        params, state = row.layer.init(key, row.shape)
        leaves, tree_of = jax.tree.flatten((params, state))
        keys = jax.random.split(key, len(leaves) + 1)
        shaken = [
            leaf + 0.1 * jax.random.uniform(k, leaf.shape)
            for leaf, k in zip(leaves, keys[1:], strict=True)
        ]
        return *jax.tree.unflatten(tree_of, shaken), jax.random.normal(keys[0], row.shape)

    return jax.jit(make)(jax.random.key(0))


def run(row, params, state, x, train=True):
    return row.layer.apply(params, state, x, train=train, key=jax.random.key(3))


@every_row
def test_2_the_abstract_shapes_are_the_real_ones(row):
    params, state, x = example(row)
    real = jax.jit(lambda *a: run(row, *a))(params, state, x)
    abstract = jax.eval_shape(lambda *a: run(row, *a), params, state, x)
    chex.assert_trees_all_equal_shapes_and_dtypes(real, abstract)
    made = jax.eval_shape(lambda k: row.layer.init(k, x), jax.random.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes((params, state), made)


@every_row
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
def test_3_and_8_jit_equals_eager_and_compiles_once(row, train):
    params, state, x = example(row)
    eager = run(row, params, state, x, train)
    jitted = jax.jit(lambda *a: run(row, *a, train))
    # Fusion reorders float32 sums: a few units in the last place of values of order one.
    with compilations() as first:
        result = jitted(params, state, x)
    chex.assert_trees_all_close(result, eager, rtol=2e-5, atol=2e-5)
    with compilations() as second:
        jitted(params, state, x)
    assert (len(first), len(second)) == (1, 0)


@every_layer
def test_4_gradients_equal_finite_differences(row):
    made = example(row)  # outside: it is float32 whichever test asks for it first
    with jax.enable_x64(True):
        params, state, x = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), made)

        @jax.jit
        def loss(params, x):
            y, _ = run(row, params, state, x)
            return jnp.sum(jnp.sin(y))

        # Central differences with step 1e-4 in float64 are off by a third derivative times 1e-8;
        # three blocks of normalisation and tanh in a row have large ones.
        check_grads(loss, (params, x), order=1, modes=["rev"], atol=1e-4, rtol=1e-4, eps=1e-4)


@every_row
def test_5_state_keeps_tree_shape_and_dtype(row):
    params, state, x = example(row)
    _, trained = jax.eval_shape(lambda *a: run(row, *a), params, state, x)
    chex.assert_trees_all_equal_shapes_and_dtypes(trained, state)
    _, evaluated = jax.jit(lambda *a: run(row, *a, train=False))(params, state, x)
    chex.assert_trees_all_equal(evaluated, state)
    assert all(name.split("/")[-1] in ("mean", "var") for name in tree.to_names(state))


@every_row
def test_7_bfloat16_in_gives_bfloat16_out_and_float32_inside(row):
    params, state, x = example(row)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16).astype(leaf.dtype), params)
    x = x.astype(jnp.bfloat16)
    evaluate = jax.jit(lambda *a: run(row, *a, train=False)[0])
    wide, narrow = evaluate(params, state, x.astype(jnp.float32)), evaluate(params, state, x)
    assert narrow.dtype == jnp.bfloat16
    # bfloat16 keeps 8 bits: each rounding is off by 2^-9 of its value; deep nets add many.
    scale = float(jnp.max(jnp.abs(wide))) + 1e-6
    np.testing.assert_allclose(
        np.asarray(narrow, np.float32) / scale, np.asarray(wide) / scale, atol=0.06
    )

    def loss(params):
        y, moved = run(row, params, state, x)
        return jnp.mean(y.astype(jnp.float32)), moved

    grads, moved = jax.eval_shape(jax.grad(loss, has_aux=True), params)
    assert {leaf.dtype for leaf in jax.tree.leaves((grads, moved))} <= {jnp.dtype(jnp.float32)}


@every_row
def test_11_equality_hash_and_pickle(row):
    copy = pickle.loads(pickle.dumps(row.layer))
    assert copy == row.layer
    assert hash(copy) == hash(row.layer)
    assert repr(copy) == repr(row.layer)
    assert row.layer != sequential(row.layer)


@every_row
def test_12_parameter_count(row):
    params, _ = jax.eval_shape(lambda k: row.layer.init(k, row.shape), jax.random.key(0))
    assert tree.count(params) == row.count


@every_row
def test_13_every_parameter_gets_a_gradient(row):
    params, state, x = example(row)

    def loss(params):
        y, _ = run(row, params, state, x)
        return jnp.sum(jnp.sin(3 * y))

    for name, grad in tree.to_names(jax.jit(jax.grad(loss))(params)).items():
        assert bool(jnp.all(jnp.isfinite(grad))), name
        assert bool(jnp.any(grad != 0)), name


@every_layer
def test_14_remat_changes_no_value_and_no_gradient(row):
    params, state, x = example(row)

    def loss(layer, params, x):
        y, moved = layer.apply(params, state, x, train=True, key=jax.random.key(3))
        return jnp.sum(jnp.sin(y)), moved

    grad = jax.jit(jax.grad(loss, argnums=(1, 2), has_aux=True), static_argnums=0)
    # Recomputing may fuse otherwise: rounding only.
    chex.assert_trees_all_close(
        grad(remat(row.layer), params, x), grad(row.layer, params, x), rtol=1e-5, atol=1e-5
    )


KEEPING = {
    name: row
    for name, row in LAYERS.items()
    if jax.eval_shape(
        lambda k, row=row: row.layer.apply(
            *row.layer.init(k, row.shape), jnp.zeros(row.shape), train=False
        )[0],
        jax.random.key(0),
    ).shape
    == row.shape
}


@pytest.mark.parametrize("row", KEEPING.values(), ids=KEEPING.keys())
def test_14_repeat_equals_the_loop(row):
    n = 3
    many, loop = repeat(row.layer, n), sequential(*[row.layer] * n)
    x = jax.random.normal(jax.random.key(2), row.shape)
    key = jax.random.key(0)

    def stacked(entries):
        copies = [entries[str(i)] for i in range(n) if str(i) in entries]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *copies) if copies else {}

    params, state = jax.jit(lambda k: many.init(k, row.shape))(key)
    loop_params, loop_state = jax.jit(lambda k: loop.init(k, row.shape))(key)
    # The same random bits; a vectorised erfinv may round its last bit otherwise.
    looped = stacked(loop_params), stacked(loop_state)
    chex.assert_trees_all_close((params, state), looped, rtol=1e-6)

    def loss(layer, params, state, x):
        y, moved = layer.apply(params, state, x, train=True, key=jax.random.key(3))
        return jnp.sum(jnp.sin(y)), (y, moved)

    grad = jax.jit(jax.grad(loss, argnums=(1, 3), has_aux=True), static_argnums=0)
    (scan_grads, scan_dx), (scan_y, scan_state) = grad(many, params, state, x)
    (loop_grads, loop_dx), (loop_y, moved) = grad(loop, loop_params, loop_state, x)
    chex.assert_trees_all_close(
        (scan_y, scan_dx, scan_grads, scan_state),
        (loop_y, loop_dx, stacked(loop_grads), stacked(moved)),
        rtol=1e-4,  # three layers of float32 sums in another order
        atol=1e-5,
    )


def batch_divisible(row):
    return Row(row.layer, (8, *row.shape[1:]), row.count)


@every_row
def test_15_sharded_over_four_devices_equals_one(row):
    row = batch_divisible(row)
    params, state, x = example(row)
    mesh = Mesh(np.asarray(jax.devices()[:4]), ("data",))
    split = NamedSharding(mesh, PartitionSpec("data"))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def loss(params, state, x):
        y, moved = run(row, params, state, x)
        return jnp.mean(jnp.sin(y)), moved

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    one = step(params, state, x)
    many = step(*jax.device_put((params, state), everywhere), jax.device_put(x, split))
    # Partial sums per device: another order of float32 additions.
    chex.assert_trees_all_close(many, one, rtol=1e-4, atol=2e-5)
