"""Affine operands as numpy views: no copy where none is needed, and padding made real where windows are clipped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sworn.model.program import Operand, Reduction, Space

Array = NDArray[Any]
#: What moves along a dimension: (0, axis, multiple) or (1, reduction, multiple).
_Roles = tuple[tuple[int, int, int], ...]


class Scratch:
    """Buffers of float64 that runs use again and again: fresh memory costs a page fault per 4 KiB."""

    def __init__(self) -> None:
        self._buffers = [np.empty(0), np.empty(0)]

    def take(self, number: int, shape: tuple[int, ...]) -> Array:
        """One of two buffers in some shape, holding anything; the same memory each time."""
        elements = math.prod(shape)
        if self._buffers[number].size < elements:
            self._buffers[number] = np.empty(elements)
        return self._buffers[number][:elements].reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The tensors of a run, each flat and contiguous."""

    values: list[Array | None]
    weights: tuple[Array, ...]
    scratch: Scratch

    def read(self, operand: Operand) -> Array:
        """The whole tensor that an operand reads from, flat."""
        if operand.space is Space.WEIGHT:
            return self.weights[operand.tensor]
        array = self.values[operand.tensor]
        assert array is not None, "INVARIANT: a value is freed only after its last reader"  # noqa: S101
        return array


def view(flat: Array, *, offset: int, shape: Sequence[int], strides: Sequence[int]) -> Array:
    """A strided view in elements; numpy refuses one that leaves the buffer."""
    size = flat.itemsize
    return np.ndarray(tuple(shape), flat.dtype, flat, offset * size, tuple(stride * size for stride in strides))


def operand_view(memory: Memory, operand: Operand, axes: Sequence[int]) -> Array:
    """An operand's elements in the shape of a step's axes."""
    return view(memory.read(operand), offset=operand.offset, shape=axes, strides=operand.strides)


