"""Every test runs under JAX's strictest rules, on four simulated CPU devices."""

import os

# The suite compiles thousands of small programs once each: LLVM's optimisation would take four
# fifths of its time. `XLA_FLAGS= make test` runs it with optimisation.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
)

import jax
import pytest

# Before any array is made: the number of devices cannot change afterwards.
jax.config.update("jax_num_cpu_devices", 4)
# No silent float32 + bfloat16, no silent (C,) + (N, H, W, C). Warnings are errors by pyproject.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    return jax.random.key(0)
