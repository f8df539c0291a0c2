"""Times that can be compared: contenders in turn, several rounds, medians."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

SHORTEST = 2e-3  # seconds: what takes less is run several times for one figure
# Seconds before each figure. PyTorch's threads go on waiting for work, on a whole core, for some
# milliseconds after each of its calls, and whoever is next would pay for it.
PAUSE = 0.02
# Seconds that each runs before it is timed, once at least. Threads that slept are woken on one core
# and parted up to 10 ms later: a step of training, which follows another, does not wait for that.
WARM = 0.02


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
            time.sleep(PAUSE)
            warm_up(run)
            taken[name].append(1e3 * _seconds(run, repeats[name]) / repeats[name])
    return {name: spread(times) for name, times in taken.items()}


def warm_up(run: Callable[[], Any]) -> None:
    started = time.perf_counter()
    run()
    while time.perf_counter() - started < WARM:
        run()


def spread(times: list[float]) -> dict[str, float]:
    """Median and quartiles.

    >>> spread([1.0, 2.0, 3.0, 4.0, 9.0])
    {'quarter': 2.0, 'median': 3.0, 'three_quarters': 4.0}
    """
    figures = ("quarter", "median", "three_quarters")
    return dict(zip(figures, np.percentile(times, (25, 50, 75)).tolist(), strict=True))


def _seconds(run: Callable[[], Any], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        run()
    return time.perf_counter() - started
