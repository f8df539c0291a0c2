"""The command line: options become the recipe, and every mistake is one line and exit code 2."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from train import __main__ as entry
from train import overrides
from train.cli import _options, main, parse
from train.commands import COMMANDS
from train.recipes import RECIPES


def test_without_arguments_it_is_digits_with_its_defaults():
    assert parse([]) == RECIPES["digits"]()


def test_options_become_the_fields_of_the_recipe():
    options = (
        "--epochs 3 --batch-size=32 --learning-rate 0.01 --weight-decay 0 --seed 4 --seeds 7,8"
        " --data-dir some/where --runs-dir out --dtype bfloat16 --no-progress --optimizer sgd"
        " --steps 9 --checkpoint-every 5 --keep 3 --nonfinite skip --devices 2"
        " --no-checksum --validate --model.widths 8 16 --model.dropout 0"
    )
    recipe = parse(["mnist", *options.split()])
    defaults = RECIPES["mnist"]()
    assert recipe == dataclasses.replace(
        defaults,
        epochs=3,
        batch_size=32,
        learning_rate=0.01,
        weight_decay=0.0,
        seed=4,
        seeds=(7, 8),
        data_dir=Path("some/where"),
        runs_dir=Path("out"),
        dtype="bfloat16",
        progress=False,
        optimizer="sgd",
        steps=9,
        checkpoint_every=5,
        keep=3,
        nonfinite="skip",
        devices=2,
        checksum=False,
        validate=True,
        model=dataclasses.replace(defaults.model, widths=(8, 16), dropout=0.0),
    )


def test_set_is_another_spelling_of_every_option():
    written = (
        "epochs=3 batch-size=32 learning_rate=1e-2 seed=4 seeds=7,8 data_dir=some/where"
        " dtype=bfloat16 progress=false validate=true checksum=false model.widths=8,16"
        " model.dropout=0 model.batch_norm=false model.early_pool=true"
    )
    options = [word for setting in written.split() for word in ("--set", setting)]
    spelled = (
        "mnist --epochs 3 --batch-size 32 --learning-rate 0.01 --seed 4 --seeds 7,8"
        " --data-dir some/where --dtype bfloat16 --no-progress --validate --no-checksum"
        " --model.widths 8 16 --model.dropout 0 --model.no-batch-norm --model.early-pool"
    )
    assert parse(["mnist", *options]) == parse(spelled.split())
    # The last word counts, whichever way it is spelled.
    both = ["--set=epochs=5", "--epochs", "6", "--shift", "0", "--set", "shift=1"]
    assert parse(["mnist", *both]) == RECIPES["mnist"](epochs=6, shift=1)
    profiled = parse(["profile", "digits", "--set", "model.convs=1"])
    assert profiled.recipe.model.convs == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("name", RECIPES)
def test_set_knows_all_settings_and_no_others(name):
    recipe = RECIPES[name]
    options = {option.replace("no-", "") for option in _options(recipe) if option != "--help"}
    assert {overrides.option(path) for path in overrides.paths(recipe)} == options - {"--set"}


def test_options_without_a_recipe_are_those_of_digits():
    assert parse(["--seeds", "3"]) == RECIPES["digits"](seeds=(0, 1, 2))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("dgits", "no recipe or command 'dgits', did you mean digits?; recipes: digits, mnist, "),
        ("xyz", "no recipe or command 'xyz'; recipes: "),
        ("evl x", "did you mean eval?; recipes: digits, mnist, "),
        ("prfile digits", "did you mean profile?"),
        ("digits extra", "unexpected argument 'extra'; the recipe is digits"),
        ("eval a b", "unexpected argument 'b'; the command is eval"),
        (
            "eval --data-di x a",
            "no option --data-di, did you mean --data-dir?; see ",
        ),
        ("eval", "Missing from python -m train eval: RUN"),
        ("eval no/run", "no/run: expected the folder of a run, but it does not exist"),
        ("predict", "Missing from python -m train predict: RUN"),
        ("predict no/run", "predict: expected one or more image files after the run's folder"),
        ("compare a", "compare: expected the folders of two runs or more"),
        ("profile dgits", "no recipe and no run 'dgits', did you mean digits?"),
        ("profile digits --batchsize 3", "no option --batchsize, did you mean --batch-size?"),
        ("--epoch 3", "no option --epoch, did you mean --epochs?; see python -m train digits "),
        ("mnist --dat-dir=x", "no option --dat-dir, did you mean --data-dir?"),
        ("--model.width 3", "no option --model.width, did you mean --model.widths?"),
        ("-z", "no option -z; see python -m train digits --help"),
        ("--epochs x", "--epochs: invalid literal for int() with base 10: 'x'"),
        ("--epochs", "Missing value for argument '--epochs'"),
        ("--epochs 0", "--epochs must be 1 or more and finite, got 0"),
        ("--batch-size -1", "--batch-size must be 1 or more and finite, got -1"),
        ("--learning-rate nan", "--learning-rate must be positive, got nan"),
        ("--weight-decay inf", "--weight-decay must be 0 or more and finite, got inf"),
        ("--label-smoothing 1", "--label-smoothing must be in [0, 1), got 1.0"),
        ("--seed 4294967296", "--seed must be from 0 to 2^32 - 1"),
        ("--keep 0", "--keep must be 1 or more and finite, got 0"),
        ("--devices -1", "--devices must be 0 or more and finite, got -1"),
        ("--devices 99", "--devices 99: this machine has "),
        ("--seeds 0", "--seeds: expected one or more different seeds from 0 to 2^32 - 1, got '0'"),
        ("--seeds 1,1", "--seeds: expected one or more different seeds"),
        ("--seeds 1,a", "--seeds: expected a count or seeds like 0,1,7, got '1,a'"),
        (
            "--set learning_rat=1",
            "--set learning_rat=1: no setting learning_rat; the closest are learning_rate",
        ),
        ("mnist --set model.width=3", "no setting model.width; the closest are model.widths, "),
        ("--set zz=1", "no setting zz; the closest are epochs, batch_size, "),
        ("--set epochs=x", "--epochs: invalid literal for int() with base 10: 'x'"),
        ("--set epochs=0", "--epochs must be 1 or more and finite, got 0"),
        (
            "--set model.widths=4,b",
            "Error parsing --model.widths: Could not find valid parse for arguments: ['4', 'b']",
        ),
        ("--set model.widths=", "PlainConfig: widths must be a tuple of positive ints, got ()"),
        ("--set dtype=float64", "'float64' for argument '--dtype'. Expected one of ('float32', "),
        ("--set validate=1", "--set validate=1: validate is true or false, got '1'"),
        ("--set validate", "--set expects PATH=VALUE, as in learning_rate=0.01, got 'validate'"),
        ("--epochs 3 --set", "--set expects PATH=VALUE, as in learning_rate=0.01, got ''"),
        ("--set resume=no/run", "no/run: expected the folder of a run, but it does not exist"),
        ("--dtype float64", "'float64' for argument '--dtype'. Expected one of ('float32', 'bf"),
        ("--model.dropout 2", "PlainConfig: dropout must be a rate, 0 <= rate < 1, got 2.0"),
        ("mnist --data-dir /no/such/folder", "--data-dir /no/such/folder: expected a folder, but"),
        (
            "--batch-size 1438 --devices 1",
            "--batch-size 1438 is more than the 1437 training images",
        ),
        ("--shift 8", "--shift 8 moves all of an input of 8 out of sight"),
        ("--model.num-classes 9", "--model.num-classes 9: the data has 10 classes"),
        ("--model.widths 4 4 4 4", "the model does not fit inputs of (8, 8, 1): max_pool window"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, tmp_path, arguments, expected):
    options = arguments.split()
    if expected.startswith(("--batch-size 1", "--shift 8", "--model.num", "the model")):
        options += ["--runs-dir", str(tmp_path)]
    assert main(options) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("python -m train: ")
    assert expected in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_mistake_is_the_same_line_in_any_encoding(encoding):
    done = subprocess.run(
        [sys.executable, "-m", "train", "--dtype", "float64"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 2
    assert done.stderr.decode() == (
        "python -m train: invalid choice 'float64' for argument '--dtype'."
        " Expected one of ('float32', 'bfloat16').\n"
    )


def test_a_runs_dir_that_is_a_file(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    options = ["--epochs", "1", "--model.widths", "2", "--model.convs", "1"]
    assert main([*options, "--runs-dir", str(tmp_path / "file")]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(
        r"python -m train: --runs-dir \S+file: cannot make that folder: File exists\n", error
    )


@pytest.mark.parametrize("arguments", [["--help"], ["mnist", "--help"], ["fashion_mnist", "-h"]])
def test_help_describes_every_option(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    recipe = RECIPES["digits" if arguments[0] == "--help" else arguments[0]]
    for field in dataclasses.fields(recipe):
        if field.name == "model":
            continue
        option = "--" + field.name.replace("_", "-")
        # What the option takes, then a sentence, then its default.
        found = re.search(rf" {option}\b,?(?: \S+){{4,}}? \(default: ", text)
        assert found, option
    if arguments[0] == "--help":
        for name, cls in RECIPES.items():
            assert f"{name} {cls.__doc__}" in text
        for name, cls in COMMANDS.items():
            assert f"{name} {cls.__doc__.splitlines()[0]}" in text
    else:
        assert recipe.__doc__ in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_describes_its_words_and_options(capsys, name):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert " ".join(COMMANDS[name].__doc__.split()) in text
    for field in dataclasses.fields(COMMANDS[name]):
        if "Positional" not in str(field.type):
            option = "--" + field.name.replace("_", "-")
            assert re.search(rf" {option}\b,?(?: \S+){{4,}}? \(default: ", text), option
        else:
            assert re.search(r" [A-Z|]+(?: \.\.\.)? [A-Z]\S*(?: \S+)+? \(required\)", text)


def test_missing_packages_are_named_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(
        entry, "find_spec", lambda name: None if name in ("tyro", "sklearn") else sys
    )
    assert entry.main() == 2
    assert capsys.readouterr().err == (
        "python -m train: not installed: tyro, scikit-learn;"
        ' run: python -m pip install -e ".[train]"\n'
    )
