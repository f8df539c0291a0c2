"""The networks that are compared, as layers of fcnn; every peer rebuilds them from that."""

from typing import NamedTuple

from fcnn.compose import Sequential
from fcnn.models import build


class Subject(NamedTuple):
    """A network and the batch it is trained on."""

    model: Sequential
    shape: tuple[int, ...]
    classes: int


# name: (model, the fields of it that are not its defaults, batch, classes). What is random in
# training is off: libraries draw differently.
SUBJECTS = {
    "small": ("small", {}, (128, 28, 28, 1), 10),
    "lenet": ("lenet5", {}, (128, 28, 28, 1), 10),
    "resnet18": ("resnet18", {"num_classes": 10, "stem": "cifar"}, (32, 32, 32, 3), 10),
    "dwnet": ("dwnet", {}, (32, 32, 32, 3), 10),
    "mobilenet_v2": ("mobilenet_v2", {"dropout": 0.0}, (32, 64, 64, 3), 1000),
    "resnet50": ("resnet50", {}, (8, 224, 224, 3), 1000),
    "audio": ("waveform", {}, (16, 8000, 1), 10),
    # To compare compile times: the same network, once with its equal blocks in a scan.
    "resnet152": ("resnet152", {}, (2, 64, 64, 3), 1000),
    "resnet152_repeat": ("resnet152", {"repeat": True}, (2, 64, 64, 3), 1000),
}
NAMES = tuple(SUBJECTS)


def subject(name: str) -> Subject:
    """The network of this name."""
    model, fields, shape, classes = SUBJECTS[name]
    return Subject(build(model, **fields), shape, classes)
