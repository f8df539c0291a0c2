import dataclasses
import functools
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import TINY

from fcnn import models, tree
from fcnn.compose import Sequential
from fcnn.layers import Dense
from fcnn.models import (
    MODELS,
    ConvNeXtConfig,
    LeNetConfig,
    MobileNetV2Config,
    PlainConfig,
    ResNetConfig,
    VGGConfig,
    WaveformConfig,
    WideResNetConfig,
)

# Input shape and parameter count of every model. Sources: the papers' or torchvision's counts where
# the config's docstring names one, else the sum by hand that stands in the docstring.
COUNTS = {
    "lenet5": ((1, 28, 28, 1), 61_706),
    "small": ((1, 28, 28, 1), 467_818),
    "plain8": ((1, 8, 8, 1), 67_754),
    "plain28": ((1, 28, 28, 1), 96_554),
    "vgg11": ((1, 224, 224, 3), 132_863_336),
    "vgg11_bn": ((1, 224, 224, 3), 132_868_840),
    "vgg16": ((1, 224, 224, 3), 138_357_544),
    "vgg16_bn": ((1, 224, 224, 3), 138_365_992),
    "resnet18": ((1, 224, 224, 3), 11_689_512),
    "resnet34": ((1, 224, 224, 3), 21_797_672),
    "resnet50": ((1, 224, 224, 3), 25_557_032),
    "resnet101": ((1, 224, 224, 3), 44_549_160),
    "resnet152": ((1, 224, 224, 3), 60_192_808),
    "resnet20": ((1, 32, 32, 3), 272_474),
    "resnet56": ((1, 32, 32, 3), 855_770),
    "wide_resnet28_10": ((1, 32, 32, 3), 36_479_194),
    "mobilenet_v2": ((1, 224, 224, 3), 3_504_872),
    "convnext_tiny": ((1, 224, 224, 3), 28_589_128),
    "convnext_small": ((1, 224, 224, 3), 50_223_688),
    "dwnet": ((1, 32, 32, 3), 387_786),
    "waveform": ((1, 32_000, 1), 558_090),
    "sensor": ((1, 128, 9), 130_502),
}


def shapes(model, shape):
    """Params and state as shapes: no numbers are made."""
    return jax.eval_shape(lambda key: model.init(key, shape), jax.random.key(0))


def perturbed(params):
    """Away from the initial zeros and ones (biases, scales), by values that are not random."""
    names = tree.to_names(params)
    for i, (name, leaf) in enumerate(names.items()):
        wave = jnp.sin(jnp.arange(leaf.size, dtype=jnp.float32) + i).reshape(leaf.shape)
        names[name] = leaf + 0.1 * wave
    return tree.from_names(names)


def images(shape):
    """Smooth values between -1 and 1, different in every example."""
    return jnp.sin(0.37 * jnp.arange(np.prod(shape), dtype=jnp.float32)).reshape(shape)


@functools.cache
def tiny(name):
    config, shape = TINY[name]
    model = config.build()
    params, state = jax.jit(model.init, static_argnums=1)(jax.random.key(0), shape)
    return model, perturbed(params), state, images(shape)


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_count(name):
    shape, expected = COUNTS[name]
    params, _ = shapes(MODELS[name].build(), shape)
    assert tree.count(params) == expected


def test_every_model_is_counted():
    assert set(COUNTS) == set(MODELS) == set(models.NAMES)


