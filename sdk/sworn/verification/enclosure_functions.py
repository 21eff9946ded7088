"""Spans of numbers, and what functions of one to three elements make of them; always outwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from sworn.model.program import Function, Pointwise
from sworn.referee.tolerances import TOLERANCES
from sworn.types import DType
from sworn.verification.slack_contractions import LEAST, UNIT
from sworn.verification.slack_functions import real_value
from sworn.verification.slack_runs import tolerance

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The least and the greatest that each element can be, float64; never NaN once `limited`."""

    low: Array
    high: Array

    @classmethod
    def point(cls, array: Array) -> Self:
        """What is known."""
        flat = array.reshape(-1).astype(np.float64)
        return cls(low=flat, high=flat)

    @property
    def is_point(self) -> bool:
        """Whether every element is known."""
        return bool(np.array_equal(self.low, self.high))

    @property
    def centre(self) -> Array:
        """Half-way."""
        return np.asarray(self.low * 0.5 + self.high * 0.5)

    @property
    def size(self) -> Array:
        """The greatest magnitude."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    @property
    def radius(self) -> Array:
        """How far either end is from the centre, at least; 0 where the element is known."""
        centre = self.centre
        reach = np.maximum(self.high - centre, centre - self.low) * (1.0 + 2.0**-50)
        return np.where(self.low == self.high, 0.0, reach)


#: Functions of one element that never fall, or never rise, with it, at least where it is not negative.
_MONOTONE: Final = frozenset(
    {
        *(Function.EXP, Function.LOG, Function.TANH, Function.SIGMOID, Function.ERF, Function.SOFTPLUS),
        Function.HARD_SIGMOID,
    }
)
#: Integers up to here are themselves in float64, with room for a step.
_EXACT: Final = 2.0**52


def applied(body: Pointwise, operands: Sequence[Span], output: DType, *, is_square: bool) -> Span | None:
    """The span of a function; None where nothing is known about it. ``is_square``: the operands are one."""
    if body.function in TOLERANCES and output is DType.FLOAT32:
        return _tolerated(body, operands[0])
    if body.function is Function.MUL and is_square:
        size = _size(operands, body)
        square = Span(low=np.square(size.low), high=np.square(size.high))
        return _rounded(square) if output is DType.FLOAT32 else square
    rule = _RULES.get(body.function)
    if body.function is Function.CAST:
        return _cast(operands[0], output)
    if rule is None:
        return None
    found = rule(operands, body)
    if output is not DType.FLOAT32:
        # Quotients of integers are cut off.
        return Span(low=np.floor(found.low), high=np.ceil(found.high))
    return _rounded(found)


def limited(span: Span | None, output: DType, elements: int) -> Span:
    """The same within what a type holds; all of that where nothing is known."""
    least, most = -np.inf, np.inf
    if output is DType.BOOL:
        least, most = 0.0, 1.0
    elif output is not DType.FLOAT32:
        info = np.iinfo(output.numpy)
        least, most = float(info.min), float(info.max)
    if span is None:
        return Span(low=np.full(elements, least), high=np.full(elements, most))
    unknown = np.isnan(span.low) | np.isnan(span.high)
    if output is not DType.FLOAT32:
        # What wraps may be anything, and so may what float64 cannot hold.
        unknown |= (span.low < least) | (span.high > most)
        unknown |= (np.abs(span.low) > _EXACT) | (np.abs(span.high) > _EXACT)
    return Span(low=np.where(unknown, least, span.low), high=np.where(unknown, most, span.high))


def _rounded(span: Span) -> Span:
    """With room for one rounding to float32, and float64's own."""
    low, high = (2 * UNIT * np.abs(end) + 2 * LEAST for end in (span.low, span.high))
    # An infinity stays: taking something from it gives NaN.
    return Span(
        low=np.where(np.isfinite(span.low), span.low - low, span.low),
        high=np.where(np.isfinite(span.high), span.high + high, span.high),
    )


