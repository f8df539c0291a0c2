"""Hyperparameters as the other libraries want them: one entry for each spatial dimension."""


def each(value, ndim: int) -> tuple[int, ...]:
    return (value,) * ndim if isinstance(value, int) else tuple(value)


def padding(value, ndim: int):
    """A name as it is; an int as a pair for each dimension."""
    return [(value, value)] * ndim if isinstance(value, int) else value
