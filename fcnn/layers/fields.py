"""Checks of hyperparameters, made once, when a layer is constructed."""

from fcnn.ops import checks


def positive(layer, *names: str) -> None:
    """Each named field is an int of at least 1."""
    for name in names:
        value = getattr(layer, name)
        if not checks.is_int(value):
            raise TypeError(f"{_of(layer)} {name} must be an int, got {value!r}")
        if value < 1:
            raise ValueError(f"{_of(layer)} {name} must be at least 1, got {value!r}")


def sizes(layer, *names: str, least: int = 1) -> None:
    """Each named field is an int, or a tuple with an int for every spatial dimension."""
    for name in names:
        value = getattr(layer, name)
        values = value if isinstance(value, tuple) else (value,)
        if not values or not all(checks.is_int(v) for v in values):
            raise TypeError(f"{_of(layer)} {name} must be an int or tuple of ints, got {value!r}")
        if min(values) < least:
            raise ValueError(f"{_of(layer)} {name} must be at least {least}, got {value!r}")


def within(layer, name: str, low: float, high: float) -> None:
    """The named field is a number in [low, high); NaN is in no interval."""
    value = getattr(layer, name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{_of(layer)} {name} must be a number, got {value!r}")
    if not low <= value < high:
        raise ValueError(f"{_of(layer)} {name} must be in [{low}, {high}), got {value!r}")


def padding(layer, name: str = "padding") -> None:
    """Exact padding is a tuple of pairs: a list could not be hashed."""
    value = getattr(layer, name)
    pairs = isinstance(value, tuple) and all(isinstance(p, tuple) for p in value)
    if not (isinstance(value, str) or checks.is_int(value) or pairs):
        raise TypeError(
            f"{_of(layer)} {name} must be a name, an int or ((low, high), ...), got {value!r}"
        )


def _of(layer) -> str:
    return type(layer).__name__
