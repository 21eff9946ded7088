"""Sums of products: exact, then one rounding."""

from __future__ import annotations

from collections.abc import Sequence

from sworn.errors import ModelMalformed, RunNotFinite
from sworn.model.program import MAX_TERMS, Contract
from sworn.referee import integers
from sworn.referee.arithmetic import clamp
from sworn.referee.elements import Element
from sworn.referee.floats import (
    LEAST_EXPONENT,
    SIGN,
    decode,
    from_parameter,
    round_dyadic,
    round_quotient,
)
from sworn.types import DType

_BYTES = frozenset({DType.UINT8, DType.INT8})
#: Sums of two exponent fields, less one each: 2 · 253 at most.
_BINS = 512


def contract(element: Element, body: Contract) -> int:
    """clamp(RN((Σ left · right + bias) / divisor)), or the wrapped sum of integers.

    Raises `RunNotFinite` for a NaN or infinite operand, `ModelMalformed` for a contradiction or a mean of nothing.
    """
    extents = 1
    for reduction in body.reductions:
        extents *= reduction.extent
    if extents > MAX_TERMS:
        raise ModelMalformed(f"a contraction of {extents} terms is longer than {MAX_TERMS}")
    terms = element.window(body.reductions)
    base = element.base(body.left)
    left = element.gather(body.left.space, body.left.tensor, [base + term[1] for term in terms])
    right = None
    if body.right is not None:
        base = element.base(body.right)
        right = element.gather(body.right.space, body.right.tensor, [base + term[2] for term in terms])
    if element.step.output.dtype is DType.FLOAT32:
        return _float_sum(element, body, left, right)
    return _integer_sum(element, body, left, right)


def _float_sum(element: Element, body: Contract, left: Sequence[int], right: Sequence[int] | None) -> int:
    operands = [operand for operand in (body.left, body.right, body.bias) if operand is not None]
    if any(element.dtype(operand) is not DType.FLOAT32 for operand in operands) or body.left_zero or body.right_zero:
        raise ModelMalformed("a float32 contraction has operands of another type, or zero points")
    if body.divisor < 0:
        raise ModelMalformed("a contraction has a negative divisor")
    exponent = LEAST_EXPONENT if right is None else 2 * LEAST_EXPONENT
    total = _sum(left) if right is None else _sum_of_products(left, right)
    if body.bias is not None:
        significand, place = decode(element.bits(body.bias))
        total += significand << place - exponent
    divisor = body.divisor or len(left)
    if divisor == 0:
        raise ModelMalformed("no term counts in a mean")
    bits = round_dyadic(total, exponent) if divisor == 1 else round_quotient(total, divisor, exponent)
    lower = from_parameter(float("-inf") if body.lower is None else body.lower)
    upper = from_parameter(float("inf") if body.upper is None else body.upper)
    return clamp(bits, lower, upper)


def _sum(values: Sequence[int]) -> int:
    """The exact sum of floats, in units of 2**`LEAST_EXPONENT`."""
    total = 0
    for significand, exponent in map(decode, values):
        total += significand << exponent - LEAST_EXPONENT
    return total


def _sum_of_products(left: Sequence[int], right: Sequence[int]) -> int:
    """The exact sum of products of floats, in units of 2**(2 · `LEAST_EXPONENT`).

    Products of equal scale are added up before they are aligned: one wide addition per scale, not per term.
    """
    bins = [0] * _BINS
    for a, b in zip(left, right, strict=True):
        p, q = a >> 23 & 0xFF, b >> 23 & 0xFF
        if p == 0xFF or q == 0xFF:
            raise RunNotFinite("an operand of a contraction is infinite or NaN")
        # A subnormal has no leading one and the scale of the least normal: exponent field 1, here 0.
        x, y = a & 0x7FFFFF, b & 0x7FFFFF
        if p:
            x, p = x | 0x800000, p - 1
        if q:
            y, q = y | 0x800000, q - 1
        bins[p + q] += -x * y if (a ^ b) & SIGN else x * y
    return sum(value << scale for scale, value in enumerate(bins) if value)


def _integer_sum(element: Element, body: Contract, left: Sequence[int], right: Sequence[int] | None) -> int:
    output = element.step.output.dtype
    if output is not DType.INT32 or body.divisor != 1 or body.lower is not None or body.upper is not None:
        raise ModelMalformed(f"a contraction to {output.name} with divisor {body.divisor} or bounds is not defined")
    factors_of = [body.left] if body.right is None else [body.left, body.right]
    taken = _BYTES | {DType.INT32} if body.right is None else _BYTES
    if any(element.dtype(operand) not in taken for operand in factors_of):
        raise ModelMalformed("a contraction of integers has operands that are no bytes")
    if body.bias is not None and element.dtype(body.bias) is not DType.INT32:
        raise ModelMalformed("a contraction of integers has a bias that is not int32")
    total = 0 if body.bias is None else integers.decode(element.bits(body.bias), element.dtype(body.bias))
    values = [integers.decode(bits, element.dtype(body.left)) - body.left_zero for bits in left]
    if body.right is None or right is None:
        return integers.wrap(total + sum(values), output)
    dtype = element.dtype(body.right)
    factors = [integers.decode(bits, dtype) - body.right_zero for bits in right]
    return integers.wrap(total + sum(map(int.__mul__, values, factors)), output)
