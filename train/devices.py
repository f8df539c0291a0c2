"""The devices of a run, and how its arrays lie on them: a batch is split, the rest is copied."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from train.errors import UserError


def mesh(count: int, batch_size: int) -> Mesh:
    """The first `count` local devices, 0 for all, as a mesh of one axis, "data".

    Raises UserError where there are fewer, or where a batch cannot be split evenly over them.
    """
    devices = jax.local_devices()
    if count > len(devices):
        raise UserError(f"--devices {count}: this machine has {len(devices)}")
    devices = devices[: count or len(devices)]
    if batch_size % len(devices):
        raise UserError(
            f"--batch-size {batch_size} cannot be split evenly over {len(devices)} devices:"
            " choose another, or fewer with --devices"
        )
    # Auto: the compiler decides how each operation is split. jax.make_mesh's default, Explicit, is
    # refused by convolutions.
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def split(mesh: Mesh) -> NamedSharding:
    """Each device has its share of the first axis."""
    return NamedSharding(mesh, PartitionSpec("data"))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Each device has the whole."""
    return NamedSharding(mesh, PartitionSpec())
