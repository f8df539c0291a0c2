"""predict, compare and profile: what they print and write, compared with what is right."""

import json
import re

import jax
import numpy as np
import pytest
import run_folder
from PIL import Image

import fcnn
from train import peaks
from train.cli import main
from train.commands import profile


def test_predict_prints_the_three_likeliest_classes(tmp_path, capsys):
    made = run_folder.make(tmp_path / "run", classes=("a", "bb", "c", "d"))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 4, 4), dtype=np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, one in zip(paths, pixels, strict=True):
        Image.fromarray(one).save(path)
    for invert in (False, True):
        option = ["--invert"] if invert else []
        assert main(["predict", str(made.folder), *map(str, paths), *option]) == 0
        x = pixels[..., None].astype(np.float32) / 255
        _, state = made.recipe.model.build().init(jax.random.key(0), x)
        logits, _ = made.recipe.model.build().apply(
            made.params, state, 1 - x if invert else x, train=False
        )
        expected = []
        for path, shares in zip(paths, np.asarray(jax.nn.softmax(logits)), strict=True):
            done = "inverted" if invert else "not inverted"
            expected.append(f"{path}: 4×4 L to 4×4 gray: {done}")
            for i in np.argsort(-shares)[:3]:
                expected.append(f"  {['a', 'bb', 'c', 'd'][i]:<2}  {shares[i]:6.1%}")
        assert capsys.readouterr().out.splitlines() == expected


