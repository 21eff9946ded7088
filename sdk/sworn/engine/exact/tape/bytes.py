"""Instructions for contractions of bytes, in integers throughout. For numba to compile.

Words as in `sworn.engine.exact.tape.products`, but: the left tensor is of bytes; 12 is 128 where they are signed, else
0; 13 is the constant right operand in the matrices, int16 less its zero point, [batches, pairs of terms, columns in
memory, 2]; 14 is the number of elements of the left tensor, 15 its zero point; 16 is room for it as int16 and as many
zeros as a run has, 17 how many these are together; the table points to those zeros where terms do not count; bias and
target are int32. A byte less a zero point fits int16, and a pair of
products int32, in which sums wrap as they shall.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.jit import callee, merged
from sworn.engine.exact.tape.products import LENGTH
from sworn.engine.exact.tape.tiles import integers_1x1, integers_4x1, integers_4x2

Array = NDArray[Any]


@merged
def _widen(view: Array, flip: int, zero: int, out: Array) -> None:
    """Bytes less their zero point, then zeros for terms that do not count."""
    # A signed byte is (byte ^ 128) - 128.
    for i in range(view.shape[0]):
        out[i] = (view[i] ^ flip) - (flip + zero)
    for i in range(view.shape[0], out.shape[0]):
        out[i] = 0


@merged
def _collect(source: Array, table: Array, run: int, step: int, out: Array) -> None:
    """Runs one after another."""
    for s in range(table.shape[0]):
        for i in range(run):
            out[s * run + i] = source[table[s] + i * step]


@merged
def _multiply(
    left: Array, table: Array, at: int, right: Array, sums: Array, rows: int, runs: int, steps: int, width: int
) -> None:
    """Sums of one or four rows, whose runs of so many pairs of terms begin as the table tells from ``at`` on."""
    j = 0
    if rows == 4:
        while j + 32 <= width:
            integers_4x2(left, table, at, runs, right, 2 * j, 2 * width, sums, j, width, runs, steps)
            j += 32
        if j < width:
            integers_4x1(left, table, at, runs, right, 2 * j, 2 * width, sums, j, width, runs, steps)
    else:
        while j < width:
            integers_1x1(left, table, at, runs, right, 2 * j, 2 * width, sums, j, width, runs, steps)
            j += 16


@merged
def _write(w: Array, tables: Array, row: int, sums: Array, view: Array) -> None:
    """Sums and bias, wrapped to int32."""
    place, step = w[23] + tables[w[24] + row], w[25]
    if w[18] < 0:
        for j in range(sums.shape[0]):
            view[place + j * step] = sums[j]
        return
    bias = w[18] + tables[w[19] + row]
    if step == 1 and w[20] == 1:
        out, added = view[place : place + sums.shape[0]], view[bias : bias + sums.shape[0]]
        for j in range(sums.shape[0]):
            out[j] = sums[j] + added[j]
    else:
        for j in range(sums.shape[0]):
            view[place + j * step] = sums[j] + view[bias + j * w[20]]


@callee
def contract_bytes(words: Array, p: int, arena: Array, tables: Array, matrices: Array) -> bool:
    """Sums of products of bytes, wrapped to int32; see the module."""
    w, narrow, wide = words[p : p + LENGTH], arena.view(np.int32), arena.view(np.int64)
    batches, rows, terms, columns, width, runs = w[2], w[3], w[4], w[5], w[6], w[9]
    left = arena.view(np.int16)[4 * w[26] : 4 * (w[26] + terms)]
    sums = narrow[2 * (w[26] + terms) : 2 * (w[26] + terms) + 4 * width]
    source = arena.view(np.int16)[w[16] : w[16] + w[17]]
    _widen(arena[w[7] : w[7] + w[14]], w[12], w[15], source)
    is_direct = w[11] == 1 and runs * w[10] == terms and w[10] % 2 == 0
    for i in range(4 * terms):
        left[i] = 0
    for i in range(4):
        wide[i] = i * terms
    for b in range(batches):
        right = matrices.view(np.int16)[w[13] + b * terms * width : w[13] + (b + 1) * terms * width]
        first = 0
        while first < rows:
            count = 4 if rows - first >= 4 else 1
            place = w[8] + (b * rows + first) * runs
            if is_direct:
                _multiply(source, tables, place, right, sums, count, runs, w[10] // 2, width)
            else:
                for i in range(count):
                    table, target = tables[place + i * runs : place + (i + 1) * runs], left[i * terms : (i + 1) * terms]
                    _collect(source, table, w[10], w[11], target)
                _multiply(left, wide, 0, right, sums, count, 1, terms // 2, width)
            for i in range(count):
                _write(w, tables, b * rows + first + i, sums[i * width : i * width + columns], narrow)
            first += count
    return True
