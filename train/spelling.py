"""A hint for a word that was mistyped."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """
    >>> did_you_mean("dgits", ["digits", "mnist"]), did_you_mean("x", ["digits"])
    (', did you mean digits?', '')
    """
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]}?" if close else ""
