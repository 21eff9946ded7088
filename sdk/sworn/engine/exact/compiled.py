"""Loops that numba compiles: bounds, rounding tests and exact sums. `interpreted` gives the same bits without it.

Nothing here depends on the order of additions, on fused multiply-add or on vector width: a rounded value is kept only
where an interval that provably holds the exact one rounds to it, and is computed in integers otherwise.
Module of plain functions; `sworn.engine.exact.kernels` compiles them when they are first needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.compiled_rounding import decide, exact_sum, refined_sum, settle_row
from sworn.engine.exact.compiled_trees import descend
from sworn.engine.exact.jit import compiled, inlined

__all__ = ["decide", "descend", "resolve", "settle", "sweep"]

Array = NDArray[Any]

_NAN = np.float32(np.nan)


@compiled
def settle(
    sums: Array,
    left_norms: Array,
    right_norms: Array,
    bias: Array,
    divisors: Array,
    factor: float,
    lower: float,
    upper: float,
    out: Array,
    first_row: int,
) -> int:
    """Rounds approximate sums [B, m, N] into rows of ``out`` [B, M, N]; returns how many were left as NaN.

    ``bias`` is [1 or B, 1 or m, N], ``divisors`` [1 or m]; the error of a sum is at most
    ``factor · (left_norm · right_norm + |bias|)``.
    """
    undecided = 0
    batches, rows, _ = sums.shape
    for b in range(batches):
        for i in range(rows):
            bias_row = bias[b if bias.shape[0] > 1 else 0, i if bias.shape[1] > 1 else 0]
            divisor = divisors[i if divisors.shape[0] > 1 else 0]
            target = out[b, first_row + i]
            scale = factor * left_norms[b, i]
            undecided += settle_row(sums[b, i], bias_row, right_norms[b], scale, factor, divisor, lower, upper, target)
    return undecided


@compiled
def _counts(o: Array, clips: Array, shifts: Array, t: int) -> bool:
    for j in range(clips.shape[0]):
        x = o[clips[j, 0]] * clips[j, 1] + clips[j, 2] + shifts[j, t]
        if x < 0 or x >= clips[j, 3]:
            return False
    return True


@compiled
def _advance(o: Array, axes: Array, last: int) -> None:
    k = last
    while k >= 0:
        o[k] += 1
        if o[k] < axes[k]:
            return
        o[k] = 0
        k -= 1


@compiled
def _base(o: Array, place: Array) -> int:
    index = place[0]
    for k in range(o.shape[0]):
        index += place[k + 1] * o[k]
    return int(index)


@inlined
def _round_row(
    sums: Array, sizes: Array, scale: float, factor: float, lower: float, upper: float, target: Array
) -> int:
    undecided = 0
    for i in range(target.shape[0]):
        # Multiplying by the rounded inverse costs one unit more than dividing.
        total, error = sums[i] * scale, factor * sizes[i] * scale
        low = np.float32(total - error)
        high = np.float32(total + error)
        low = np.float32(lower) if low < lower else low
        high = np.float32(lower) if high < lower else high
        low = np.float32(upper) if low > upper else low
        high = np.float32(upper) if high > upper else high
        same = low == high
        target[i] = low + np.float32(0.0) if same else _NAN
        undecided += 0 if same else 1
    return undecided


@compiled
def sweep(
    axes: Array,
    left: Array,
    left_place: Array,
    left_terms: Array,
    right: Array,
    right_place: Array,
    right_terms: Array,
    bias: Array,
    bias_place: Array,
    clips: Array,
    shifts: Array,
    divisor: int,
    factor: float,
    lower: float,
    upper: float,
    out: Array,
) -> int:
    """Sums term by term, the last axis innermost, which no clip may name; returns how many elements are left as NaN."""
    depth = axes.shape[0] - 1
    width = axes[depth]
    left_step, right_step, bias_step = left_place[depth + 1], right_place[depth + 1], bias_place[depth + 1]
    sums, sizes = np.empty(width), np.empty(width)
    o = np.zeros(depth + 1, dtype=np.int64)
    undecided = 0
    for first in range(0, out.shape[0], width):
        left_base, right_base, bias_base = _base(o, left_place), _base(o, right_place), _base(o, bias_place)
        for i in range(width):
            sums[i] = np.float64(bias[bias_base + i * bias_step])
            sizes[i] = abs(sums[i])
        counted = 0
        for t in range(left_terms.shape[0]):
            if _counts(o, clips, shifts, t):
                counted += 1
                left_first, right_first = left_base + left_terms[t], right_base + right_terms[t]
                # Slices and their loops from 0 are what LLVM makes vectors of.
                left_row, right_row = left[left_first:], right[right_first:]
                if left_step == 1 and right_step == 1:
                    for i in range(width):
                        product = np.float64(left_row[i]) * np.float64(right_row[i])
                        sums[i] += product
                        sizes[i] += abs(product)
                elif left_step == 1 and right_step == 0:
                    for i in range(width):
                        product = np.float64(left_row[i]) * np.float64(right_row[0])
                        sums[i] += product
                        sizes[i] += abs(product)
                else:
                    for i in range(width):
                        product = np.float64(left[left_first + i * left_step])
                        product *= np.float64(right[right_first + i * right_step])
                        sums[i] += product
                        sizes[i] += abs(product)
        scale = 1.0 / np.float64(divisor if divisor else counted)
        undecided += _round_row(sums, sizes, scale, factor, lower, upper, out[first : first + width])
        _advance(o, axes, depth - 1)
    return undecided


@compiled
def resolve(
    indices: Array,
    axes: Array,
    left: Array,
    left_place: Array,
    left_terms: Array,
    right: Array,
    right_place: Array,
    right_terms: Array,
    bias: Array,
    bias_place: Array,
    clips: Array,
    shifts: Array,
    divisor: int,
    lower: float,
    upper: float,
    out: Array,
) -> int:
    """Writes the correctly rounded elements at flat ``indices``; returns the first with an infinite operand, or -1."""
    length = left_terms.shape[0]
    terms, scratch = np.empty(length + 1), np.empty(1)
    o = np.zeros(axes.shape[0], dtype=np.int64)
    for n in range(indices.shape[0]):
        rest = indices[n]
        for k in range(axes.shape[0] - 1, -1, -1):
            o[k] = rest % axes[k]
            rest //= axes[k]
        left_base, right_base = _base(o, left_place), _base(o, right_place)
        count = 0
        for t in range(length):
            if _counts(o, clips, shifts, t):
                product = np.float64(left[left_base + left_terms[t]]) * np.float64(right[right_base + right_terms[t]])
                if not np.isfinite(product):
                    return int(indices[n])
                terms[count] = product
                count += 1
        quotient = divisor if divisor else count
        terms[count] = np.float64(bias[_base(o, bias_place)])
        if not np.isfinite(terms[count]):
            return int(indices[n])
        value = refined_sum(terms, count + 1, quotient)
        if np.isnan(value):
            value = exact_sum(terms, count + 1, quotient, scratch)
        value = lower if value < lower else value
        value = upper if value > upper else value
        out[indices[n]] = np.float32(value) + np.float32(0.0)
    return -1
