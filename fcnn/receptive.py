"""Receptive fields through a model: how much of the input one output value sees."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import jax

from fcnn import geometry
from fcnn.layer import Child
from fcnn.layers import ConvTranspose
from fcnn.ops import checks


class Field(NamedTuple):
    """Per spatial dimension: the field's size and the step between neighbours, in input pixels.

    Both are fractions, because behind a transposed convolution the step is less than a pixel.
    """

    size: tuple[Fraction, ...]
    step: tuple[Fraction, ...]

    @staticmethod
    def start(ndim: int) -> "Field | None":
        """The field of the input itself, or None where it has no spatial dimensions."""
        return Field((Fraction(1),) * ndim, (Fraction(1),) * ndim) if ndim > 0 else None

    def pixels(self) -> tuple[int, ...]:
        return tuple(math.ceil(size) for size in self.size)


def through(
    layer: Child, x: jax.ShapeDtypeStruct, y: jax.ShapeDtypeStruct, field: Field | None
) -> Field | None:
    """The field behind one more layer; None once the spatial dimensions are gone."""
    if field is None or len(y.shape) < len(x.shape):
        return None
    reach = getattr(layer, "reach", None)
    if reach is None:
        return field
    ndim = len(field.size)
    facts = [checks.per_dimension("reach", value, ndim) for value in reach()]
    sizes, steps = [], []
    for size, step, k, s, d in zip(*field, *facts, strict=True):
        taps, factor = geometry.effective_size(k, d), Fraction(s)
        if isinstance(layer, ConvTranspose):
            # An output sees every s-th tap, and s outputs lie between two inputs.
            taps, factor = math.ceil(taps / s), Fraction(1, s)
        sizes.append(size + (taps - 1) * step)
        steps.append(step * factor)
    return Field(tuple(sizes), tuple(steps))


def union(fields: Sequence[Field | None]) -> Field | None:
    """The field of a sum of branches: the largest, for their centres are aligned."""
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return None
    return Field(
        tuple(max(sizes) for sizes in zip(*(field.size for field in known), strict=True)),
        tuple(max(steps) for steps in zip(*(field.step for field in known), strict=True)),
    )
