"""Hints for a word that was mistyped."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """
    >>> did_you_mean("dgits", ["digits", "mnist"]), did_you_mean("x", ["digits"])
    (', did you mean digits?', '')
    """
    close = closest(word, known, 1)
    return f", did you mean {close[0]}?" if close else ""


def closest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """At most so many of the known words, the likeliest first; none where none is near.

    >>> closest("batchsize", ["seed", "batch_size", "model.widths"])
    ['batch_size']
    """
    return difflib.get_close_matches(word, list(known), count)
