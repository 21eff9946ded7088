"""Correctly rounded functions of one float32, slowly: decimal arithmetic of growing precision until it decides.

`decimal` rounds exp and ln correctly at any precision; everything else here is a few operations on those, or a
series of positive or alternating terms, with sixty digits more than are needed.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import cache
from types import MappingProxyType

from sworn.errors import RunFailed, RunNotFinite
from sworn.model.program import Function

#: Digits that are trusted; the first decides all but about one case in 10**10 of those that come here.
_DIGITS = (40, 80, 200, 600)
_GUARD_DIGITS = 60
#: exp of less is below half of the least float32, exp of more is above the greatest.
_FAR = Decimal(200)
#: erf of more differs from 1 by less than half a unit in the last place.
_ERF_FAR = Decimal(8)
_OVERFLOW = Fraction(2) ** 128 - Fraction(2) ** 103
#: Beyond these, a power of a float32 that is halfway between two others does not exist.
_MAX_POWER, _MAX_ROOT_BITS = 4096, 8


def round_to_float32(value: Fraction) -> float:
    """RN of a rational, as a float64; an infinity where it overflows, never −0."""
    magnitude = abs(value)
    if not magnitude:
        return 0.0
    if magnitude >= _OVERFLOW:
        return math.inf if value > 0 else -math.inf
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= magnitude < Fraction(2) ** exponent
    quantum = Fraction(2) ** max(exponent - 23, -149)
    rounded = round(magnitude / quantum) * quantum
    return math.copysign(float(rounded), value) if rounded else 0.0


def round_function(function: Function, value: float, alpha: float) -> float:
    """RN(function(value)) for a finite float32, as a float64.

    Raises `RunNotFinite` where the function has no value, `RunFailed` where 600 digits do not decide.
    """
    if function is Function.POW:
        exact = _dyadic_power(value, alpha)
        if exact is not None:
            return round_to_float32(exact)
    for digits in _DIGITS:
        try:
            with decimal.localcontext(decimal.Context(prec=digits + _GUARD_DIGITS)):
                approximation = Fraction(evaluate(function, Decimal(value), Decimal(alpha)))
        except decimal.InvalidOperation as error:
            raise RunNotFinite(f"{function.name} of {value!r}") from error
        margin = abs(approximation) / 10**digits
        low, high = round_to_float32(approximation - margin), round_to_float32(approximation + margin)
        if low == high:
            return low
    raise RunFailed(f"{function.name} of {value!r} is not decided by {_DIGITS[-1]} digits")


def evaluate(function: Function, x: Decimal, alpha: Decimal) -> Decimal:
    """The function to nearly the current context's precision."""
    return _FUNCTIONS[function](x, alpha)


def _near(x: Decimal) -> Decimal:
    return max(-_FAR, min(_FAR, x))


def _tanh(x: Decimal) -> Decimal:
    grown = (2 * _near(x)).exp()
    return (grown - 1) / (grown + 1)


def _softplus(x: Decimal) -> Decimal:
    return max(x, Decimal(0)) + (1 + _near(-abs(x)).exp()).ln()


def _elu(x: Decimal, alpha: Decimal) -> Decimal:
    return x if x >= 0 else alpha * (_near(x).exp() - 1)


def _erf(x: Decimal) -> Decimal:
    """2/√π · exp(−x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1·3·…·(2n+1)): no term cancels another."""
    x = max(-_ERF_FAR, min(_ERF_FAR, x))
    term = total = x
    n = 0
    while abs(term) > abs(total).scaleb(-decimal.getcontext().prec):
        n += 1
        term = term * 2 * x * x / (2 * n + 1)
        total += term
    return 2 * total * (-x * x).exp() / _pi(decimal.getcontext().prec).sqrt()


@cache
def _pi(digits: int) -> Decimal:
    """Machin's formula."""

    def arctangent_of_inverse(n: int) -> int:
        power, total, divisor, sign = one // n, 0, 1, 1
        while power:
            total += sign * (power // divisor)
            power, divisor, sign = power // (n * n), divisor + 2, -sign
        return total

    # Ten digits more than the two series, of fewer than 2·digits terms each, can lose to rounding.
    one: int = 10 ** (digits + 10)
    scaled = 16 * arctangent_of_inverse(5) - 4 * arctangent_of_inverse(239)
    return Decimal(scaled).scaleb(-digits - 10, decimal.Context(prec=digits + 20))


def _circular(x: Decimal, quarter_turns: int) -> Decimal:
    """sin(x + quarter_turns · π/2), reduced with as many digits more as the argument can have before its point."""
    digits = decimal.getcontext().prec
    with decimal.localcontext(decimal.Context(prec=2 * digits)):
        half = _pi(2 * digits) / 2
        whole = (x / half).to_integral_value()
        rest = x - whole * half
    turns = (int(whole) + quarter_turns) % 4
    term = total = Decimal(1) if turns % 2 else rest
    n = 0 if turns % 2 else 1
    while term and abs(term) > abs(total).scaleb(-digits):
        term = -term * rest * rest / ((n + 1) * (n + 2))
        n += 2
        total += term
    return -total if turns >= 2 else total


def _power(x: Decimal, alpha: Decimal) -> Decimal:
    size = (alpha * abs(x).ln()).exp()
    if x > 0:
        return size
    if alpha != alpha.to_integral_value():
        raise decimal.InvalidOperation
    return -size if alpha % 2 else size


def _dyadic_power(value: float, alpha: float) -> Fraction | None:
    """Value ** alpha where it is rational with few bits, and so may be halfway between two floats."""
    power = Fraction(alpha)
    roots = power.denominator.bit_length() - 1
    if not value or abs(power.numerator) > _MAX_POWER or roots > _MAX_ROOT_BITS or (value < 0 and roots):
        return None
    base = Fraction(value)
    parts = [abs(base.numerator), base.denominator]
    for _ in range(roots):
        parts = [math.isqrt(part) for part in parts]
    # A root that is not exact leaves a power that is irrational.
    if [part**power.denominator for part in parts] != [abs(base.numerator), base.denominator]:
        return None
    if max(part.bit_length() for part in parts) * abs(power.numerator) > 1 << 16:
        return None
    size = Fraction(*parts) ** power.numerator
    return -size if value < 0 and power.numerator % 2 else size


_FUNCTIONS: MappingProxyType[Function, Callable[[Decimal, Decimal], Decimal]] = MappingProxyType(
    {
        Function.EXP: lambda x, _: _near(x).exp(),
        Function.LOG: lambda x, _: x.ln(),
        Function.TANH: lambda x, _: _tanh(x),
        Function.SIGMOID: lambda x, _: 1 / (1 + _near(-x).exp()),
        Function.ERF: lambda x, _: _erf(x),
        Function.SOFTPLUS: lambda x, _: _softplus(x),
        Function.ELU: _elu,
        Function.SIN: lambda x, _: _circular(x, 0),
        Function.COS: lambda x, _: _circular(x, 1),
        Function.POW: _power,
    }
)
