"""Bad input to layers: a clear error with the shapes and the path, never a silent result."""

import jax
import jax.numpy as jnp
import pytest

import fcnn
from fcnn import (
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    DepthwiseConv,
    Dropout,
    DropPath,
    GroupNorm,
    LayerNorm,
    MaxPool,
    Scale,
    SpatialDropout,
    parallel,
    repeat,
    residual,
    sequential,
)

nan = float("nan")

CONSTRUCTION = [
    (lambda: Conv(0), ValueError, "Conv features must be at least 1, got 0"),
    (lambda: Conv(2.0), TypeError, "Conv features must be an int, got 2.0"),
    (lambda: Conv(True), TypeError, "Conv features must be an int, got True"),
    (lambda: Conv(4, 0), ValueError, "Conv kernel_size must be at least 1, got 0"),
    (lambda: Conv(4, [3, 3]), TypeError, r"kernel_size must be an int or tuple of ints, got \[3"),
    (lambda: Conv(4, stride=-1), ValueError, "Conv stride must be at least 1, got -1"),
    (lambda: Conv(4, padding=[1]), TypeError, r"padding must be a name, an int or .* got \[1\]"),
    (lambda: Conv(4, strides=2), TypeError, "strides"),
    (lambda: Conv(4, use_bias=False), TypeError, "use_bias"),
    (lambda: DepthwiseConv(3, multiplier=0), ValueError, "multiplier must be at least 1"),
    (lambda: ConvTranspose(4, output_padding=-1), ValueError, "output_padding must be at least 0"),
    (lambda: Dense("10"), TypeError, "Dense features must be an int, got '10'"),
    (lambda: MaxPool(0), ValueError, "MaxPool window must be at least 1, got 0"),
    (lambda: MaxPool(2, strides=1), TypeError, "strides"),
    (lambda: Dropout(nan), ValueError, r"Dropout rate must be in \[0, 1\), got nan"),
    (lambda: Dropout(1.0), ValueError, r"Dropout rate must be in \[0, 1\), got 1.0"),
    (lambda: Dropout(-0.1), ValueError, r"Dropout rate must be in \[0, 1\), got -0.1"),
    (lambda: Dropout("half"), TypeError, "Dropout rate must be a number, got 'half'"),
    (lambda: SpatialDropout(2), ValueError, r"SpatialDropout rate must be in \[0, 1\)"),
    (lambda: DropPath(nan), ValueError, r"DropPath rate must be in \[0, 1\)"),
    (lambda: BatchNorm(decay=1.0), ValueError, r"BatchNorm decay must be in \[0, 1\), got 1.0"),
    (lambda: BatchNorm(eps=nan), ValueError, "BatchNorm eps must be in"),
    (lambda: BatchNorm(momentum=0.1), TypeError, "momentum"),
    (lambda: GroupNorm(8, group_size=2), ValueError, "either groups or group_size"),
    (lambda: GroupNorm(None), ValueError, "either groups or group_size"),
    (lambda: GroupNorm(0), ValueError, "GroupNorm groups must be at least 1"),
    (lambda: Scale(nan), ValueError, "Scale initial must be in"),
    (lambda: sequential(Conv), TypeError, r"child '0' is the class Conv: give an instance"),
    (
        lambda: sequential(Conv(3), strde=2),
        TypeError,
        "child 'strde' must be a layer or a function",
    ),
    (lambda: sequential(**{"a/b": Conv(3)}), ValueError, "child name 'a/b'"),
    (lambda: sequential(Conv(3), **{"0": Conv(3)}), ValueError, "not all different"),
    (lambda: residual(3), TypeError, "residual child 'body' must be a layer"),
    (lambda: parallel(), ValueError, "at least one branch"),
    (lambda: parallel(jnp.sin, join="add"), ValueError, "'sum', 'product' or 'concat', got 'add'"),
    (lambda: repeat(Conv(3), 0), ValueError, "repeat n must be a positive int, got 0"),
]


@pytest.mark.parametrize(("make", "error", "text"), CONSTRUCTION, ids=lambda v: None)
def test_bad_hyperparameters(make, error, text):
    with pytest.raises(error, match=text):
        make()


