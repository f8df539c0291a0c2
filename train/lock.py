"""One training at a time in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from train.errors import UserError

try:
    import fcntl
except ImportError:  # not POSIX: nothing is locked there
    fcntl = None


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock on the file `path`, which is made if need be and stays.

    The system lets go of it when the process ends, however it ends. Raises UserError where another
    process holds it.
    """
    with open(path, "a+", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise UserError(
                    f"{path.parent} is in use: process {file.read().strip()} trains there"
                ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
