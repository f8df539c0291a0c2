"""The devices of a run, and how its arrays lie on them.

Data parallelism: a batch is split over all devices, and each has all the numbers. With fully
sharded data parallelism (FSDP: Zhao et al. 2023; Rajbhandari et al. 2020, ZeRO stage 3) the large
ones of these are split too: a device stores its part, and gets the others' where it computes.
"""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from fcnn.layer import Layer
from train.errors import UserError

DATA, FSDP = AXES = ("data", "fsdp")
# Numbers in the smallest leaf that is split. Of a ResNet-50 99.7% of the parameters are in such;
# to fetch one of these, 64 KiB, takes no longer than to ask for it.
LEAST = 2**14


def mesh(count: int, batch_size: int, fsdp: int = 1) -> Mesh:
    """The first `count` devices of each process, 0 for all, as a mesh of axes "data" and "fsdp".

    Along "fsdp" there are so many; they are neighbours, of one process if it has as many.
    Raises UserError where there are fewer devices, or they or a batch cannot be divided evenly.
    """
    local = len(jax.local_devices())
    if count > local:
        raise UserError(f"--devices {count}: this machine has {local}")
    devices = [
        device
        for process in range(jax.process_count())
        for device in jax.local_devices(process)[: count or None]
    ]
    if len(devices) % fsdp:
        raise UserError(
            f"--fsdp {fsdp}: {len(devices)} devices cannot be divided into groups of so many"
        )
    if batch_size % len(devices):
        raise UserError(
            f"--batch-size {batch_size} cannot be split evenly over {len(devices)} devices:"
            " choose another, or fewer with --devices"
        )
    # Auto: the compiler decides how each operation is split. jax.make_mesh's default, Explicit, is
    # refused by convolutions.
    grid = np.array(devices).reshape(-1, fsdp)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto, AxisType.Auto))


def split(mesh: Mesh) -> NamedSharding:
    """Each device has its share of the first axis."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Each device has the whole."""
    return NamedSharding(mesh, PartitionSpec())


def stored(mesh: Mesh, train_state: Any) -> Any:
    """Where each leaf of a train_state is between two steps."""
    parts = mesh.shape[FSDP]
    return jax.tree.map(lambda leaf: NamedSharding(mesh, fsdp_spec(leaf.shape, parts)), train_state)


def fsdp_spec(shape: tuple[int, ...], parts: int) -> PartitionSpec:
    """How an array is split into parts: along its largest axis that can be divided evenly.

    The last one of several as large. One of fewer than LEAST numbers is not split, nor is one
    without such an axis.

    >>> fsdp_spec((3, 3, 256, 512), 4) == PartitionSpec(None, None, None, "fsdp")
    True
    >>> fsdp_spec((512,), 4) == PartitionSpec()
    True
    """
    divided = [(size, axis) for axis, size in enumerate(shape) if size % parts == 0]
    if parts == 1 or math.prod(shape) < LEAST or not divided:
        return PartitionSpec()
    _, axis = max(divided)
    return PartitionSpec(*[None] * axis, FSDP)


@dataclasses.dataclass(frozen=True)
class Fetching:
    """A layer whose params are stored in parts: each device fetches the whole, to compute with.

    Left to itself, the compiler may split the features instead of the batch. What a gradient's
    owners need of it is summed where they store it (reduce-scatter).
    """

    layer: Layer
    mesh: Mesh

    def init(self, key: jax.Array, x: Any) -> Any:
        return self.layer.init(key, x)

    def apply(self, params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> Any:
        return self.layer.apply(self._fetch(params), state, x, train=train, key=key)

    def _fetch(self, params: Any) -> Any:
        constrain = jax.lax.with_sharding_constraint

        @jax.custom_vjp
        def fetch(params):
            return constrain(params, everywhere(self.mesh))

        fetch.defvjp(
            lambda params: (fetch(params), None),
            lambda _, gradient: (constrain(gradient, stored(self.mesh, gradient)),),
        )
        return fetch(params)


def spread(layer: Layer, mesh: Mesh) -> Layer:
    """The layer as it computes where its params are stored as `stored` says."""
    return layer if mesh.shape[FSDP] == 1 else Fetching(layer, mesh)


def copied(mesh: Mesh, arrays: Any) -> Any:
    """NumPy arrays, the same in every process, as arrays that each device has."""
    return jax.tree.map(
        lambda array: jax.make_array_from_process_local_data(everywhere(mesh), array), arrays
    )
