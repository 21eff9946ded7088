"""Steps that choose elements, for an adversary: how motions pass through copies, lookups and extrema."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.model.program import Copy, Extremum, Lookup, Operand, Piece, Program, Space, Step
from sworn.verification.slack_windows import Box, Side, greatest, slices, spread, taps, whole

Array = NDArray[Any]
#: The elements of an operand's tensor, flat, float64.
Read = Callable[[Operand], Array]


def selections(program: Program) -> dict[int, int]:
    """Lookups (by step) of the very elements that an extremum (by step) points at: together they are a maximum."""
    found: dict[int, int] = {}
    for number, step in enumerate(program.steps):
        if isinstance(step.body, Lookup) and step.body.index.space is Space.VALUE:
            other = step.body.index.tensor - len(program.inputs)
            if other >= 0 and _is_selection(step, step.body, program.steps[other]):
                found[number] = other
    return found


def _is_selection(step: Step, body: Lookup, other: Step) -> bool:
    if not isinstance(other.body, Extremum) or step.axes != other.axes or body.source != other.body.source:
        return False
    contiguous = [math.prod(step.axes[k + 1 :]) for k in range(len(step.axes))]
    places = zip(step.axes, body.index.strides, contiguous, strict=True)
    windows = [(r.extent, r.left_stride) for r in other.body.reductions if r.extent > 1]
    tables = [(extent, move) for extent, move in zip(body.extents, body.strides, strict=True) if extent > 1]
    in_order = all(size == 1 or stride == expected for size, stride, expected in places)
    return body.index.offset == 0 and in_order and windows == tables


def copied(step: Step, body: Copy, read: Read) -> Array:
    """What a copy makes of the tensors that ``read`` gives, flat; 0 where it fills."""
    out = np.zeros(step.axes)
    # The first piece wins, so it is written last.
    for piece in reversed(body.pieces):
        out[_slices(piece)] = Side.of(piece.source, read(piece.source)).over(_box(piece))
    return out.reshape(-1)


def pull_copy(
    step: Step, body: Copy, gradient: Array, elements: Callable[[Operand], int]
) -> list[tuple[Operand, Array]]:
    """What a gradient over a copy's elements is over each source, flat."""
    left, found = gradient.reshape(step.axes).copy(), []
    for piece in body.pieces:
        box = _slices(piece)
        if piece.source.space is Space.VALUE:
            made = np.zeros(elements(piece.source))
            sizes = [last - first for first, last in _box(piece)]
            spread(sizes, (), left[box], None, Side.of(piece.source, made))
            found.append((piece.source, made))
        left[box] = 0.0
    return found


def looked_up(step: Step, body: Lookup, read: Read, source: Array) -> Array:
    """The elements of a flat tensor at the places where a lookup reads its source, flat."""
    return np.asarray(source[_places(step, body, read)])


def pull_lookup(step: Step, body: Lookup, read: Read, gradient: Array, elements: int) -> Array:
    """What a gradient over a lookup's elements is over its source, flat."""
    return np.bincount(_places(step, body, read), weights=gradient, minlength=elements)


def window_reach(step: Step, body: Extremum, reach: Array) -> Array:
    """How far the extreme element of each window moves at most: no farther than any in it."""
    side = Side.of(body.source, reach, [reduction.left_stride for reduction in body.reductions])
    return greatest(step.axes, body.reductions, side).reshape(-1)


def rivals(step: Step, body: Extremum, source: Array, reach: Array) -> int:
    """How many windows hold an element that could overtake the extreme one."""
    values = source if body.largest else -source
    moves = [reduction.left_stride for reduction in body.reductions]
    sure = greatest(step.axes, body.reductions, Side.of(body.source, values - reach, moves))
    upper, able = Side.of(body.source, values + reach, moves), np.zeros(step.axes)
    ends = tuple(range(len(step.axes), len(step.axes) + len(body.reductions)))
    for box in taps(step.axes, body.reductions):
        part = slices(box[: len(step.axes)])
        able[part] += (upper.over(box) >= np.expand_dims(sure[part], ends)).sum(axis=ends)
    moving = window_reach(step, body, reach).reshape(step.axes) > 0
    return int(np.count_nonzero((able > 1) & moving))


def _places(step: Step, body: Lookup, read: Read) -> Array:
    """Where in its source a lookup reads each element, int64, flat."""
    index = Side.of(body.index, read(body.index)).over(whole(step.axes)).astype(np.int64)
    index = index + np.where(index < 0, math.prod(body.extents), 0)
    moved = np.zeros_like(index)
    for extent, stride in zip(reversed(body.extents), reversed(body.strides), strict=True):
        index, digit = np.divmod(index, extent)
        moved += digit * stride
    base = np.array(body.source.offset, dtype=np.int64)
    for size, stride in zip(step.axes, body.source.strides, strict=True):
        base = base[..., None] + np.arange(size, dtype=np.int64) * stride
    return np.broadcast_to(base + moved, step.axes).reshape(-1)


def _box(piece: Piece) -> Box:
    """The index of a piece's source."""
    spans = zip(piece.starts, piece.stops, piece.every, strict=True)
    return tuple((0, -(-(stop - start) // every)) for start, stop, every in spans)


def _slices(piece: Piece) -> tuple[slice, ...]:
    return tuple(slice(*each) for each in zip(piece.starts, piece.stops, piece.every, strict=True))
