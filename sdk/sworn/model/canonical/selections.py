"""Lookups that take the very element whose position a virtual extremum found: together one MaxPool or ReduceMax."""

from __future__ import annotations

from collections.abc import Sequence

from sworn.model.canonical.forms import row_major
from sworn.model.program import Extremum, Lookup, Program, Space, Step


def selections_of(program: Program) -> dict[int, int]:
    """Such lookups by step, with the step that finds the positions."""
    found: dict[int, int] = {}
    for number, step in enumerate(program.steps):
        if isinstance(step.body, Lookup) and step.body.index.space is Space.VALUE:
            index = step.body.index.tensor - len(program.inputs)
            other = program.steps[index] if index >= 0 else None
            if (
                other is not None
                and other.virtual
                and isinstance(other.body, Extremum)
                and _is_selection(step, step.body, other, other.body)
            ):
                found[number] = index
    return found


def _is_selection(step: Step, body: Lookup, other: Step, extremum: Extremum) -> bool:
    """Whether index map, source and windows are the same, however axes are joined."""
    if body.index.offset or (body.source.tensor, body.source.space) != (extremum.source.tensor, extremum.source.space):
        return False
    taken = _joined(step.axes, [body.index.strides, body.source.strides])
    found = _joined(other.axes, [row_major(other.axes), extremum.source.strides])
    windows = _joined(
        [reduction.extent for reduction in extremum.reductions],
        [[reduction.left_stride for reduction in extremum.reductions]],
    )
    is_same_place = body.source.offset == extremum.source.offset and taken == found
    return is_same_place and _joined(body.extents, [body.strides]) == windows


def _joined(sizes: Sequence[int], strides: Sequence[Sequence[int]]) -> list[tuple[int, tuple[int, ...]]]:
    """Sizes with all strides, ones dropped and neighbours joined where one stride of each kind serves both."""
    joined: list[tuple[int, tuple[int, ...]]] = []
    for size, *moves in zip(sizes, *strides, strict=True):
        if size == 1:
            continue
        if joined and all(outer == inner * size for outer, inner in zip(joined[-1][1], moves, strict=True)):
            joined[-1] = (joined[-1][0] * size, tuple(moves))
        else:
            joined.append((size, tuple(moves)))
    return joined
