"""PyTorch, eager or compiled, in the memory order that is the faster one for the network."""

from importlib import import_module

import fcnn
from train.bench.models import Subject
from train.bench.peers import LEARNING_RATE, Contender, shapes
from train.bench.timing import interleaved

torch = import_module("torch")  # not a dependency, so not one of the type checker's either
nn = torch.nn


def contender(subject: Subject, images, labels, *, compiled: bool = False) -> Contender:
    """The network in whichever memory order makes its steps faster here."""
    ndim = images.ndim - 2
    orders = [torch.contiguous_format]
    if ndim > 1:
        orders.append({2: torch.channels_last, 3: torch.channels_last_3d}[ndim])
    tried = [in_order(subject, images, labels, order, compiled) for order in orders]
    if len(tried) == 1:
        return tried[0]
    return min(tried, key=lambda one: interleaved({"step": one.step}, 3)["step"]["median"])


def in_order(subject: Subject, images, labels, order, compiled: bool) -> Contender:
    x = torch.tensor(images).movedim(-1, 1).contiguous(memory_format=order)
    y = torch.tensor(labels).long()
    network, _ = translated(subject.model, subject.shape)
    network = network.to(memory_format=order)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    run = torch.compile(network) if compiled else network
    loss_of = nn.functional.cross_entropy

    def step() -> float:
        network.train()
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(run(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    def forward():
        network.eval()
        with torch.inference_mode():
            return run(x)

    return Contender(forward, step, sum(p.numel() for p in network.parameters()))


class Residual(nn.Module):
    """body(x) + shortcut(x), then the activation."""

    def __init__(self, body, shortcut, activation):
        super().__init__()
        self.body, self.shortcut, self.activation = body, shortcut, activation

    def forward(self, x):
        return self.activation(self.body(x) + self.shortcut(x))


class Permuted(nn.Module):
    """A module that wants channels last, in a network that has them second."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x.movedim(1, -1)).movedim(-1, 1)


class Scale(nn.Module):
    """A factor for each channel."""

    def __init__(self, features: int, initial: float):
        super().__init__()
        self.scale = nn.Parameter(torch.full((features,), initial))

    def forward(self, x):
        return x * self.scale.reshape(-1, *[1] * (x.ndim - 2))


class GlobalAverage(nn.Module):
    def forward(self, x):
        return x.flatten(2).mean(2)


CALLABLES = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "gelu": nn.GELU, "tanh": nn.Tanh, "flatten": nn.Flatten,
    "global_avg_pool": GlobalAverage, "identity": nn.Identity,
}  # fmt: skip


def translated(layer, shape: tuple[int, ...]):
    """The module for a layer, and the shape (N, *S, C) that comes out of it."""
    if isinstance(layer, fcnn.compose.Sequential):
        modules = []
        for _, child in layer.children():
            built, shape = translated(child, shape)
            modules.append(built)
        return nn.Sequential(*modules), shape
    if isinstance(layer, fcnn.compose.Residual):
        body, after = translated(layer.body, shape)
        shortcut, _ = translated(layer.shortcut, shape)
        activation, _ = translated(layer.activation, after)
        return Residual(body, shortcut, activation), after
    return module(layer, len(shape) - 2, shape[-1], shape), shapes.after(layer, shape)


def module(layer, ndim: int, channels: int, shape: tuple[int, ...]):
    """The PyTorch module that does what this layer without children describes."""
    match layer:
        case fcnn.Conv() | fcnn.DepthwiseConv():
            depthwise = isinstance(layer, fcnn.DepthwiseConv)
            same = layer.padding == "SAME"
            padding = "same" if same else 0 if layer.padding == "VALID" else layer.padding
            return getattr(nn, f"Conv{ndim}d")(
                channels,
                channels * layer.multiplier if depthwise else layer.features,
                layer.kernel_size,
                layer.stride,
                padding,
                layer.dilation,
                channels if depthwise else layer.groups,
                bias=layer.bias,
            )
        case fcnn.BatchNorm():
            return getattr(nn, f"BatchNorm{ndim}d")(channels, layer.eps, 1 - layer.decay)
        case fcnn.LayerNorm():
            norm = nn.LayerNorm(channels, layer.eps)
            return norm if ndim < 1 else Permuted(norm)
        case fcnn.MaxPool() | fcnn.AvgPool():
            kind = "MaxPool" if isinstance(layer, fcnn.MaxPool) else "AvgPool"
            padding = 0 if layer.padding == "VALID" else layer.padding
            return getattr(nn, f"{kind}{ndim}d")(layer.window, layer.stride, padding)
        case fcnn.Dense():
            dense = nn.Linear(channels, layer.features, layer.bias)
            return dense if ndim < 1 else Permuted(dense)
        case fcnn.Scale():
            return Scale(channels, layer.initial)
        case fcnn.Dropout():
            return nn.Dropout(layer.rate)
        case fcnn.DropPath() if layer.rate == 0:
            return nn.Identity()
        case _ if getattr(layer, "__name__", None) in CALLABLES:
            return CALLABLES[layer.__name__]()
    raise TypeError(f"no PyTorch counterpart of {layer!r} on {shape}")
