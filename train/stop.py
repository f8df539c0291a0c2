"""Ctrl-C stops a training between two steps, so that what it has learnt can be saved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Whether Ctrl-C has been pressed."""

    requested = False


@contextmanager
def on_ctrl_c() -> Iterator[Stop]:
    """Note the first Ctrl-C in the `Stop`; the second one interrupts at once, as usual."""
    stop = Stop()

    def note(number, frame) -> None:
        stop.requested = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
