"""The libraries that are measured, one file each.

A peer's `contender(subject, images, labels)` gives two calls without arguments, `forward` (logits
of the batch, evaluation mode) and `step` (one step of Adam on the cross-entropy), and the number of
parameters. Both return when their work is done. `torch_training` trains a whole recipe.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple


class Contender(NamedTuple):
    """A network ready to be timed."""

    forward: Callable[[], Any]
    step: Callable[[], float]  # the loss before the step
    parameters: int
    steps: int = 1  # training steps in a call of `step`


# The peer's name, and the package without which it is left out.
PACKAGES = {
    "fcnn": "fcnn",
    "fcnn_scan": "fcnn",
    "flax": "flax",
    "haiku": "haiku",
    "equinox": "equinox",
    "keras": "keras",
    "torch": "torch",
    "torch_compiled": "torch",
}

LEARNING_RATE = 1e-3


def installed() -> list[str]:
    """The peers that this Python can run."""
    return [peer for peer, package in PACKAGES.items() if find_spec(package)]
