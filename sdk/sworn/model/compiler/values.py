"""Values during compilation: a tensor seen through an affine element map.

Element ``i`` of a value lies at ``offset + Σ strides[k]·i[k]`` of its tensor. Transpose, Slice, Split, Expand, Squeeze
and most of Reshape only change the map; steps read through it. A tensor's own order of axes, such as channels last
behind a convolution, is therefore nothing but strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from sworn.model.program import Operand, Space
from sworn.types import DType

#: Sizes or strides, one per axis.
Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A tensor of the draft program through an affine map. An axis of size 1 has stride 0."""

    dtype: DType
    shape: Axes
    space: Space
    #: Draft number: constants and values are counted apart.
    tensor: int
    offset: int = 0
    strides: Axes

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def elements(self) -> int:
        """Number of elements seen."""
        return prod(self.shape)

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie side by side in row-major order; they may begin anywhere."""
        return self.strides == row_major(self.shape)

    def view(self, shape: Sequence[int], strides: Sequence[int], *, offset: int = 0) -> Value:
        """The same tensor with another map; ``offset`` is added to this one's."""
        pairs = tuple(zip(shape, strides, strict=True))
        return Value(
            dtype=self.dtype,
            shape=tuple(shape),
            space=self.space,
            tensor=self.tensor,
            offset=self.offset + offset,
            strides=tuple(0 if size == 1 else stride for size, stride in pairs),
        )

    def operand(self, strides: Sequence[int], *, offset: int = 0) -> Operand:
        """An operand of a step with the given strides over the step's axes."""
        return Operand(space=self.space, tensor=self.tensor, offset=self.offset + offset, strides=tuple(strides))


def row_major(shape: Sequence[int]) -> Axes:
    """Strides of a tensor stored in row-major order; 0 for axes of size 1."""
    strides, step = [0] * len(shape), 1
    for axis in reversed(range(len(shape))):
        strides[axis] = step if shape[axis] != 1 else 0
        step *= shape[axis]
    return tuple(strides)


def transposed(value: Value, order: Sequence[int]) -> Value:
    """Axes in another order: axis k of the result is axis ``order[k]``."""
    return value.view([value.shape[axis] for axis in order], [value.strides[axis] for axis in order])


def sliced(value: Value, axis: int, *, start: int, count: int, step: int = 1) -> Value:
    """``count`` elements of one axis, from ``start`` on, ``step`` (which may be negative) apart."""
    shape, strides = list(value.shape), list(value.strides)
    offset = start * strides[axis]
    shape[axis], strides[axis] = count, strides[axis] * step
    return value.view(shape, strides, offset=offset)


def picked(value: Value, axis: int, index: int) -> Value:
    """One element of an axis, and the axis gone."""
    part = sliced(value, axis, start=index, count=1)
    return part.view(part.shape[:axis] + part.shape[axis + 1 :], part.strides[:axis] + part.strides[axis + 1 :])


def expanded(value: Value, shape: Sequence[int]) -> Value:
    """Broadcast to a shape of at least the same rank, by ONNX's rules; the caller knows that it fits."""
    lead = len(shape) - value.rank
    strides = [0] * lead + list(value.strides)
    return value.view(shape, strides)


def broadcast(shapes: Sequence[Axes]) -> Axes | None:
    """The shape to which all shapes broadcast, None when they do not."""
    rank = max(map(len, shapes), default=0)
    result = []
    for axis in range(-rank, 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(sizes) > 1:
            return None
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def reshaped(value: Value, shape: Sequence[int]) -> Value | None:
    """The same elements in the same row-major order under another shape; None when no affine map does that."""
    if value.elements == 0:
        return value.view(shape, [0] * len(shape))
    runs = merged(value.shape, value.strides)
    strides = [0] * len(shape)
    axis = len(shape) - 1
    for size, stride in reversed(runs):
        done = 1
        while done < size:
            while shape[axis] == 1:
                axis -= 1
            strides[axis] = stride * done
            done *= shape[axis]
            axis -= 1
        if done != size:
            return None
    return value.view(shape, strides)


def merged(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Sizes and strides with axes of size 1 dropped and neighbours joined where one stride serves both."""
    runs: list[tuple[int, int]] = []
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][1] == stride * size:
            runs[-1] = (runs[-1][0] * size, stride)
        else:
            runs.append((size, stride))
    return runs


def storage_order(value: Value) -> Axes:
    """Axes from the farthest apart to the nearest; axes of size 1 keep their places."""
    places = [axis for axis in range(value.rank) if value.shape[axis] != 1]
    order = list(range(value.rank))
    for place, axis in zip(places, sorted(places, key=lambda axis: -abs(value.strides[axis])), strict=True):
        order[place] = axis
    return tuple(order)


def inverse(order: Sequence[int]) -> Axes:
    """The permutation that undoes another."""
    return tuple(sorted(range(len(order)), key=lambda axis: order[axis]))
