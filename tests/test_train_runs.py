"""Reading a run's folder back."""

import json
from pathlib import Path

import pytest
import run_folder

from train import runs
from train.errors import DataError, UserError


def test_a_run_is_read_back(tmp_path):
    made = run_folder.make(tmp_path / "run", seed=7, seeds=(7, 8), runs_dir=tmp_path, validate=True)
    run = runs.read(made.folder)
    assert run.config["classes"] == ["zero", "one", "two"]
    assert [epoch["epoch"] for epoch in run.epochs] == [1, 2, 3]
    assert run.split == "validation"
    assert runs.recipe(run) == made.recipe
    with pytest.raises(UserError, match="--data-dir x: the recipe digits reads no folder"):
        runs.recipe(run, Path("x"))
    run.config["recipe"] = "mnist"
    run.config["settings"]["data_dir"] = "before"
    assert vars(runs.recipe(run))["data_dir"] == Path("before")
    assert vars(runs.recipe(run, Path("now")))["data_dir"] == Path("now")


def test_a_last_line_cut_by_a_kill_is_left_out(tmp_path):
    folder = run_folder.make(tmp_path / "run").folder
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 4, "tra')
    assert [epoch["epoch"] for epoch in runs.read(folder).epochs] == [1, 2, 3]
    (folder / "metrics.jsonl").unlink()
    assert runs.read(folder).epochs == []


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(UserError, match="none: expected the folder of a run, but it does not"):
        runs.read(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: expected the folder of a run, but it is a file"):
        runs.read(tmp_path / "file")
    with pytest.raises(UserError, match=r"config.json: expected a file of a run, but .*No such"):
        runs.read(tmp_path)

    folder = run_folder.make(tmp_path / "run").folder
    config = json.loads((folder / "config.json").read_text())
    for content, message in (
        (b"{", r"config.json: expected JSON, but: Expecting"),
        (b"[1]", r"config.json: expected a JSON object, got \[1\]"),
        (b'{"recipe": "digits"}', 'config.json: expected the key "settings", found recipe'),
        (b"\xff", r"config.json: expected UTF-8 text, but"),
        (
            b'{"recipe": "digits", "settings": 3}',
            'config.json: expected "settings" as dict, got 3',
        ),
    ):
        (folder / "config.json").write_bytes(content)
        with pytest.raises(DataError, match=message):
            runs.read(folder)

    for change, message in (
        ({"recipe": "gone"}, "no recipe 'gone'; recipes: digits, mnist"),
        (
            {"settings": config["settings"] | {"speed": 1, "power": 2}},
            "digits has no setting power, speed",
        ),
        ({"settings": config["settings"] | {"seed": -1}}, "--seed must be from 0 to"),
        ({"settings": config["settings"] | {"model": {"family": "gone"}}}, "from_json expects"),
    ):
        (folder / "config.json").write_text(json.dumps(config | change))
        run = runs.read(folder)
        with pytest.raises(UserError, match=message):
            runs.recipe(run)

    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch\n')
    with pytest.raises(DataError, match=r"metrics.jsonl, line 2: expected JSON"):
        _ = runs.read(folder).epochs
