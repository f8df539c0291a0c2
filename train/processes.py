"""Several processes that train one run together: how they meet, and how they agree.

Each runs the same program on its own devices, and every computation on the mesh is one of all of
them: so each must take the same steps. What only one of them sees, a signal, the clock, a damaged
file, is told to the others here. With one process there is nobody to tell.
"""

import os
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from train.errors import UserError
from train.recipe import AUTO, Recipe

MEET = 60.0  # seconds until every process has to be there
PREPARE = 3600  # seconds that one may be slower to load its data than another
LONGEST = 1024  # bytes of a text that is told


def start(recipe: Recipe) -> None:
    """Join the other processes of the run, if --coordinator says that there are any.

    Before anything else is done with JAX. Raises UserError for options that are not enough or not
    right; ends the process, with one line, where the others do not come.
    """
    address, count, number = recipe.coordinator, recipe.process_count, recipe.process_id
    if not address:
        return
    # JAX would take SIGTERM for itself.
    jax.config.update("jax_enable_preemption_service", False)
    # Where they do not come, JAX aborts with a stack trace: this line is there before.
    late = threading.Timer(MEET, _give_up, [address, number])
    late.daemon = True
    late.start()
    patience = round(2 * MEET)
    try:
        if address == AUTO:
            jax.distributed.initialize(initialization_timeout=patience)
        else:
            jax.distributed.initialize(address, count, number, initialization_timeout=patience)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"--coordinator {address}: {error}{_advice(address)}") from None
    finally:
        late.cancel()


def _advice(address: str) -> str:
    if address != AUTO:
        return ""
    return (
        "; there may be no Slurm, TPU or Open MPI to ask: then it takes --coordinator HOST:PORT,"
        " --process-count and --process-id"
    )


def _give_up(address: str, number: int) -> None:
    who = "another process" if number == 0 else "process 0, or another one,"
    text = f"--coordinator {address}: {who} has not come after {MEET:.0f} seconds"
    print(f"python -m train: {text}", file=sys.stderr, flush=True)
    os._exit(2)


def leave(code: int) -> int:
    """End this process at once, if it is one of several: JAX would wait for the others.

    These lose the connection then, or are ended by JAX. Alone, the code is returned.
    """
    if several():
        sys.stdout.flush()
        os._exit(code)
    return code


def is_broken_connection(error: Exception) -> bool:
    """Whether it says that another process is gone: Gloo is what connects CPUs."""
    return "Gloo" in str(error)


def several() -> bool:
    return jax.process_count() > 1


def first() -> bool:
    """Whether this is the process that writes and prints."""
    return jax.process_index() == 0


def gather(values: Any) -> np.ndarray:
    """The numbers, at most 32 bits each, that every process gives: (processes, …)."""
    return multihost_utils.process_allgather(values)


def of_first(text: str) -> str:
    """A short text of the first process, in all of them."""
    content = text.encode()
    padded = np.frombuffer(content.ljust(LONGEST, b"\0"), np.uint8)
    return gather(padded)[0].tobytes().rstrip(b"\0").decode()


@contextmanager
def together() -> Iterator[None]:
    """A block that all processes leave alike: where one raises a UserError, all do.

    They wait for each other at its end.
    """
    error = None
    try:
        yield
    except UserError as raised:
        error = raised
    if several():
        wait()
        failed = np.flatnonzero(gather(np.int32(error is not None)))
        if len(failed) and error is None:
            error = UserError(f"process {failed[0]} cannot go on: see its own line")
    if error is not None:
        raise error


def wait() -> None:
    """Until every process is here: for longer than a collective operation would."""
    if several():
        import orbax.checkpoint as ocp

        ocp.multihost.get_barrier_sync_fn()(key="train", timeout_ms=1000 * PREPARE)


def check_same(what: str, content: bytes) -> None:
    """Raises UserError, in all processes, where they do not have the same content."""
    sums = gather(np.uint32(zlib.crc32(content)))
    others = np.flatnonzero(sums != sums[0])
    if len(others):
        raise UserError(f"process {others[0]} and process 0 have different {what}")


def whole(tree: Any) -> Any:
    """Arrays, wherever their parts are, as NumPy arrays in every process."""
    return multihost_utils.process_allgather(tree, tiled=True)
