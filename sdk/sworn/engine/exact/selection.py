"""Steps that choose elements rather than compute them: copy, lookup, extremum, rank."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.views import Memory, counted, effective, operand_view, plan_windows, row_major, view
from sworn.errors import IndexOutOfRange, ModelUnsupported
from sworn.model.program import Copy, Extremum, Lookup, Operand, Piece, Rank, Reduction, Step
from sworn.types import DType

Array = NDArray[Any]
Run = Callable[[Memory], Array]

#: Windows of at most so many elements are walked through one by one, larger ones reduced at once.
_SMALL_WINDOW = 64


def plan_copy(step: Step, body: Copy) -> Run:
    """How a copy is made, all elements flat."""
    dtype = step.output.dtype.numpy
    fill = np.array(body.fill, dtype=f"u{dtype.itemsize}").view(dtype)
    is_covered = any(_covers(piece, step.axes) for piece in body.pieces)

    def run(memory: Memory) -> Array:
        out = np.empty(step.axes, dtype=dtype) if is_covered else np.full(step.axes, fill, dtype=dtype)
        # The first piece wins, so it is written last.
        for piece in reversed(body.pieces):
            boxes = tuple(slice(*box) for box in zip(piece.starts, piece.stops, piece.every, strict=True))
            target = out[boxes]
            target[...] = operand_view(memory, piece.source, target.shape)
        return out.reshape(-1)

    return run


def _covers(piece: Piece, axes: tuple[int, ...]) -> bool:
    return not any(piece.starts) and piece.stops == axes and all(every == 1 for every in piece.every)


def plan_lookup(step: Step, body: Lookup) -> Run:
    """How a lookup is made, all elements flat; raises `IndexOutOfRange` when run."""
    count = math.prod(body.extents)
    base = np.array(body.source.offset, dtype=np.int64)
    for size, stride in zip(step.axes, body.source.strides, strict=True):
        base = base[..., None] + np.arange(size if stride else 1, dtype=np.int64) * stride

    def run(memory: Memory) -> Array:
        index = operand_view(memory, body.index, step.axes)
        if index.dtype == np.uint64:
            index = np.minimum(index, count)
        index = index.astype(np.int64)
        index += np.where(index < 0, count, 0)
        if index.size and (int(index.min()) < 0 or int(index.max()) >= count):
            outside = np.flatnonzero(((index < 0) | (index >= count)).reshape(-1))
            raise IndexOutOfRange(f"element {int(outside[0])} looks outside of a table of {count}")
        where, source = base + _displacement(index, body.extents, body.strides), memory.read(body.source)
        # An index may point at the padding of a window, where the table has no element.
        if where.size and (int(where.min()) < 0 or int(where.max()) >= source.size):
            outside = np.flatnonzero(((where < 0) | (where >= source.size)).reshape(-1))
            raise IndexOutOfRange(f"element {int(outside[0])} looks outside of the tensor")
        return source[where].reshape(-1)

    return run


def _displacement(index: Array, extents: Sequence[int], strides: Sequence[int]) -> Array:
    if len(extents) == 1:
        return index * strides[0]
    moved = np.zeros_like(index)
    for extent, stride in zip(reversed(extents), reversed(strides), strict=True):
        index, digit = np.divmod(index, extent)
        moved += digit * stride
    return moved


def is_selection(step: Step, body: Lookup, extremum_step: Step, extremum: Extremum, *, value: int) -> bool:
    """Whether a lookup takes the very elements that the extremum in ``value`` points at."""
    sizes = step.axes
    contiguous = row_major(sizes)
    index = body.index
    same_index = index.offset == 0 and all(
        size == 1 or stride == expected for size, stride, expected in zip(sizes, index.strides, contiguous, strict=True)
    )
    windows = tuple(r.extent for r in extremum.reductions), tuple(r.left_stride for r in extremum.reductions)
    return (
        index.tensor == value
        and same_index
        and sizes == extremum_step.axes
        and body.source == extremum.source
        and (body.extents, body.strides) == windows
    )


def plan_extremum(step: Step, body: Extremum, source: DType, *, is_value: bool) -> Run:
    """How positions (or, with ``is_value``, the elements there) are found, all elements flat."""
    reductions = effective(step.axes, body.reductions)
    strides = [reduction.left_stride for reduction in reductions]
    windows = plan_windows(body.source, step.axes, reductions, strides=strides)
    if windows is None:
        raise ModelUnsupported("an extremum over windows that slide irregularly")
    limits = _limits(source)
    fill = limits[0] if body.largest else limits[1]
    shape = (*step.axes, *(r.extent for r in reductions))
    view_strides = (*windows.axis_strides, *windows.reduction_strides)
    start = _first_counted(step.axes, reductions)

    def run(memory: Memory) -> Array:
        buffer = windows.load(memory.read(body.source), source.numpy, fill=fill)
        seen = view(buffer, offset=windows.offset, shape=shape, strides=view_strides)
        if is_value:
            return _values(seen, len(step.axes), largest=body.largest).reshape(-1)
        if not windows.dimensions:
            flat = seen.reshape(*step.axes, -1)
            places: Array = flat.argmax(axis=-1) if body.largest else flat.argmin(axis=-1)
            return places.astype(np.int64).reshape(-1)
        return _positions(seen, start, len(step.axes), fill=fill, largest=body.largest).reshape(-1)

    return run


def _limits(dtype: DType) -> tuple[float, float]:
    if dtype is DType.FLOAT32:
        return -math.inf, math.inf
    information = np.iinfo(dtype.numpy)
    return int(information.min), int(information.max)


def _values(seen: Array, axes: int, *, largest: bool) -> Array:
    windows = seen.shape[axes:]
    if math.prod(windows) > _SMALL_WINDOW:
        reduced = tuple(range(axes, seen.ndim))
        return np.asarray(seen.max(axis=reduced) if largest else seen.min(axis=reduced))
    better = np.maximum if largest else np.minimum
    best: Array | None = None
    for term in product(*(range(size) for size in windows)):
        chosen = _term(seen, term)
        best = chosen.copy() if best is None else better(best, chosen, out=best)
    assert best is not None, "INVARIANT: a window has a term"  # noqa: S101
    return best


def _term(seen: Array, term: tuple[int, ...]) -> Array:
    index: tuple[Any, ...] = (..., *term)
    return np.asarray(seen[index])


def _first_counted(axes: tuple[int, ...], reductions: Sequence[Reduction]) -> Array:
    """Row-major position of the first term that counts, int64 [axes] or broadcast to it."""
    first = np.zeros((1,) * len(axes), dtype=np.int64)
    for j, reduction in enumerate(reductions):
        if reduction.clip is not None:
            axis = reduction.clip.axis
            weight = math.prod(r.extent for r in reductions[j + 1 :])
            shape = [axes[k] if k == axis else 1 for k in range(len(axes))]
            first = first + counted(reduction, axes[axis]).argmax(axis=1).reshape(shape) * weight
    return first


def _positions(seen: Array, start: Array, axes: int, *, fill: float, largest: bool) -> Array:
    best = np.full(seen.shape[:axes], fill, dtype=seen.dtype)
    positions = np.broadcast_to(start, best.shape).copy()
    for number, term in enumerate(product(*(range(size) for size in seen.shape[axes:]))):
        chosen = _term(seen, term)
        # Strictly better: the first wins, and what does not count, being filled, never does.
        better = chosen > best if largest else chosen < best
        best[better] = chosen[better]
        positions[better] = number
    return positions


def plan_rank(step: Step, body: Rank) -> Run:
    """How ranks are found, all elements flat."""
    kept = [k for k in range(len(step.axes)) if k != body.axis]
    source: Operand = body.source
    shape = (*(step.axes[k] for k in kept), body.extent)
    strides = (*(source.strides[k] for k in kept), body.stride)

    def run(memory: Memory) -> Array:
        row = view(memory.read(source), offset=source.offset, shape=shape, strides=strides)
        # Reversing the order keeps equals equal, so that a stable sort still leaves the earlier one first.
        key = row if not body.largest else -row if row.dtype == np.float32 else ~row
        order = np.argsort(key, axis=-1, kind="stable")[..., : step.axes[body.axis]]
        return np.ascontiguousarray(np.moveaxis(order, -1, body.axis), dtype=np.int64).reshape(-1)

    return run
