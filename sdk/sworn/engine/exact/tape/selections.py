"""Extrema and trees written as instructions."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.tape import codes
from sworn.engine.exact.tape.memory import NotOnTape
from sworn.engine.exact.tape.writer import Writer
from sworn.engine.exact.trees import tree_tables
from sworn.engine.exact.views import counted_terms, effective, grid
from sworn.model.program import Extremum, Step, Tree
from sworn.types import DType

Array = NDArray[Any]

#: Places of a table of windows, at most.
_MAX_PLACES = 1 << 20
_KINDS = MappingProxyType({DType.FLOAT32: 0, DType.INT8: 1, DType.UINT8: 2})


def write_extremum(writer: Writer, step: Step, body: Extremum, out: int, *, is_value: bool) -> None:
    """Positions, or the elements there; the last axis is walked along side by side where no window is clipped on it."""
    kind = writer.dtype(body.source)
    if kind not in _KINDS:
        raise NotOnTape
    reductions = effective(step.axes, body.reductions)
    last = len(step.axes) - 1
    is_free = last >= 0 and all(r.clip is None or r.clip.axis != last for r in reductions)
    outer = tuple(range(last)) if is_free else tuple(range(last + 1))
    columns, move = (step.axes[last], body.source.strides[last]) if is_free else (1, 0)
    sizes = [step.axes[k] for k in outer]
    if math.prod(sizes) * math.prod(r.extent for r in reductions) > _MAX_PLACES:
        raise NotOnTape
    base = grid(body.source.offset, sizes, [body.source.strides[k] for k in outer])
    displaced = grid(0, [r.extent for r in reductions], [r.left_stride for r in reductions])
    counts = counted_terms(step.axes, outer, reductions).reshape(len(base), -1)
    table = np.where(counts, base[:, None] + displaced, -1)
    source, room = writer.places.tensor(body.source), writer.places.temporary(columns, 4)
    place = writer.places.table(table)
    shape = (len(base), columns, len(displaced))
    writer.emit(codes.EXTREMUM, _KINDS[kind], body.largest, is_value, *shape, source, place, move, out, room)


def write_tree(writer: Writer, step: Step, body: Tree, out: int) -> None:
    """The leaves that rows reach, where trees are the last axis that matters."""
    if any(size > 1 for size in step.axes[body.tree_axis + 1 :]):
        raise NotOnTape
    tables = tree_tables(writer.program, step, body, writer.places.weights)
    places, trees = writer.places, step.axes[body.tree_axis]
    sizes = (step.output.elements // trees, trees, len(tables.thresholds))
    words = [places.table(each) for each in (tables.starts, tables.tests, tables.children, tables.roots)]
    thresholds = places.matrix(tables.thresholds)
    features = places.tensor(body.features)
    writer.emit(codes.TREE, *sizes, features, body.feature_stride, *words, thresholds, out)
