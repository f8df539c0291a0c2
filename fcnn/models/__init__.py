"""Models as data: one frozen config per family, and a dict of names.

    MODELS["resnet18"]                                  a config: ints, floats, strings, tuples and
    bools build("resnet18", num_classes=10, stem="cifar")     a layer, ending in the children `pool`
    and `head` to_json(config), from_json(text)                    one line for a checkpoint or a
    sweep

`model[:-1]` is the feature extractor: everything but the head.
"""

from fcnn.models.catalog import FAMILIES, MODELS, NAMES, Config, build, from_json, to_json
from fcnn.models.convnext import ConvNeXtConfig
from fcnn.models.lenet import LeNetConfig
from fcnn.models.mobilenet_v2 import MobileNetV2Config
from fcnn.models.plain import PlainConfig
from fcnn.models.resnet import ResNetConfig
from fcnn.models.vgg import VGGConfig
from fcnn.models.waveform import WaveformConfig
from fcnn.models.wide_resnet import WideResNetConfig

__all__ = [
    "FAMILIES",
    "MODELS",
    "NAMES",
    "Config",
    "ConvNeXtConfig",
    "LeNetConfig",
    "MobileNetV2Config",
    "PlainConfig",
    "ResNetConfig",
    "VGGConfig",
    "WaveformConfig",
    "WideResNetConfig",
    "build",
    "from_json",
    "to_json",
]
