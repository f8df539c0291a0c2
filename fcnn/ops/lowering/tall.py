"""Products of matrices; of tall ones, over whose rows a kernel's gradient is summed, by oneDNN."""

import jax
from jax import lax

from fcnn.ops.lowering import library
from fcnn.ops.norm import wide

# With fewer rows XLA is as fast: 960 x 128 by 128 x 160 takes it 0.26 ms, and oneDNN 0.33. With
# many it is not: 64 x 32768 by 32768 x 64 takes it 4.3 ms (2.3 with jaxlib 0.12), and oneDNN 1.7.
ROWS = 1024


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """a b, summed in float32 at least."""
    return lax.dot(a, b, preferred_element_type=wide(a.dtype)).astype(a.dtype)


def tall_product(a: jax.Array, b: jax.Array) -> jax.Array:
    """a' b for (R, A) and (R, B), summed in float32 at least."""
    if library.applies(a.dtype) and len(a) >= ROWS:
        return library.product(a, b, transpose_a=True)
    return dot(a.T, b)