@pytest.mark.parametrize(
    ("name", "fields", "shape", "expected"),
    [
        # the head alone differs: (features + 1) * (classes there - classes here)
        ("resnet18", {"num_classes": 10}, (1, 224, 224, 3), 11_689_512 - 513 * 990),
        ("resnet50", {"num_classes": 10}, (1, 224, 224, 3), 25_557_032 - 2049 * 990),
        ("vgg16", {"num_classes": 10}, (1, 224, 224, 3), 138_357_544 - 4097 * 990),
        ("mobilenet_v2", {"num_classes": 10}, (1, 224, 224, 3), 3_504_872 - 1281 * 990),
        ("convnext_tiny", {"num_classes": 10}, (1, 224, 224, 3), 28_589_128 - 769 * 990),
        ("wide_resnet28_10", {"num_classes": 100}, (1, 32, 32, 3), 36_479_194 + 641 * 90),
        ("lenet5", {"num_classes": 26}, (1, 28, 28, 1), 61_706 + 85 * 16),
        # the recipe cifar10: the stem's kernel, the stages', 2 * (16 + 2 * 272) in batch norm, head
        (
            "plain8",
            {"widths": (48, 96, 128), "pool": "average", "stem": 16, "early_pool": True},
            (1, 32, 32, 3),
            432 + 9 * (16 * 48 + 48 * 48 + 48 * 96 + 96 * 96 + 96 * 128 + 128 * 128) + 1120 + 1290,
        ),
        ("waveform", {"num_classes": 35}, (1, 16_000, 1), 558_090 + 513 * 25),
        # the CIFAR stem has 3 * 3 * 3 * 64 weights instead of 7 * 7 * 3 * 64
        (
            "resnet18",
            {"num_classes": 10, "stem": "cifar"},
            (1, 32, 32, 3),
            11_689_512 - 513 * 990 - 40 * 3 * 64,
        ),
    ],
)
def test_parameter_count_with_overrides(name, fields, shape, expected):
    params, _ = shapes(models.build(name, **fields), shape)
    assert tree.count(params) == expected


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("lenet5", (1, 28, 28, 1), {"stage1": (14, 14, 6), "stage2": (5, 5, 16), "pool": (400,)}),
        ("small", (1, 28, 28, 1), {"stage1": (14, 14, 32), "stage2": (7, 7, 64), "pool": (3136,)}),
        ("vgg16", (1, 224, 224, 3), {"stage1": (112, 112, 64), "stage5": (7, 7, 512)}),
        (
            "resnet50",
            (1, 224, 224, 3),
            {"stem": (56, 56, 64), "stage1": (56, 56, 256), "stage4": (7, 7, 2048)},
        ),
        ("resnet20", (1, 32, 32, 3), {"stem": (32, 32, 16), "stage3": (8, 8, 64), "pool": (64,)}),
        ("wide_resnet28_10", (1, 32, 32, 3), {"stage1": (32, 32, 160), "norm": (8, 8, 640)}),
        ("mobilenet_v2", (1, 224, 224, 3), {"stem": (112, 112, 32), "tail": (7, 7, 1280)}),
        ("convnext_tiny", (1, 224, 224, 3), {"stem": (56, 56, 96), "stage4": (7, 7, 768)}),
        ("dwnet", (1, 32, 32, 3), {"stem": (8, 8, 64), "stage2": (4, 4, 128)}),
        # the paper's 32000 -> 8000 -> 2000 -> 500 -> 125 -> 31
        ("waveform", (1, 32_000, 1), {"stem": (2000, 128), "stage3": (31, 512), "pool": (512,)}),
        ("sensor", (1, 128, 9), {"stem": (64, 64), "stage2": (16, 256)}),
    ],
)
def test_sizes_along_the_network(name, shape, expected):
    model = models.build(name)
    params, state = shapes(model, shape)
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    seen = {}
    for child in model.names:
        part = Sequential((child,), (model[child],))
        x, _ = jax.eval_shape(
            lambda p, s, x, m=part: m.apply(p, s, x, train=False), params, state, x
        )
        seen[child] = x.shape[1:]
    assert {child: seen[child] for child in expected} == expected
    assert seen["head"] == (MODELS[name].num_classes,)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_ends_in_pool_and_head(name):
    assert MODELS[name].build().names[-2:] == ("pool", "head")


def test_early_pooling_comes_before_the_norm_of_the_first_convolution():
    model = PlainConfig(widths=(4,), stem=3, early_pool=True).build()
    assert model.names == ("stem", "stage1", "pool", "head")
    kinds = [type(layer).__name__ for _, layer in model["stage1"].children()]
    block = ["Conv", "BatchNorm", "custom_jvp"]  # the last is jax.nn.relu
    assert kinds == ["Conv", "MaxPool", *block[1:], *block]
    later = PlainConfig(widths=(4,)).build()["stage1"]
    assert [type(layer).__name__ for _, layer in later.children()] == [*block, *block, "MaxPool"]


def test_paths_stay_readable():
    params, state = shapes(models.build("resnet50"), (1, 224, 224, 3))
    assert tree.to_names(params)["stage3/0/body/1/scale"].shape == (256,)
    assert tree.to_names(state)["stage3/0/shortcut/1/mean"].shape == (1024,)
    assert "stage3/1/shortcut/0/kernel" not in tree.to_names(params)


