"""Instructions that move elements: inputs made canonical, gathers, lookups, choices. For numba to compile.

Every kernel takes the words, where its instruction begins, and the memories it needs; it returns whether all went well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.jit import callee, merged

Array = NDArray[Any]


@callee
def holds_nan(row: Array) -> bool:
    """Whether a float row holds NaN."""
    found = False
    for i in range(row.shape[0]):
        found |= row[i] != row[i]
    return found


@callee
def canonical(words: Array, p: int, arena: Array) -> bool:
    """−0 as +0 in a float32 input: first, count."""
    first, count = words[p + 2], words[p + 3]
    row = arena.view(np.float32)[first : first + count]
    for i in range(count):
        row[i] += np.float32(0.0)
    return not holds_nan(row)


@merged
def _row(view: Array, source: int, target: int, count: int, source_step: int, target_step: int) -> None:
    if target_step == 1:
        written = view[target : target + count]
        if source_step == 1:
            read = view[source : source + count]
            for i in range(count):
                written[i] = read[i]
        elif source_step == 0:
            value = view[source]
            for i in range(count):
                written[i] = value
        else:
            for i in range(count):
                written[i] = view[source + i * source_step]
    else:
        for i in range(count):
            view[target + i * target_step] = view[source + i * source_step]


@merged
def _gather(words: Array, p: int, view: Array, o: Array) -> None:
    dimensions, source, target = words[p + 3], words[p + 4], words[p + 5]
    sizes = words[p + 6 : p + 6 + dimensions]
    moves = words[p + 6 + dimensions : p + 6 + 2 * dimensions]
    steps = words[p + 6 + 2 * dimensions : p + 6 + 3 * dimensions]
    last = dimensions - 1
    rows = 1
    for k in range(last):
        rows *= sizes[k]
        o[k] = 0
    for _ in range(rows):
        _row(view, source, target, sizes[last], moves[last], steps[last])
        k = last - 1
        while k >= 0:
            o[k] += 1
            source += moves[k]
            target += steps[k]
            if o[k] < sizes[k]:
                break
            source -= moves[k] * sizes[k]
            target -= steps[k] * sizes[k]
            o[k] = 0
            k -= 1


@callee
def gather(words: Array, p: int, arena: Array) -> bool:
    """A strided copy: bytes per element (1 or 4), dimensions, source, target, sizes, source strides, target strides."""
    o = arena.view(np.int64)
    if words[p + 2] == 4:
        _gather(words, p, arena.view(np.uint32), o)
    else:
        _gather(words, p, arena, o)
    return True


@callee
def lookup(words: Array, p: int, arena: Array, tables: Array) -> bool:
    """Elements of four bytes that int64 indices point at.

    Count, source and its elements, index, table of places, target, extents: how many and their product, then the
    extents and their strides. False at an index out of range.
    """
    count, source, elements, index, base = words[p + 2], words[p + 3], words[p + 4], words[p + 5], words[p + 6]
    extents, total, view = words[p + 8], words[p + 9], arena.view(np.uint32)
    indices, places = arena.view(np.int64)[index : index + count], tables[base : base + count]
    out = view[words[p + 7] : words[p + 7] + count]
    for n in range(count):
        i = indices[n]
        if i < 0:
            i += total
        if i < 0 or i >= total:
            return False
        where = places[n]
        for j in range(extents - 1, 0, -1):
            where += i % words[p + 10 + j] * words[p + 10 + extents + j]
            i //= words[p + 10 + j]
        where += i * words[p + 10 + extents]
        if where < 0 or where >= elements:
            return False
        out[n] = view[source + where]
    return True


@callee
def choose(words: Array, p: int, arena: Array) -> bool:
    """The second where the first, else the third, of four bytes: count, condition, left, right, target."""
    count, condition, left, right, target = words[p + 2], words[p + 3], words[p + 4], words[p + 5], words[p + 6]
    view, c = arena.view(np.uint32), arena[condition : condition + count]
    a, b, out = view[left : left + count], view[right : right + count], view[target : target + count]
    for i in range(count):
        out[i] = a[i] if c[i] != 0 else b[i]
    return True
