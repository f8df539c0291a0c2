"""Every format under random damage: refused in words, or read as well-formed data."""

import numpy as np
import pytest

from train.data import fuzz
from train.data.dataset import Dataset
from train.errors import DataError


@pytest.mark.parametrize("name", fuzz.FORMATS)
def test_damage_is_refused_or_read_and_never_an_exception(tmp_path, name):
    outcome = fuzz.campaign(name, tmp_path, mutations=200, seed=0)
    assert outcome.failures == ()
    assert outcome.refused + outcome.read == 200
    # Some damage must be noticed, and some (a pixel, the unread part of a header) cannot be.
    assert outcome.refused >= 20
    assert outcome.read >= 1


def test_what_is_neither_is_a_failure_that_says_how_to_repeat_it(tmp_path, monkeypatch):
    calls = []

    def read(folder):
        calls.append((folder / "file").read_bytes())
        if len(calls) == 3:
            raise IndexError("not mine")
        if len(calls) == 4:
            raise DataError("refused")

    write = lambda folder: (folder / "file").write_bytes(b"content")  # noqa: E731
    monkeypatch.setitem(fuzz.FORMATS, "idx", fuzz.Format(write, read))
    outcome = fuzz.campaign("idx", tmp_path, mutations=4, seed=9)
    assert (outcome.refused, outcome.read) == (1, 2)
    (text,) = outcome.failures
    assert text.startswith("idx, seed 9, mutation 1, file:")
    assert text.endswith("IndexError: not mine")
    assert calls[0] == (tmp_path / "file").read_bytes() == b"content"  # restored
    # The same numbers make the same damage.
    assert calls[2] == fuzz.mutate(b"content", np.random.default_rng((9, 1)))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"labels": np.array([0, 2], np.int32)}, "labels go from 0 to 2"),
        ({"labels": np.array([-1, 0], np.int32)}, "labels go from -1 to 0"),
        ({"labels": np.array([0, 1])}, "labels are int64"),
        ({"labels": np.array([0], np.int32)}, "labels are int32"),
        ({"inputs": np.full((2, 3, 1), np.nan, np.float32)}, "inputs are not finite"),
        ({"inputs": np.zeros((2, 3, 1))}, "inputs are float64"),
        ({"inputs": np.zeros((0, 3, 1), np.uint8)}, "inputs are uint8"),
    ],
)
def test_the_check_sees_what_is_not_well_formed(change, expected):
    good = {"inputs": np.zeros((2, 3, 1), np.uint8), "labels": np.array([0, 1], np.int32)}
    split = tuple(good.values())
    fuzz.check(Dataset(split, split, 255.0, ("a", "b")))
    bad = tuple((good | change).values())
    with pytest.raises(AssertionError, match=expected):
        fuzz.check(Dataset(split, bad, 255.0, ("a", "b")))


def test_the_command_prints_counts(capsys):
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        assert fuzz.main(["--mutations", "20", "--only", "idx", "wav"]) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["format", "idx", "wav", "total"]
    for row in rows[1:]:
        mutations, refused, read, failed = map(int, row[1:])
        assert mutations == refused + read
        assert failed == 0
    assert rows[3][1] == "20"
