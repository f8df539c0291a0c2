"""What must not happen to a whole process, so each case runs in a process of its own."""

import subprocess
import sys

import pytest

# XLA's CPU compiler aborted on these, which no `except` can catch: two taps two apart in one
# dimension, and a kernel larger than the image in another.
CASES = {
    "gradient of a strided convolution": """
loss = lambda x, k: jnp.square(ops.conv(x, k, stride=2, padding=((0, 0), (1, 1)))).sum()
dx, dk = jax.jit(jax.grad(loss, (0, 1)))(jnp.ones((2, 11, 6, 6)), jnp.ones((5, 2, 6, 4)))
# y is linear in x and in k, and both are all ones: each gradient sums to 2 * sum(y ** 2).
assert dx.shape == (2, 11, 6, 6) and dk.shape == (5, 2, 6, 4)
y = ops.conv(jnp.ones((2, 11, 6, 6)), jnp.ones((5, 2, 6, 4)), stride=2, padding=((0, 0), (1, 1)))
assert jnp.allclose(dk.sum(), 2 * jnp.square(y).sum())
assert jnp.allclose(dx.sum(), 2 * jnp.square(y).sum())
""",
    "transposed convolution": """
pads = ((0, 0), (1, 1))
run = jax.jit(lambda x, k: ops.conv_transpose(x, k, stride=2, padding=pads))
y = run(jnp.ones((2, 4, 4, 4)), jnp.ones((5, 2, 4, 6)))
full = ops.conv_transpose(jnp.ones((2, 4, 4, 4)), jnp.ones((5, 2, 4, 6)), stride=2, padding=0)
assert jnp.allclose(y, full[:, :, 1:-1])
""",
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_does_not_abort(case):
    code = "import jax, jax.numpy as jnp\nfrom fcnn import ops\n" + case
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
