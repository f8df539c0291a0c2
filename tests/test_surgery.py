"""Surgery: the changed network computes what the old one did, or what a new one would."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arrays import normals
from tables import LAYERS, MODELS
from test_laws import example

import fcnn
from fcnn import (
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    DepthwiseConv,
    parallel,
    remat,
    repeat,
    residual,
    sequential,
    tree,
)
from fcnn.surgery import fold_batch_norm, rewrite, swap_head

ROWS = LAYERS | MODELS


def layers_of(model):
    found = {}

    def keep(path, layer):
        found[path] = layer
        return layer

    rewrite(model, keep)
    return found


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_a_rewrite_that_changes_nothing_gives_an_equal_model(row):
    visited = []

    def look(path, layer):
        visited.append(path)
        return layer

    assert rewrite(row.layer, look) == row.layer
    assert visited[-1] == ""
    # Every entry of params belongs to a layer that was visited.
    params, _ = jax.eval_shape(lambda k: row.layer.init(k, row.shape), jax.random.key(0))
    assert {path.rpartition("/")[0] for path in tree.to_names(params)} <= set(visited)


def test_rewrite_reaches_into_every_combinator():
    def net(act):
        body = sequential(Conv(3), act)
        return sequential(
            a=residual(body, act),
            b=parallel(body, act, join="concat"),
            c=repeat(residual(act), 2),
            d=remat(act),
        )

    def swap(path, layer):
        return jnp.tanh if layer is jax.nn.relu else layer

    assert rewrite(net(jax.nn.relu), swap) == net(jnp.tanh)
    model = net(jax.nn.relu)
    thin = rewrite(model, lambda path, layer: Conv(9) if path == "b/0/0" else layer)
    assert thin["b"].branches[0][0] == Conv(9)
    assert thin["a"] == model["a"]
    with pytest.raises(TypeError, match="must be a layer or a function of x, got 3"):
        rewrite(model, lambda path, layer: 3 if path == "a/body" else layer)


FOLDED = {name: row for name, row in ROWS.items() if "BatchNorm" in repr(row.layer)}
COMPARED = ("residual", "repeat", "remat", "resnet_basic")


def zeros(row):
    made = jax.eval_shape(lambda k: row.layer.init(k, row.shape), jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), made)


@pytest.mark.parametrize("name", COMPARED)
def test_a_folded_network_computes_the_same(name):
    row = FOLDED[name]
    params, state, x = example(row)
    model, new_params, new_state = fold_batch_norm(row.layer, params, state)

    def outputs(model):
        return jax.jit(lambda *a: model.apply(*a, train=False)[0])

    before = outputs(row.layer)(params, state, x)
    after = outputs(model)(new_params, new_state, x)
    # Kernels are rounded once more, and up to ten layers carry it on.
    scale = float(jnp.abs(before).max())
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("row", FOLDED.values(), ids=FOLDED.keys())
def test_a_folded_networks_numbers_are_those_of_its_own_tree(row):
    model, *numbers = fold_batch_norm(row.layer, *zeros(row))
    made = jax.eval_shape(lambda k: model.init(k, row.shape), jax.random.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes(tuple(numbers), made)


@pytest.mark.parametrize(
    "name", ["resnet_basic", "resnet_bottleneck", "vgg_bn", "mobilenet_v2", "plain", "waveform"]
)
def test_every_norm_behind_a_convolution_is_folded(name):
    model, _, state = fold_batch_norm(MODELS[name].layer, *zeros(MODELS[name]))
    assert state == {}
    assert not [layer for layer in layers_of(model).values() if isinstance(layer, BatchNorm)]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv(4, groups=2), (2, 5, 5, 2)),
        (Conv(4, bias=False, stride=2, padding=1), (2, 5, 5, 3)),
        (DepthwiseConv(3, multiplier=2), (2, 5, 5, 3)),
        (ConvTranspose(4, 4, stride=2, padding=1), (2, 4, 4, 3)),
        (Dense(6), (3, 5)),
        (Conv(4, 3), (2, 9, 3)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("scale", [True, False])
def test_folding_equals_the_formula(layer, shape, scale):
    model = sequential(lin=layer, norm=BatchNorm(scale=scale, bias=scale, eps=0.1))
    params, state = model.init(jax.random.key(0), shape)
    channels = params["lin"]["kernel"].shape[-1]
    mean, var, beta, gamma, bias, x = normals(0, *[(channels,)] * 5, shape)
    var = np.exp(var)
    state = {"norm": {"mean": mean, "var": var}}
    if scale:
        params["norm"] = {"scale": gamma, "bias": beta}
    if layer.bias:
        params["lin"] = params["lin"] | {"bias": bias}
    folded, new_params, new_state = fold_batch_norm(model, params, state)
    assert folded.names == ("lin",)
    assert new_state == {}
    multiplier = (gamma if scale else 1.0) / np.sqrt(var + 0.1)
    kernel = np.asarray(params["lin"]["kernel"])
    # rsqrt in float32 is good to two units in the last place.
    np.testing.assert_allclose(new_params["lin"]["kernel"], kernel * multiplier, rtol=1e-6)
    shift = ((bias if layer.bias else 0.0) - mean) * multiplier + (beta if scale else 0.0)
    np.testing.assert_allclose(new_params["lin"]["bias"], shift, rtol=1e-5, atol=1e-6)
    before, _ = model.apply(params, state, x, train=False)
    after, _ = folded.apply(new_params, new_state, x, train=False)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=2e-5)
    # The numbers that went in are as they were.
    np.testing.assert_array_equal(params["lin"]["kernel"], kernel)
    assert set(params) == ({"lin", "norm"} if scale else {"lin"})


def test_what_is_not_behind_a_linear_layer_stays():
    model = sequential(BatchNorm(), Conv(3), jax.nn.relu, BatchNorm(), repeat(jnp.tanh, 2))
    x = normals(0, (2, 4, 4, 3))[0]
    params, state = model.init(jax.random.key(0), x)
    folded, new_params, new_state = fold_batch_norm(model, params, state)
    assert folded == model
    jax.tree.map(np.testing.assert_array_equal, (new_params, new_state), (params, state))


def test_a_new_head_is_that_of_a_new_model_and_the_rest_stays():
    row = MODELS["resnet_basic"]
    params, state, x = example(row)
    key = jax.random.key(7)
    model, new_params, new_state = swap_head(
        row.layer, params, state, Dense(7), key, (1, *row.shape[1:])
    )
    assert model == sequential(
        **dict(zip(row.layer.names[:-1], row.layer.layers[:-1], strict=True)), head=Dense(7)
    )
    fresh, _ = model.init(key, row.shape)
    jax.tree.map(np.testing.assert_array_equal, new_params["head"], fresh["head"])
    for name in row.layer.names[:-1]:
        if name in params:
            assert new_params[name] is params[name]
    y, _ = jax.jit(lambda *a: model.apply(*a, train=False))(new_params, new_state, x)
    middle, _ = jax.jit(lambda *a: row.layer[:-1].apply(*a, train=False))(params, state, x)
    expected = fcnn.ops.dense(middle, **fresh["head"])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_a_head_may_have_state_or_no_numbers():
    model = sequential(fcnn.flatten, head=Dense(3))
    params, state = model.init(jax.random.key(0), (2, 2, 2, 1))
    head = sequential(Dense(2), BatchNorm())
    _, new_params, new_state = swap_head(
        model, params, state, head, jax.random.key(0), (2, 2, 2, 1)
    )
    assert new_params["head"]["0"]["kernel"].shape == (4, 2)
    assert new_state["head"]["1"]["var"].tolist() == [1, 1]
    _, new_params, new_state = swap_head(
        model, params, state, jnp.tanh, jax.random.key(0), (2, 2, 2, 1)
    )
    assert (new_params, new_state) == ({}, {})


def test_swap_head_errors():
    model = sequential(fcnn.flatten, head=Dense(3))
    numbers = model.init(jax.random.key(0), (2, 2, 2, 1))
    key = jax.random.key(0)
    with pytest.raises(TypeError, match="swap_head expects a Sequential, got Dense"):
        swap_head(Dense(3), *numbers, Dense(2), key, (2, 4))
    with pytest.raises(ValueError, match="got an empty one"):
        swap_head(sequential(), {}, {}, Dense(2), key, (2, 4))
    with pytest.raises(ValueError, match="Conv expects") as error:
        swap_head(model, *numbers, Conv(3), key, (2, 2, 2, 1))
    assert any(note.startswith("  in head: Conv(features=3)") for note in error.value.__notes__)
