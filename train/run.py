"""One run in one folder: from its beginning, or its newest checkpoint, to its end."""

import signal
from contextlib import closing
from pathlib import Path

import numpy as np

from fcnn.models import to_json
from train import files, folder, report, weights
from train.checkpoint import Checkpoints
from train.data import Dataset
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

    With recipe.resume it goes on from what is there.
    """
    saved = place / folder.CHECKPOINTS
    saved.mkdir(exist_ok=True)
    files.sync(place)
    epochs = -(-program.total_steps // program.steps_per_epoch)
    with (
        only_one(saved / "lock"),
        on_signals() as stop,
        Checkpoints(saved, recipe.keep) as checkpoints,
        closing(Training(recipe, place, program, data, checkpoints, terminal, stop)) as training,
    ):
        if recipe.resume:
            training.resume()
        else:
            files.write(place / folder.CONFIG, folder.describe(recipe, training.ts.params, data))
        with terminal.progress(epochs, recipe.split) as line:
            try:
                while not training.done:
                    if stop.requested:
                        _stop(training, stop.requested)
                    training.advance(line)
                if training.tested is None:  # resumed after its last step
                    training.test()
            except InterruptedTestError:
                assert stop.requested
                _stop(training, stop.requested)
        return _finish(training, data)


def _stop(training: Training, number: signal.Signals) -> None:
    training.save()
    training.checkpoints.wait()
    config = to_json(training.recipe.model)
    weights.save(training.place / folder.WEIGHTS, training.ts.params, training.ts.state, config)
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
    ts = training.ts
    weights.save(place / folder.WEIGHTS, ts.params, ts.state, to_json(recipe.model))
    report.save_curves(place / "curves.png", history, title)
    report.save_confusion(place / "confusion.png", matrix, data.classes, title)
    report.save_page(place, data, ts.params, np.asarray(tested["logits"]))
    training.checkpoints.wait()

    seconds = sum(epoch["seconds"] for epoch in history)
    training.terminal.say(report.confusion_text(matrix, data.classes))
    training.terminal.say(f"trained {len(history)} epochs in {seconds:.1f} s, saved {place}")
    training.terminal.say(f"{recipe.split} accuracy: {accuracy:.2%}")
    return accuracy
