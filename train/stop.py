"""Ctrl-C and SIGTERM stop a training between two steps, so that it can be saved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """The signal that asked to stop, None so far."""

    requested: signal.Signals | None = None


@contextmanager
def on_signals() -> Iterator[Stop]:
    """Note SIGINT and SIGTERM in the `Stop`; a second Ctrl-C interrupts at once, as usual."""
    stop = Stop()

    def note(number, frame) -> None:
        stop.requested = stop.requested or signal.Signals(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
