"""What a network sees: the activations inside it, and the pixels that a logit depends on."""

from collections.abc import Callable
from typing import overload

import jax
import jax.numpy as jnp

from fcnn.compose import Parallel, Remat, Repeat, Residual, Sequential
from fcnn.layer import Child, Params, State, apply_child, noted
from fcnn.ops import checks

# (path, output of the layer there) -> the output that the rest of the network shall see.
Tap = Callable[[str, jax.Array], jax.Array]


@overload
def features(
    model: Child, params: Params, state: State, x: jax.Array, path: None = None
) -> dict[str, jax.Array]: ...
@overload
def features(model: Child, params: Params, state: State, x: jax.Array, path: str) -> jax.Array: ...
def features(model, params, state, x, path=None):
    """The output of every layer in the network, or of the one at `path`; train=False.

    Paths are those of `summary`, and those of the combinators between: "stage3/0/body/1" and
    "stage3/0". The copies of a `repeat` are "0", "1", …, as in the `sequential` it stands for.

    Args:
      model: any layer; one that is no combinator is a single step of the way.
      x: the network's input.
      path: which output; None for all.

    Returns:
      a dict from path to output, in the order in which they are computed; or one output. In a
      `jax.jit`, what is not used costs nothing.

    Raises:
      ValueError: there is no such path; the message lists those that there are.

    Source: Zeiler & Fergus, "Visualizing and understanding convolutional networks",
    arXiv:1311.2901.

    >>> import fcnn, jax, jax.numpy as jnp
    >>> model = fcnn.sequential(stem=fcnn.Conv(4, stride=2), relu=jax.nn.relu, flatten=fcnn.flatten)
    >>> params, state = model.init(jax.random.key(0), (1, 8, 8, 1))
    >>> x = jnp.ones((1, 8, 8, 1))
    >>> {path: y.shape for path, y in features(model, params, state, x).items()}
    {'stem': (1, 4, 4, 4), 'relu': (1, 4, 4, 4), 'flatten': (1, 64)}
    >>> features(model, params, state, x, "relu").shape
    (1, 4, 4, 4)
    """
    found: dict[str, jax.Array] = {}

    def keep(path: str, y: jax.Array) -> jax.Array:
        found[path] = y
        return y

    _run(model, params, state, jnp.asarray(x), (), keep)
    if path is None:
        return found
    if path not in found:
        raise ValueError(f"there is no output {path!r}; there are {', '.join(found)}")
    return found[path]


def saliency(
    model: Child, params: Params, state: State, x: jax.Array, classes: jax.Array | None = None
) -> jax.Array:
    """How much each pixel moves a logit: the largest |d logit / d x| of the pixel's channels.

    Args:
      model: a classifier, logits (N, K) of x.
      x: (N, *S, C), floating.
      classes: (N,) integers, whose logit; None is each example's largest one.

    Returns:
      (N, *S), at least 0.

    Raises:
      TypeError: x is not floating-point.
      ValueError: the model's output is not (N, K), or classes are not (N,).

    Source: Simonyan et al., "Deep inside convolutional networks", arXiv:1312.6034, section 3.1.

    >>> import fcnn, jax, jax.numpy as jnp
    >>> model, x = fcnn.sequential(fcnn.flatten, fcnn.Dense(2)), jnp.ones((1, 1, 2, 1))
    >>> params = {"1": {"kernel": jnp.array([[3.0, 0.0], [-4.0, 0.0]]), "bias": jnp.zeros(2)}}
    >>> saliency(model, params, {}, x, jnp.array([0])).tolist()
    [[[3.0, 4.0]]]
    """
    x = jnp.asarray(x)
    checks.floating("saliency", x)

    def score(x: jax.Array) -> jax.Array:
        logits, _ = apply_child(model, params, state, x, train=False, key=None)
        return _chosen("saliency", logits, classes)

    return jnp.abs(jax.grad(score)(x)).max(axis=-1)


