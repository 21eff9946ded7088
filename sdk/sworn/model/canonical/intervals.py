"""Proves, before any run, that no kernel meets NaN, an infinity that it must not meet, or an overflow inside a sum.

Each float value has an interval that holds all its elements, whatever the inputs are. Where a step could go wrong
within its operands' intervals, a guard narrows one: it is checked in every run, and a run that fails one is computed
exactly instead, which ends with the right error or the right values. Layers of a network multiply intervals by a
few dozen each, so a guard every ten or twenty layers is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from sworn.model.canonical.guards import Guard, GuardKind
from sworn.model.canonical.peaks import Peaks
from sworn.model.program import Contract, Copy, Function, Lookup, Operand, Pointwise, Program, Space, Step
from sworn.types import DType

Array = NDArray[Any]

#: No sum may come near the greatest float32, 2**128, in any order of its additions.
_SAFE = 2.0**120
#: What a guard lets through: far more than activations are, and far less than what overflows.
_USUAL = 2.0**40
#: A divisor whose reciprocal is far from overflow.
_LEAST_DIVISOR = 2.0**-60
#: Beyond this, exp is near the greatest float32.
_GREATEST_EXPONENT = 80.0
#: Room for the roundings of one step, in either direction.
_ROOM = 1.0 + 2.0**-8
_FLOAT_MAX = 3.4028234663852886e38


class Interval(NamedTuple):
    """Bounds of all elements; infinite where elements may be infinite."""

    low: float
    high: float

    @property
    def reach(self) -> float:
        """The greatest magnitude."""
        return max(abs(self.low), abs(self.high))

    @property
    def is_finite(self) -> bool:
        """Whether no element is infinite."""
        return self.reach < math.inf

    def __or__(self, other: Interval) -> Interval:
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def within(self, low: float, high: float) -> Interval:
        """What is left of it between bounds."""
        return Interval(min(max(self.low, low), high), max(min(self.high, high), low))


ANYTHING = Interval(-math.inf, math.inf)


def _around(low: float, high: float) -> Interval:
    """The interval with room for roundings; infinite beyond the greatest float32."""
    low = low * _ROOM if low < 0 else low / _ROOM
    high = high / _ROOM if high < 0 else high * _ROOM
    return Interval(-math.inf if low < -_FLOAT_MAX else low, math.inf if high > _FLOAT_MAX else high)


class Intervals:
    """Intervals of a program's float values, and the guards that they rest on.

    ``computed`` are the steps that kernels compute; the values of others may be anything but NaN, and those of their
    float contractions are finite.
    """

    def __init__(
        self, program: Program, weights: Sequence[Array], *, computed: frozenset[int], fused: Mapping[int, int]
    ) -> None:
        self._program, self._fused = program, fused
        self._weights = [weight.reshape(-1) for weight in weights]
        self._ranges: dict[int, Interval] = {}
        self._weight_ranges: dict[int, Interval] = {}
        self._peaks = Peaks(program, fused)
        self.guards: list[Guard] = []
        for number, step in enumerate(program.steps):
            if step.output.dtype is DType.FLOAT32:
                value = len(program.inputs) + number
                self._ranges[value] = self._step(number, step) if number in computed else ANYTHING

    def of(self, operand: Operand) -> Interval:
        """The interval of what an operand reads."""
        if operand.space is Space.VALUE:
            return self._ranges.get(operand.tensor, ANYTHING)
        if operand.tensor not in self._weight_ranges:
            weight = self._weights[operand.tensor]
            bounds = Interval(float(weight.min()), float(weight.max())) if weight.size else Interval(0.0, 0.0)
            self._weight_ranges[operand.tensor] = bounds
        return self._weight_ranges[operand.tensor]

    def _guard(self, operand: Operand, kind: GuardKind, limit: float = 0.0) -> Interval:
        """Demands something of a value from here on."""
        known = self.of(operand)
        if operand.space is Space.WEIGHT:
            return known
        self.guards.append(Guard(value=operand.tensor, kind=kind, limit=limit))
        match kind:
            case GuardKind.BOUND:
                known = known.within(-limit, limit)
            case GuardKind.LEAST:
                known = known.within(limit, math.inf)
            case GuardKind.GREATEST:
                known = known.within(-math.inf, limit)
            case _:
                pass
        self._ranges[operand.tensor] = known
        return known

    def _step(self, number: int, step: Step) -> Interval:
        match step.body:
            case Copy() as body:
                sources = [self.of(piece.source) for piece in body.pieces]
                fill = float(np.array(body.fill, dtype=np.uint32).view(np.float32))
                found = Interval(fill, fill) if not sources else sources[0] | Interval(fill, fill)
                for each in sources[1:]:
                    found |= each
                return found
            case Lookup() as body:
                return self.of(body.source)
            case Contract() as body:
                return self._contract(number, body)
            case Pointwise() as body:
                return self._pointwise(number, step, body)
            case _:
                return ANYTHING

    def _bounded(self, operand: Operand, limit: float) -> Interval:
        """The operand's interval, with a guard where it may exceed a limit."""
        known = self.of(operand)
        if known.reach <= limit:
            return known
        return self._guard(operand, GuardKind.BOUND, min(limit, _USUAL))

    def _contract(self, number: int, body: Contract) -> Interval:
        terms = math.prod(r.extent for r in body.reductions)
        if body.right is None:
            gain, sides = float(terms), [body.left]
        elif Space.WEIGHT in (body.left.space, body.right.space):
            is_left = body.left.space is Space.WEIGHT
            gain = self._gain(number, body, is_left=is_left)
            sides = [body.right if is_left else body.left]
        else:
            gain, sides = float(terms), [body.left, body.right]
        limit = _SAFE / max(gain, 1.0) if len(sides) == 1 else math.sqrt(_SAFE / terms)
        known = [self._bounded(side, limit) for side in sides]
        bias = Interval(0.0, 0.0) if body.bias is None else self._bounded(body.bias, _SAFE)
        reach = gain * math.prod(each.reach for each in known)
        low, high = -reach, reach
        if body.right is None:
            counted = 0 if any(r.clip is not None for r in body.reductions) else terms
            low = min(known[0].low * terms, known[0].low * counted)
            high = max(known[0].high * terms, known[0].high * counted)
            low = max(low, self._peaks.least_sum(number, body))
        elif body.left == body.right and all(r.left_stride == r.right_stride for r in body.reductions):
            low = 0.0
        divisor = body.divisor or 1
        found = _around((low + bias.low) / divisor, (high + bias.high) / divisor)
        if body.lower is not None:
            found = found.within(body.lower, math.inf)
        return found if body.upper is None else found.within(-math.inf, body.upper)

    def _gain(self, number: int, body: Contract, *, is_left: bool) -> float:
        """The greatest sum of weights' magnitudes that one element of the result meets."""
        operand = body.left if is_left else body.right
        assert operand is not None, "INVARIANT: a product has a right operand"  # noqa: S101
        axes = self._program.steps[number].axes
        strides = [r.left_stride if is_left else r.right_stride for r in body.reductions]
        pairs = [(size, stride) for size, stride in zip(axes, operand.strides, strict=True) if stride and size > 1]
        moving = [(r.extent, stride) for r, stride in zip(body.reductions, strides, strict=True) if stride]
        still = math.prod(r.extent for r, stride in zip(body.reductions, strides, strict=True) if not stride)
        weight = self._weights[operand.tensor]
        size = weight.itemsize
        if any(r.clip is not None and stride == 0 for r, stride in zip(body.reductions, strides, strict=True)):
            return float(np.abs(weight).max()) * math.prod(r.extent for r in body.reductions)
        seen = as_strided(
            weight[operand.offset :],
            shape=[extent for extent, _ in (*pairs, *moving)],
            strides=[stride * size for _, stride in (*pairs, *moving)],
            writeable=False,
        )
        sums = np.abs(seen).sum(axis=tuple(range(len(pairs), len(pairs) + len(moving))), dtype=np.float64)
        return float(sums.max()) * still

    def _pointwise(self, number: int, step: Step, body: Pointwise) -> Interval:
        known = [self.of(operand) for operand in body.operands]
        found = _RULES[body.function](self, number, body, known)
        if math.isnan(found.low) or math.isnan(found.high):
            return self._settle(number, body, known)
        return found

    def _settle(self, number: int, body: Pointwise, known: list[Interval]) -> Interval:
        """What to do where operands may meet as ∞ − ∞ or 0 · ∞: they must be ordinary."""
        for operand, interval in zip(body.operands, known, strict=True):
            if not interval.is_finite:
                self._guard(operand, GuardKind.BOUND, _USUAL)
        found = _RULES[body.function](self, number, body, [self.of(operand) for operand in body.operands])
        if not math.isnan(found.low):
            return found
        self.guards.append(Guard(value=len(self._program.inputs) + number, kind=GuardKind.NUMBER))
        return ANYTHING

    def divisor(self, operand: Operand) -> Interval:
        """The interval of a divisor, which is kept away from zero."""
        known = self.of(operand)
        if known.low > 0 or known.high < 0:
            return known
        if known.low >= 0:
            return self._guard(operand, GuardKind.LEAST, _LEAST_DIVISOR)
        if operand.space is Space.VALUE:
            self._guard(operand, GuardKind.APART, _LEAST_DIVISOR)
        return known

    def least_magnitude(self, operand: Operand) -> float:
        """A lower bound of a divisor's magnitude, after `divisor`."""
        known = self.of(operand)
        if known.low > 0 or known.high < 0:
            return min(abs(known.low), abs(known.high))
        return _LEAST_DIVISOR if operand.space is Space.VALUE else float(np.abs(self._weights[operand.tensor]).min())

    def least(self, operand: Operand, limit: float) -> Interval:
        """The interval of an operand that must not be less than a limit."""
        known = self.of(operand)
        return known if known.low >= limit else self._guard(operand, GuardKind.LEAST, limit)

    def greatest(self, operand: Operand, limit: float) -> Interval:
        """The interval of an operand that must not be greater than a limit."""
        known = self.of(operand)
        return known if known.high <= limit else self._guard(operand, GuardKind.GREATEST, limit)

    def difference(self, number: int, found: Interval) -> Interval:
        """The interval of a difference, which is at most 0 where the greatest of a row is taken away."""
        return found.within(-math.inf, 0.0) if self._peaks.is_below_peak(number) else found


