"""The recipes: options of each one's own model, what they say without data, small whole runs."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from fcnn.models import WaveformConfig, from_json, to_json
from train import weights
from train.cli import main, parse
from train.data import Batch
from train.recipes import RECIPES

# One input of each recipe as it is stored, with room for its augmentation to move.
INPUTS = {
    "digits": ((8, 8, 1), jnp.uint8),
    "mnist": ((28, 28, 1), jnp.uint8),
    "fashion_mnist": ((28, 28, 1), jnp.uint8),
    "kmnist": ((28, 28, 1), jnp.uint8),
    "cifar10": ((32, 32, 3), jnp.uint8),
    "cifar10_resnet": ((32, 32, 3), jnp.uint8),
    "cifar100": ((32, 32, 3), jnp.uint8),
    "spoken_digits": ((8000, 1), jnp.int16),
    "uci_har": ((128, 9), jnp.float32),
    "imagenet": ((224, 224, 3), jnp.uint8),
    "npz": ((50, 2), jnp.float32),
}


def batch(inputs):
    """As a step of the first epoch gets it, the labels 0, 1, 0, 1, …"""
    index = jnp.arange(len(inputs), dtype=jnp.int32)
    return Batch(inputs, index % 2, index, jnp.int32(0))


def test_every_recipe_has_a_name_of_its_own_and_is_listed():
    assert list(RECIPES) == [cls.name for cls in RECIPES.values()]
    assert set(RECIPES) == set(INPUTS)


@pytest.mark.parametrize("name", RECIPES)
def test_the_model_takes_the_augmented_inputs_and_is_one_line_of_json(name):
    recipe = RECIPES[name]()
    assert from_json(to_json(recipe.model)) == recipe.model
    shape, dtype = INPUTS[name]

    def logits(key, inputs):
        inputs = recipe.augment(key, batch(inputs))[0].astype(jnp.float32)
        model = recipe.model.build()
        params, state = model.init(key, inputs)
        return model.apply(params, state, inputs, train=True, key=key)[0]

    out = jax.eval_shape(logits, jax.random.key(0), jax.ShapeDtypeStruct((4, *shape), dtype))
    assert out.shape == (4, recipe.model.num_classes)


@pytest.mark.parametrize("name", ["cifar10", "spoken_digits", "npz"])
def test_augmentation_changes_training_inputs_and_stays_near_them(name):
    recipe = dataclasses.replace(RECIPES[name](), shift=2)
    shape, dtype = INPUTS[name]
    values = jax.random.uniform(jax.random.key(1), (16, *shape), minval=60, maxval=100)
    inputs = values.astype(dtype)
    images, labels = recipe.augment(jax.random.key(0), batch(inputs))
    np.testing.assert_array_equal(labels, np.arange(16) % 2)
    out = np.asarray(images)
    assert out.shape == inputs.shape
    assert (out != np.asarray(inputs)).any(axis=tuple(range(1, out.ndim))).mean() > 0.5
    # Moved, mirrored, a few zeros and some noise: every mean stays, to a fifth.
    means = out.astype(np.float64).mean(axis=tuple(range(1, out.ndim)))
    assert np.abs(means - 80).max() < 16


def test_options_of_a_model_are_those_of_its_own_config():
    recipe = parse(["spoken_digits", "--model.kernel-size", "31", "--model.widths", "4", "8"])
    assert recipe.model == WaveformConfig(widths=(4, 8), kernel_size=31, stride=8)
    assert parse(["cifar10", "--model.widths", "8", "16"]).model.widths == (8, 16)
    assert parse(["cifar10_resnet", "--model.depths", "2", "2"]).model.depths == (2, 2)
    assert parse(["imagenet", "--model.block", "basic"]).model.block == "basic"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("spoken_digits", "spoken_digits needs --data-dir FOLDER, with the recordings of"),
        ("uci_har", "uci_har needs --data-dir FOLDER, with the unpacked archive of"),
        ("imagenet", "imagenet needs --data-dir FOLDER: it may not be downloaded freely"),
        ("npz", "npz needs --data-file FILE, a .npz file"),
        ("npz --data-file nothing.npz", "nothing.npz: cannot be read: No such file"),
        ("imagenet --train-size 0", "--train-size must be 1 or more, got 0"),
        ("cifar10 --data-dir /no/such", "--data-dir /no/such: expected a folder, but it does not"),
        ("uci_har --model.depth 3", "no option --model.depth, did you mean --model.widths?"),
        ("spoken_digits --noise=-1", "--noise must be 0 or more and finite, got -1.0"),
        ("cifar10_resnet --erase -1", "--erase must be 0 or more and finite, got -1"),
        ("mnist --zoom 1", "--zoom must be in [0, 1), got 1.0"),
        ("cifar10 --mixup inf", "--mixup must be 0 or more and finite, got inf"),
        ("cifar100 --cutmix=-0.5", "--cutmix must be 0 or more and finite, got -0.5"),
        ("spoken_digits --noise nan", "--noise must be 0 or more and finite, got nan"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, tmp_path, arguments, expected):
    assert main([*arguments.split(), "--runs-dir", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("python -m train: ")
    assert expected in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "digits"])
def test_help_describes_every_option(capsys, name):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert RECIPES[name].__doc__ in text
    for field in dataclasses.fields(RECIPES[name]):
        option = "--" + field.name.replace("_", "-")
        if field.name != "model":
            # What the option takes, then a sentence, then its default.
            assert re.search(rf" {option}\b,?(?: \S+){{4,}}? \(default: ", text), option


def run(capsys, folder, arguments):
    """A whole run; returns the printed lines and the weights' params."""
    assert main([*arguments, "--runs-dir", str(folder / "runs"), "--warmup-epochs", "0"]) == 0
    (path,) = (folder / "runs").glob("*/weights.safetensors")
    return capsys.readouterr().out.splitlines(), weights.load(path)[0]


def test_a_run_on_a_folder_of_images(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 3)):
        for name, level in (("dark", 40), ("light", 200)):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(level - 40, level + 40, (40, 30, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{number}.png")
    options = (
        "--epochs 8 --batch-size 12 --size 32 --train-size 24 --learning-rate 0.05"
        " --model.block basic --model.depths 1 --model.width 4 --model.num-classes 2"
    )
    lines, _ = run(capsys, tmp_path, ["imagenet", "--data-dir", str(tmp_path), *options.split()])
    assert lines[-1] == "test accuracy: 100.00%"


def test_a_run_on_series_out_of_a_numpy_file(tmp_path, capsys):
    rng = np.random.default_rng(0)
    y = np.arange(48) % 3
    x = rng.normal(size=(48, 16, 2)) + 3 * y[:, None, None]
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    options = "--epochs 10 --batch-size 16 --learning-rate 0.03 --model.widths 8"
    options += " --model.num-classes 3 --model.dropout 0"
    file = str(tmp_path / "data.npz")
    lines, params = run(capsys, tmp_path, ["npz", "--data-file", file, *options.split()])
    assert params["stage1"]["0"]["kernel"].shape == (3, 2, 8)
    assert lines[-1] == "test accuracy: 100.00%"
