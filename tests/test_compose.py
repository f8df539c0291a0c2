import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fcnn
from fcnn import BatchNorm, Conv, Dense, Dropout, parallel, remat, repeat, residual, sequential


def test_inserting_a_layer_leaves_the_others_initial_values(key):
    short = sequential(stem=Conv(4), head=Dense(3))
    long = sequential(stem=Conv(4), norm=BatchNorm(), extra=Conv(4), head=Dense(3))
    before, _ = short.init(key, (2, 5, 5, 2))
    after, _ = long.init(key, (2, 5, 5, 2))
    np.testing.assert_array_equal(before["stem"]["kernel"], after["stem"]["kernel"])
    np.testing.assert_array_equal(before["head"]["kernel"], after["head"]["kernel"])


def test_inserting_a_layer_leaves_the_others_dropout(key):
    x = jnp.ones((4, 6))
    short = sequential(drop=Dropout(0.5))
    long = sequential(other=fcnn.identity, drop=Dropout(0.5))
    np.testing.assert_array_equal(
        short.apply({}, {}, x, train=True, key=key)[0],
        long.apply({}, {}, x, train=True, key=key)[0],
    )


def test_equal_layers_under_different_names_start_differently(key):
    params, _ = sequential(a=Conv(4), b=Conv(4)).init(key, (1, 5, 5, 4))
    assert not np.array_equal(params["a"]["kernel"], params["b"]["kernel"])


def test_sequential_is_the_composition(key):
    model = sequential(Conv(4), jax.nn.relu, head=Dense(3))
    x = jax.random.normal(key, (2, 5, 5, 2))
    params, state = model.init(key, x)
    y, _ = model.apply(params, state, x, train=False)
    by_hand = fcnn.ops.conv(x, params["0"]["kernel"], params["0"]["bias"])
    by_hand = fcnn.ops.dense(jax.nn.relu(by_hand), params["head"]["kernel"], params["head"]["bias"])
    np.testing.assert_array_equal(y, by_hand)


def test_slices_keep_names_and_run_on_the_whole_models_numbers(key):
    model = sequential(Conv(4), norm=BatchNorm(), act=jax.nn.relu, head=Dense(3))
    x = jax.random.normal(key, (2, 5, 5, 2))
    params, state = model.init(key, x)
    features = model[:-1]
    assert features.names == ("0", "norm", "act")
    y, same = features.apply(params, state, x, train=False)
    head = model["head"].apply(params["head"], {}, y, train=False)[0]
    np.testing.assert_array_equal(head, model.apply(params, state, x, train=False)[0])
    assert same is not state
    assert set(same) == set(state)
    assert model[-1] == model["head"] == Dense(3)
    assert model[0] == Conv(4)
    assert len(model) == 4
    with pytest.raises(KeyError, match=r"no child 'tail'.*'norm'"):
        model["tail"]


def test_apply_leaves_its_arguments_alone(key):
    model = sequential(norm=BatchNorm())
    x = jax.random.normal(key, (4, 2))
    params, state = model.init(key, x)
    kept = {"norm": dict(state["norm"])}
    _, new = model.apply(params, state, x, train=True)
    assert state["norm"]["mean"] is kept["norm"]["mean"]
    assert not np.array_equal(new["norm"]["mean"], state["norm"]["mean"])


def test_a_stateless_model_has_empty_state_and_dropped_entries(key):
    params, state = sequential(Conv(4), jax.nn.relu, fcnn.flatten).init(key, (1, 4, 4, 1))
    assert state == {}
    assert set(params) == {"0"}


def test_residual_adds_and_activates(key):
    model = residual(jnp.sin, jnp.cos, jnp.tanh)
    x = jax.random.normal(key, (3, 2))
    np.testing.assert_allclose(
        model.apply({}, {}, x, train=False)[0], np.tanh(np.sin(x) + np.cos(x)), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("join", "expected"),
    [("sum", 2.0 + 3.0), ("product", 2.0 * 3.0), ("concat", [2.0, 3.0])],
)
def test_parallel_joins(join, expected):
    branches = parallel(lambda x: 2 * x, lambda x: 3 * x, join=join)
    y, _ = branches.apply({}, {}, jnp.ones((1, 1)), train=False)
    np.testing.assert_array_equal(np.ravel(y), np.ravel(expected))


def test_init_takes_an_array_a_shape_and_a_struct(key):
    model = sequential(Conv(4), Dense(2))
    shape = (2, 5, 5, 3)
    forms = [shape, jnp.zeros(shape), jax.ShapeDtypeStruct(shape, jnp.float32)]
    first, *others = [model.init(key, form) for form in forms]
    for other in others:
        jax.tree.map(np.testing.assert_array_equal, first, other)


def test_the_same_layer_object_twice_has_two_sets_of_parameters(key):
    conv = Conv(3)
    params, _ = sequential(conv, conv).init(key, (1, 4, 4, 3))
    assert set(params) == {"0", "1"}


def test_training_without_a_key_names_the_layer():
    model = sequential(body=sequential(Dropout(0.3)))
    with pytest.raises(ValueError, match=r"Dropout\(rate=0.3\) is random when train=True") as info:
        model.apply({}, {}, jnp.ones((2, 2)), train=True)
    assert info.value.__notes__ == [
        "  in 0: Dropout(rate=0.3) on float32[2, 2]",
        "  in body: Sequential on float32[2, 2]",
    ]


def test_a_new_layer_is_any_class_with_init_and_apply(key):
    class Shift:
        def init(self, key, x):
            return {"bias": jnp.ones(())}, {}

        def apply(self, params, state, x, *, train, key=None):
            return x + params["bias"].reshape((1,) * x.ndim), state

    model = sequential(Shift(), residual(Shift()), repeat(Shift(), 3), remat(Shift()))
    x = jnp.zeros((1, 2))
    params, state = model.init(key, x)
    y, _ = model.apply(params, state, x, train=False)
    np.testing.assert_array_equal(y, np.full((1, 2), 1 + (1 + 1) + 3 + 1.0))


def test_printing_shows_the_tree_without_addresses():
    model = sequential(Conv(4, stride=2), jax.nn.relu, residual(sequential(Dense(3))))
    assert repr(model) == (
        "Sequential(\n"
        "  0: Conv(features=4, stride=2)\n"
        "  1: relu\n"
        "  2: Residual(\n"
        "    body: Sequential(\n"
        "      0: Dense(features=3)\n"
        "    )\n"
        "    shortcut: identity\n"
        "  )\n"
        ")"
    )


def test_repeat_compiles_one_copy(key):
    """The jaxpr of 20 copies is as long as that of 2."""

    def lines(n):
        model = repeat(sequential(Conv(4), jnp.tanh), n)
        params, state = model.init(key, (1, 4, 4, 4))
        x = jnp.zeros((1, 4, 4, 4))
        jaxpr = jax.make_jaxpr(lambda p: model.apply(p, state, x, train=False)[0])(params)
        return len(str(jaxpr).splitlines())

    assert lines(20) == lines(2)
