"""Activations, saliency and Grad-CAM: against the layers applied by hand, and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from arrays import normals
from tables import LAYERS, MODELS
from test_laws import example

import fcnn
from fcnn import Conv, Dense, sequential
from fcnn.features import features, grad_cam, saliency

ROWS = LAYERS | MODELS


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_every_path_of_the_summary_is_there(row):
    params, state = jax.eval_shape(lambda k: row.layer.init(k, row.shape), jax.random.key(0))
    x = jax.ShapeDtypeStruct(row.shape, jnp.float32)
    abstract = jax.eval_shape(lambda *a: features(row.layer, *a), params, state, x)
    for line in fcnn.summary(row.layer, row.shape).rows:
        if line.copies == 1 and line.path:
            assert abstract[line.path].shape == line.output, line.path


@pytest.mark.parametrize("name", ["plain_bias", "sequential"])
def test_the_last_is_the_output(name):
    row = ROWS[name]
    params, state, x = example(row)

    @jax.jit
    def both(params, state, x):
        y, _ = row.layer.apply(params, state, x, train=False)
        return features(row.layer, params, state, x, row.layer.names[-1]), y

    last, y = both(params, state, x)
    # The same operations in one program; fusion may round a sum otherwise.
    np.testing.assert_allclose(last, y, rtol=1e-5, atol=1e-5)


def test_values_inside_residual_parallel_repeat_and_remat():
    inner = sequential(conv=Conv(3), act=jnp.tanh)
    model = sequential(
        res=fcnn.residual(inner, Conv(3, 1), activation=jnp.sin),
        par=fcnn.parallel(a=inner, b=jnp.cos, join="concat"),
        many=fcnn.repeat(fcnn.residual(Conv(6)), 2),
        saved=fcnn.remat(sequential(Conv(2))),
    )
    x = normals(0, (2, 4, 4, 3))[0]
    params, state = model.init(jax.random.key(1), x)
    got = features(model, params, state, x)
    assert list(got) == [
        "res/body/conv", "res/body/act", "res/body", "res/shortcut", "res",
        "par/a/conv", "par/a/act", "par/a", "par/b", "par",
        "many/0/body", "many/0/shortcut", "many/0", "many/1/body", "many/1/shortcut", "many/1",
        "many", "saved/0", "saved",
    ]  # fmt: skip

    def conv(x, entry):
        return fcnn.ops.conv(x, **entry)

    expected = {"res/body/conv": conv(x, params["res"]["body"]["conv"])}
    body = expected["res/body"] = jnp.tanh(expected["res/body/conv"])
    expected["res/shortcut"] = conv(x, params["res"]["shortcut"])
    y = expected["res"] = jnp.sin(body + expected["res/shortcut"])
    branch = expected["par/a"] = jnp.tanh(conv(y, params["par"]["a"]["conv"]))
    y = expected["par"] = jnp.concatenate([branch, jnp.cos(y)], axis=-1)
    for i in range(2):
        step = conv(y, jax.tree.map(lambda leaf, i=i: leaf[i], params["many"]["body"]))
        expected[f"many/{i}/body"] = step
        y = expected[f"many/{i}"] = y + step
    expected["many"] = y
    expected["saved/0"] = expected["saved"] = conv(y, params["saved"]["0"])
    for path, value in expected.items():
        np.testing.assert_allclose(got[path], value, rtol=1e-5, atol=1e-5, err_msg=path)
        np.testing.assert_array_equal(features(model, params, state, x, path), got[path])


def test_saliency_of_a_linear_model_is_its_kernel():
    model = sequential(fcnn.flatten, Dense(3))
    x, kernel = normals(0, (2, 4, 5, 2), (40, 3))
    params = {"1": {"kernel": kernel, "bias": np.zeros(3, np.float32)}}
    maps = saliency(model, params, {}, x, jnp.array([2, 0]))
    for example_map, label in zip(maps, (2, 0), strict=True):
        expected = np.abs(kernel[:, label]).reshape(4, 5, 2).max(-1)
        np.testing.assert_allclose(example_map, expected, rtol=1e-6)
    predicted = np.asarray(model.apply(params, {}, x, train=False)[0]).argmax(-1)
    np.testing.assert_array_equal(
        saliency(model, params, {}, x), saliency(model, params, {}, x, predicted)
    )


def test_saliency_equals_finite_differences():
    row = MODELS["plain_bias"]
    params, state, x = example(row)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (params, state))
        x = np.asarray(x, np.float64)
        labels = np.array([0, 1, 2, 3])
        maps = jax.jit(lambda x: saliency(row.layer, *wide, x, labels))(x)

        @jax.jit
        def logit(x):
            y, _ = row.layer.apply(*wide, x, train=False)
            return y[jnp.arange(4), labels]

        for i, j in ((0, 0), (3, 4), (7, 6)):
            step = np.zeros_like(x)
            step[:, i, j, 0] = 1e-6
            change = (logit(x + step) - logit(x - step)) / 2e-6
            # Central differences of float64: 1e-16 / 1e-6, and no kink within the step.
            np.testing.assert_allclose(maps[:, i, j], np.abs(change), rtol=1e-5, atol=1e-8)


def test_grad_cam_before_average_pooling_is_cam():
    """Selvaraju et al., section 3.1: there a_k is the head's weight over the positions."""
    model = sequential(conv=Conv(5), relu=jax.nn.relu, pool=fcnn.global_avg_pool, head=Dense(3))
    x = normals(0, (2, 6, 4, 2))[0]
    params, state = model.init(jax.random.key(0), x)
    labels = jnp.array([1, 2])
    maps = jax.nn.relu(fcnn.ops.conv(x, **params["conv"]))
    weights = params["head"]["kernel"][:, labels].T / 24
    expected = jax.nn.relu(jnp.einsum("nhwc,nc->nhw", maps, weights))
    got = grad_cam(model, params, state, x, "relu", labels)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)
    assert float(got.max()) > 0
    jitted = jax.jit(lambda x: grad_cam(model, params, state, x, "relu", labels))(x)
    np.testing.assert_allclose(jitted, expected, rtol=1e-5, atol=1e-7)


