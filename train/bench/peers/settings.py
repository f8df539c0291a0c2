"""Hyperparameters as the other libraries want them: one entry for each spatial dimension."""


def each(value, ndim: int) -> tuple[int, ...]:
    return (value,) * ndim if isinstance(value, int) else tuple(value)


def padding(value, ndim: int):
    """A name as it is; an int as a pair for each dimension."""
    return [(value, value)] * ndim if isinstance(value, int) else value


def pooled(layer, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Window and stride of a pooling layer, whose stride is the window where it has none."""
    window = each(layer.window, ndim)
    return window, window if layer.stride is None else each(layer.stride, ndim)
