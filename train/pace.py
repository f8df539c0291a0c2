"""How often a run looks up from its steps, and how often it is saved."""

import math
import time

LOOK = 0.25  # seconds between looks at signals and the clock, or one step where that takes longer
LEAST = 5.0  # seconds between checkpoints
SHARE = 0.05  # of the time, at most, that goes into saving


class Pace:
    """Saves every so many steps, or, for 0, by the clock: that changes no bit of what is learnt.

    By the clock it saves after LEAST seconds, or more where a save takes more than SHARE of them;
    besides, with the same patience, at the end of an epoch, when there is an accuracy to compare.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.seconds_per_step = math.inf  # until one is timed
        self.last = self.last_epoch_end = time.perf_counter()

    def steps(self, step: int, most: int) -> int:
        """How many steps to take at once, `most` at most."""
        if self.every:
            most = min(most, self.every - step % self.every)
        return max(1, min(most, int(LOOK / self.seconds_per_step)))

    def took(self, steps: int, seconds: float) -> None:
        self.seconds_per_step = seconds / steps

    def due(self, step: int, epoch_ends: bool, cost: float) -> bool:
        """Whether to save now, when the last save took `cost` seconds in all."""
        if self.every:
            return step % self.every == 0
        now = time.perf_counter()
        patience = max(LEAST, cost / SHARE)
        return now - self.last >= patience or (epoch_ends and now - self.last_epoch_end >= patience)

    def saved(self, epoch_ends: bool) -> None:
        self.last = time.perf_counter()
        if epoch_ends:
            self.last_epoch_end = self.last
