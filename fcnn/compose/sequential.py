"""One layer after the other."""

from dataclasses import dataclass

import jax

from fcnn.compose import children
from fcnn.compose.children import Combinator
from fcnn.layer import Child, Input, Params, State, noted, output_spec, spec


@dataclass(frozen=True, repr=False)
class Sequential(Combinator):
    """Layers in a row, each with a name; made by `sequential`.

    `model["head"]`, `model[0]` and `model[-1]` are children; `model[:-1]` is a Sequential of
    the others under their old names, so it applies to the whole model's params and state.
    """

    names: tuple[str, ...]
    layers: tuple[Child, ...]

    def __post_init__(self):
        children.check_names("sequential", self.names, self.layers)

    def children(self):
        return tuple(zip(self.names, self.layers, strict=True))

    def init(self, key: jax.Array, x: Input) -> tuple[Params, State]:
        x = spec(x)
        params: Params = {}
        state: State = {}
        for name, layer in self.children():
            own = children.init(name, layer, params, state, key, x)
            if name != self.names[-1]:
                with noted(name, layer, x):
                    x = output_spec(layer, *own, x)
        return params, state

    def apply(
        self, params: Params, state: State, x: jax.Array, *, train: bool, key=None
    ) -> tuple[jax.Array, State]:
        state = dict(state)
        for name, layer in self.children():
            x = children.apply(name, layer, params, state, x, train=train, key=key)
        return x, state

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int | str | slice):
        if isinstance(index, slice):
            return Sequential(self.names[index], self.layers[index])
        if isinstance(index, str):
            if index not in self.names:
                raise KeyError(f"no child {index!r}: the children are {self.names}")
            return self.layers[self.names.index(index)]
        return self.layers[index]


def sequential(*layers: Child, **named: Child) -> Sequential:
    """Put layers in a row: the output of each is the input of the next.

    Args:
      *layers: layers or functions of x (`jax.nn.relu`, `fcnn.flatten`), named "0", "1", ….
      **named: more of them, under their own names.

    Returns:
      a layer. Its params and state hold one entry for each child that has numbers, and its
      children's random keys depend on their names alone.

    Raises:
      TypeError: a child is neither a layer nor a function.

    >>> import jax, fcnn
    >>> model = sequential(fcnn.Conv(4), jax.nn.relu, fcnn.flatten, head=fcnn.Dense(10))
    >>> params, state = model.init(jax.random.key(0), (1, 8, 8, 1))
    >>> list(params), params["head"]["kernel"].shape
    (['0', 'head'], (256, 10))
    """
    return Sequential(*children.numbered("sequential", layers, named))
