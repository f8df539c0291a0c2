"""A table of a model: what each layer makes of the shape, and what it costs; from shapes alone."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax

from fcnn import tree
from fcnn.compose import Parallel, Remat, Repeat, Residual, Sequential, identity
from fcnn.layer import Child, Input, function_name, init_child, noted, output_spec, spec
from fcnn.receptive import Field, through, union

Spec = jax.ShapeDtypeStruct


@dataclass(frozen=True)
class Row:
    """One layer: path, type, output, and its costs.

    params and state count numbers, macs multiply-accumulates for the given batch, and
    activation_bytes the layer's output. `field` is the receptive field in input pixels for each
    spatial dimension, or None where every output sees the whole image. All are totals over
    `copies`, the number of times that `repeat` runs the layer.
    """

    path: str
    layer: str
    output: tuple[int, ...]
    dtype: str
    params: int
    state: int
    macs: int
    field: tuple[int, ...] | None
    activation_bytes: int
    copies: int = 1


@dataclass(frozen=True)
class Summary:
    """The rows of a model and their totals; `str` or `print` gives the table."""

    input: tuple[int, ...]
    rows: tuple[Row, ...]

    @property
    def params(self) -> int:
        return sum(row.params for row in self.rows)

    @property
    def state(self) -> int:
        return sum(row.state for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        return sum(row.activation_bytes for row in self.rows)

    def __str__(self) -> str:
        header = ("path", "layer", "output", "params", "MACs", "field", "memory")
        body = [
            (
                row.path + (f" ×{row.copies}" if row.copies > 1 else ""),
                row.layer,
                _shape(row.output),
                f"{row.params:,}",
                f"{row.macs:,}",
                "all" if row.field is None else "×".join(str(v) for v in row.field),
                _bytes(row.activation_bytes),
            )
            for row in self.rows
        ]
        total = (
            "total", f"{len(self.rows)} layers", "", f"{self.params:,}", f"{self.macs:,}", "",
            _bytes(self.activation_bytes),
        )  # fmt: skip
        return _table(header, body, total, title=f"input {_shape(self.input)}")


def summary(model: Child, x: Input) -> Summary:
    """Describe a model layer by layer for inputs of the given shape; nothing is computed.

    Every number comes from an abstract trace: no weights are allocated. MACs are the exact
    count of multiplications of convolutions and dense layers (padding counted as ones that are
    done), which is half the FLOPs; other layers count 0. Memory is each layer's output in the
    dtype of x: what the backward pass must keep if nothing is recomputed or fused.

    Args:
      model: any layer. A layer of another package is one row; it may define
        `macs(params, x, y)` and `reach()` (kernel_size, stride, dilation) to be counted.
      x: array, ShapeDtypeStruct or shape tuple, batch axis included.

    Returns:
      a `Summary`: rows, totals, and the table as its text.

    Raises:
      TypeError, ValueError: x does not fit the model; the notes name the layer.

    >>> import jax, fcnn
    >>> net = fcnn.sequential(fcnn.Conv(8), jax.nn.relu, fcnn.global_avg_pool, fcnn.Dense(10))
    >>> print(summary(net, (1, 28, 28, 1)))
    input 1×28×28×1
    path  layer            output      params    MACs  field    memory
    0     Conv             1×28×28×8       80  56,448  3×3    24.5 KiB
    1     relu             1×28×28×8        0       0  3×3    24.5 KiB
    2     global_avg_pool  1×8              0       0  all        32 B
    3     Dense            1×10            90      80  all        40 B
    total 4 layers                        170  56,528         49.1 KiB
    """
    x = spec(x)
    walk = _Walk()
    walk.visit(model, (), x, Field.start(len(x.shape) - 2), 1)
    return Summary(tuple(x.shape), tuple(walk.rows))


class _Walk:
    """One pass through the model: the only place that knows every kind of combinator."""

    def __init__(self):
        self.rows: list[Row] = []

    def visit(
        self, layer: Child, path: tuple[str, ...], x: Spec, field: Field | None, copies: int
    ) -> tuple[Spec, Field | None]:
        match layer:
            case Sequential():
                for name, child in layer.children():
                    with noted(name, child, x):
                        x, field = self.visit(child, (*path, name), x, field, copies)
                return x, field
            case Residual() | Parallel():
                specs, fields = [], []
                for name, child in layer.children():
                    with noted(name, child, x):
                        y, seen = self.visit(child, (*path, name), x, field, copies)
                    specs.append(y)
                    fields.append(seen)
                return spec(jax.eval_shape(layer.merge, *specs)), union(fields)
            case Repeat():
                y, seen = self.visit(layer.layer, path, x, field, copies * layer.n)
                for _ in range(layer.n - 1):
                    seen = _silent(layer.layer, path, y, seen)
                return y, seen
            case Remat():
                return self.visit(layer.layer, path, x, field, copies)
            case _ if layer is identity:
                return x, field
            case _:
                return self.leaf(layer, path, x, field, copies)

    def leaf(self, layer, path, x, field, copies):
        params, state = _abstract_init(layer, x)
        y = output_spec(layer, params, state, x)
        field = through(layer, x, y, field)
        macs: Callable[..., int] | None = getattr(layer, "macs", None)
        row = Row(
            path="/".join(path),
            layer=_name(layer),
            output=tuple(y.shape),
            dtype=y.dtype.name,
            params=copies * tree.count(params),
            state=copies * tree.count(state),
            macs=copies * macs(params, x, y) if macs else 0,
            field=None if field is None else field.pixels(),
            activation_bytes=copies * math.prod(y.shape) * y.dtype.itemsize,
            copies=copies,
        )
        self.rows.append(row)
        return y, field


def _silent(layer, path, x, field):
    """The receptive field behind one more copy of a repeated layer."""
    return _Walk().visit(layer, path, x, field, 1)[1]


def _abstract_init(layer: Child, x: Spec):
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(lambda key: init_child(layer, key, x), key)


def _name(layer: Child) -> str:
    return type(layer).__name__ if hasattr(layer, "apply") else function_name(layer)


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(str(v) for v in shape)


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.1f} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1024
    raise AssertionError("unreachable")


def _table(header, body, total, title) -> str:
    widths = [max(len(row[i]) for row in (header, *body, total)) for i in range(len(header))]
    numbers = {3, 4, 6}

    def line(row) -> str:
        cells = (
            cell.rjust(width) if i in numbers else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join([title, *(line(row) for row in _lines(header, body, total))])


def _lines(header, body, total) -> Iterator[tuple[str, ...]]:
    yield header
    yield from body
    yield total
