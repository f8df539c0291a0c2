"""One run in one folder: from its beginning, or its newest checkpoint, to its end."""

import signal
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from train import files, folder, processes, report
from train.checkpoint import Checkpoints
from train.data import Dataset
from train.errors import UserError
from train.lock import only_one
from train.log import Terminal
from train.program import Program
from train.recipe import Recipe
from train.stop import on_signals
from train.streaming import InterruptedTestError
from train.training import Training


class StoppedError(Exception):
    """Ctrl-C or SIGTERM: the text says what was saved, the exit code is the signal's."""

    def __init__(self, text: str, signal_number: signal.Signals) -> None:
        super().__init__(text)
        self.exit_code = 128 + signal_number


def run(recipe: Recipe, place: Path, program: Program, data: Dataset, terminal: Terminal) -> float:
    """Train with one seed, leaving everything in the folder `place`. Returns the test accuracy.

    With recipe.resume it goes on from what is there. Of several processes the first one writes all
    but the arrays of a checkpoint.
    """
    saved = place / folder.CHECKPOINTS
    epochs = -(-program.total_steps // program.steps_per_epoch)
    with ExitStack() as stack:
        with processes.together():
            if processes.first():
                saved.mkdir(exist_ok=True)
                files.sync(place)
                stack.enter_context(only_one(saved / "lock"))
        with processes.together():
            if not saved.is_dir():
                raise UserError(f"{saved} is not there: the processes must share that folder")
        stop = stack.enter_context(on_signals())

        def asked() -> int:
            """The signal that some process was sent, 0 for none: it stops all at the same place."""
            return int(processes.gather(np.int32(stop.requested or 0)).max())

        checkpoints = stack.enter_context(Checkpoints(saved, recipe.keep))
        training = Training(recipe, place, program, data, checkpoints, terminal, asked)
        stack.enter_context(closing(training))
        if recipe.resume:
            training.resume()
        elif processes.first():
            files.write(place / folder.CONFIG, folder.describe(recipe, training.ts.params, data))
        with terminal.progress(epochs, recipe.split) as line:
            try:
                while not training.done:
                    if number := asked():
                        _stop(training, signal.Signals(number))
                    training.advance(line)
                if training.tested is None:  # resumed after its last step
                    training.test()
            except InterruptedTestError as error:
                _stop(training, signal.Signals(error.number))
        return _finish(training, data)


def _stop(training: Training, number: signal.Signals) -> None:
    training.save()
    training.checkpoints.wait()
    training.save_weights()
    raise StoppedError(
        f"{number.name} at step {training.step} (epoch {training.epoch}); saved {training.place};"
        f" to go on: python -m train --resume {training.place}",
        number,
    )


def _finish(training: Training, data: Dataset) -> float:
    """The last checkpoint, the weights, the pictures, the page and the last lines."""
    recipe, place, history = training.recipe, training.place, training.progress.history
    training.save()
    tested = training.tested
    assert tested is not None
    labels, predictions = data.test[1], np.asarray(tested["predictions"])
    accuracy = float(np.mean(labels == predictions))
    title = f"{recipe.name}, seed {recipe.seed}: {recipe.split} accuracy {accuracy:.2%}"
    matrix = report.confusion_matrix(labels, predictions, len(data.classes))
    params = training.save_weights()
    if processes.first():
        report.save_curves(place / "curves.png", history, title)
        report.save_confusion(place / "confusion.png", matrix, data.classes, title)
        report.save_page(place, data, params, np.asarray(tested["logits"]))
    training.checkpoints.wait()

    seconds = sum(epoch["seconds"] for epoch in history)
    training.terminal.say(report.confusion_text(matrix, data.classes))
    training.terminal.say(f"trained {len(history)} epochs in {seconds:.1f} s, saved {place}")
    training.terminal.say(f"{recipe.split} accuracy: {accuracy:.2%}")
    return accuracy