def _tolerated(body: Pointwise, operand: Span) -> Span | None:
    known = _real(body, operand)
    if known is None:
        return None
    # Every tolerance is a part of the value, and less than all of it: the ends stay in their order.
    low, high = (tolerance(body, end) + np.abs(end) * 2.0**-40 + LEAST for end in (known.low, known.high))
    return Span(
        low=np.where(np.isfinite(known.low), known.low - low, known.low),
        high=np.where(np.isfinite(known.high), known.high + high, known.high),
    )


def _real(body: Pointwise, operand: Span) -> Span | None:
    """The function over a span, before any tolerance."""
    if body.function in (Function.SIN, Function.COS):
        here, still = real_value(body, [operand.low]), operand.low == operand.high
        return Span(low=np.where(still, here, -1.0), high=np.where(still, here, 1.0))
    if body.function is Function.POW:
        return _power(body, operand)
    if body.function is Function.ELU and body.alpha < 0:
        return None
    if body.function not in _MONOTONE and body.function is not Function.ELU:
        return None
    if body.function is Function.LOG:
        # Below 0 it has no value, and at 0 the run ends or goes on with −∞.
        operand = Span(low=np.maximum(operand.low, 0.0), high=np.maximum(operand.high, 0.0))
    return _ends(body, operand)


def _power(body: Pointwise, operand: Span) -> Span:
    if body.alpha == 2:
        return _ends(body, _size([operand], body))
    positive = _ends(body, Span(low=np.maximum(operand.low, 0.0), high=np.maximum(operand.high, 0.0)))
    is_inside = operand.low >= 0
    return Span(low=np.where(is_inside, positive.low, -np.inf), high=np.where(is_inside, positive.high, np.inf))


def _ends(body: Pointwise, operand: Span) -> Span:
    first, second = (_value(body, end) for end in (operand.low, operand.high))
    return Span(low=np.minimum(first, second), high=np.maximum(first, second))


def _value(body: Pointwise, end: Array) -> Array:
    if body.function is Function.ELU:
        below = real_value(body, [np.minimum(end, 0.0)])
        return np.where(end >= 0, end, below)
    return real_value(body, [end])