def test_small_is_the_benchmark_network():
    params, state = shapes(models.build("small"), (1, 28, 28, 1))
    kernels = {n: p.shape for n, p in tree.to_names(params).items() if n.endswith("kernel")}
    assert kernels == {
        "stage1/0/kernel": (3, 3, 1, 32),
        "stage1/2/kernel": (3, 3, 32, 32),
        "stage2/0/kernel": (3, 3, 32, 64),
        "stage2/2/kernel": (3, 3, 64, 64),
        "head/0/kernel": (3136, 128),
        "head/3/kernel": (128, 10),
    }
    assert state == {}


# Biases with only linear layers between them and a batch norm: training subtracts the batch mean,
# and the bias with it; evaluation feels them. torchvision's VGG and MobileNetV2 have them too.
CANCELLED = {
    "vgg_bn": {"stage1/0/bias", "stage2/0/bias", "stage2/3/bias"},
    "mobilenet_v2": {"stage1/0/body/4/bias", "stage2/0/7/bias", "stage2/1/body/7/bias"},
}


@pytest.mark.parametrize("name", TINY)
def test_every_parameter_gets_a_gradient(name):
    model, params, state, x = tiny(name)

    def loss(params, train):
        logits, _ = model.apply(params, state, x, train=train, key=jax.random.key(1))
        return jnp.sum(logits * images(logits.shape))

    grad = jax.jit(jax.grad(loss), static_argnums=1)
    for train in (True, False) if name in CANCELLED else (True,):
        grads = {path: np.abs(g).max() for path, g in tree.to_names(grad(params, train)).items()}
        assert grads.keys() == tree.to_names(params).keys()
        assert np.all(np.isfinite(list(grads.values())))
        # float32 cancels to 1e-7 of the largest gradient; what is really felt is far above
        felt = 1e-6 * max(grads.values())
        zero = {path for path, size in grads.items() if size < felt}
        assert zero == (CANCELLED.get(name, set()) if train else set())


# Logits of the first example, in evaluation, from key 0 and the perturbation above.
GOLDEN = {
    "lenet": [-0.069879, -0.251025, -0.006384, -0.127463, -0.264925],
    "plain": [0.195794, -0.06036, -0.269935, -0.299683, -0.316157],
    "plain_bias": [-0.109402, 0.316802, 0.528567, -0.457428, 0.318944],
    "plain_early": [-0.063733, 0.178171, 0.173005, -0.147071, -0.036543],
    "vgg": [0.882797, 0.413994, -0.785261, -0.070563, -0.566895],
    "vgg_bn": [0.838627, 0.115274, -0.363904, -0.226585, 0.132745],
    "resnet_basic": [-4.254958, 2.164723, -1.051554, 0.995418, -0.884784],
    "resnet_bottleneck": [-0.100273, -0.047882, 0.061061, 0.289897, 0.131415],
    "resnet_repeat": [-1.283376, 0.769297, -0.185654, 0.438341, -0.521287],
    "wide_resnet": [1.021102, -0.199709, 0.950081, 1.961077, -0.944177],
    "mobilenet_v2": [-0.836807, 6.339249, 3.016035, 0.379689, 5.539798],
    "convnext": [-0.505417, -0.349337, -0.011462, 0.436719, 0.471638],
    "waveform": [-1.500481, 1.008128, -0.079576, -0.463085, -0.706516],
}


