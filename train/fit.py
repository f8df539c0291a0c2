"""Whether a recipe's settings fit its data, told in one line where they do not."""

from collections.abc import Iterator
from contextlib import contextmanager

from train.data import Dataset
from train.errors import UserError
from train.recipe import Recipe


def check(recipe: Recipe, data: Dataset) -> None:
    """Raises UserError for a batch, a shift or a number of classes that is not the data's."""
    inputs, labels = data.train
    if recipe.batch_size > len(labels):
        raise UserError(
            f"--batch-size {recipe.batch_size} is more than the {len(labels)} training {data.noun}"
        )
    size = min(inputs.shape[1:-1])
    if recipe.shift >= size:
        raise UserError(f"--shift {recipe.shift} moves all of an input of {size} out of sight")
    if recipe.model.num_classes != len(data.classes):
        raise UserError(
            f"--model.num-classes {recipe.model.num_classes}:"
            f" the data has {len(data.classes)} classes"
        )


@contextmanager
def to_inputs_of(size: tuple[int, ...]) -> Iterator[None]:
    """Around a model's first use: its ValueError becomes a UserError with the layers' notes."""
    try:
        yield
    except ValueError as error:
        # The layers' own notes; JAX adds some about its traceback.
        where = [n.strip() for n in getattr(error, "__notes__", ()) if n.strip().startswith("in ")]
        raise UserError(
            f"the model does not fit inputs of {size}: {'; '.join([str(error), *where])}"
        ) from None
