"""`python -m train predict RUN image.png …`: classify image files."""

import dataclasses
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from train import runs
from train.errors import DataError, UserError
from train.log import Terminal

TOP = 3


@dataclasses.dataclass(frozen=True)
class Predict:
    """Classify image files with a run's network: the three likeliest classes of each.

    Files are converted to the size and channels of the training images, and what was done is
    printed. Nothing is inverted unless asked for: the recipes for digits learn light ink on a dark
    ground.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run's folder, as runs/digits-20250101-120000."""
    images: Annotated[
        tyro.conf.Positional[tuple[Path, ...]],
        tyro.conf.arg(metavar="IMAGE ...", help_behavior_hint="(required)"),
    ]
    """Image files, of any format that Pillow reads."""
    invert: bool = False
    """Take the negative of each image: for dark ink on light paper."""

    def run(self, terminal: Terminal) -> None:
        import jax
        import jax.numpy as jnp

        from fcnn.models import from_json
        from train import weights
        from train.images import read_image

        if not self.images:
            raise UserError("predict: expected one or more image files after the run's folder")
        run = runs.read(self.folder)
        shape = _image_shape(run)
        read = [read_image(path, shape, invert=self.invert) for path in self.images]
        params, state, config = weights.load(self.folder / "weights.safetensors")
        model = from_json(config).build()
        x = jnp.asarray(np.stack([pixels for pixels, _ in read]), run.config["settings"]["dtype"])
        logits, _ = jax.jit(lambda *numbers: model.apply(*numbers, train=False))(params, state, x)
        probabilities = np.asarray(jax.nn.softmax(logits.astype(jnp.float32)))

        classes = run.config["classes"]
        width = max(map(len, classes))
        for path, (_, done), shares in zip(self.images, read, probabilities, strict=True):
            terminal.say(f"{path}: {done}")
            for index in np.argsort(-shares, kind="stable")[:TOP]:
                terminal.say(f"  {classes[index]:<{width}}  {shares[index]:6.1%}")


def _image_shape(run: runs.Run) -> tuple[int, int, int]:
    """(H, W, C) of what the network was trained on, if a file of an image can be that."""
    path = run.folder / "config.json"
    if "shape" not in run.config:
        raise DataError(f'{path}: expected the key "shape", found {", ".join(run.config)}')
    match run.config["shape"]:
        case [int(height), int(width), (1 | 3) as channels]:
            return height, width, channels
        case other:
            raise UserError(
                f"{run.folder}: predict takes gray or RGB images, and this run's network takes"
                f" inputs of shape {tuple(other)}"
            )