def test_grad_cam_inside_repeat_and_of_waveforms():
    block = fcnn.residual(Conv(4))
    x = normals(3, (2, 8, 4))[0]
    many = sequential(blocks=fcnn.repeat(block, 2), pool=fcnn.flatten, head=Dense(3))
    params, state = many.init(jax.random.key(0), x)
    stack = params["blocks"]
    loop = sequential(blocks=sequential(block, block), pool=fcnn.flatten, head=Dense(3))
    loop_params = params | {
        "blocks": {str(i): jax.tree.map(lambda leaf, i=i: leaf[i], stack) for i in range(2)}
    }
    for path in ("blocks/0", "blocks/1/body", "blocks"):
        got = grad_cam(many, params, state, x, path)
        assert got.shape == (2, 8)
        expected = grad_cam(loop, loop_params, state, x, path)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


def test_errors():
    model = sequential(a=Conv(3), b=fcnn.global_avg_pool)
    x = jnp.ones((2, 4, 4, 1))
    numbers = model.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="there is no output 'c'; there are a, b"):
        features(model, *numbers, x, "c")
    with pytest.raises(ValueError, match=r"output is \(N, \*S, C\), but 'b' gives \(2, 3\)"):
        grad_cam(model, *numbers, x, "b")
    with pytest.raises(ValueError, match=r"classes of shape \(2,\), got \(3,\)"):
        saliency(model, *numbers, x, jnp.arange(3))
    with pytest.raises(ValueError, match=r"saliency expects .* logits \(N, K\), got \(2, 4, 4, 3"):
        saliency(model[:1], *numbers, x)
    with pytest.raises(TypeError, match="saliency"):
        saliency(model, *numbers, jnp.ones((2, 4, 4, 1), jnp.int32))
    with pytest.raises(ValueError, match="expects 1 input channels") as error:
        features(model, *numbers, jnp.ones((2, 4, 4, 2)))
    assert "in a: Conv(features=3)" in error.value.__notes__[0]
