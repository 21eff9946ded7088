"""Whether bits lie within a tolerance of the exact value of a function, decided over real numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from sworn.model.program import Function
from sworn.referee import powers
from sworn.referee.floats import (
    INFINITY,
    LEAST_EXPONENT,
    SIGN,
    SIGNIFICAND_BITS,
    canonical,
    decode,
    from_parameter,
    is_infinite,
    is_nan,
    is_negative,
    sum_dyadic,
)
from sworn.referee.functions import Call, apply
from sworn.referee.series import SLACK
from sworn.referee.tolerances import Tolerance
from sworn.referee.unary import LEVELS, TRANSCENDENTAL, Dyadic

#: (low, high, denominator, exponent): the value lies between low and high, each / denominator · 2**exponent.
Enclosure = tuple[int, int, int, int]

#: From here on numbers round to infinity: 2**128 − 2**103.
_OVERFLOW: Final = ((1 << SIGNIFICAND_BITS + 1) - 1, 103)


def admits_function(call: Call, tolerance: Tolerance, claimed: int) -> bool:
    """Whether ``claimed`` is what a float function may give; what it gives in profile `exact` always is.

    Raises as `functions.apply` does where the function has no value.
    """
    exact = apply(call)
    if claimed == exact:
        return True
    if is_nan(claimed) or claimed == SIGN:
        return False
    enclosures = _enclosures(replace(call, operands=tuple(map(canonical, call.operands))), exact)
    if enclosures is None:
        return False
    for enclosure in enclosures:
        verdict = _within(enclosure, tolerance, claimed)
        if verdict is not None:
            return verdict
    # INVARIANT: not reached. A value so near to a bound would be on it, thus rational, and those are compared exactly.
    return True


def _within(enclosure: Enclosure, tolerance: Tolerance, claimed: int) -> bool | None:
    """Whether |y − f| ≤ rel · 2**−24 · |f| + abs for every f that is enclosed; None where it depends on f.

    An infinity is near enough where f, its sign and the tolerance reach what rounds to it.
    """
    low, high, denominator, exponent = enclosure
    if claimed == INFINITY | SIGN:
        low, high = -high, -low
    y, place = _OVERFLOW if is_infinite(claimed) else decode(claimed)
    margin = LEAST_EXPONENT if tolerance.abs_exponent is None else tolerance.abs_exponent
    # In units of 2**unit / denominator everything below is an integer.
    unit = min(exponent - SIGNIFICAND_BITS, place, margin)
    y = y * denominator << place - unit
    reach = 0 if tolerance.abs_exponent is None else denominator << margin - unit

    def bound(value: int, way: int) -> int:
        f = value << exponent - unit
        return f + way * ((tolerance.rel * abs(f) >> SIGNIFICAND_BITS) + reach)

    # Both bounds rise with f, as rel is far below 2**24.
    if y <= bound(low, 1) and (is_infinite(claimed) or y >= bound(high, -1)):
        return True
    if y > bound(high, 1) or (not is_infinite(claimed) and y < bound(low, -1)):
        return False
    return None


def _enclosures(call: Call, exact: int) -> Iterable[Enclosure] | None:
    """Ever closer enclosures of the exact value, one where it is rational; None where no other value is near enough.

    Those are infinities that operands give, and what ELU hands on.
    """
    a = call.operands[0]
    if is_infinite(a):
        return None if is_infinite(exact) else _float(exact)
    match call.function:
        case Function.HARD_SIGMOID:
            return _hard_sigmoid(decode(a), decode(from_parameter(call.alpha)), decode(from_parameter(call.beta)))
        case Function.ELU if not is_negative(a):
            return None
        case function:
            return _of_real_function(function, a, from_parameter(call.alpha))


def _of_real_function(function: Function, a: int, alpha: int) -> Iterable[Enclosure] | None:
    """Of a function that is approximated. Where rounding settles it without, it is the float that it is settled at."""
    settle, approximate = TRANSCENDENTAL[function]
    if function is Function.POW and powers.at_edges(a, alpha) is None:
        known = powers.rational(a, alpha)
        if known is not None:
            return _one(*known)
    settled = settle(a, alpha)
    if settled is not None:
        return None if is_infinite(settled) else _float(settled)
    found = (approximate(decode(a), decode(alpha), w) for w in LEVELS)
    return ((n - SLACK, n + SLACK, 1, q) for n, q in found)


def _one(numerator: int, denominator: int, exponent: int) -> Iterable[Enclosure]:
    return ((numerator, numerator, denominator, exponent),)


def _float(bits: int) -> Iterable[Enclosure]:
    significand, exponent = decode(bits)
    return _one(significand, 1, exponent)


def _hard_sigmoid(a: Dyadic, alpha: Dyadic, beta: Dyadic) -> Iterable[Enclosure]:
    significand, exponent = sum_dyadic((alpha[0] * a[0], alpha[1] + a[1]), beta)
    exponent, significand = min(exponent, 0), significand << max(exponent, 0)
    clamped = min(max(significand, 0), 1 << -exponent)
    return _one(clamped, 1, exponent)
