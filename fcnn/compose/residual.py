"""A branch and a shortcut around it, added."""

from collections.abc import Callable
from dataclasses import dataclass

import jax

from fcnn.compose import children
from fcnn.compose.children import Combinator
from fcnn.layer import Child, Input, Params, State


def identity(x: jax.Array) -> jax.Array:
    """Give x back.

    >>> identity(3)
    3
    """
    return x


@dataclass(frozen=True, repr=False)
class Residual(Combinator):
    """`activation(body(x) + shortcut(x))`; made by `residual`."""

    body: Child
    shortcut: Child = identity
    activation: Callable[[jax.Array], jax.Array] = identity

    def __post_init__(self):
        for name in ("body", "shortcut", "activation"):
            children.check("residual", name, getattr(self, name))

    def children(self):
        return (("body", self.body), ("shortcut", self.shortcut))

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        params: Params = {}
        state: State = {}
        for name, child in self.children():
            children.init(name, child, params, state, key, x)
        return params, state

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        state = dict(state)
        body, shortcut = (
            children.apply(name, child, params, state, x, train=train, key=key)
            for name, child in self.children()
        )
        return self.merge(body, shortcut), state

    def merge(self, body: jax.Array, shortcut: jax.Array) -> jax.Array:
        if body.shape != shortcut.shape:
            raise ValueError(
                f"residual adds body {body.shape} and shortcut {shortcut.shape}, which must be "
                "equal: give a shortcut that changes the shape as the body does"
            )
        return self.activation(body + shortcut)


def residual(
    body: Child,
    shortcut: Child = identity,
    activation: Callable[[jax.Array], jax.Array] = identity,
) -> Residual:
    """Add what `body` makes of x to what `shortcut` makes of it: `activation(body + shortcut)`.

    Args:
      body: a layer or a function, child "body".
      shortcut: a layer or a function, child "shortcut"; the identity unless given.
      activation: a function of the sum, as `jax.nn.relu` in the original ResNet.

    Raises:
      TypeError: an argument is neither a layer nor a function.
      ValueError: (on apply) body and shortcut give different shapes.

    Source: He et al., "Deep residual learning", arXiv:1512.03385, equation 1.

    >>> import jax, jax.numpy as jnp
    >>> double = residual(identity)
    >>> double.apply({}, {}, jnp.ones(2), train=False)[0].tolist()
    [2.0, 2.0]
    """
    return Residual(body, shortcut, activation)