INPUT = [
    ("rank", Conv(4), (28, 28), r"rank 3 \(N, L, C\).*shape \(28, 28\)"),
    ("rank6", Conv(4), (1, 2, 2, 2, 2, 1), r"shape \(1, 2, 2, 2, 2, 1\)"),
    ("kernel_2d_on_1d", Conv(4, (3, 3)), (1, 9, 2), r"\(3, 3\) has 2 entries, but x has 1"),
    ("stride_2d_on_1d", Conv(4, 3, stride=(2, 2)), (1, 9, 2), r"\(2, 2\) has 2 entries"),
    ("window", Conv(4, 5, padding="VALID"), (1, 4, 4, 2), r"\(5, 5\).*than x \(1, 4, 4, 2\)"),
    ("groups", Conv(4, groups=3), (1, 4, 4, 4), r"groups=3 must divide both the 4 input channels"),
    ("features", Conv(5, groups=2), (1, 4, 4, 4), "groups=2 must divide .* features=5"),
    ("causal", Conv(4, padding="CAUSAL"), (1, 4, 4, 2), "'CAUSAL' is for 1-D input"),
    ("padding", Conv(4, padding="same"), (1, 4, 4, 2), "padding 'same' is not known"),
    ("pairs", Conv(4, padding=((1, 1),)), (1, 4, 4, 2), r"must be an int, \(\(low, high\), \(low"),
    ("pool", MaxPool(9), (1, 4, 4, 2), r"\(9, 9\).*larger than x \(1, 4, 4, 2\)"),
    ("pool_rank", MaxPool(2), (4, 4), r"shape \(4, 4\)"),
    ("group_norm", GroupNorm(4), (1, 4, 4, 6), r"GroupNorm\(groups=4\) does not divide the 6"),
    ("batch_norm", BatchNorm(), (6,), r"\(N, ..., C\), but x has shape \(6,\)"),
    ("residual", residual(Conv(3)), (1, 4, 4, 2), r"body \(1, 4, 4, 3\) and shortcut \(1, 4, 4, 2"),
    ("concat", parallel(MaxPool(2), Conv(2), join="concat"), (1, 4, 4, 2), r"\(1, 2, 2, 2\), \(1"),
    ("repeat", repeat(Conv(3), 2), (1, 4, 4, 2), r"float32\[1, 4, 4, 3\] of float32\[1, 4, 4, 2\]"),
]


@pytest.mark.parametrize(
    ("layer", "shape", "text"), [row[1:] for row in INPUT], ids=[row[0] for row in INPUT]
)
def test_bad_input_names_shapes_and_path(key, layer, shape, text):
    model = sequential(outer=sequential(inner=layer))

    def init_and_apply():
        params, state = model.init(key, shape)
        return model.apply(params, state, jnp.ones(shape), train=True, key=key)

    with pytest.raises(ValueError, match=text) as info:
        init_and_apply()
    assert info.value.__notes__[-2].startswith("  in inner: ")
    assert info.value.__notes__[-1].startswith("  in outer: Sequential on float32")


def test_wrong_channels_and_the_whole_path():
    model = sequential(stem=sequential(Conv(4), jax.nn.relu))
    params, state = model.init(jax.random.key(0), (1, 8, 8, 3))
    with pytest.raises(ValueError, match="expects 3 input channels") as info:
        model.apply(params, state, jnp.ones((4, 8, 8, 2)), train=False)
    assert str(info.value) == (
        "conv kernel (3, 3, 3, 4) (kh, kw, C/groups, F) with groups=1 expects 3 input channels, "
        "but x (4, 8, 8, 2) (N, H, W, C) has 2"
    )
    assert info.value.__notes__ == [
        "  in 0: Conv(features=4) on float32[4, 8, 8, 2]",
        "  in stem: Sequential on float32[4, 8, 8, 2]",
    ]


@pytest.mark.parametrize(
    "layer",
    [Conv(2), Dense(2), BatchNorm(), GroupNorm(1), MaxPool(2), ConvTranspose(2), Scale()],
    ids=lambda layer: type(layer).__name__,
)
def test_integer_images_are_refused(key, layer):
    params, state = layer.init(key, (2, 4, 4, 2))
    with pytest.raises(TypeError, match=r"expects floating-point x, but x \(2, 4, 4, 2\) is uint8"):
        layer.apply(params, state, jnp.ones((2, 4, 4, 2), jnp.uint8), train=True, key=key)


