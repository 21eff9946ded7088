"""Loops that numba compiles: bounds, rounding tests and exact sums. `interpreted` gives the same bits without it.

Nothing here depends on the order of additions, on fused multiply-add or on vector width: a rounded value is kept only
where an interval that provably holds the exact one rounds to it, and is computed in integers otherwise.
Module of plain functions; `sworn.engine.exact.kernels` compiles them when they are first needed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.compiled_trees import descend
from sworn.engine.exact.jit import compiled, inlined

__all__ = ["decide", "descend", "resolve", "settle", "sweep"]

Array = NDArray[Any]

#: A product of two float32 has its last bit at 2**-298 or above; as a float64 significand it reaches down to 2**-351.
_LIMB_ORIGIN = 352
#: 32 bits each, from 2**-352 to 2**(22 * 32 - 352) = 2**352: 8,193 products and a divisor below 2**40 fit.
_LIMBS = 23
_MASK = 0xFFFFFFFF
#: Halfway between the greatest float32 and 2**128.
_OVERFLOW = 3.4028235677973366e38
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
    batches, rows, columns = sums.shape
    for b in range(batches):
        for i in range(rows):
            bias_row = bias[b if bias.shape[0] > 1 else 0, i if bias.shape[1] > 1 else 0]
            divisor = divisors[i if divisors.shape[0] > 1 else 0]
            row = sums[b, i]
            target = out[b, first_row + i]
            norms = right_norms[b]
            scale = factor * left_norms[b, i]
            failed = 0
            for j in range(columns):
                total = row[j] + bias_row[j]
                error = scale * norms[j] + factor * abs(bias_row[j])
                if divisor != 1.0:
                    total /= divisor
                    error /= divisor
                low = np.float32(total - error)
                high = np.float32(total + error)
                low = np.float32(lower) if low < lower else low
                high = np.float32(lower) if high < lower else high
                low = np.float32(upper) if low > upper else low
                high = np.float32(upper) if high > upper else high
                same = low == high
                target[j] = low + np.float32(0.0) if same else _NAN
                failed += 0 if same else 1
            undecided += failed
    return undecided


@compiled
def decide(values: Array, error: float, out: Array) -> int:
    """Rounds approximations [n] of relative error ``error``; returns how many were left as NaN."""
    undecided = 0
    for i in range(values.shape[0]):
        value = values[i]
        margin = abs(value) * error
        low = np.float32(value - margin)
        high = np.float32(value + margin)
        # A value that is infinite already has an infinite margin, and stands.
        same = low == high or abs(value) == np.inf
        out[i] = np.float32(value) + np.float32(0.0) if same else _NAN
        undecided += 0 if same else 1
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
def _add_scaled(limbs: Array, value: float, scratch: Array) -> None:
    """Adds a float64 to a fixed-point number without error."""
    scratch[0] = value
    word = scratch.view(np.int64)[0]
    exponent = (word >> 52) & 0x7FF
    if exponent == 0:
        return
    significand = (word & 0xFFFFFFFFFFFFF) | 0x10000000000000
    place = exponent - 1075 + _LIMB_ORIGIN
    index, shift = place >> 5, place & 31
    low = np.uint64(significand & _MASK) << np.uint64(shift)
    high = (significand >> 32) << shift
    parts = (np.int64(low & np.uint64(_MASK)), np.int64(low >> np.uint64(32)) + (high & _MASK), high >> 32)
    sign = -1 if word < 0 else 1
    limbs[index] += sign * parts[0]
    limbs[index + 1] += sign * parts[1]
    limbs[index + 2] += sign * parts[2]


@compiled
def _carry(limbs: Array) -> int:
    """Brings all limbs but the highest into 0 … 2**32 - 1; returns the number's sign."""
    for i in range(_LIMBS - 1):
        limbs[i + 1] += limbs[i] >> 32
        limbs[i] &= _MASK
    if limbs[_LIMBS - 1] < 0:
        return -1
    for i in range(_LIMBS):
        if limbs[i] != 0:
            return 1
    return 0


@compiled
def _approximate(limbs: Array, sign: int) -> float:
    """The number, to within 2**-60 of its size; limbs as `_carry` leaves them."""
    magnitude = limbs.copy()
    if sign < 0:
        for i in range(_LIMBS):
            magnitude[i] = -magnitude[i]
        _carry(magnitude)
    top = _LIMBS - 1
    while top > 2 and magnitude[top] == 0:
        top -= 1
    value = np.float64(magnitude[top]) * 4294967296.0 + np.float64(magnitude[top - 1])
    value += np.float64(magnitude[top - 2]) / 4294967296.0
    return float(sign * math.ldexp(value, 32 * (top - 1) - _LIMB_ORIGIN))


@compiled
def _exact(terms: Array, count: int, divisor: int, scratch: Array) -> float:
    """RN(Σ terms / divisor) in integers, as a float64 that holds a float32."""
    limbs = np.zeros(_LIMBS, dtype=np.int64)
    for t in range(count):
        _add_scaled(limbs, terms[t], scratch)
    sign = _carry(limbs)
    if sign == 0:
        return 0.0
    value = _approximate(limbs, sign) / divisor
    low, high = np.float32(value - abs(value) * 2.0**-50), np.float32(value + abs(value) * 2.0**-50)
    if low == high:
        return float(low)
    middle = float(low) + (float(high) - float(low)) * 0.5
    if abs(low) == np.inf or abs(high) == np.inf:
        middle = -_OVERFLOW if value < 0 else _OVERFLOW
    # Whatever the divisor's size, both products are exact: 25 bits times 20, and 25 times the rest.
    _add_scaled(limbs, -middle * (divisor & 0xFFFFF), scratch)
    _add_scaled(limbs, -middle * (divisor >> 20 << 20), scratch)
    side = _carry(limbs)
    if side == 0:
        # The even neighbour: of the greatest float32 and infinity that is infinity, as IEEE 754 says.
        word = np.float32(low)
        scratch[0] = np.float64(word)
        last = (scratch.view(np.int64)[0] >> 29) & 1
        if abs(word) < 2.0**-126:
            last = np.int64(abs(np.float64(word)) * 2.0**149) & 1
        if abs(word) == np.inf:
            last = 0
        return float(high if last else low)
    return float(high if side > 0 else low)


@compiled
def _refine(terms: Array, count: int, divisor: int) -> float:
    """RN(Σ terms / divisor) where compensated summation decides it, else NaN.

    With σ the sum of the additions' errors, the exact sum differs from s + σ by at most γ²·Σ|terms|, γ = n·2**-53
    (Ogita, Rump, Oishi 2005); the bound is taken twice as large.
    """
    total = compensation = size = noise = 0.0
    for t in range(count):
        term = terms[t]
        new = total + term
        part = new - total
        lost = (total - (new - part)) + (term - part)
        compensation += lost
        noise += abs(lost)
        size += abs(term)
        total = new
    if noise == 0.0 and divisor == 1:
        return float(np.float32(total))
    value = (total + compensation) / divisor
    error = 2.0**-51 * abs(value) + 2.0**-105 * count * count * size / divisor
    low, high = np.float32(value - error), np.float32(value + error)
    return float(low) if low == high else np.nan


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
        value = _refine(terms, count + 1, quotient)
        if np.isnan(value):
            value = _exact(terms, count + 1, quotient, scratch)
        value = lower if value < lower else value
        value = upper if value > upper else value
        out[indices[n]] = np.float32(value) + np.float32(0.0)
    return -1
