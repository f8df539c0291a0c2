"""Weights on disk: a safetensors file, which holds names, shapes and numbers and no code.

Names are paths, "params/stage1/0/kernel" and "state/stage1/1/mean"; the metadata key "model" is the
network's config as one line of JSON, so that the file is enough to use the network:

    model = fcnn.models.from_json(config).build()
    logits, _ = model.apply(params, state, images, train=False)
"""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as encode

from fcnn import tree
from train import files
from train.errors import DataError


def save(path: Path, params: Any, state: Any, config: str) -> None:
    """Write params, state and the model's config atomically."""
    named = tree.to_names({"params": params, "state": state})
    # C order: safetensors writes the buffer as it lies in memory.
    arrays = {name: np.ascontiguousarray(leaf) for name, leaf in named.items()}
    files.write(path, encode(arrays, metadata={"model": config}))


def load(path: Path) -> tuple[Any, Any, str]:
    """(params, state, the model's config as JSON) of a file that `save` wrote.

    Raises DataError for a file that is missing, damaged or of another kind.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            config = (file.metadata() or {}).get("model")
            named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: expected weights (safetensors), but: {error}") from None
    if config is None:
        raise DataError(f'{path}: expected the metadata key "model", found none')
    both = tree.from_names(named)
    return both.get("params", {}), both.get("state", {}), config
