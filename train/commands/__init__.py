"""What `python -m train` does beside training, one file each, by the command's name."""

from typing import Protocol

from train.commands.compare import Compare
from train.commands.evaluate import Eval
from train.commands.predict import Predict
from train.commands.profile import Profile, ProfileRecipe
from train.log import Terminal

__all__ = ["COMMANDS", "Command", "ProfileRecipe"]


class Command(Protocol):
    """A frozen dataclass whose fields are the options and whose docstring is the help."""

    def run(self, terminal: Terminal) -> None:
        """Do it, printing to the terminal; raises UserError for what a user can put right."""
        ...


COMMANDS: dict[str, type[Command]] = {
    "eval": Eval,
    "predict": Predict,
    "compare": Compare,
    "profile": Profile,
}
