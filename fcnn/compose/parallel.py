"""Branches side by side on the same input, joined."""

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from fcnn.compose import children
from fcnn.compose.children import Combinator
from fcnn.layer import Child, Input, Params, State

Join = Literal["sum", "product", "concat"]


@dataclass(frozen=True, repr=False)
class Parallel(Combinator):
    """Branches on the same x, joined; made by `parallel`."""

    names: tuple[str, ...]
    branches: tuple[Child, ...]
    join: Join = "sum"

    def __post_init__(self):
        children.check_names("parallel", self.names, self.branches)
        if not self.branches:
            raise ValueError("parallel needs at least one branch")
        if self.join not in ("sum", "product", "concat"):
            raise ValueError(
                f"parallel join must be 'sum', 'product' or 'concat', got {self.join!r}"
            )

    def children(self):
        return tuple(zip(self.names, self.branches, strict=True))

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        params: Params = {}
        state: State = {}
        for name, branch in self.children():
            children.init(name, branch, params, state, key, x)
        return params, state

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        state = dict(state)
        outputs = [
            children.apply(name, branch, params, state, x, train=train, key=key)
            for name, branch in self.children()
        ]
        return self.merge(*outputs), state

    def merge(self, *outputs: jax.Array) -> jax.Array:
        ranks = {y.ndim for y in outputs}
        free = outputs[0].ndim - 1 if self.join == "concat" else None
        if len(ranks) > 1 or not _compatible([y.shape for y in outputs], free, self.join):
            shapes = ", ".join(str(y.shape) for y in outputs)
            raise ValueError(f"parallel join={self.join!r} cannot join branches of shape {shapes}")
        if self.join == "concat":
            return jnp.concatenate(outputs, axis=-1)
        return functools.reduce(operator.add if self.join == "sum" else operator.mul, outputs)


def _compatible(shapes: Sequence[tuple[int, ...]], free: int | None, join: Join) -> bool:
    """Equal in every axis but the concatenated one; a gate of size 1 may multiply anything."""
    for axis, sizes in enumerate(zip(*shapes, strict=True)):
        different = set(sizes) - ({1} if join == "product" else set())
        if axis != free and len(different) > 1:
            return False
    return True


def parallel(*branches: Child, join: Join = "sum", **named: Child) -> Parallel:
    """Give the same x to every branch, and join what comes out.

    Args:
      *branches: layers or functions, named "0", "1", ….
      join: "sum", "product" (where an axis of size 1 gates a whole map, as in squeeze and
        excitation) or "concat" (of the channels, as in Inception).
      **named: more branches, under their own names.

    Raises:
      TypeError: a branch is neither a layer nor a function.
      ValueError: no branch, an unknown join, or (on apply) shapes that do not join.

    >>> import jax, jax.numpy as jnp
    >>> both = parallel(jnp.sin, jnp.cos, join="concat")
    >>> both.apply({}, {}, jnp.zeros((1, 1)), train=False)[0].tolist()
    [[0.0, 1.0]]
    """
    return Parallel(*children.numbered("parallel", branches, named), join)
