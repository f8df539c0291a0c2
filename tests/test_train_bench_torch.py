"""A recipe in PyTorch beside ours: the same logits, the same losses (`make parity`)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torture import Tiny, seventh
from watched import Watched

from fcnn import tree
from fcnn.models import PlainConfig, ResNetConfig, WaveformConfig
from train import devices
from train.bench import __main__ as bench
from train.program import compile_program
from train.recipes import RECIPES

torch = pytest.importorskip("torch")
from train.bench.peers import torch_training  # noqa: E402

NETWORKS = {
    "plain": (PlainConfig(5, (4, 6), dense=8), (4, 8, 12, 3)),
    "early": (PlainConfig(5, (4, 6), pool="average", stem=3, early_pool=True), (4, 8, 8, 3)),
    "bias": (PlainConfig(5, (4, 6), 1, batch_norm=False), (4, 8, 8, 1)),
    "resnet": (ResNetConfig("basic", (1, 1), 4, 5, "cifar"), (4, 8, 8, 3)),
    "waveform": (WaveformConfig(5, (4, 6), kernel_size=9, stride=2, window=2), (4, 64, 2)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_with_our_weights_it_gives_our_logits(name, key):
    config, shape = NETWORKS[name]
    model = config.build()
    params, state = jax.jit(model.init, static_argnums=1)(key, shape)
    # Away from the zeros and ones that would hide a scale or a bias in the wrong place.
    params, state = (
        jax.tree.map(
            lambda leaf: leaf + 0.1 * (1 + jnp.sin(jnp.arange(leaf.size))).reshape(leaf.shape), part
        )
        for part in (params, state)
    )
    x = jax.random.normal(key, shape)
    network = torch_training.network_of(model, key, shape)
    torch_training.load(network, model, params, state)
    assert sum(p.numel() for p in network.parameters()) == tree.count(params)
    network.eval()
    with torch.inference_mode():
        theirs = network(torch_training.channels_second(x)).numpy()
    ours, _ = model.apply(params, state, x, train=False)
    # float32 sums of a hundred products in another order.
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_losses_are_ours(optimizer):
    recipe = Tiny(
        steps=10,
        devices=1,
        warmup_epochs=0.2,
        optimizer=optimizer,
        learning_rate=0.02,
        model=PlainConfig(widths=(4,), convs=1),
    )
    data = recipe.load(print)
    program = compile_program(recipe, data, devices.mesh(1, 16), Watched())
    ts, key = program.init(jnp.uint32(3))
    order = program.order(key, jnp.int32(0))
    ts, measured, _ = program.steps(ts, jax.device_put(data.train), order, key, np.int32(10))
    trained = torch_training.train(recipe, data, 3, lambda line: None)
    # Ten steps let roundings of 1e-7 grow; a wrong decay, momentum or rate shows in the third.
    np.testing.assert_allclose(trained.losses, measured["loss"][:10], rtol=1e-4)
    tested = program.test(ts.params, ts.state, jax.device_put(data.test))
    assert trained.accuracy == pytest.approx(float(tested["accuracy"]))


def test_mixed_targets_and_a_second_epoch(monkeypatch):
    small = seventh()._replace(white=255.0)
    colour = [(np.repeat(x, 3, axis=-1), y) for x, y in (small.train, small.test)]
    data = small._replace(train=colour[0], test=colour[1])
    model = PlainConfig(widths=(4,), stem=3, early_pool=True, pool="average")
    options = {"epochs": 2, "batch_size": 32, "shift": 1, "model": model, "devices": 1}
    recipe = RECIPES["cifar10"](mixup=0.5, cutmix=1.0, **options)
    program = compile_program(recipe, data, devices.mesh(1, 32), Watched())
    ts, key = program.init(jnp.uint32(0))
    losses = []
    for first in (0, 6):
        order = program.order(key, jnp.int32(first))
        ts, measured, _ = program.steps(ts, jax.device_put(data.train), order, key, np.int32(6))
        losses += measured["loss"].tolist()
    trained = torch_training.train(recipe, data, 0, lambda line: None)
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-3)  # twelve steps of SGD


def test_the_command(monkeypatch, capsys):
    monkeypatch.setitem(RECIPES, "tiny", Tiny)
    arguments = "accuracy tiny --epochs 10 --learning-rate 0.02 --seeds 2"
    assert bench.main(arguments.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 11 + 1
    shares = [
        float(line.split("accuracy ")[1].split("%")[0]) for line in lines if "PyTorch" in line
    ]
    assert lines[-1].startswith(f"test accuracy over 2 seeds: {np.mean(shares):.1f}")
    assert min(shares) > 40  # of ten classes, with 4 features