def _corners(combine: Callable[[Array, Array], Array], left: Span, right: Span) -> Span:
    values = [combine(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    # NaN in one corner makes the whole unknown.
    return Span(low=np.minimum.reduce(values), high=np.maximum.reduce(values))


def _quotient(left: Span, right: Span) -> Span:
    found = _corners(np.divide, left, right)
    unknown = (right.low <= 0) & (right.high >= 0)
    return Span(low=np.where(unknown, np.nan, found.low), high=np.where(unknown, np.nan, found.high))


def _same(function: Callable[[Array], Array]) -> Callable[[Sequence[Span], Pointwise], Span]:
    """A function that never falls."""
    return lambda x, _: Span(low=function(x[0].low), high=function(x[0].high))


def _size(x: Sequence[Span], _body: Pointwise) -> Span:
    low, high = np.abs(x[0].low), np.abs(x[0].high)
    crosses = (x[0].low <= 0) & (x[0].high >= 0)
    return Span(low=np.where(crosses, 0.0, np.minimum(low, high)), high=np.maximum(low, high))


def _sloped(x: Sequence[Span], body: Pointwise) -> Span:
    """The element where it is not negative, else a multiple of it."""
    slope = x[1] if len(x) > 1 else Span.point(np.full(x[0].low.shape, body.alpha))
    below = Span(low=np.minimum(x[0].low, 0.0), high=np.minimum(x[0].high, 0.0))
    lower = _corners(np.multiply, below, slope)
    above = Span(low=np.maximum(x[0].low, 0.0), high=np.maximum(x[0].high, 0.0))
    # On either side of 0 one of the two holds, and across it both.
    low = np.where(x[0].low >= 0, above.low, np.where(x[0].high >= 0, np.minimum(lower.low, 0.0), lower.low))
    high = np.where(x[0].low >= 0, above.high, np.where(x[0].high >= 0, np.maximum(lower.high, above.high), lower.high))
    return Span(low=low, high=high)


def _where(x: Sequence[Span], _body: Pointwise) -> Span:
    never, always = x[0].high == 0, (x[0].low > 0) | (x[0].high < 0)
    low, high = np.minimum(x[1].low, x[2].low), np.maximum(x[1].high, x[2].high)
    return Span(
        low=np.where(always, x[1].low, np.where(never, x[2].low, low)),
        high=np.where(always, x[1].high, np.where(never, x[2].high, high)),
    )


def _compared(holds: Callable[[Span, Span], Array], fails: Callable[[Span, Span], Array]) -> Any:
    """True where it holds for certain, false where it fails for certain."""

    def found(x: Sequence[Span], _body: Pointwise) -> Span:
        return Span(low=np.where(holds(x[0], x[1]), 1.0, 0.0), high=np.where(fails(x[0], x[1]), 0.0, 1.0))

    return found


def _cast(operand: Span, output: DType) -> Span | None:
    if output is DType.FLOAT32:
        return _rounded(operand)
    if output is DType.BOOL:
        certain = (operand.low > 0) | (operand.high < 0)
        return Span(low=np.where(certain, 1.0, 0.0), high=np.where(operand.low == operand.high, certain * 1.0, 1.0))
    return Span(low=np.trunc(operand.low), high=np.trunc(operand.high))


_RULES: Final[Mapping[Function, Callable[[Sequence[Span], Pointwise], Span]]] = MappingProxyType(
    {
        Function.ADD: lambda x, _: Span(low=x[0].low + x[1].low, high=x[0].high + x[1].high),
        Function.SUB: lambda x, _: Span(low=x[0].low - x[1].high, high=x[0].high - x[1].low),
        Function.MUL: lambda x, _: _corners(np.multiply, x[0], x[1]),
        Function.DIV: lambda x, _: _quotient(x[0], x[1]),
        Function.MIN: lambda x, _: Span(low=np.minimum(x[0].low, x[1].low), high=np.minimum(x[0].high, x[1].high)),
        Function.MAX: lambda x, _: Span(low=np.maximum(x[0].low, x[1].low), high=np.maximum(x[0].high, x[1].high)),
        Function.NEG: lambda x, _: Span(low=-x[0].high, high=-x[0].low),
        Function.ABS: _size,
        Function.SIGN: _same(np.sign),
        Function.SQRT: _same(lambda end: np.sqrt(np.maximum(end, 0.0))),
        Function.RECIPROCAL: lambda x, _: _quotient(Span.point(np.ones(x[0].low.shape)), x[0]),
        Function.FLOOR: _same(np.floor),
        Function.CEIL: _same(np.ceil),
        Function.ROUND: _same(np.rint),
        Function.RELU: _same(lambda end: np.maximum(end, 0.0)),
        Function.CLIP: lambda x, body: Span(
            low=np.minimum(np.maximum(x[0].low, body.alpha), body.beta),
            high=np.minimum(np.maximum(x[0].high, body.alpha), body.beta),
        ),
        Function.LEAKY_RELU: _sloped,
        Function.PRELU: _sloped,
        Function.WHERE: _where,
        Function.EQUAL: _compared(
            lambda a, b: (a.low == a.high) & (b.low == b.high) & (a.low == b.low),
            lambda a, b: (a.high < b.low) | (b.high < a.low),
        ),
        Function.LESS: _compared(lambda a, b: a.high < b.low, lambda a, b: a.low >= b.high),
        Function.LESS_OR_EQUAL: _compared(lambda a, b: a.high <= b.low, lambda a, b: a.low > b.high),
        Function.GREATER: _compared(lambda a, b: a.low > b.high, lambda a, b: a.high <= b.low),
        Function.GREATER_OR_EQUAL: _compared(lambda a, b: a.low >= b.high, lambda a, b: a.high < b.low),
        Function.AND: lambda x, _: Span(low=np.minimum(x[0].low, x[1].low), high=np.minimum(x[0].high, x[1].high)),
        Function.OR: lambda x, _: Span(low=np.maximum(x[0].low, x[1].low), high=np.maximum(x[0].high, x[1].high)),
        Function.NOT: lambda x, _: Span(low=1.0 - x[0].high, high=1.0 - x[0].low),
    }
)
