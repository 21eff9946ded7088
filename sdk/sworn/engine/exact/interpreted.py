"""The kernels of `compiled` in numpy and Python alone: the same signatures and the same bits, slower.

Both keep a rounded value only where it is proven, so that they agree although they compute in different ways.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Products held at a time while an element-by-element sum is formed.
_BLOCK_TERMS = 1 << 20
#: Halfway between the greatest float32 and 2**128.
_OVERFLOW = 3.4028235677973366e38


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
    """As `compiled.settle`."""
    error = left_norms[:, :, None] * right_norms[:, None, :]
    error += np.abs(bias)
    error *= factor / divisors[:, None]
    total = sums + bias
    total /= divisors[:, None]
    # The order of multiplications differs from the compiled kernel's: one more rounding, which `factor` has room for.
    return _round(total, error, lower, upper, out[:, first_row : first_row + sums.shape[1]])


def _round(total: Array, error: Array, lower: float, upper: float, out: Array) -> int:
    low = np.clip((total - error).astype(np.float32), np.float32(lower), np.float32(upper))
    high = np.clip((total + error).astype(np.float32), np.float32(lower), np.float32(upper))
    same = low == high
    np.add(low, np.float32(0.0), out=out)
    out[~same] = np.nan
    return int(np.count_nonzero(~same))


def decide(values: Array, error: float, out: Array) -> int:
    """As `compiled.decide`."""
    margin = np.abs(values) * error
    low = (values - margin).astype(np.float32)
    high = (values + margin).astype(np.float32)
    same = (low == high) | np.isinf(values)
    np.add(values.astype(np.float32), np.float32(0.0), out=out)
    out[~same] = np.nan
    return int(np.count_nonzero(~same))


def _indices(axes: Array, flat: Array) -> Array:
    """Output indices [axes, n] of flat elements [n]."""
    o = np.empty((axes.shape[0], flat.shape[0]), dtype=np.int64)
    rest = flat
    for k in range(axes.shape[0] - 1, -1, -1):
        rest, o[k] = np.divmod(rest, axes[k])
    return o


def _counts(o: Array, clips: Array, shifts: Array) -> Array:
    """Which terms count, [n, terms]."""
    counts = np.ones((o.shape[1], shifts.shape[1]), dtype=np.bool_)
    for (axis, step, origin, extent), shift in zip(clips, shifts, strict=True):
        x = o[axis][:, None] * step + origin + shift
        counts &= (x >= 0) & (x < extent)
    return counts


def _terms(tensor: Array, place: Array, terms: Array, *, o: Array, counts: Array) -> Array:
    where = (place[0] + place[1:] @ o)[:, None] + terms
    return tensor[np.where(counts, where, 0)].astype(np.float64)


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
    """As `compiled.sweep`."""
    block = max(1, _BLOCK_TERMS // max(1, left_terms.shape[0]))
    undecided = 0
    for first in range(0, out.shape[0], block):
        o = _indices(axes, np.arange(first, min(first + block, out.shape[0]), dtype=np.int64))
        counts = _counts(o, clips, shifts)
        products = _terms(left, left_place, left_terms, o=o, counts=counts)
        products *= _terms(right, right_place, right_terms, o=o, counts=counts)
        products[~counts] = 0.0
        added = bias[bias_place[0] + bias_place[1:] @ o].astype(np.float64)
        count = np.float64(divisor) if divisor else counts.sum(axis=1).astype(np.float64)
        total = (products.sum(axis=1) + added) / count
        error = (np.abs(products).sum(axis=1) + np.abs(added)) * factor / count
        undecided += _round(total, error, lower, upper, out[first : first + block])
    return undecided


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
    """As `compiled.resolve`."""
    for index in indices:
        o = _indices(axes, np.array([index], dtype=np.int64))
        counts = _counts(o, clips, shifts)
        products = _terms(left, left_place, left_terms, o=o, counts=counts)
        products *= _terms(right, right_place, right_terms, o=o, counts=counts)
        added = bias[bias_place[0] + bias_place[1:] @ o].astype(np.float64)
        terms = [*products[counts].tolist(), *added.tolist()]
        if not all(map(math.isfinite, terms)):
            return int(index)
        value = round_sum(terms, divisor or int(counts.sum()))
        out[index] = np.float32(min(max(value, lower), upper)) + np.float32(0.0)
    return -1


def round_sum(terms: list[float], divisor: int) -> float:
    """RN(Σ terms / divisor), as a float64 that holds a float32.

    `math.fsum` rounds the exact sum once, which also gives the exact sign of what a candidate leaves.
    """
    value = math.fsum(terms) / divisor
    low, high = np.float32(value - abs(value) * 2.0**-50), np.float32(value + abs(value) * 2.0**-50)
    if low == high:
        return float(low)
    middle = float(low) + (float(high) - float(low)) * 0.5
    if np.isinf(low) or np.isinf(high):
        middle = math.copysign(_OVERFLOW, value)
    # Both products are exact: 25 bits times 20, and 25 times the rest.
    side = math.fsum([*terms, -middle * (divisor & 0xFFFFF), -middle * (divisor >> 20 << 20)])
    if side == 0:
        return float(high if low.view(np.int32) & 1 else low)
    return float(high if side > 0 else low)


def descend(
    features: Array,
    starts: Array,
    stride: int,
    tests: Array,
    thresholds: Array,
    children: Array,
    roots: Array,
    out: Array,
) -> None:
    """As `compiled.descend`."""
    compare = (np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal)
    nodes = np.broadcast_to(roots, out.shape).copy()
    while (active := np.nonzero(nodes >= 0))[0].size:
        current = nodes[active]
        values = features[starts[active] + tests[current, 0] * stride]
        taken = np.zeros(current.shape, dtype=np.bool_)
        for mode, test in enumerate(compare):
            chosen = tests[current, 1] == mode
            taken[chosen] = test(values[chosen], thresholds[current[chosen]])
        nodes[active] = np.where(taken, children[current, 0], children[current, 1])
    np.subtract(-1, nodes, out=out, casting="unsafe")
