"""What the JAX peers share: a jitted, donated step of Adam, written as their own examples do."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from train.bench.peers import LEARNING_RATE, Contender

# (params, stats, images, train) -> (logits, stats)
Apply = Callable[[Any, Any, jax.Array, bool], tuple[jax.Array, Any]]


def contender(apply: Apply, params: Any, stats: Any, images, labels) -> Contender:
    optimizer = optax.adam(LEARNING_RATE)
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
    fixed = jax.tree.map(jnp.copy, (params, stats))
    held = (params, stats, optimizer.init(params))

    def train_step(held, images, labels):
        params, stats, opt_state = held

        def loss(params):
            logits, updated = apply(params, stats, images, True)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), updated

        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), stats, opt_state), value

    train = jax.jit(train_step, donate_argnums=0)
    evaluate = jax.jit(lambda params, stats, x: apply(params, stats, x, False)[0])

    def step() -> float:
        nonlocal held
        held, value = train(held, images, labels)
        return float(value)

    return Contender(lambda: evaluate(*fixed, images).block_until_ready(), step, parameters)
