"""The models by name, and their configs as one line of JSON."""

import dataclasses
import json
from typing import Any

from fcnn.compose import Sequential
from fcnn.models.convnext import ConvNeXtConfig
from fcnn.models.lenet import LeNetConfig
from fcnn.models.mobilenet_v2 import MobileNetV2Config
from fcnn.models.plain import PlainConfig
from fcnn.models.resnet import ResNetConfig
from fcnn.models.vgg import VGGConfig
from fcnn.models.waveform import WaveformConfig
from fcnn.models.wide_resnet import WideResNetConfig

Config = (
    LeNetConfig
    | PlainConfig
    | VGGConfig
    | ResNetConfig
    | WideResNetConfig
    | MobileNetV2Config
    | ConvNeXtConfig
    | WaveformConfig
)

FAMILIES: dict[str, type[Config]] = {
    "lenet": LeNetConfig,
    "plain": PlainConfig,
    "vgg": VGGConfig,
    "resnet": ResNetConfig,
    "wide_resnet": WideResNetConfig,
    "mobilenet_v2": MobileNetV2Config,
    "convnext": ConvNeXtConfig,
    "waveform": WaveformConfig,
}

MODELS: dict[str, Config] = {
    "lenet5": LeNetConfig(),
    "small": PlainConfig(dense=128, batch_norm=False),
    "plain8": PlainConfig(dropout=0.3),
    "plain28": PlainConfig(dropout=0.3),
    "vgg11": VGGConfig(depths=(1, 1, 2, 2, 2)),
    "vgg11_bn": VGGConfig(depths=(1, 1, 2, 2, 2), batch_norm=True),
    "vgg16": VGGConfig(depths=(2, 2, 3, 3, 3)),
    "vgg16_bn": VGGConfig(depths=(2, 2, 3, 3, 3), batch_norm=True),
    "resnet18": ResNetConfig("basic", (2, 2, 2, 2)),
    "resnet34": ResNetConfig("basic", (3, 4, 6, 3)),
    "resnet50": ResNetConfig("bottleneck", (3, 4, 6, 3)),
    "resnet101": ResNetConfig("bottleneck", (3, 4, 23, 3)),
    "resnet152": ResNetConfig("bottleneck", (3, 8, 36, 3)),
    "resnet20": ResNetConfig("basic", (3, 3, 3), width=16, num_classes=10, stem="cifar"),
    "resnet56": ResNetConfig("basic", (9, 9, 9), width=16, num_classes=10, stem="cifar"),
    "wide_resnet28_10": WideResNetConfig(depth=28, widen=10),
    "mobilenet_v2": MobileNetV2Config(),
    "convnext_tiny": ConvNeXtConfig((3, 3, 9, 3), (96, 192, 384, 768), drop_path=0.1),
    "convnext_small": ConvNeXtConfig((3, 3, 27, 3), (96, 192, 384, 768), drop_path=0.4),
    "dwnet": ConvNeXtConfig((2, 2), (64, 128), num_classes=10),
    "waveform": WaveformConfig(),
    "sensor": WaveformConfig(6, widths=(64, 128, 256), kernel_size=9, stride=1, window=2),
}

NAMES: tuple[str, ...] = tuple(MODELS)


def build(name: str, **overrides: Any) -> Sequential:
    """The model called `name`, with some fields of its config replaced.

    Raises ValueError for a name, a field or a value that is not known, listing those that are.

    >>> from fcnn.models import build
    >>> build("resnet18", num_classes=10, stem="cifar")["head"].features
    10
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; the models are {', '.join(NAMES)}")
    config = MODELS[name]
    _check_fields(type(config), overrides)
    return dataclasses.replace(config, **overrides).build()


def to_json(config: Config) -> str:
    """The config as one line of JSON: its family and every field.

    Raises ValueError if it is not a config of a known family.

    >>> from fcnn.models import LeNetConfig, to_json
    >>> to_json(LeNetConfig())
    '{"family": "lenet", "num_classes": 10, "widths": [6, 16], "dense": [120, 84], "padding": 2}'
    """
    names = {cls: family for family, cls in FAMILIES.items()}
    if type(config) not in names:
        raise ValueError(f"to_json expects a config of {_families()}, got {config!r}")
    record = {"family": names[type(config)]} | dataclasses.asdict(config)
    return json.dumps(record, allow_nan=False)


def from_json(text: str) -> Config:
    """The config that `to_json` wrote; fields left out take their defaults.

    Raises ValueError for text that is not JSON, a family or a field that is not known, or a value
    out of range.

    >>> from fcnn.models import from_json
    >>> from_json('{"family": "vgg", "depths": [1, 1], "widths": [8, 16]}').depths
    (1, 1)
    """
    record = json.loads(text)
    if not isinstance(record, dict) or record.get("family") not in list(FAMILIES):
        raise ValueError(f'from_json expects {{"family": …}} with one of {_families()}, got {text}')
    cls = FAMILIES[record.pop("family")]
    _check_fields(cls, record)
    return cls(**{field: _tuples(value) for field, value in record.items()})


def _check_fields(cls: type[Config], given: dict[str, Any]) -> None:
    known = [field.name for field in dataclasses.fields(cls)]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(
            f"{cls.__name__} has no {', '.join(map(repr, unknown))}; "
            f"its fields are {', '.join(known)}"
        )


def _families() -> str:
    return ", ".join(FAMILIES)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
