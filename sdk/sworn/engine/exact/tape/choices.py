"""Instructions that compare: greatest and least elements of windows, decision trees. For numba to compile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.compiled_trees import descend
from sworn.engine.exact.jit import callee, merged

Array = NDArray[Any]


@merged
def _better(
    view: Array, source: int, step: int, largest: int, term: int, is_first: bool, best: Array, places: Array
) -> None:
    """Takes a term of every window of a row where it is strictly better than those before, or the first."""
    for j in range(best.shape[0]):
        value = view[source + j * step]
        taken = is_first or (value > best[j] if largest != 0 else value < best[j])
        best[j] = value if taken else best[j]
        places[j] = term if taken else places[j]


@merged
def _values(view: Array, source: int, step: int, largest: int, is_first: bool, best: Array) -> None:
    if step == 1:
        row = view[source : source + best.shape[0]]
        if is_first:
            for j in range(best.shape[0]):
                best[j] = row[j]
        elif largest != 0:
            for j in range(best.shape[0]):
                best[j] = row[j] if row[j] > best[j] else best[j]
        else:
            for j in range(best.shape[0]):
                best[j] = row[j] if row[j] < best[j] else best[j]
    else:
        for j in range(best.shape[0]):
            value = view[source + j * step]
            better = value > best[j] if largest != 0 else value < best[j]
            best[j] = value if is_first or better else best[j]


@merged
def _extremum(words: Array, p: int, view: Array, arena: Array, tables: Array) -> None:
    largest, is_value, rows, columns, terms = words[p + 3], words[p + 4], words[p + 5], words[p + 6], words[p + 7]
    source, table, step, out, room = words[p + 8], words[p + 9], words[p + 10], words[p + 11], words[p + 12]
    for i in range(rows):
        is_first = True
        if is_value != 0:
            best = view[out + i * columns : out + (i + 1) * columns]
            for t in range(terms):
                place = tables[table + i * terms + t]
                if place >= 0:
                    _values(view, source + place, step, largest, is_first, best)
                    is_first = False
        else:
            best, places = view[room : room + columns], arena.view(np.int64)[out + i * columns :][:columns]
            for t in range(terms):
                place = tables[table + i * terms + t]
                if place >= 0:
                    _better(view, source + place, step, largest, t, is_first, best, places)
                    is_first = False


@callee
def extremum(words: Array, p: int, arena: Array, tables: Array) -> bool:
    """Positions or elements: type, largest, is value, rows, columns, terms, source, table, stride, target, room.

    Types are 0 float32, 1 int8, 2 uint8. The table [rows, terms] holds where terms lie for the first column, below 0
    where they do not count; columns are a stride apart. At least one term counts.
    """
    kind = words[p + 2]
    if kind == 0:
        _extremum(words, p, arena.view(np.float32), arena, tables)
    elif kind == 1:
        _extremum(words, p, arena.view(np.int8), arena, tables)
    else:
        _extremum(words, p, arena, arena, tables)
    return True


@callee
def tree(words: Array, p: int, arena: Array, tables: Array, matrices: Array) -> bool:
    """Leaves: rows, trees, nodes, feature 0, its stride, starts of rows, tests, children, roots, thresholds, target.

    Thresholds are float32 in the matrices, the others int64 in the tables.
    """
    rows, trees, nodes, first, step = words[p + 2], words[p + 3], words[p + 4], words[p + 5], words[p + 6]
    starts = tables[words[p + 7] : words[p + 7] + rows * trees].reshape(rows, trees)
    tests = tables[words[p + 8] : words[p + 8] + 2 * nodes].reshape(nodes, 2)
    children = tables[words[p + 9] : words[p + 9] + 2 * nodes].reshape(nodes, 2)
    roots = tables[words[p + 10] : words[p + 10] + trees]
    thresholds = matrices.view(np.float32)[words[p + 11] : words[p + 11] + nodes]
    out = arena.view(np.int32)[words[p + 12] : words[p + 12] + rows * trees].reshape(rows, trees)
    descend(arena.view(np.float32)[first:], starts, step, tests, thresholds, children, roots, out)
    return True
