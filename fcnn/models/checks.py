"""Checks of a config's fields. Each raises a ValueError naming the config, field and value."""

from collections.abc import Collection
from typing import Any


def positive(config: Any, *fields: str) -> None:
    """Each field is an int of at least 1."""
    for field in fields:
        _require(config, field, is_positive(getattr(config, field)), "a positive int")


def natural(config: Any, *fields: str) -> None:
    """Each field is an int of at least 0."""
    for field in fields:
        value = getattr(config, field)
        _require(config, field, _is_int(value) and value >= 0, "an int of at least 0")


def positives(config: Any, *fields: str) -> None:
    """Each field is a tuple of one or more positive ints."""
    for field in fields:
        value = getattr(config, field)
        good = isinstance(value, tuple) and len(value) > 0 and all(is_positive(v) for v in value)
        _require(config, field, good, "a tuple of positive ints")


def number(config: Any, *fields: str) -> None:
    """Each field is a finite number above 0."""
    for field in fields:
        value = getattr(config, field)
        good = _is_real(value) and 0 < value < float("inf")
        _require(config, field, good, "a finite number above 0")


def rate(config: Any, *fields: str) -> None:
    """Each field is a fraction dropped, 0 <= rate < 1."""
    for field in fields:
        value = getattr(config, field)
        _require(config, field, _is_real(value) and 0 <= value < 1, "a rate, 0 <= rate < 1")


def flag(config: Any, *fields: str) -> None:
    """Each field is True or False."""
    for field in fields:
        _require(config, field, isinstance(getattr(config, field), bool), "True or False")


def choice(config: Any, field: str, choices: Collection[str]) -> None:
    """The field is one of the strings in `choices`."""
    value = getattr(config, field)
    good = isinstance(value, str) and value in choices
    _require(config, field, good, "one of " + ", ".join(map(repr, choices)))


def same_length(config: Any, *fields: str) -> None:
    """The tuples in these fields have one entry per stage, equally many."""
    lengths = {field: len(getattr(config, field)) for field in fields}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{field} has {n}" for field, n in lengths.items())
        raise ValueError(f"{type(config).__name__}: one entry per stage expected, but {got}")


def is_positive(value: Any) -> bool:
    """Whether the value is an int of at least 1; True and False are not ints here."""
    return _is_int(value) and value >= 1


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _require(config: Any, field: str, good: bool, expected: str) -> None:
    if not good:
        name, value = type(config).__name__, getattr(config, field)
        raise ValueError(f"{name}: {field} must be {expected}, got {value!r}")
