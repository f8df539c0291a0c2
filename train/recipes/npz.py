"""One's own images, sounds or series, out of a NumPy file.

    python -m train npz --data-file FILE --model.num-classes 3

FILE holds the arrays x_train (N, *S, C), y_train (N,), x_test and y_test: `numpy.savez` writes it,
and Keras's mnist.npz is one. The network works in one, two and three dimensions; every stage halves
each of them.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar

import jax
import tyro

from fcnn.augment import random_crop
from fcnn.models import PlainConfig
from train.data import Batch, Dataset, npz
from train.errors import UserError
from train.recipe import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Npz(Recipe):
    """One's own data: a .npz file with the arrays x_train, y_train, x_test and y_test."""

    name: ClassVar[str] = "npz"

    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    model: PlainConfig = dataclasses.field(
        default_factory=lambda: PlainConfig(pool="average", dropout=0.3)
    )
    data_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The .npz file."""

    def load(self, report: Callable[[str], None]) -> Dataset:
        if self.data_file is None:
            raise UserError("npz needs --data-file FILE, a .npz file")
        return npz.load(self.data_file)

    def augment(self, key: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        return random_crop(key, batch.inputs, self.shift), batch.labels
