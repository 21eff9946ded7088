"""Loops that round what float64 has approximated, and exact sums for what that leaves open. For numba to compile."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.engine.exact.jit import compiled, inlined

Array = NDArray[Any]

#: A product of two float32 has its last bit at 2**-298 or above; as a float64 significand it reaches down to 2**-351.
_LIMB_ORIGIN = 352
#: 32 bits each, from 2**-352 to 2**(22 * 32 - 352) = 2**352: 8,193 products and a divisor below 2**40 fit.
_LIMBS = 23
_MASK = 0xFFFFFFFF
#: Halfway between the greatest float32 and 2**128.
_OVERFLOW = 3.4028235677973366e38
_NAN = np.float32(np.nan)


@inlined
def settle_row(
    sums: Array,
    bias: Array,
    norms: Array,
    scale: float,
    factor: float,
    divisor: float,
    lower: float,
    upper: float,
    out: Array,
) -> int:
    """Rounds sums [N] plus ``bias`` into ``out``; returns how many were left as NaN.

    The error of a sum is at most ``scale · norms + factor · |bias|``.
    """
    failed = 0
    for j in range(out.shape[0]):
        total = sums[j] + bias[j]
        error = scale * norms[j] + factor * abs(bias[j])
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
        out[j] = low + np.float32(0.0) if same else _NAN
        failed += 0 if same else 1
    return failed


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
def exact_sum(terms: Array, count: int, divisor: int, scratch: Array) -> float:
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
def refined_sum(terms: Array, count: int, divisor: int) -> float:
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
