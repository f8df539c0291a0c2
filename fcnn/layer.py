"""What a layer is, and what every layer and combinator needs: shapes, keys, names, error notes."""

import contextlib
import dataclasses
import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol, overload, runtime_checkable

import jax
import jax.numpy as jnp

from fcnn.ops.checks import is_int

Params = dict[str, Any]
State = dict[str, Any]
Input = jax.Array | jax.ShapeDtypeStruct | tuple[int, ...]


@runtime_checkable
class Layer(Protocol):
    """Immutable hyperparameters and two pure functions. Any class with these two is a layer.

    `init` makes the numbers: `params`, which the gradient sees, and `state`, which it does not
    (batch-norm statistics). Both are nested dicts of float32 arrays; a layer without numbers
    gives `{}`. `apply` computes. It never changes the tree, shapes or dtypes of the state, and
    returns it unchanged unless `train`. `key` is needed where something random trains.
    """

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]: ...

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key: jax.Array | None
    ) -> tuple[jax.Array, State]: ...


Child = Layer | Callable[[jax.Array], jax.Array]


def spec(x: Input) -> jax.ShapeDtypeStruct:
    """Shape and dtype of an array, a ShapeDtypeStruct or a shape tuple (then float32).

    >>> spec((1, 28, 28, 1))
    ShapeDtypeStruct(shape=(1, 28, 28, 1), dtype=float32)
    """
    if isinstance(x, (tuple, list)):
        if not all(is_int(size) and size >= 0 for size in x):
            raise ValueError(f"a shape must be ints of 0 or more, got {tuple(x)}")
        return jax.ShapeDtypeStruct(tuple(x), jnp.float32)
    if not hasattr(x, "dtype"):
        raise TypeError(f"expected an array, a ShapeDtypeStruct or a shape tuple, got {x!r}")
    return jax.ShapeDtypeStruct(jnp.shape(x), x.dtype)


@overload
def child_key(key: jax.Array, name: str) -> jax.Array: ...
@overload
def child_key(key: None, name: str) -> None: ...
def child_key(key, name):
    """The key of a child: it depends on its name alone, so new siblings change nothing."""
    return None if key is None else jax.random.fold_in(key, zlib.crc32(name.encode()))


def random_key(layer: object, key: jax.Array | None) -> jax.Array:
    """The key, or an error that says which layer misses it."""
    if key is None:
        raise ValueError(f"{layer!r} is random when train=True: pass key=jax.random.key(...)")
    return key


def entry(
    layer: object, tree: dict[str, Any], name: str, shape: tuple[int | None, ...] | None
) -> jax.Array:
    """The layer's own leaf of params or state, or an error that says what came instead.

    None in `shape`, or in its place, is what something else checks.
    """
    if not isinstance(tree, dict) or name not in tree:
        came = sorted(tree) if isinstance(tree, dict) else type(tree).__name__
        raise ValueError(
            f"{layer!r} expects an entry {name!r} in its params or state, got {came or 'nothing'}: "
            "were these made by another model's init?"
        )
    if shape is None:
        return tree[name]
    came = jnp.shape(tree[name])
    sizes = zip(came, shape, strict=True)
    if len(came) != len(shape) or any(wanted not in (None, size) for size, wanted in sizes):
        wanted = ", ".join("?" if size is None else str(size) for size in shape)
        raise ValueError(
            f"{layer!r} expects {name!r} of shape ({wanted}), got {came}: "
            "was it made by another model's init?"
        )
    return tree[name]


def init_child(child: Child, key: jax.Array, x: Input) -> tuple[Params, State]:
    """`init` of a layer; a bare callable has no numbers."""
    return child.init(key, x) if isinstance(child, Layer) else ({}, {})


def apply_child(
    child: Child, params: Params, state: State, x: jax.Array, *, train: bool, key: jax.Array | None
) -> tuple[jax.Array, State]:
    """`apply` of a layer; a bare callable sees x alone."""
    if isinstance(child, Layer):
        return child.apply(params, state, x, train=train, key=key)
    return child(x), {}


def output_spec(child: Child, params: Params, state: State, x: Input) -> jax.ShapeDtypeStruct:
    """What `apply` would give, by tracing it with shapes alone: init cannot disagree with it."""

    def evaluate(params, state, x):
        return apply_child(child, params, state, x, train=False, key=None)[0]

    return spec(jax.eval_shape(evaluate, params, state, spec(x)))


@contextlib.contextmanager
def noted(name: str, child: Child, x: Input) -> Iterator[None]:
    """Add to any error which child it came from, and what that child was given (PEP 678)."""
    try:
        yield
    except Exception as error:
        x = spec(x)
        error.add_note(f"  in {name}: {brief(child)} on {x.dtype.name}{list(x.shape)}")
        raise


def brief(child: Child) -> str:
    """One line about a layer: its hyperparameters, or the type of a layer made of layers."""
    text = repr(child) if isinstance(child, Data) else function_name(child)
    return text if "\n" not in text else type(child).__name__


def function_name(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)


class Data:
    """A frozen dataclass that prints what is not default, and pickles functions by name.

    `jax.nn.relu` and its like are objects that pickle refuses; their import path is enough.
    """

    def __repr__(self) -> str:
        shown = [
            f"{f.name}={_show(getattr(self, f.name))}"
            for f in dataclasses.fields(self)  # type: ignore[arg-type]
            if getattr(self, f.name) != f.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self):
        values = [_portable(getattr(self, f.name)) for f in dataclasses.fields(self)]  # type: ignore[arg-type]
        return _rebuild, (type(self), values)


def _show(value: Any) -> str:
    return function_name(value) if callable(value) and not isinstance(value, Data) else repr(value)


@dataclasses.dataclass(frozen=True)
class _Function:
    module: str
    name: str

    def load(self) -> Any:
        return getattr(importlib.import_module(self.module), self.name)


def _portable(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_portable(v) for v in value)
    if callable(value) and not isinstance(value, Layer):
        return _Function(value.__module__, function_name(value))
    return value


def _loaded(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_loaded(v) for v in value)
    return value.load() if isinstance(value, _Function) else value


def _rebuild(cls: type, values: list[Any]) -> Any:
    made = object.__new__(cls)
    for field, value in zip(dataclasses.fields(cls), values, strict=True):
        object.__setattr__(made, field.name, _loaded(value))
    return made
