"""Compiler options that make a CPU faster, and a jit that uses them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer
from jax.extend.core import Jaxpr, subjaxprs
from jaxlib import version

# Where each instruction goes so that least memory is in use at once, rather than most instructions
# at once: a third less of it (resnet18, 32x32, batch 32: 183 MiB for 295), and with that 2 to 8%
# less time, because a step's memory is fresh each time and the system clears every page of it.
LEAST_MEMORY = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}

# By backend and by jaxlib's first two numbers. 0.10: matrix products and sums go to the fast
# library, and convolutions stay with the other one, which is up to twice as fast for them
# (resnet18, 32x32, batch 32, two x86-64 cores: 1104 ms a step without, 813 with). In 0.12 the
# defaults are as fast, and the same value would make a step slower.
OPTIONS = {
    ("cpu", "0.10"): LEAST_MEMORY
    | {
        "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"
    },
    ("cpu", "0.12"): LEAST_MEMORY,
}


def compiler_options(backend: str | None = None) -> dict[str, str]:
    """The options with which `jax.jit` compiles a network best: for its `compiler_options`.

    backend: "cpu", "gpu", "tpu"; None is the one that JAX uses by default. The answer depends on it
    and on jaxlib's version alone; where nothing is known to help, it is empty.

    Everything in `fcnn.training` is compiled with them already. JAX takes options only at the
    outermost jit: give them to yours.

    >>> import jax, jax.numpy as jnp
    >>> from fcnn.training import compiler_options
    >>> double = jax.jit(lambda x: x + x, compiler_options=compiler_options())
    >>> float(double(jnp.float32(2.0)))
    4.0
    >>> compiler_options("tpu")
    {}
    """
    major_minor = ".".join(version.__version__.split(".")[:2])
    return dict(OPTIONS.get((backend or jax.default_backend(), major_minor), {}))


# The memory of a step, in pieces smaller than 32 MiB. One of 32 MiB or more is given back to the
# system after each step (glibc does so), and taken again for the next, page by page: 19,000 page
# faults and 87 ms a step where pieces take none and 72 (the network `small` of train.bench, two
# x86-64 cores). XLA warns of every array that is larger than a piece; see `Jitted`.
PIECE = 33_500_000
IN_PIECES = {"xla_multiheap_size_constraint_per_heap": PIECE}


class Jitted:
    """A function compiled with the best options; inside another jit, part of that one.

    `jax.jit` refuses options of its own inside another jit, scan or grad, so there is a second
    form, without them, for calls with traced arguments. And a third, whose memory is in pieces, for
    arguments with which no array of the program is larger than one.
    """

    def __init__(self, function: Callable, donate_argnums: int | tuple[int, ...] = ()):
        jit = functools.partial(jax.jit, function, donate_argnums=donate_argnums)
        options = compiler_options()
        self.inner = jit()
        self.outer = self.in_pieces = jit(compiler_options=options)
        if "xla_cpu_scheduler_type" in options:
            self.in_pieces = jit(compiler_options=options | IN_PIECES)
        self.fits: dict[Any, bool] = {}
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any) -> Any:
        leaves = jax.tree.leaves(args)
        traced = any(isinstance(leaf, Tracer) for leaf in leaves)
        return (self.inner if traced else self._best(args, leaves))(*args)

    def lower(self, *args: Any) -> Any:
        """Ahead of time, as `jax.jit(f).lower`: with the options."""
        return self._best(args, jax.tree.leaves(args)).lower(*args)

    def _best(self, args: Any, leaves: list) -> Any:
        if self.in_pieces is self.outer:
            return self.outer
        known = tuple((getattr(a, "shape", ()), getattr(a, "dtype", type(a))) for a in leaves)
        if known not in self.fits:  # JAX keeps the trace, so that it is not made twice
            jaxpr = self.outer.trace(*args).jaxpr.jaxpr
            self.fits[known] = _largest(jaxpr) <= PIECE
        return self.in_pieces if self.fits[known] else self.outer


def _largest(jaxpr: Jaxpr) -> int:
    """The bytes of the largest array that this program, or one inside it, computes."""
    own: list[Any] = [v.aval for equation in jaxpr.eqns for v in equation.outvars]
    sizes = [a.size * a.dtype.itemsize for a in own if hasattr(a, "dtype")]
    return max([0, *sizes, *map(_largest, subjaxprs(jaxpr))])
