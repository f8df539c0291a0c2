"""PyTorch, eager, training a recipe: its own network, gradients and optimizer.

The initial weights, the order of the examples and their augmentation are ours, number for number,
so that without dropout the losses are ours too, up to rounding.
"""

import time
from importlib import import_module
from typing import NamedTuple

import jax
import numpy as np

import fcnn
from fcnn.training import batch_order
from fcnn.training.step import PREPARE
from train import devices
from train.bench.peers.torch import translated
from train.optimizer import make_schedule
from train.prepare import prepare_of

torch = import_module("torch")
nn = torch.nn

IN_TEST = 500  # examples at a time


class Trained(NamedTuple):
    """What came of it; the seconds are of training alone."""

    accuracy: float
    seconds: float
    losses: list[float]


class Flatten(nn.Module):
    """Channels last, so that the kernel of a dense layer after it has our order."""

    def forward(self, x):
        return x.movedim(1, -1).flatten(1)


def train(recipe, data, seed, say) -> Trained:
    """Train the recipe's network on the data's training split and test it on the other."""
    torch.manual_seed(seed)
    (images, labels), batch_size = data.train, recipe.batch_size
    per_epoch = len(labels) // batch_size
    total = recipe.steps or recipe.epochs * per_epoch
    init_key, key = jax.random.split(jax.random.key(seed))  # as train/program.py has it
    prepare = jax.jit(prepare_of(recipe, data, devices.mesh(1, batch_size)))
    schedule = make_schedule(recipe, total, per_epoch)

    network = network_of(recipe.model.build(), init_key, (batch_size, *images.shape[1:]))
    optimizer = optimizer_of(recipe, network)
    losses, seconds = [], 0.0
    for step in range(total):
        epoch, position = divmod(step, per_epoch)
        if position == 0:
            order = np.asarray(batch_order(key, step, len(labels), batch_size))
        started = time.perf_counter()
        row = order[position]
        step_key = jax.random.fold_in(jax.random.fold_in(key, step), PREPARE)
        inputs, targets = prepare(step_key, images[row], labels[row], row, np.int32(epoch))
        for group in optimizer.param_groups:
            group["lr"] = float(schedule(step))
        losses.append(train_step(recipe, network, optimizer, inputs, targets))
        seconds += time.perf_counter() - started
        if position == per_epoch - 1 or step == total - 1:
            score = accuracy(network, prepare, *data.test)
            mean = np.mean(losses[-position - 1 :])
            say(f"epoch {epoch + 1}  loss {mean:.4f}  {recipe.split} {score:.2%}  {seconds:.1f} s")
    return Trained(score, seconds, losses)


def network_of(model, key, shape):
    """The model as a PyTorch module that is initialised as ours is."""
    params, state = jax.jit(model.init, static_argnums=1)(key, shape)
    network, _ = translated(model, shape)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Flatten):
                setattr(module, name, Flatten())
    load(network, model, params, state)
    return network.to(memory_format=torch.channels_last) if len(shape) == 4 else network


def load(module, layer, params, state) -> None:
    """Copy our params and state into the module that `translated` made of the layer."""
    match layer:
        case fcnn.compose.Sequential():
            for (name, child), part in zip(layer.children(), module, strict=True):
                load(part, child, params.get(name, {}), state.get(name, {}))
        case fcnn.compose.Residual():
            for name in ("body", "shortcut"):
                ours, part = getattr(layer, name), getattr(module, name)
                load(part, ours, params.get(name, {}), state.get(name, {}))
        case fcnn.Conv() | fcnn.Dense():
            # (*K, C, F) and (C, F) become (F, C, *K) and (F, C).
            copy(module.weight, np.moveaxis(np.asarray(params["kernel"]), (-1, -2), (0, 1)))
            if "bias" in params:
                copy(module.bias, params["bias"])
        case fcnn.BatchNorm():
            copy(module.weight, params["scale"])
            copy(module.bias, params["bias"])
            copy(module.running_mean, state["mean"])
            copy(module.running_var, state["var"])
        case _ if params:
            raise TypeError(f"the weights of {layer!r} have no place in PyTorch's module")


def copy(target, source) -> None:
    with torch.no_grad():
        target.copy_(torch.tensor(np.array(source)))


def optimizer_of(recipe, network):
    """What `make_optimizer` describes; the learning rate is set at each step."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)


def train_step(recipe, network, optimizer, inputs, targets) -> float:
    network.train()
    optimizer.zero_grad(set_to_none=True)
    y = torch.tensor(np.asarray(targets))
    y = y if y.is_floating_point() else y.long()
    loss = nn.functional.cross_entropy(
        network(channels_second(inputs)), y, label_smoothing=recipe.label_smoothing
    )
    loss.backward()
    optimizer.step()
    return loss.item()


def accuracy(network, prepare, images, labels) -> float:
    network.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(labels), IN_TEST):
            part = slice(start, start + IN_TEST)
            inputs, expected = prepare(None, images[part], labels[part])
            logits = network(channels_second(inputs))
            right += int((logits.argmax(1).numpy() == np.asarray(expected)).sum())
    return right / len(labels)


def channels_second(inputs):
    """(N, *S, C) as (N, C, *S); the memory is as it was, which is channels_last for images."""
    x = torch.tensor(np.asarray(inputs)).movedim(-1, 1)
    return x if x.ndim == 4 else x.contiguous()