_Rule = Callable[[Intervals, int, Pointwise, list[Interval]], Interval]


def _corners(left: Interval, right: Interval) -> Interval:
    values = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
    if any(math.isnan(value) for value in values):
        return Interval(math.nan, math.nan)
    inner = [interval for interval in (left, right) if interval.low < 0 < interval.high]
    if inner and not (left.is_finite and right.is_finite):
        # 0 lies inside one of them, and an infinity may be in the other.
        return Interval(math.nan, math.nan)
    return _around(min(values), max(values))


def _quotient(rule: Intervals, _: int, body: Pointwise, known: list[Interval]) -> Interval:
    right = rule.divisor(body.operands[1])
    left = known[0]
    least = rule.least_magnitude(body.operands[1])
    if least == 0:
        return Interval(math.nan, math.nan)
    if not left.is_finite and not right.is_finite:
        return Interval(math.nan, math.nan)
    low = 0.0 if left.low >= 0 and right.low > 0 else -math.inf
    reach = _around(0.0, left.reach / least).high
    return Interval(max(low, -reach), reach)


def _exponential(rule: Intervals, _: int, body: Pointwise, _known: list[Interval]) -> Interval:
    known = rule.greatest(body.operands[0], _GREATEST_EXPONENT)
    return _around(0.0, math.exp(known.high))


