"""Compiler options: known where they help, empty elsewhere, and never in the way of composition."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxlib import version

import fcnn
from fcnn.training import compiler, compiler_options, evaluate, init_train_state, train_step

MODEL = fcnn.sequential(fcnn.Conv(8, 3), jax.nn.relu, fcnn.MaxPool(2), fcnn.flatten, fcnn.Dense(3))
OPTIMIZER = optax.sgd(0.1)


def batch():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 8, 8, 2)).astype(np.float32)
    return jnp.asarray(images), jnp.asarray(np.arange(8) % 3)


def fresh():
    return init_train_state(MODEL, OPTIMIZER, jax.random.key(0), (8, 8, 8, 2))


def test_options_depend_on_backend_and_version(monkeypatch):
    monkeypatch.setattr(version, "__version__", "0.10.7")
    on_cpu = compiler_options("cpu")
    assert set(on_cpu) == {"xla_cpu_experimental_ynn_fusion_type", "xla_cpu_scheduler_type"}
    assert compiler_options("gpu") == compiler_options("tpu") == {}
    monkeypatch.setattr(version, "__version__", "7.3.1")
    assert compiler_options("cpu") == {}


def test_the_answer_is_the_callers_own():
    compiler_options("cpu")["unknown"] = "1"
    assert "unknown" not in compiler_options("cpu")


def refused(options) -> bool:
    try:
        jax.jit(lambda x: x + 1, compiler_options=options)(0)
    except jax.errors.JaxRuntimeError as error:
        return "No such compile option" in str(error)
    return False


@pytest.mark.parametrize("options", compiler.OPTIONS.values(), ids=map(str, compiler.OPTIONS))
def test_options_change_no_result(options, monkeypatch):
    """Each known set, where this jaxlib accepts it: the step's new params are the plain ones."""
    plain, _ = jax.jit(train_step(MODEL, OPTIMIZER).inner)(fresh(), batch(), jax.random.key(1))
    if refused(options):
        pytest.skip("this jaxlib does not know them")
    key = ("cpu", ".".join(version.__version__.split(".")[:2]))
    monkeypatch.setitem(compiler.OPTIONS, key, options)
    step = train_step(MODEL, OPTIMIZER)
    ts, _ = step(fresh(), batch(), jax.random.key(1))
    for ours, other in zip(jax.tree.leaves(ts.params), jax.tree.leaves(plain.params), strict=True):
        # One step of 0.1 times sums of at most 8 * 64 products, in another order.
        np.testing.assert_allclose(ours, other, rtol=1e-5, atol=1e-6)


def test_a_jitted_step_composes_with_jit_scan_and_grad():
    """JAX itself refuses options on a jit inside another one."""
    step, key = train_step(MODEL, OPTIMIZER), jax.random.key(1)
    one, _ = step(fresh(), batch(), key)
    two, _ = step(one, batch(), key)

    def twice(ts, batch):
        return jax.lax.scan(lambda ts, _: step(ts, batch, key), ts, None, length=2)[0]

    for run in (twice, jax.jit(twice)):
        scanned = run(fresh(), batch())
        assert int(scanned.step) == 2
        for ours, other in zip(
            jax.tree.leaves(scanned.params), jax.tree.leaves(two.params), strict=True
        ):
            np.testing.assert_allclose(ours, other, rtol=1e-5, atol=1e-6)

    test = evaluate(MODEL, batch_size=4)
    ts = fresh()
    slope = jax.grad(lambda params: test(params, ts.state, batch())["loss"])(ts.params)
    assert float(jnp.abs(slope["4"]["kernel"]).max()) > 1e-3


def test_lower_compiles_ahead_of_time():
    step = train_step(MODEL, OPTIMIZER)
    compiled = step.lower(fresh(), batch(), jax.random.key(1)).compile()
    ahead, _ = compiled(fresh(), batch(), jax.random.key(1))
    now, _ = step(fresh(), batch(), jax.random.key(1))
    for ours, other in zip(jax.tree.leaves(ahead.params), jax.tree.leaves(now.params), strict=True):
        np.testing.assert_array_equal(ours, other)


def stderr_of(run, capfd) -> str:
    capfd.readouterr()
    jax.block_until_ready(run())
    return capfd.readouterr().err


@pytest.mark.skipif("cpu" not in jax.default_backend(), reason="pieces are for CPUs")
def test_memory_in_pieces_is_not_for_arrays_larger_than_one(capfd):
    """XLA would print a warning for each of them at each compilation."""
    options = compiler_options()
    if "xla_cpu_scheduler_type" not in options:
        pytest.skip("this jaxlib has no options")
    one = jnp.ones(())
    grown = {}
    for size in (2**20, compiler.PIECE // 4 + 1):
        # The sort is an array in memory, and inside a program inside the program.
        grown[size] = compiler.Jitted(
            jax.jit(lambda x, size=size: jnp.sort(jnp.arange(size, dtype=x.dtype) + x)[-2:])
        )
        assert not stderr_of(lambda size=size: grown[size](one), capfd)
        assert float(grown[size](one)[1]) == size
    small, large = grown.values()
    assert small.in_pieces._cache_size() == 1
    assert large.in_pieces._cache_size() == 0
    forced = jax.jit(large.__wrapped__, compiler_options=options | compiler.IN_PIECES)
    assert "larger than the per-heap size limit" in stderr_of(lambda: forced(one + 1), capfd)
