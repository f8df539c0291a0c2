"""What a run has measured so far: kept in its checkpoints, so that a resumed run goes on adding."""

import dataclasses
from typing import Any

import numpy as np

# What a metrics line says about time; everything else in it is the same however often a run was
# stopped and resumed.
TIMES = ("images_per_second", "seconds")


@dataclasses.dataclass
class Progress:
    """Finished epochs, and sums over the steps of the one that is going on.

    The sums are Python floats, added up step by step: the same wherever the run is cut.
    """

    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    loss: float = 0.0
    accuracy: float = 0.0
    steps: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    seconds: float = 0.0

    def add(self, measured: dict[str, np.ndarray], seconds: float) -> None:
        """Some steps: loss, accuracy and finite (steps,). Those not finite count as skipped."""
        for loss, accuracy, finite in zip(
            measured["loss"], measured["accuracy"], measured["finite"], strict=True
        ):
            if finite:
                self.loss += float(loss)
                self.accuracy += float(accuracy)
                self.steps += 1
                self.skipped_in_a_row = 0
            else:
                self.skipped += 1
                self.skipped_in_a_row += 1
        self.seconds += seconds

    def finish_epoch(
        self, epoch: int, step: int, batch_size: int, test: dict[str, Any]
    ) -> dict[str, Any]:
        """The line of metrics.jsonl about the epoch that ends with `step`; the next one begins."""
        steps = max(self.steps, 1)
        record = {
            "epoch": epoch,
            "step": step,
            "train_loss": self.loss / steps,
            "train_accuracy": self.accuracy / steps,
            "test_loss": float(test["loss"]),
            "test_accuracy": float(test["accuracy"]),
            "skipped_steps": self.skipped,
            "images_per_second": (self.steps + self.skipped) * batch_size / self.seconds,
            "seconds": self.seconds,
        }
        self.history.append(record)
        self.loss = self.accuracy = self.seconds = 0.0
        self.steps = self.skipped = 0
        return record
