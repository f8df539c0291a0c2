"""Changing a network that exists: its layers, its head, its batch normalisation."""

import dataclasses
from collections.abc import Callable

import jax

from fcnn.compose import Parallel, Remat, Repeat, Residual, Sequential
from fcnn.layer import (
    Child,
    Input,
    Params,
    State,
    child_key,
    entry,
    init_child,
    noted,
    output_spec,
    spec,
)
from fcnn.layers import BatchNorm, Conv, ConvTranspose, Dense, DepthwiseConv

Network = tuple[Sequential, Params, State]


def rewrite(model: Child, function: Callable[[str, Child], Child]) -> Child:
    """Put `function(path, layer)` in the place of every layer, children before what holds them.

    Paths are those of the layers' entries in params: "stage3/0/body/1", and "" for the model
    itself. The copies of a `repeat` are one layer. The numbers are not touched, so a layer may be
    replaced by one with the same params and state, or be initialised again.

    Args:
      model: any layer.
      function: (path, layer or function of x) -> what takes its place.

    Returns:
      the new model; the old one is as it was.

    Raises:
      TypeError: `function` gives what is neither a layer nor a function.

    >>> import fcnn, jax
    >>> model = fcnn.sequential(fcnn.Conv(8), jax.nn.relu, fcnn.residual(jax.nn.relu))
    >>> rewrite(model, lambda path, layer: jax.nn.gelu if layer is jax.nn.relu else layer)
    Sequential(
      0: Conv(features=8)
      1: gelu
      2: Residual(
        body: gelu
        shortcut: identity
      )
    )
    """
    return _rewritten(model, (), function)