def merges(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether dimensions can be seen as one with a single stride."""
    kept = [(size, stride) for size, stride in zip(shape, strides, strict=True) if size != 1]
    return all(outer == inner * size for (_, outer), (size, inner) in pairwise(kept))


def select(items: Sequence[int], numbers: Sequence[int]) -> tuple[int, ...]:
    """The items at some positions."""
    return tuple(items[number] for number in numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dimension:
    """One dimension of a padded copy: ``count`` elements from the source, ``before`` filled ones in front of them."""

    stride: int
    count: int
    before: int = 0
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """A source and where each output and term finds its element in the buffer that `load` makes of it."""

    offset: int
    axis_strides: tuple[int, ...]
    reduction_strides: tuple[int, ...]
    #: Where windows are clipped: how the padded copy is made.
    dimensions: tuple[_Dimension, ...] = ()
    source_offset: int = 0

    def load(self, flat: Array, dtype: DTypeLike, *, zero: int = 0, fill: float = 0) -> Array:
        """The buffer, flat, as ``dtype``: source minus ``zero``, with ``fill`` where terms do not count."""
        if not self.dimensions:
            converted = flat.astype(dtype, copy=False)
            return converted - np.asarray(zero, dtype=dtype) if zero else converted
        buffer = np.full([dimension.size for dimension in self.dimensions], fill, dtype=dtype)
        shape = [dimension.count for dimension in self.dimensions]
        if math.prod(shape):
            strides = [dimension.stride for dimension in self.dimensions]
            target = buffer[tuple(slice(d.before, d.before + d.count) for d in self.dimensions)]
            target[...] = view(flat, offset=self.source_offset, shape=shape, strides=strides)
            if zero:
                target -= np.asarray(zero, dtype=dtype)
        return buffer.reshape(-1)


def plan_windows(
    operand: Operand, axes: Sequence[int], reductions: Sequence[Reduction], *, strides: Sequence[int]
) -> Windows | None:
    """The windows of an operand that moves by ``strides[j]`` along ``reductions[j]``; None where they are irregular.

    Regular are at most one clip per axis, each moving the source by the same stride along axis and reduction.
    """
    clipped = {r.clip.axis: j for j, r in enumerate(reductions) if r.clip is not None}
    if not clipped:
        return Windows(offset=operand.offset, axis_strides=operand.strides, reduction_strides=tuple(strides))
    if len(clipped) < sum(reduction.clip is not None for reduction in reductions):
        return None
    free = [k for k, size in enumerate(axes) if k not in clipped and size > 1 and operand.strides[k]]
    still = [j for j, r in enumerate(reductions) if r.clip is None and r.extent > 1 and strides[j]]
    entries: list[tuple[_Dimension, _Roles]] = [
        (_Dimension(stride=operand.strides[k], count=axes[k], size=axes[k]), ((0, k, 1),)) for k in free
    ]
    entries += [
        (_Dimension(stride=strides[j], count=reductions[j].extent, size=reductions[j].extent), ((1, j, 1),))
        for j in still
    ]
    offset = operand.offset
    for axis, j in clipped.items():
        entry = _clipped_dimension(operand.strides[axis], strides[j], reductions[j], positions=axes[axis])
        if entry is None:
            return None
        dimension, skipped, step = entry
        offset += skipped
        entries.append((dimension, ((0, axis, step), (1, j, _dilation(reductions[j])))))
    entries.sort(key=lambda item: -abs(item[0].stride))
    return _place(entries, offset, axes=len(axes), reductions=len(reductions))


def _dilation(reduction: Reduction) -> int:
    return 0 if reduction.clip is None else reduction.clip.dilation


def _clipped_dimension(
    axis_stride: int, reduction_stride: int, reduction: Reduction, *, positions: int
) -> tuple[_Dimension, int, int] | None:
    """The padded dimension, the source elements skipped before it, and its step per position."""
    clip = reduction.clip
    if clip is None or clip.dilation < 0 or clip.step < 0:
        return None
    unit = reduction_stride // clip.dilation
    if reduction.extent == 1:
        unit = axis_stride // clip.step if clip.step else reduction_stride
    if not unit or (reduction.extent > 1 and unit * clip.dilation != reduction_stride):
        return None
    if positions > 1 and unit * clip.step != axis_stride:
        return None
    size = (positions - 1) * clip.step + (reduction.extent - 1) * clip.dilation + 1
    first, last = max(clip.origin, 0), min(clip.origin + size, clip.extent)
    count = max(last - first, 0)
    dimension = _Dimension(stride=unit, count=count, before=first - clip.origin if count else 0, size=size)
    return dimension, unit * (first - clip.origin), clip.step


def _place(entries: Sequence[tuple[_Dimension, _Roles]], offset: int, *, axes: int, reductions: int) -> Windows:
    places = [[0] * axes, [0] * reductions]
    stride = 1
    for dimension, roles in reversed(entries):
        for kind, number, multiple in roles:
            places[kind][number] = stride * multiple
        stride *= dimension.size
    return Windows(
        offset=0,
        axis_strides=tuple(places[0]),
        reduction_strides=tuple(places[1]),
        dimensions=tuple(dimension for dimension, _ in entries),
        source_offset=offset,
    )


def window_counts(axes: Sequence[int], reductions: Sequence[Reduction]) -> dict[int, Array]:
    """How many r count along each clipped axis, as a product over its reductions, by axis; int64 [positions]."""
    counts: dict[int, Array] = {}
    for reduction in reductions:
        if reduction.clip is not None:
            inside = counted(reduction, axes[reduction.clip.axis]).sum(axis=1)
            counts[reduction.clip.axis] = counts.get(reduction.clip.axis, 1) * inside
    return counts


def counted(reduction: Reduction, positions: int) -> Array:
    """Whether r counts at each position of the clip's axis, [positions, extent]."""
    clip = reduction.clip
    if clip is None:
        return np.ones((positions, reduction.extent), dtype=np.bool_)
    o, r = np.arange(positions)[:, None], np.arange(reduction.extent)[None, :]
    x = o * clip.step + r * clip.dilation + clip.origin
    return (x >= 0) & (x < clip.extent)


def effective(axes: Sequence[int], reductions: Sequence[Reduction]) -> tuple[Reduction, ...]:
    """The reductions without clips that never exclude anything."""
    return tuple(
        replace(r, clip=None) if r.clip is not None and counted(r, axes[r.clip.axis]).all() else r for r in reductions
    )


def merge_axes(
    axes: tuple[int, ...], strides: Sequence[tuple[int, ...]], clipped: set[int]
) -> tuple[list[int], list[tuple[int, ...]], dict[int, int]]:
    """The axes without those of one element, neighbours joined where no clip names them and all operands allow it.

    Also each operand's strides over them, and the new number of every clipped axis. The last one is never clipped.
    """
    kept: list[tuple[int, list[int]]] = []
    numbers: dict[int, int] = {}
    joinable = False
    for axis, size in enumerate(axes):
        moves = [stride[axis] for stride in strides]
        if axis in clipped:
            numbers[axis] = len(kept)
            kept.append((size, moves))
            joinable = False
        elif size != 1:
            if joinable and all(outer == inner * size for outer, inner in zip(kept[-1][1], moves, strict=True)):
                kept[-1] = (kept[-1][0] * size, moves)
            else:
                kept.append((size, moves))
            joinable = True
    if not joinable:
        kept.append((1, [0] * len(strides)))
    return [size for size, _ in kept], [tuple(column) for column in zip(*(m for _, m in kept), strict=True)], numbers


def grid(offset: int, sizes: Sequence[int], strides: Sequence[int]) -> Array:
    """``offset + Σ strides · index`` over a box, flat, int64."""
    places = np.array(offset, dtype=np.int64)
    for size, stride in zip(sizes, strides, strict=True):
        places = places[..., None] + np.arange(size, dtype=np.int64) * stride
    return places.reshape(-1)


def row_major(sizes: Sequence[int]) -> tuple[int, ...]:
    """Strides of a contiguous tensor, in elements."""
    return tuple(math.prod(sizes[k + 1 :]) for k in range(len(sizes)))


def counted_terms(axes: Sequence[int], outer: Sequence[int], reductions: Sequence[Reduction]) -> Array:
    """Which terms count at each index of some axes, bool [those axes, then extents]; clips name no other axis."""
    sizes = [*select(axes, outer), *(r.extent for r in reductions)]
    counts = np.ones(sizes, dtype=np.bool_)
    for j, reduction in enumerate(reductions):
        if reduction.clip is not None:
            axis = reduction.clip.axis
            shape = [1] * len(sizes)
            shape[len(outer) + j] = reduction.extent
            if axis in outer:
                shape[outer.index(axis)] = axes[axis]
            counts &= counted(reduction, axes[axis]).reshape(shape)
    return counts
