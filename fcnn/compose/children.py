"""What combinators do with their children: check, name, initialise and apply them."""

from collections.abc import Sequence
from typing import Any

import jax

from fcnn.layer import (
    Child,
    Data,
    Input,
    Params,
    State,
    apply_child,
    brief,
    child_key,
    init_child,
    noted,
)


class Combinator(Data):
    """A layer made of layers: its text lists the children, one a line."""

    def children(self) -> Sequence[tuple[str, Child]]:
        """The children with their names, in the order in which they run."""
        raise NotImplementedError

    def __repr__(self) -> str:
        lines = [f"{name}: {child_text(child)}" for name, child in self.children()]
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def child_text(child: Child) -> str:
    return repr(child) if isinstance(child, Combinator) else brief(child)


def check(combinator: str, name: str, child: Any) -> None:
    """A child is a layer or a callable; a class is most likely a layer someone forgot to call."""
    if isinstance(child, type):
        raise TypeError(
            f"{combinator} child {name!r} is the class {child.__name__}: give an instance, "
            f"{child.__name__}(...)"
        )
    if not callable(child) and not (hasattr(child, "init") and hasattr(child, "apply")):
        raise TypeError(
            f"{combinator} child {name!r} must be a layer or a function of x, got {child!r}"
        )


def numbered(
    combinator: str, positional: Sequence[Child], named: dict[str, Child]
) -> tuple[tuple[str, ...], tuple[Child, ...]]:
    """Names and children: positional ones are "0", "1", …, then the named ones."""
    names = (*(str(i) for i in range(len(positional))), *named)
    children = (*positional, *named.values())
    check_names(combinator, names, children)
    return names, children


def check_names(combinator: str, names: Sequence[str], children: Sequence[Child]) -> None:
    for name, child in zip(names, children, strict=True):
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"{combinator} child name {name!r} must be text without '/'")
        check(combinator, name, child)
    if len(set(names)) != len(names):
        raise ValueError(f"{combinator} child names {tuple(names)} are not all different")


def init(
    name: str, child: Child, params: Params, state: State, key: jax.Array, x: Input
) -> tuple[Params, State]:
    """Initialise one child and enter its numbers under its name, if it has any."""
    with noted(name, child, x):
        child_params, child_state = init_child(child, child_key(key, name), x)
    if child_params:
        params[name] = child_params
    if child_state:
        state[name] = child_state
    return child_params, child_state


def apply(
    name: str,
    child: Child,
    params: Params,
    state: State,
    x: jax.Array,
    *,
    train: bool,
    key: jax.Array | None,
) -> jax.Array:
    """Apply one child on its own entries, and enter its new state into `state`."""
    with noted(name, child, x), jax.named_scope(name):
        y, new = apply_child(
            child,
            params.get(name, {}),
            state.get(name, {}),
            x,
            train=train,
            key=child_key(key, name),
        )
    if new:
        state[name] = new
    return y