def swap_head(
    model: Sequential, params: Params, state: State, head: Child, key: jax.Array, x: Input
) -> Network:
    """Put a new head, freshly initialised, in the place of the last layer: for transfer learning.

    Args:
      model: a Sequential; its last child, called "head" in every model of `fcnn.models`, goes.
      head: the layer that takes its place, under its name.
      key: decides the head's initial values; they are those of the whole model's init with it.
      x: array, ShapeDtypeStruct or shape tuple of the model's input, batch axis included.

    Returns:
      (model, params, state): everything before the head is the same arrays as before.

    Raises:
      TypeError: model is no Sequential.
      ValueError: model is empty, or x does not fit it.

    Source: Yosinski et al., "How transferable are features in deep neural networks?",
    arXiv:1411.1792.

    >>> import fcnn, jax
    >>> model = fcnn.sequential(fcnn.Conv(8), fcnn.global_avg_pool, head=fcnn.Dense(1000))
    >>> params, state = model.init(jax.random.key(0), (1, 8, 8, 3))
    >>> new = swap_head(model, params, state, fcnn.Dense(10), jax.random.key(1), (1, 8, 8, 3))
    >>> new[1]["head"]["kernel"].shape, new[1]["0"] is params["0"]
    ((8, 10), True)
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"swap_head expects a Sequential, got {type(model).__name__}")
    if not len(model):
        raise ValueError("swap_head expects a Sequential with a last layer, got an empty one")
    name = model.names[-1]
    new = Sequential(model.names, (*model.layers[:-1], head))
    y = output_spec(model[:-1], params, state, spec(x))
    with noted(name, head, y):
        own_params, own_state = init_child(head, child_key(key, name), y)
    return new, _entered(params, name, own_params), _entered(state, name, own_state)


def fold_batch_norm(model: Child, params: Params, state: State) -> tuple[Child, Params, State]:
    """Make one layer of each linear layer and the BatchNorm behind it: faster in evaluation.

    In a Sequential, a Conv, DepthwiseConv, ConvTranspose or Dense directly followed by a
    BatchNorm becomes one with a bias, whose outputs with train=False are those of both, to
    rounding: `kernel * m` and `(bias - mean) * m + beta`, with `m = scale / sqrt(var + eps)`.
    Every other layer keeps its name and its numbers, whatever holds it. Do not train the result:
    nothing normalises it any more.

    Args:
      model: any layer.
      params, state: its numbers; the statistics in state become part of the kernels.

    Returns:
      (model, params, state) without the BatchNorm layers that were folded.

    Source: Jacob et al., "Quantization and training of neural networks", arXiv:1712.05877,
    section 3.2, equation 14.

    >>> import fcnn, jax
    >>> model = fcnn.sequential(conv=fcnn.Conv(8, bias=False), norm=fcnn.BatchNorm())
    >>> numbers = model.init(jax.random.key(0), (1, 8, 8, 3))
    >>> folded, params, state = fold_batch_norm(model, *numbers)
    >>> folded, sorted(params["conv"]), state
    (Sequential(
      conv: Conv(features=8)
    ), ['bias', 'kernel'], {})
    """
    match model:
        case Sequential():
            return _fold_sequential(model, params, state)
        case Residual() | Parallel():
            folded, new_params, new_state = [], params, state
            for name, child in model.children():
                child, own_params, own_state = fold_batch_norm(
                    child, params.get(name, {}), state.get(name, {})
                )
                folded.append(child)
                new_params = _entered(new_params, name, own_params)
                new_state = _entered(new_state, name, own_state)
            return _with_children(model, folded), new_params, new_state
        case Repeat():
            if not jax.tree.leaves((params, state)):
                return model, params, state
            one = jax.tree.map(lambda leaf: leaf[0], (params, state))
            layer, _, _ = fold_batch_norm(model.layer, *one)
            all_copies = jax.vmap(lambda *own: fold_batch_norm(model.layer, *own)[1:])
            return _with_children(model, [layer]), *all_copies(params, state)
        case Remat():
            layer, params, state = fold_batch_norm(model.layer, params, state)
            return _with_children(model, [layer]), params, state
        case _:
            return model, params, state


def _fold_sequential(model: Sequential, params: Params, state: State) -> Network:
    names: list[str] = []
    layers: list[Child] = []
    new_params, new_state = params, state
    for name, child in model.children():
        own_params, own_state = params.get(name, {}), state.get(name, {})
        before = layers[-1] if layers else None
        if isinstance(child, BatchNorm) and isinstance(
            before, (Conv, DepthwiseConv, ConvTranspose, Dense)
        ):
            layers[-1] = dataclasses.replace(before, bias=True)
            merged = _merge(before, new_params[names[-1]], child, own_params, own_state)
            new_params = _entered(new_params, names[-1], merged)
            new_params, new_state = _entered(new_params, name, {}), _entered(new_state, name, {})
            continue
        child, own_params, own_state = fold_batch_norm(child, own_params, own_state)
        names.append(name)
        layers.append(child)
        new_params = _entered(new_params, name, own_params)
        new_state = _entered(new_state, name, own_state)
    return Sequential(tuple(names), tuple(layers)), new_params, new_state


def _merge(layer, params: Params, norm: BatchNorm, norm_params: Params, norm_state: State):
    """The params of a linear layer that does what it and the normalisation behind it did."""
    kernel = entry(layer, params, "kernel", None)
    features = kernel.shape[-1:]  # the last axis of every kernel
    mean = entry(norm, norm_state, "mean", features)
    multiplier = jax.lax.rsqrt(entry(norm, norm_state, "var", features) + norm.eps)
    if norm.scale:
        multiplier = multiplier * entry(norm, norm_params, "scale", features)
    bias = (entry(layer, params, "bias", features) - mean if layer.bias else -mean) * multiplier
    if norm.bias:
        bias = bias + entry(norm, norm_params, "bias", features)
    return {"kernel": kernel * multiplier.reshape((1,) * (kernel.ndim - 1) + (-1,)), "bias": bias}


def _rewritten(layer: Child, path: tuple[str, ...], function) -> Child:
    match layer:
        case Sequential() | Residual() | Parallel():
            new = [_rewritten(child, (*path, name), function) for name, child in layer.children()]
            layer = _with_children(layer, new)
        case Repeat() | Remat():
            layer = _with_children(layer, [_rewritten(layer.layer, path, function)])
    return function("/".join(path), layer)


def _with_children(layer, children: list[Child]):
    """The combinator with other children under the same names."""
    match layer:
        case Sequential():
            return dataclasses.replace(layer, layers=tuple(children))
        case Parallel():
            return dataclasses.replace(layer, branches=tuple(children))
        case Residual():
            body, shortcut = children
            return dataclasses.replace(layer, body=body, shortcut=shortcut)
        case _:
            return dataclasses.replace(layer, layer=children[0])


def _entered(numbers: Params, name: str, own: Params) -> Params:
    """The dict with another entry under a name; without one where there are no numbers."""
    others = {key: value for key, value in numbers.items() if key != name}
    return {**others, name: own} if own else others