def _logarithm(rule: Intervals, _: int, body: Pointwise, _known: list[Interval]) -> Interval:
    known = rule.least(body.operands[0], _LEAST_DIVISOR)
    return _around(min(math.log(known.low), -1.0), math.inf if known.high == math.inf else math.log(known.high) + 1.0)


def _root(rule: Intervals, _: int, body: Pointwise, _known: list[Interval]) -> Interval:
    known = rule.least(body.operands[0], 0.0)
    return _around(math.sqrt(max(known.low, 0.0)), math.sqrt(max(known.high, 0.0)))


def _sum(rule: Intervals, number: int, body: Pointwise, known: list[Interval]) -> Interval:
    left, right = known
    if body.function is Function.SUB:
        right = Interval(-right.high, -right.low)
    meets = (left.low == -math.inf and right.high == math.inf) or (left.high == math.inf and right.low == -math.inf)
    if meets:
        return Interval(math.nan, math.nan)
    found = _around(left.low + right.low, left.high + right.high)
    return rule.difference(number, found) if body.function is Function.SUB else found


def _magnitude(_rule: Intervals, _: int, _body: Pointwise, known: list[Interval]) -> Interval:
    low = 0.0 if known[0].low < 0 < known[0].high else min(abs(known[0].low), abs(known[0].high))
    return Interval(low, known[0].reach)