@pytest.mark.parametrize("name", TINY)
def test_golden_logits(name):
    model, params, state, x = tiny(name)
    head = Sequential(("head",), (model["head"],))

    @jax.jit
    def outputs(params, state, x):
        logits, _ = model.apply(params, state, x, train=False)
        features, _ = model[:-1].apply(params, state, x, train=False)
        return logits, head.apply(params, state, features, train=False)[0]

    logits, from_features = outputs(params, state, x)
    assert logits.shape == (4, 5)
    assert np.all(np.isfinite(logits))
    # float32 sums in another order move the sixth digit; a wrong pad, axis or key moves the first
    np.testing.assert_allclose(logits[0], GOLDEN[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(from_features, logits, rtol=1e-5, atol=1e-6)  # float32 rounding


def test_a_resnet_that_repeats_is_the_one_that_does_not():
    config = ResNetConfig("basic", (3, 1), 4, 5, "cifar", repeat=True)
    looped, plain = config.build(), dataclasses.replace(config, repeat=False).build()
    x = images((4, 8, 8, 3))
    params, state = looped.init(jax.random.key(0), x.shape)

    def unstacked(tree):
        first, rest = tree["stage1"]["0"], tree["stage1"]["rest"]
        copies = {str(i + 1): jax.tree.map(lambda leaf, i=i: leaf[i], rest) for i in range(2)}
        return {**tree, "stage1": {"0": first, **copies}}

    wanted, _ = plain.apply(unstacked(params), unstacked(state), x, train=False)
    logits, _ = looped.apply(params, state, x, train=False)
    # XLA fuses a loop's body otherwise: the last digits of float32.
    np.testing.assert_allclose(logits, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_a_residual_block_starts_as_its_shortcut(block):
    keeps = ResNetConfig(block, (2, 2), 4, 5, "cifar").build()["stage2"][1]
    x = images((2, 4, 4, 8 if block == "basic" else 32))
    params, state = keeps.init(jax.random.key(0), x.shape)
    y, _ = jax.jit(lambda p, s, x: keeps.apply(p, s, x, train=True))(params, state, x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_equal_blocks_are_equal_layers():
    stage = models.build("resnet34")["stage3"]
    assert stage[1] == stage[2] == stage[5] != stage[0]
    assert hash(stage[1]) == hash(stage[5])
    stage = models.build("dwnet")["stage1"]
    assert stage[0] == stage[1]
    assert (
        models.build("convnext_tiny", drop_path=0.0)["stage3"][0]
        == models.build("convnext_small", drop_path=0.0)["stage3"][26]
    )


def test_drop_path_grows_linearly_over_all_blocks():
    model = ConvNeXtConfig((1, 2, 2), (4, 4, 4), drop_path=0.4).build()
    rates = [
        block.body[-1].rate for stage in ("stage1", "stage2", "stage3") for block in model[stage]
    ]
    np.testing.assert_allclose(rates, [0.0, 0.1, 0.2, 0.3, 0.4], rtol=1e-12)  # float64 rounding


def test_convnext_gelu_is_exact():
    from math import erf, sqrt

    from fcnn.models.convnext import gelu

    x = np.linspace(-4, 4, 17)
    expected = [v * (1 + erf(v / sqrt(2))) / 2 for v in x]
    # float32 rounding; the tanh fit is off by up to 5e-4
    np.testing.assert_allclose(gelu(jnp.asarray(x, jnp.float32)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("features", "expected"),
    # 1.4: 32 * 1.4 = 44.8 -> 48; 0.35: 24 * 0.35 = 8.4 -> 8; 11.2 -> 8 is under 90%, so 16
    [(44.8, 48), (8.4, 8), (11.2, 16), (1.0, 8), (24.0, 24), (12.0, 16)],
)
def test_mobilenet_rounds_to_multiples_of_8(features, expected):
    from fcnn.models.mobilenet_v2 import multiple_of_8

    assert multiple_of_8(features) == expected


def test_mobilenet_width_1_4_count():
    # torchvision's mobilenet_v2(width_mult=1.4); the paper's table 4 has 6.9M
    params, _ = shapes(models.build("mobilenet_v2", width=1.4), (1, 224, 224, 3))
    assert tree.count(params) == 6_108_776


CONFIGS = {**MODELS, **{f"tiny_{name}": config for name, (config, _) in TINY.items()}}


@pytest.mark.parametrize("name", CONFIGS)
def test_json_round_trip(name):
    config = CONFIGS[name]
    text = models.to_json(config)
    assert "\n" not in text
    back = models.from_json(text)
    assert back == config
    assert type(back) is type(config)
    assert hash(back) == hash(config)
    assert back.build() == config.build()
    assert models.to_json(back) == text


def test_json_text():
    assert json.loads(models.to_json(MODELS["resnet20"])) == {
        "family": "resnet",
        "block": "basic",
        "depths": [3, 3, 3],
        "width": 16,
        "num_classes": 10,
        "stem": "cifar",
        "repeat": False,
    }


@pytest.mark.parametrize("name", MODELS)
def test_models_are_values(name):
    config = MODELS[name]
    model = config.build()
    assert model == config.build()
    assert hash(model) == hash(config.build())
    assert pickle.loads(pickle.dumps(config)) == config
    copy = pickle.loads(pickle.dumps(model))
    assert copy == model
    assert hash(copy) == hash(model)
    assert model != dataclasses.replace(config, num_classes=config.num_classes + 1).build()


def test_build_replaces_fields():
    assert models.build("resnet18", num_classes=10, stem="cifar") == (
        ResNetConfig("basic", (2, 2, 2, 2), 64, 10, "cifar").build()
    )
    assert models.build("lenet5")["head"][-1] == Dense(
        10, kernel_init=models.build("lenet5")["head"][0].kernel_init
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: models.build("resnet19"),
            "unknown model 'resnet19'; the models are lenet5, small",
        ),
        (
            lambda: models.build("resnet18", classes=10),
            "ResNetConfig has no 'classes'; its fields are block, depths, width, num_classes, stem",
        ),
        (
            lambda: models.build("resnet18", stem="mnist"),
            "ResNetConfig: stem must be one of 'imagenet', 'cifar', got 'mnist'",
        ),
        (lambda: ResNetConfig(block="dense"), "block must be one of 'basic', 'bottleneck'"),
        (lambda: ResNetConfig(depths=[2, 2]), r"depths must be a tuple of .*, got \[2, 2\]"),
        (lambda: ResNetConfig(depths=()), r"depths must be a tuple of positive ints, got \(\)"),
        (lambda: ResNetConfig(depths=(2, 0)), "depths must be a tuple of positive ints"),
        (lambda: ResNetConfig(num_classes=0), "num_classes must be a positive int, got 0"),
        (lambda: ResNetConfig(num_classes=True), "num_classes must be a positive int, got True"),
        (lambda: ResNetConfig(width=64.0), "width must be a positive int, got 64.0"),
        (
            lambda: VGGConfig(depths=(1, 1)),
            "one entry per stage expected, but depths has 2, widths",
        ),
        (lambda: VGGConfig(dropout=1.0), "dropout must be a rate, 0 <= rate < 1, got 1.0"),
        (lambda: VGGConfig(dropout=float("nan")), "dropout must be a rate, .* got nan"),
        (lambda: VGGConfig(batch_norm=1), "batch_norm must be True or False, got 1"),
        (lambda: LeNetConfig(padding=-1), "padding must be an int of at least 0, got -1"),
        (lambda: PlainConfig(pool="max"), "pool must be one of 'flatten', 'average', got 'max'"),
        (lambda: WideResNetConfig(depth=27), r"depth must be 6 \* n \+ 4 .*, got 27"),
        (lambda: WideResNetConfig(depth=4), r"depth must be 6 \* n \+ 4 .*, got 4"),
        (lambda: MobileNetV2Config(width=0.0), "width must be a finite number above 0, got 0.0"),
        (lambda: MobileNetV2Config(stages=((1, 8, 1),)), "stages must be a tuple of .expansion"),
        (lambda: ConvNeXtConfig(layer_scale=float("inf")), "layer_scale must be a finite number"),
        (lambda: WaveformConfig(window=0), "WaveformConfig: window must be a positive int, got 0"),
        (
            lambda: models.from_json('{"family": "alexnet"}'),
            "one of lenet, plain, vgg, resnet, wide_resnet, mobilenet_v2, convnext, waveform",
        ),
        (lambda: models.from_json('{"depths": [1]}'), "from_json expects .* with one of lenet"),
        (lambda: models.from_json("[1, 2]"), "from_json expects"),
        (lambda: models.from_json('{"family": ["vgg"]}'), "from_json expects"),
        (lambda: models.from_json("vgg"), "Expecting value"),
        (
            lambda: models.from_json('{"family": "lenet", "width": 3}'),
            "LeNetConfig has no 'width'; its fields are num_classes, widths, dense, padding",
        ),
        (
            lambda: models.from_json('{"family": "vgg", "depths": 3}'),
            "VGGConfig: depths must be a tuple of positive ints, got 3",
        ),
        (lambda: models.to_json({"family": "vgg"}), "to_json expects a config of lenet, plain"),  # type: ignore[arg-type]
    ],
)
def test_errors_name_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()
