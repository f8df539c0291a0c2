"""Nested dicts of arrays as flat ones named "a/b/c", and labels for their leaves."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax

Tree = dict[str, Any]


def to_names(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of nested dicts under their paths.

    Raises ValueError for a key that is not text or holds a "/".

    >>> to_names({"stem": {"kernel": 1}, "head": {"kernel": 2, "bias": 3}})
    {'stem/kernel': 1, 'head/kernel': 2, 'head/bias': 3}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if not isinstance(key, str) or not key or "/" in key:
            raise ValueError(f"a name must be text without '/', got {key!r}")
        if isinstance(value, Mapping):
            flat |= {f"{key}/{path}": leaf for path, leaf in to_names(value).items()}
        else:
            flat[key] = value
    return flat


def from_names(flat: Mapping[str, Any]) -> Tree:
    """The nested dicts of `to_names`.

    Raises ValueError where one path is a leaf and also the start of another path.

    >>> from_names({"stem/kernel": 1, "head/bias": 3})
    {'stem': {'kernel': 1}, 'head': {'bias': 3}}
    """
    tree: Tree = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ValueError(f"{path!r} goes through {parent!r}, which is a leaf")
        if name in place:
            raise ValueError(f"{path!r} is a leaf and also the start of another path")
        place[name] = leaf
    return tree


def count(tree: Any) -> int:
    """How many numbers the arrays (or shapes) of a tree hold.

    >>> import jax.numpy as jnp
    >>> count({"kernel": jnp.zeros((3, 3, 1, 8)), "bias": jnp.zeros(8)})
    80
    """
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def label(tree: Mapping[str, Any], rules: Iterable[tuple[str, Any]]) -> Tree:
    """A tree of labels, for `optax.multi_transform` and masks: the first matching rule's.

    Args:
      tree: nested dicts.
      rules: (regular expression, label) pairs; the expression must match the whole path.

    Returns:
      the same nested dicts with a label for each leaf.

    Raises:
      ValueError: a leaf no rule matches, or a rule that is no leaf's first match; both mean
        that something is not trained as its author thinks.

    >>> params = {"stem": {"kernel": 0, "bias": 0}, "head": {"kernel": 0}}
    >>> label(params, [(".*/bias", "no_decay"), (".*", "decay")])
    {'stem': {'kernel': 'decay', 'bias': 'no_decay'}, 'head': {'kernel': 'decay'}}
    """
    compiled = [(re.compile(pattern), value) for pattern, value in rules]
    labels, uncovered = {}, []
    unused = {pattern.pattern for pattern, _ in compiled}
    for path in to_names(tree):
        for pattern, value in compiled:
            if pattern.fullmatch(path):
                labels[path] = value
                unused.discard(pattern.pattern)
                break
        else:
            uncovered.append(path)
    if uncovered or unused:
        raise ValueError(
            f"label: no rule matches {uncovered}; these rules match nothing: {sorted(unused)}"
        )
    return from_names(labels)
