"""Instructions for float contractions: float64 products in the instruction's own loops. For numba to compile.

The bound, the test and the exact path are those of `sworn.engine.exact.compiled`. Words, after code and length:

 2 batches, 3 rows and 5 columns of each, 4 terms (filled up with zeros to whole fours), 6 columns in memory;
 7 the left tensor, 8 the table of where its runs begin (below 0: zeros), 9 runs, 10 their length, 11 their stride;
12 whether right is 0 computed, 1 constant or 2 absent, 13 its matrices, 14 the norms of their columns;
15 the right tensor, 16 its table [batches, columns, runs], 17 its runs' stride;
18 the bias tensor or -1, 19 its table [batches, rows], 20 its stride along columns;
21 divisors in the matrices, 22 their stride over rows; 23 the target, 24 its table [batches, rows], 25 its stride;
26 rows of float64 for this instruction; 27 the error factor, 28 the lower and 29 the upper bound, as bits of float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.compiled_rounding import exact_sum, refined_sum, settle_row
from sworn.engine.exact.jit import callee, merged
from sworn.engine.exact.tape.tiles import floats_1x1, floats_1x4, floats_4x1, floats_4x2

Array = NDArray[Any]

#: Words of these instructions.
LENGTH = 30


@callee
def load(view: Array, first: int, table: Array, run: int, step: int, out: Array, out_step: int) -> None:
    """Runs of elements of float32, one after another, as float64."""
    n = 0
    if run == 1:
        for s in range(table.shape[0]):
            out[s * out_step] = view[first + table[s]] if table[s] >= 0 else np.float32(0.0)
        return
    for s in range(table.shape[0]):
        start = first + table[s]
        if table[s] < 0:
            for i in range(run):
                out[n + i * out_step] = 0.0
        elif step == 1 and out_step == 1:
            source, target = view[start : start + run], out[n : n + run]
            for i in range(run):
                target[i] = source[i]
        else:
            for i in range(run):
                out[n + i * out_step] = view[start + i * step]
        n += run * out_step


@merged
def _multiply(left: Array, table: Array, right: Array, sums: Array, rows: int, terms: int, width: int) -> None:
    """Sums [rows, width] of one or four rows of terms, which begin as the table tells, with a matrix [terms, width]."""
    j = 0
    if rows == 4:
        while j + 16 <= width:
            floats_4x2(left, table, 0, 1, right, j, width, sums, j, width, 1, terms)
            j += 16
        if j < width:
            floats_4x1(left, table, 0, 1, right, j, width, sums, j, width, 1, terms)
    else:
        while j + 32 <= width:
            floats_1x4(left, table, 0, 1, right, j, width, sums, j, width, 1, terms)
            j += 32
        while j < width:
            floats_1x1(left, table, 0, 1, right, j, width, sums, j, width, 1, terms)
            j += 8


@merged
def _norm(row: Array) -> float:
    """√Σx² of whole fours; the order of additions does not matter to the bound."""
    a = b = c = d = 0.0
    for t in range(0, row.shape[0], 4):
        a += row[t] * row[t]
        b += row[t + 1] * row[t + 1]
        c += row[t + 2] * row[t + 2]
        d += row[t + 3] * row[t + 3]
    return float(np.sqrt((a + b) + (c + d)))


@merged
def _finish(terms: Array, count: int, divisor: float, lower: float, upper: float) -> float:
    """The element that so many terms and a bias sum up to, without error; NaN where one of them is not finite."""
    for t in range(count):
        if not np.isfinite(terms[t]):
            return np.nan
    value = refined_sum(terms, count, int(divisor))
    if np.isnan(value):
        value = exact_sum(terms, count, int(divisor), np.empty(1))
    value = lower if value < lower else value
    value = upper if value > upper else value
    return value + 0.0


@merged
def _pack(w: Array, view: Array, tables: Array, right: Array, norms: Array) -> None:
    """A computed right operand as matrices [batches, terms, columns in memory], with the norms of their columns."""
    terms, columns, width, runs = w[4], w[5], w[6], w[9]
    for b in range(w[2]):
        matrix = right[b * terms * width : (b + 1) * terms * width]
        row = norms[b * width : (b + 1) * width]
        for i in range(matrix.shape[0]):
            matrix[i] = 0.0
        for j in range(columns):
            place = w[16] + (b * columns + j) * runs
            load(view, w[15], tables[place : place + runs], w[10], w[17], matrix[j:], width)
        for j in range(width):
            row[j] = 0.0
        for t in range(terms):
            line = matrix[t * width : (t + 1) * width]
            for j in range(width):
                row[j] += line[j] * line[j]
        for j in range(width):
            row[j] = np.sqrt(row[j])


@merged
def _load_bias(w: Array, view: Array, tables: Array, row: int, bias: Array) -> None:
    """The bias of one row; it is there already where the row before had the same."""
    place = tables[w[19] + row]
    if row == 0 or place != tables[w[19] + row - 1]:
        for j in range(w[5]):
            bias[j] = view[w[18] + place + j * w[20]]


@merged
def _settle(
    w: Array,
    view: Array,
    row: int,
    place: int,
    left: Array,
    right: Array,
    term_step: int,
    column_step: int,
    sums: Array,
    bias: Array,
    norms: Array,
    scale: float,
    divisor: float,
    room: Array,
) -> bool:
    """Rounds the sums of one row; what is undecided is summed again without error. False at operands not finite.

    The steps are the strides of ``right``; ``room`` holds the terms of an element and a row.
    """
    terms, columns, step = w[4], w[5], w[25]
    bounds = w[27:30].view(np.float64)
    factor, lower, upper = bounds[0], bounds[1], bounds[2]
    out = view[place : place + columns] if step == 1 else room[terms + 1 :].view(np.float32)[:columns]
    if settle_row(sums, bias, norms, scale, factor, divisor, lower, upper, out):
        for j in range(columns):
            if out[j] != out[j]:
                for t in range(terms):
                    room[t] = left[t] * right[t * term_step + j * column_step]
                room[terms] = bias[j]
                out[j] = np.float32(_finish(room, terms + 1, divisor, lower, upper))
                if out[j] != out[j]:
                    return False
    if step != 1:
        for j in range(columns):
            view[place + j * step] = out[j]
    return True


@callee
def contract(words: Array, p: int, arena: Array, tables: Array, matrices: Array) -> bool:
    """Rows of sums by a matrix; see the module. False at an operand that is not finite."""
    w, view, wide = words[p : p + LENGTH], arena.view(np.float32), arena.view(np.float64)
    batches, rows, terms, columns, width, runs = w[2], w[3], w[4], w[5], w[6], w[9]
    left, sums = wide[w[26] : w[26] + 4 * terms], wide[w[26] + 4 * terms : w[26] + 4 * (terms + width)]
    bias, room = wide[w[26] + 4 * (terms + width) :][:columns], wide[w[26] + 4 * terms + 5 * width :]
    source = matrices if w[12] == 1 else wide
    rights, norms = source[w[13] : w[13] + batches * terms * width], source[w[14] : w[14] + batches * width]
    if w[12] == 0:
        _pack(w, view, tables, rights, norms)
    for i in range(4 * terms):
        left[i] = 0.0
    table = arena.view(np.int64)[:4]
    for i in range(4):
        table[i] = i * terms
    for j in range(columns):
        bias[j] = 0.0
    for b in range(batches):
        right, size = rights[b * terms * width : (b + 1) * terms * width], norms[b * width : b * width + columns]
        first = 0
        while first < rows:
            count = 4 if rows - first >= 4 else 1
            for i in range(count):
                place = w[8] + (b * rows + first + i) * runs
                target = left[i * terms : (i + 1) * terms]
                load(view, w[7], tables[place : place + runs], w[10], w[11], target, 1)
            _multiply(left, table, right, sums, count, terms, width)
            for i in range(count):
                row = b * rows + first + i
                if w[18] >= 0:
                    _load_bias(w, view, tables, row, bias)
                line, divisor = left[i * terms : (i + 1) * terms], matrices[w[21] + row * w[22]]
                scale, place = words[p + 27 : p + 28].view(np.float64)[0] * _norm(line), w[23] + tables[w[24] + row]
                total = sums[i * width : i * width + columns]
                if not _settle(w, view, row, place, line, right, width, 1, total, bias, size, scale, divisor, room):
                    return False
            first += count
    return True


@merged
def _dot(left: Array, right: Array, products: Array, sizes: Array) -> None:
    """Σ left · right and Σ |left · right|, in the first elements of two rows."""
    n = products.shape[0]
    for t in range(n):
        products[t] = left[t] * right[t]
        sizes[t] = abs(products[t])
    while n > 1:
        half = (n + 1) // 2
        low, high = products[:half], products[half:n]
        low_size, high_size = sizes[:half], sizes[half:n]
        for i in range(high.shape[0]):
            low[i] += high[i]
            low_size[i] += high_size[i]
        n = half


@callee
def sum_products(words: Array, p: int, arena: Array, tables: Array, matrices: Array) -> bool:
    """Sums for few columns, one by one, as `contract`; right matrices are [batches, columns, terms].

    Word 14 is a matrix's elements, or 0 where all columns are one row of ones. False at an operand that is not finite.
    """
    w, view, wide = words[p : p + LENGTH], arena.view(np.float32), arena.view(np.float64)
    batches, rows, terms, columns, width, runs = w[2], w[3], w[4], w[5], w[6], w[9]
    left, products = wide[w[26] : w[26] + terms], wide[w[26] + terms : w[26] + 2 * terms]
    sizes, rest = wide[w[26] + 2 * terms : w[26] + 3 * terms], w[26] + 3 * terms
    sums, norms = wide[rest : rest + columns], wide[rest + width : rest + width + columns]
    bias, room = wide[rest + 2 * width :][:columns], wide[rest + 3 * width :]
    rights = matrices[w[13] :] if w[12] == 1 else wide[w[13] :]
    step = terms if w[14] else 0
    if w[12] == 0:
        for i in range(batches * columns * terms):
            rights[i] = 0.0
        for i in range(batches * columns):
            place = w[16] + i * runs
            load(view, w[15], tables[place : place + runs], w[10], w[17], rights[i * terms : (i + 1) * terms], 1)
    for t in range(terms):
        left[t] = 0.0
    for j in range(columns):
        bias[j] = 0.0
    factor = w[27:28].view(np.float64)[0]
    for row in range(batches * rows):
        right, place = rights[row // rows * w[14] :], w[8] + row * runs
        load(view, w[7], tables[place : place + runs], w[10], w[11], left, 1)
        for j in range(columns):
            _dot(left, right[j * step : j * step + terms], products, sizes)
            sums[j], norms[j] = products[0], sizes[0]
        if w[18] >= 0:
            _load_bias(w, view, tables, row, bias)
        target, divisor = w[23] + tables[w[24] + row], matrices[w[21] + row * w[22]]
        if not _settle(w, view, row, target, left, right, 1, step, sums, bias, norms, factor, divisor, room):
            return False
    return True
