"""`python -m train eval RUN`: test a run's weights again."""

import dataclasses
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from train import runs
from train.log import Terminal


@dataclasses.dataclass(frozen=True)
class Eval:
    """Load a run's weights and test them on its recipe's test split."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run's folder, as runs/digits-20250101-120000."""
    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where the data set is, if it is no longer where the run found it."""

    def run(self, terminal: Terminal) -> None:
        from train import devices, report, testing, weights  # after --help: they take a second

        run = runs.read(self.folder)
        recipe = runs.recipe(run, self.data_dir)
        params, state, _ = weights.load(self.folder / "weights.safetensors")
        data = recipe.load(terminal.say)
        mesh = devices.mesh(1, recipe.batch_size)
        test = testing.compile_test(recipe, data, mesh, params, state)
        result = test(params, state, data.test)
        labels, predictions = data.test[1], np.asarray(result["predictions"])
        matrix = report.confusion_matrix(labels, predictions, len(data.classes))
        terminal.say(report.confusion_text(matrix, data.classes))
        if run.split != "test":
            terminal.say(f"the run's own figures are of its {run.split} {data.noun}")
        terminal.say(f"test loss: {float(result['loss']):.4f}")
        terminal.say(f"test accuracy: {np.mean(labels == predictions):.2%}")
