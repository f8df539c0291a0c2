"""The optimizer of a recipe, and its schedule."""

import jax
import optax

from train.recipe import Recipe


def make_schedule(recipe: Recipe, total_steps: int, steps_per_epoch: int) -> optax.Schedule:
    """The learning rate by step: a warmed-up cosine."""
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), total_steps - 1)
    return optax.warmup_cosine_decay_schedule(0.0, recipe.learning_rate, warmup, total_steps)


def make_optimizer(
    recipe: Recipe, total_steps: int, steps_per_epoch: int
) -> optax.GradientTransformation:
    """AdamW or SGD along `make_schedule`; only kernels decay."""
    schedule = make_schedule(recipe, total_steps, steps_per_epoch)

    def kernels(params):
        return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

    if recipe.optimizer == "adamw":
        return optax.adamw(schedule, weight_decay=recipe.weight_decay, mask=kernels)
    return optax.chain(
        optax.add_decayed_weights(recipe.weight_decay, kernels),
        optax.sgd(schedule, momentum=0.9, nesterov=True),
    )