def grad_cam(
    model: Child,
    params: Params,
    state: State,
    x: jax.Array,
    path: str,
    classes: jax.Array | None = None,
) -> jax.Array:
    """Where a layer's feature maps speak for a class: `relu(sum over k of a_k * map_k)`.

    `a_k` is the mean over the positions of d logit / d map_k. The last convolution's maps are the
    usual choice: they know what is in the image and still where.

    Args:
      model: a classifier, logits (N, K) of x.
      x: (N, *S, C).
      path: a layer with spatial output (N, *S', C'), named as in `features`.
      classes: (N,) integers, whose logit; None is each example's largest one.

    Returns:
      (N, *S') float32, at least 0, in the layer's own size: `jax.image.resize` lays it over x.

    Raises:
      ValueError: there is no such path, its output has no spatial dimension, the model's output
        is not (N, K), or classes are not (N,).

    Source: Selvaraju et al., "Grad-CAM", arXiv:1610.02391, equations 1 and 2.

    >>> import fcnn, jax, jax.numpy as jnp
    >>> model = fcnn.sequential(jnp.tanh, fcnn.global_avg_pool, head=fcnn.Dense(1, bias=False))
    >>> x = jnp.arctanh(jnp.array([0.5, -0.5])).reshape(1, 2, 1)
    >>> grad_cam(model, {"head": {"kernel": jnp.array([[4.0]])}}, {}, x, "0").round(3).tolist()
    [[1.0, 0.0]]
    """
    x = jnp.asarray(x)
    output = jax.eval_shape(lambda x: features(model, params, state, x, path), x)
    if len(output.shape) < 3:
        raise ValueError(
            f"grad_cam expects a layer whose output is (N, *S, C), but {path!r} gives"
            f" {output.shape}"
        )

    def score(shift: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = []

        def shifted(here: str, y: jax.Array) -> jax.Array:
            if here != path:
                return y
            found.append(y)
            return y + shift

        logits = _run(model, params, state, x, (), shifted)
        return _chosen("grad_cam", logits, classes), found[0]

    # A shift of 0 at the layer: the gradient by it is the gradient by the layer's output.
    grads, maps = jax.grad(score, has_aux=True)(jnp.zeros(output.shape, output.dtype))
    positions = tuple(range(1, maps.ndim - 1))
    weights = grads.astype(jnp.float32).mean(axis=positions, keepdims=True)
    return jax.nn.relu((weights * maps.astype(jnp.float32)).sum(axis=-1))


def _run(
    layer: Child, params: Params, state: State, x: jax.Array, path: tuple[str, ...], tap: Tap
) -> jax.Array:
    """`apply` with train=False, in which every output goes through `tap`."""

    def child(name: str, layer: Child, x: jax.Array) -> jax.Array:
        with noted(name, layer, x), jax.named_scope(name):
            return _run(layer, params.get(name, {}), state.get(name, {}), x, (*path, name), tap)

    match layer:
        case Sequential():
            y = x
            for name, each in layer.children():
                y = child(name, each, y)
        case Residual() | Parallel():
            y = layer.merge(*[child(name, each, x) for name, each in layer.children()])
        case Repeat():
            y = x
            for i in range(layer.n):
                own, own_state = jax.tree.map(lambda leaf, i=i: leaf[i], (params, state))
                y = _run(layer.layer, own, own_state, y, (*path, str(i)), tap)
        case Remat():
            return _run(layer.layer, params, state, x, path, tap)
        case _:
            y, _ = apply_child(layer, params, state, x, train=False, key=None)
    return tap("/".join(path), y) if path else y


def _chosen(name: str, logits: jax.Array, classes: jax.Array | None) -> jax.Array:
    """The sum of one logit an example: no example's depends on another's input in evaluation."""
    if logits.ndim != 2:
        raise ValueError(f"{name} expects a model that gives logits (N, K), got {logits.shape}")
    classes = jnp.argmax(logits, axis=-1) if classes is None else jnp.asarray(classes)
    if classes.shape != logits.shape[:1]:
        raise ValueError(f"{name} expects classes of shape {logits.shape[:1]}, got {classes.shape}")
    return jnp.take_along_axis(logits, classes[:, None], axis=-1).sum()
