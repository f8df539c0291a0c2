"""fcnn, as a user runs it: init_train_state, train_step, and a jitted forward pass."""

import jax
import jax.numpy as jnp
import optax

from fcnn import tree
from fcnn.training import compiler_options, epoch_step, init_train_state, train_step
from train.bench.models import Subject
from train.bench.peers import LEARNING_RATE, Contender


def contender(subject: Subject, images, labels, *, scanned: int = 0) -> Contender:
    """scanned: that many steps in one `epoch_step`, instead of one step."""
    model, optimizer = subject.model, optax.adam(LEARNING_RATE)
    key = jax.random.key(0)
    held = init_train_state(model, optimizer, key, subject.shape)
    fixed = jax.tree.map(jnp.copy, (held.params, held.state))
    parameters = tree.count(held.params)
    if scanned:
        train = epoch_step(model, optimizer, batch_size=len(labels))
        copies = [jnp.concatenate([jnp.asarray(a)] * scanned) for a in (images, labels)]
        batch = tuple(copies)
    else:
        train = train_step(model, optimizer)
        batch = jnp.asarray(images), jnp.asarray(labels)
    x = batch[0][: len(labels)]

    def evaluate(params, state, x):
        return model.apply(params, state, x, train=False)[0]

    evaluated = jax.jit(evaluate, compiler_options=compiler_options())

    def step() -> float:
        nonlocal held
        held, metrics = train(held, batch, key)
        return float(metrics["loss"].ravel()[0])

    return Contender(
        lambda: evaluated(*fixed, x).block_until_ready(), step, parameters, max(scanned, 1)
    )