def test_another_models_params_are_refused():
    layer = sequential(head=Dense(3))
    with pytest.raises(ValueError, match=r"expects an entry 'kernel'.*got nothing") as info:
        layer.apply({"body": {}}, {}, jnp.ones((1, 2)), train=False)
    assert info.value.__notes__ == ["  in head: Dense(features=3) on float32[1, 2]"]


KERNEL, FOUR = jnp.ones((3, 3, 4, 4)), jnp.ones(4)
SHAPES = [
    (Conv(7), {"kernel": KERNEL, "bias": FOUR}, {}, r"'kernel' of shape \(3, 3, \?, 7\), got"),
    (Conv(4, 5), {"kernel": KERNEL, "bias": FOUR}, {}, r"\(5, 5, \?, 4\), got \(3, 3, 4, 4\)"),
    (Conv(4), {"kernel": KERNEL, "bias": jnp.ones(1)}, {}, r"'bias' of shape \(4\), got \(1,\)"),
    (ConvTranspose(4, 2), {"kernel": KERNEL, "bias": FOUR}, {}, r"\(2, 2, \?, 4\), got \(3, 3"),
    (Dense(7), {"kernel": jnp.ones((4, 4)), "bias": FOUR}, {}, r"\(\?, 7\), got \(4, 4\)"),
    (LayerNorm(), {"scale": jnp.ones(1), "bias": FOUR}, {}, r"'scale' of shape \(4\), got \(1,\)"),
    (Scale(), {"scale": jnp.ones(3)}, {}, r"'scale' of shape \(4\), got \(3,\)"),
    (
        BatchNorm(),
        {"scale": FOUR, "bias": FOUR},
        {"mean": FOUR, "var": jnp.ones(1)},
        r"'var' of shape \(4\), got \(1,\): was it made by another model's init",
    ),
]


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("layer", "params", "state", "text"), SHAPES, ids=lambda v: None)
def test_params_of_another_shape_are_refused(layer, params, state, text, train):
    """Each of these would compute something: of other sizes, or broadcast."""
    with pytest.raises(ValueError, match=text):
        layer.apply(params, state, jnp.ones((2, 8, 8, 4)), train=train)
    with pytest.raises(ValueError, match=text):
        jax.jit(lambda p, s: layer.apply(p, s, jnp.ones((2, 8, 8, 4)), train=train))(params, state)


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (8, TypeError, "an array, a ShapeDtypeStruct or a shape tuple, got 8"),
        ((1, 8.0, 8, 4), ValueError, r"a shape must be ints of 0 or more, got \(1, 8.0, 8, 4\)"),
        ((1, -8, 8, 4), ValueError, r"a shape must be ints of 0 or more, got \(1, -8, 8, 4\)"),
    ],
)
def test_init_takes_no_other_shape(key, x, error, text):
    with pytest.raises(error, match=text):
        Conv(4).init(key, x)


def test_train_is_a_required_keyword(key):
    params, state = Conv(2).init(key, (1, 4, 4, 1))
    with pytest.raises(TypeError, match="train"):
        Conv(2).apply(params, state, jnp.ones((1, 4, 4, 1)))


def test_the_shape_error_comes_out_of_jit_with_its_notes(key):
    model = sequential(head=Dense(3))
    params, state = model.init(key, (1, 2))
    run = jax.jit(lambda x: model.apply(params, state, x, train=False)[0])
    with pytest.raises(ValueError, match="expects 2 input features") as info:
        run(jnp.ones((1, 5)))
    assert "  in head: Dense(features=3) on float32[1, 5]" in info.value.__notes__


def test_an_int_kernel_size_means_every_spatial_dimension(key):
    for shape, kernel in [((1, 9, 2), (3, 2, 4)), ((1, 9, 9, 2), (3, 3, 2, 4))]:
        params, _ = Conv(4, 3).init(key, shape)
        assert params["kernel"].shape == kernel
    assert fcnn.Conv(4, 3) == fcnn.Conv(4, 3, stride=1)