def _sloped(rule: Intervals, _: int, body: Pointwise, known: list[Interval]) -> Interval:
    slope = Interval(body.alpha, body.alpha) if len(known) == 1 else known[1]
    found = _corners(known[0], slope)
    return found if math.isnan(found.low) else found | known[0]


def _fixed(low: float, high: float) -> _Rule:
    return lambda *_: Interval(low, high)


def _least_of(*intervals: Interval) -> Interval:
    return Interval(min(each.low for each in intervals), min(each.high for each in intervals))


def _greatest_of(*intervals: Interval) -> Interval:
    return Interval(max(each.low for each in intervals), max(each.high for each in intervals))


_RULES: Mapping[Function, _Rule] = {
    Function.ADD: _sum,
    Function.SUB: _sum,
    Function.MUL: lambda _r, _n, _b, known: _corners(known[0], known[1]),
    Function.DIV: _quotient,
    Function.MIN: lambda _r, _n, _b, known: _least_of(*known),
    Function.MAX: lambda _r, _n, _b, known: _greatest_of(*known),
    Function.NEG: lambda _r, _n, _b, known: Interval(-known[0].high, -known[0].low),
    Function.ABS: _magnitude,
    Function.SQRT: _root,
    Function.RECIPROCAL: lambda rule, n, body, _known: _quotient(
        rule, n, Pointwise(function=Function.DIV, operands=(body.operands[0],) * 2), [Interval(1.0, 1.0)] * 2
    ),
    Function.FLOOR: lambda _r, _n, _b, known: Interval(known[0].low - 1.0, known[0].high + 1.0),
    Function.CEIL: lambda _r, _n, _b, known: Interval(known[0].low - 1.0, known[0].high + 1.0),
    Function.ROUND: lambda _r, _n, _b, known: Interval(known[0].low - 1.0, known[0].high + 1.0),
    Function.EXP: _exponential,
    Function.LOG: _logarithm,
    Function.TANH: _fixed(-1.01, 1.01),
    Function.SIGMOID: _fixed(0.0, 1.01),
    Function.ERF: _fixed(-1.01, 1.01),
    Function.RELU: lambda _r, _n, _b, known: known[0].within(0.0, math.inf),
    Function.CLIP: lambda _r, _n, body, known: known[0].within(body.alpha, body.beta),
    Function.LEAKY_RELU: _sloped,
    Function.PRELU: _sloped,
    Function.WHERE: lambda _r, _n, _b, known: known[1] | known[2],
    Function.CAST: _fixed(-(2.0**65), 2.0**65),
    Function.DEQUANTIZE: lambda _r, _n, _b, known: _corners(Interval(-(2.0**9), 2.0**9), known[1]),
}


#: Functions whose results have no range that matters.
_UNRANGED = frozenset(
    {
        Function.EQUAL,
        Function.LESS,
        Function.LESS_OR_EQUAL,
        Function.GREATER,
        Function.GREATER_OR_EQUAL,
        Function.AND,
        Function.OR,
        Function.XOR,
        Function.NOT,
        Function.QUANTIZE,
    }
)


def is_covered(function: Function) -> bool:
    """Whether the ranges of a function's results are known."""
    return function in _RULES or function in _UNRANGED