def test_predict_refuses_before_it_prints(tmp_path, capsys):
    made = run_folder.make(tmp_path / "run")
    Image.new("L", (4, 4)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no image")
    files = [str(tmp_path / name) for name in ("good.png", "bad.png")]
    assert main(["predict", str(made.folder), *files]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f"python -m train: {files[1]}: expected an image, got a file of another kind\n"
    )
    waves = run_folder.make(tmp_path / "waves", size=(16,))
    assert main(["predict", str(waves.folder), files[0]]) == 2
    assert "takes inputs of shape (16, 1)" in capsys.readouterr().err
    config = json.loads((made.folder / "config.json").read_text())
    del config["shape"]
    (made.folder / "config.json").write_text(json.dumps(config))
    assert main(["predict", str(made.folder), files[0]]) == 2
    assert 'config.json: expected the key "shape"' in capsys.readouterr().err


def test_compare_shows_accuracies_and_what_differs(tmp_path, capsys):
    first = run_folder.make(tmp_path / "first", learning_rate=0.1).folder
    second = run_folder.make(tmp_path / "<second>", seed=5, validate=True).folder
    with open(second / "metrics.jsonl", "a") as file:
        file.write(json.dumps(run_folder.epoch(4, best=4)) + "\n")
    out = tmp_path / "page.html"
    assert main(["compare", str(first), str(second), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"saved {out}"
    differing = ["learning_rate", "seed", "validate"]
    assert [re.split(r"  +", line) for line in lines[:-1]] == [
        ["run", "tested on", "final", "best", "in epoch", "of", *differing],
        ["first", "test", "80.00%", "90.00%", "2", "3", "0.1", "0", "False"],
        ["<second>", "validation", "90.00%", "90.00%", "2", "4", "0.003", "5", "True"],
    ]  # fmt: skip
    text = out.read_text()
    assert text.count("<polyline") == 8  # four charts of two lines
    assert "<second>" not in text
    assert "&lt;second&gt;" in text


def test_compare_refuses_a_run_without_epochs(tmp_path, capsys):
    first = run_folder.make(tmp_path / "a").folder
    second = run_folder.make(tmp_path / "b").folder
    (second / "metrics.jsonl").unlink()
    assert main(["compare", str(first), str(second)]) == 2
    assert "b: no epoch has been finished there yet" in capsys.readouterr().err
    third = run_folder.make(tmp_path / "c").folder
    assert main(["compare", str(first), str(third), "--out", str(tmp_path / "no" / "x")]) == 2
    assert re.search(r"--out \S+: cannot be written: No such file", capsys.readouterr().err)


@pytest.mark.parametrize("with_run", [False, True], ids=["recipe", "run"])
def test_profile_counts_measures_and_traces(tmp_path, capsys, monkeypatch, with_run):
    monkeypatch.setattr(profile, "SECONDS", 0.0)
    monkeypatch.setattr(peaks, "SIZE", 64)
    if with_run:
        run = run_folder.make(tmp_path / "run", batch_size=32, classes=tuple("0123456789"))
        words = [str(run.folder)]
    else:
        words = ["digits", "--batch-size", "32", "--model.widths", "4", "--model.convs", "1"]
        words += ["--runs-dir", str(tmp_path)]
    assert main(["profile", *words]) == 0
    (folder,) = tmp_path.iterdir()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("digits: a training step on 32 images of 8×8×1, float32, cpu; ")
    # 3×3 kernels on 8×8, then a head on 4×4: by hand.
    forward = 2 * 32 * (64 * 9 * 4 + 16 * 4 * 10)
    assert lines[1] == (
        f"FLOPs      {3 * forward:,} FLOP: 3 × forward, {forward:,} FLOP = 2 × MACs"
    )
    assert re.fullmatch(r" +\S+ .?FLOP: XLA's cost analysis, without .*", lines[2])
    assert re.fullmatch(
        r"memory     arguments \S+ MiB, results \S+ MiB, shared by both \S+ MiB, temporary .* MiB",
        lines[3],
    )
    milliseconds, rate = re.fullmatch(
        r"speed      (\S+) ms a step, (\S+) images/s", lines[4]
    ).groups()
    assert float(rate.replace(",", "")) == pytest.approx(32e3 / float(milliseconds), rel=0.05)
    assert re.fullmatch(
        r"use        \S+% of \S+ .FLOP/s \(measured: a 64×64 matrix p.*\)", lines[5]
    )
    assert str(folder) in lines[6]
    (trace,) = folder.glob("plugins/profile/*/*.xplane.pb")
    assert b"train_step" in trace.read_bytes()


def test_profile_refuses_what_training_refuses(tmp_path, capsys):
    for words, message in (
        ("--batch-size 1438", "--batch-size 1438 is more than the 1437 training images"),
        ("--model.widths 4 4 4 4", "the model does not fit inputs of (8, 8, 1): max_pool window"),
    ):
        options = [*words.split(), "--runs-dir", str(tmp_path)]
        assert main(["profile", "digits", *options]) == 2
        assert message in capsys.readouterr().err


def test_peaks_are_the_data_sheets(monkeypatch):
    for kind, dtype, teraflops in (
        ("NVIDIA A100-SXM4-40GB", "bfloat16", 312),
        ("NVIDIA H100 80GB HBM3", "float32", 494),
        ("TPU v5 lite", "bfloat16", 197),
        ("TPU v5", "bfloat16", 459),
    ):
        assert peaks.peak(kind, dtype) == (teraflops * 1e12, f"data sheet of {kind}")
    monkeypatch.setattr(peaks, "measure", lambda size, dtype: size)
    assert peaks.peak("cpu", "float32") == (
        peaks.SIZE,
        "measured: a 2048×2048 matrix product",
    )


def test_a_measured_peak_is_the_operations_over_the_seconds(monkeypatch):
    clock = iter([0.0, 4.0, 10.0, 12.0])
    monkeypatch.setattr(peaks.time, "perf_counter", lambda: next(clock))
    assert peaks.measure(8, "float32", rounds=2) == 2 * 8**3 / 2.0


def test_flops_of_a_model_are_six_times_its_macs_for_training():
    assert profile._units(6 * fcnn.summary(fcnn.Dense(1000), (500, 1000)).macs) == "3.00 GFLOP"
    assert profile._units(12) == "12 FLOP"
