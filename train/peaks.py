"""What a device could compute at most: from its data sheet, or measured."""

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp

TERA = 1e12

# By a part of `device_kind`: dense FLOP/s of (bfloat16, float32). float32 is what JAX computes by
# default on these: TF32 on NVIDIA's, one bfloat16 pass on TPUs. The first match counts.
DATA_SHEETS = {
    "A100": (312 * TERA, 156 * TERA),  # NVIDIA A100 data sheet, 2021
    "H100 80GB HBM3": (989 * TERA, 494 * TERA),  # NVIDIA H100 data sheet, SXM; without sparsity
    "H200": (989 * TERA, 494 * TERA),  # NVIDIA H200 data sheet, SXM; without sparsity
    "L4": (121 * TERA, 60 * TERA),  # NVIDIA L4 data sheet; without sparsity
    "TPU v4": (275 * TERA, 275 * TERA),  # cloud.google.com/tpu/docs/v4
    "TPU v5 lite": (197 * TERA, 197 * TERA),  # cloud.google.com/tpu/docs/v5e
    "TPU v5": (459 * TERA, 459 * TERA),  # cloud.google.com/tpu/docs/v5p
    "TPU v6 lite": (918 * TERA, 918 * TERA),  # cloud.google.com/tpu/docs/v6e
}

SIZE = 2048  # of the matrices that are multiplied on a device without a data sheet here


class Peak(NamedTuple):
    """FLOP/s, and where the figure is from."""

    flops: float
    source: str


def peak(device_kind: str, dtype: str) -> Peak:
    """The most that a device of this kind, JAX's own, computes in "bfloat16" or "float32"."""
    for part, (bfloat16, float32) in DATA_SHEETS.items():
        if part in device_kind:
            flops = bfloat16 if dtype == "bfloat16" else float32
            return Peak(flops, f"data sheet of {device_kind}")
    return Peak(measure(SIZE, dtype), f"measured: a {SIZE}×{SIZE} matrix product")


def measure(size: int, dtype: str, rounds: int = 5) -> float:
    """FLOP/s of a matrix product, the best of some rounds."""
    x = jnp.ones((size, size), dtype)
    product = jax.jit(jnp.matmul)
    product(x, x).block_until_ready()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        product(x, x).block_until_ready()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)
