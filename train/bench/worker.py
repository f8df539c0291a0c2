"""One contender in a process of its own: `python -m train.bench.worker PEER MODEL`.

A line of JSON for each line read: first, unasked, what importing and compiling took and how far the
loss is after the first step; then for "forward" or "step" the milliseconds of one call (of "step":
of one training step), and for "memory" the largest size that the process has had.
"""

import importlib
import json
import os
import resource
import sys
import time


def main(peer: str, model: str) -> int:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    started = time.perf_counter()
    module = importlib.import_module(f"train.bench.peers.{peer}")
    imported = time.perf_counter() - started
    import numpy as np

    from train.bench.models import subject
    from train.bench.timing import warm_up

    def say(**values: float) -> None:
        print(json.dumps(values), file=answers, flush=True)

    chosen = subject(model)
    rng = np.random.default_rng(0)
    images = rng.normal(size=chosen.shape).astype(np.float32)
    labels = rng.integers(0, chosen.classes, chosen.shape[0]).astype(np.int32)
    contender = module.contender(chosen, images, labels)
    started = time.perf_counter()
    loss = contender.step()
    first = time.perf_counter() - started
    say(import_s=imported, first_step_s=first, loss=loss, parameters=contender.parameters)
    calls = {"forward": (contender.forward, 1), "step": (contender.step, contender.steps)}
    for line in sys.stdin:
        asked = line.strip()
        if asked == "memory":
            # Linux counts in KiB, macOS in bytes.
            unit = 2**10 if sys.platform == "darwin" else 1
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
            say(memory_mib=peak / 1024)
            continue
        call, count = calls[asked]
        warm_up(call)
        started = time.perf_counter()
        call()
        say(milliseconds=1e3 * (time.perf_counter() - started) / count)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
