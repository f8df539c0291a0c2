"""Times that can be compared: contenders in turn, several rounds, medians."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

SHORTEST = 2e-3  # seconds: what takes less is run several times for one figure


def interleaved(
    contenders: dict[str, Callable[[], Any]], rounds: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of each contender: median and quartiles over the rounds.

    Each is called once before, which compiles it, and once more to see how long it takes. Every
    contender must return only when its work is done.
    """
    repeats = {}
    for name, run in contenders.items():
        run()
        repeats[name] = max(1, round(SHORTEST / max(_seconds(run, 1), 1e-6)))
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            taken[name].append(1e3 * _seconds(run, repeats[name]) / repeats[name])
    figures = ("quarter", "median", "three_quarters")
    return {
        name: dict(zip(figures, np.percentile(times, (25, 50, 75)).tolist(), strict=True))
        for name, times in taken.items()
    }


def _seconds(run: Callable[[], Any], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        run()
    return time.perf_counter() - started
