"""A terminal that shows nothing, and calls a function after each look at a run."""

from contextlib import contextmanager

from train.log import Terminal


class Watched(Terminal):
    """Calls `watch` with the number of epochs done, a fraction; keeps what is said."""

    def __init__(self, watch=None):
        super().__init__(live=False)
        self.watch, self.said = watch, []

    def say(self, text=""):
        self.said.append(text)

    @contextmanager
    def progress(self, epochs, split):
        with super().progress(epochs, split) as line:
            update = line.update

            def watched(done, *figures):
                update(done, *figures)
                if self.watch is not None:
                    self.watch(done)

            line.update = watched
            yield line
