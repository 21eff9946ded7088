"""Sums of products: exact, then one rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Self

from sworn.errors import ModelMalformed, RunNotFinite
from sworn.model.program import MAX_TERMS, Contract
from sworn.referee import integers
from sworn.referee.arithmetic import clamp
from sworn.referee.elements import Element
from sworn.referee.floats import (
    INFINITY,
    LEAST_EXPONENT,
    MAGNITUDE,
    SIGN,
    ZERO,
    decode,
    from_parameter,
    round_dyadic,
    round_quotient,
    sum_dyadic,
)
from sworn.types import DType

_BYTES = frozenset({DType.UINT8, DType.INT8})
#: Sums of two exponent fields, less one each: 2 · 253 at most.
_BINS = 512


def contract(element: Element, body: Contract) -> int:
    """clamp(RN((Σ left · right + bias) / divisor)), or the wrapped sum of integers.

    Raises `RunNotFinite` for a NaN or infinite operand, `ModelMalformed` for a contradiction or a mean of nothing.
    """
    if element.step.output.dtype is not DType.FLOAT32:
        return _integer_sum(element, body, *_terms(element, body))
    terms = FloatTerms.of(element, body)
    total, exponent = terms.total()
    bits = round_dyadic(total, exponent) if terms.divisor == 1 else round_quotient(total, terms.divisor, exponent)
    return clamp(bits, *float_bounds(body))


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatTerms:
    """What one element of a float contraction is the sum of, as bits; all are finite."""

    left: Sequence[int]
    #: None where the terms are ``left`` alone.
    right: Sequence[int] | None
    bias: int
    #: Positive.
    divisor: int

    @classmethod
    def of(cls, element: Element, body: Contract) -> Self:
        """Raises `RunNotFinite` for a NaN or infinite operand, `ModelMalformed` for a contradiction."""
        left, right = _terms(element, body)
        operands = [operand for operand in (body.left, body.right, body.bias) if operand is not None]
        if any(element.dtype(operand) is not DType.FLOAT32 for operand in operands):
            raise ModelMalformed("a float32 contraction has operands of another type")
        if body.left_zero or body.right_zero or body.divisor < 0:
            raise ModelMalformed("a float32 contraction has zero points, or a negative divisor")
        divisor = body.divisor or len(left)
        if divisor == 0:
            raise ModelMalformed("no term counts in a mean")
        bias = ZERO if body.bias is None else element.bits(body.bias)
        if any(bits & INFINITY == INFINITY for bits in (*left, *(right or ()), bias)):
            raise RunNotFinite("an operand of a contraction is infinite or NaN")
        return cls(left=left, right=right, bias=bias, divisor=divisor)

    def total(self) -> tuple[int, int]:
        """Σ left · right + bias, exactly, as significand and exponent."""
        found = _sum(self.left) if self.right is None else _sum_of_products(self.left, self.right)
        return sum_dyadic(found, decode(self.bias))

    def sizes(self) -> Self:
        """The same terms without their signs."""
        right = None if self.right is None else [bits & MAGNITUDE for bits in self.right]
        return replace(self, left=[bits & MAGNITUDE for bits in self.left], right=right, bias=self.bias & MAGNITUDE)


def float_bounds(body: Contract) -> tuple[int, int]:
    """The bits of the clamp of a float contraction; infinities where there is none."""
    lower = from_parameter(float("-inf") if body.lower is None else body.lower)
    return lower, from_parameter(float("inf") if body.upper is None else body.upper)


def longest_sum(body: Contract) -> int:
    """The number of all terms, those that do not count among them. Raises `ModelMalformed` beyond `MAX_TERMS`."""
    extents = prod(reduction.extent for reduction in body.reductions)
    if extents > MAX_TERMS:
        raise ModelMalformed(f"a contraction of {extents} terms is longer than {MAX_TERMS}")
    return extents


def _terms(element: Element, body: Contract) -> tuple[Sequence[int], Sequence[int] | None]:
    """The bits of both operands where they count."""
    longest_sum(body)
    terms = element.window(body.reductions)
    base = element.base(body.left)
    left = element.gather(body.left.space, body.left.tensor, [base + term[1] for term in terms])
    if body.right is None:
        return left, None
    base = element.base(body.right)
    return left, element.gather(body.right.space, body.right.tensor, [base + term[2] for term in terms])


def _sum(values: Sequence[int]) -> tuple[int, int]:
    """The exact sum of floats."""
    total = 0
    for significand, exponent in map(decode, values):
        total += significand << exponent - LEAST_EXPONENT
    return total, LEAST_EXPONENT


def _sum_of_products(left: Sequence[int], right: Sequence[int]) -> tuple[int, int]:
    """The exact sum of products of finite floats.

    Products of equal scale are added up before they are aligned: one wide addition per scale, not per term.
    """
    bins = [0] * _BINS
    for a, b in zip(left, right, strict=True):
        # A subnormal has no leading one and the scale of the least normal: exponent field 1, here 0.
        p, q = a >> 23 & 0xFF, b >> 23 & 0xFF
        x, y = a & 0x7FFFFF, b & 0x7FFFFF
        if p:
            x, p = x | 0x800000, p - 1
        if q:
            y, q = y | 0x800000, q - 1
        bins[p + q] += -x * y if (a ^ b) & SIGN else x * y
    return sum(value << scale for scale, value in enumerate(bins) if value), 2 * LEAST_EXPONENT


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
