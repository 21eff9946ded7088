"""Correctly rounded functions of one float32, in wide integers alone.

Cases that are exact, saturate or have no value are settled first. Every other value is irrational or proven to be no
float and not half-way between two, so that a fine enough approximation n · 2**q decides the rounding. An approximation
at w bits is off by at most `SLACK` = 2**12 units and has |n| ≥ 2**(w − 4): its relative error is below 2**(16 − w).
At the first of `LEVELS` that is 2**−72; at the second 2**−108, more than the closest approach of any float32 argument
to a half-way point, 2**−76.6 for sigmoid at −2**−24 (found by exhaustion). The last, 2**−304, serves powers and ELU,
whose constant makes exhaustion impossible: among 2**64 pairs one closer than 2**−100 is not to be expected.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from types import MappingProxyType
from typing import Final

from sworn.errors import ModelMalformed, RunFailed, RunNotFinite
from sworn.model.program import Function
from sworn.referee import powers
from sworn.referee.floats import (
    HALF,
    INFINITY,
    MAGNITUDE,
    ONE,
    SIGN,
    SIGNIFICAND_BITS,
    ZERO,
    canonical,
    decode,
    from_parameter,
    is_infinite,
    is_negative,
    round_dyadic,
    round_interval,
    round_quotient,
    sum_dyadic,
)
from sworn.referee.series import (
    ARGUMENT_GUARD,
    PI,
    SLACK,
    TWO_OVER_SQRT_PI,
    constant,
    cosine,
    erf_ratio,
    exponential,
    exponential_ratio,
    logarithm,
    logarithm_of_one_plus,
    normalised,
    shifted,
    sine_ratio,
)

#: Bits of the approximations, tried in turn.
LEVELS: Final = (88, 124, 320)

#: A signed significand and an exponent of two.
Dyadic = tuple[int, int]

_FOUR = 0x40800000
_SIXTEEN = 0x41800000
_THIRTY_TWO = 0x42000000
_HUNDRED_TWENTY_EIGHT = 0x43000000
_2_TO_MINUS_60 = 0x21800000
_2_TO_MINUS_13 = 0x39000000
_2_TO_MINUS_12 = 0x39800000
#: No float32 but 0 is nearer to a multiple of π/2 than 2**−29.3 (16367173 · 2**72 is nearest, by continued fractions).
#: Ten bits more keep the remainder's relative error below a unit.
_NEAREST_QUADRANT_BITS = 40


def round_function(function: Function, bits: int, alpha: float = 0.0, beta: float = 0.0) -> int:
    """The bits of RN(function(a)) for the float32 bits of a; alpha and beta are the step's parameters.

    Knows SQRT, RECIPROCAL, EXP, LOG, TANH, SIGMOID, ERF, SOFTPLUS, ELU, HARD_SIGMOID, SIN, COS and POW. Raises
    `RunNotFinite` where a is or the result would be NaN, `ModelMalformed` for other functions and infinite parameters.
    """
    bits = canonical(bits)
    if function is Function.SQRT:
        return _sqrt(bits)
    if function is Function.RECIPROCAL:
        return _reciprocal(bits)
    if function is Function.HARD_SIGMOID:
        return _hard_sigmoid(bits, _finite(alpha), _finite(beta))
    if function not in TRANSCENDENTAL:
        raise ModelMalformed(f"{function.name} is no function of one float")
    constant_bits = _finite(alpha) if function in (Function.POW, Function.ELU) else ZERO
    settle, approximate = TRANSCENDENTAL[function]
    result = settle(bits, constant_bits)
    if result is not None:
        return result
    x, parameter = decode(bits), decode(constant_bits)
    for w in LEVELS:
        n, q = approximate(x, parameter, w)
        result = round_interval(n - SLACK, n + SLACK, q)
        if result is not None:
            return result
    raise RunFailed(f"{function.name} of 0x{bits:08x} with parameter {alpha} is too close to a half-way point")


def _finite(parameter: float) -> int:
    bits = from_parameter(parameter)
    if is_infinite(bits):
        raise ModelMalformed("a parameter is infinite")
    return bits


def _magnitude(bits: int) -> int:
    return bits & MAGNITUDE


# SQRT, RECIPROCAL, HARD_SIGMOID: by integer remainder.


def _sqrt(bits: int) -> int:
    if is_negative(bits):
        raise RunNotFinite("the square root of a negative number")
    if is_infinite(bits):
        return INFINITY
    significand, exponent = decode(bits)
    # 64 bits more give a root of at least 32, which is enough for rounding once the remainder is folded in.
    places = 64 + (exponent & 1)
    square = significand << places
    root = isqrt(square)
    return round_dyadic(root << 1 | (root * root != square), (exponent - places) // 2 - 1)


def _reciprocal(bits: int) -> int:
    if is_infinite(bits):
        return ZERO
    significand, exponent = decode(bits)
    if significand == 0:
        return INFINITY
    return round_quotient(1 if significand > 0 else -1, abs(significand), -exponent)


def _hard_sigmoid(bits: int, alpha: int, beta: int) -> int:
    slope = decode(alpha)
    if is_infinite(bits):
        if slope[0] == 0:
            raise RunNotFinite("zero times infinity")
        return ZERO if is_negative(bits) != (slope[0] < 0) else ONE
    a = decode(bits)
    significand, exponent = sum_dyadic((slope[0] * a[0], slope[1] + a[1]), decode(beta))
    if significand <= 0:
        return ZERO
    return min(round_dyadic(significand, exponent), ONE)


# What is settled before any approximation. Every bound is checked against the half-way point that it stays clear of.


def _settle_exp(bits: int, _: int) -> int | None:
    if bits == ZERO:
        return ONE
    # e**128 > 2**184, e**−128 < 2**−184.
    if _magnitude(bits) >= _HUNDRED_TWENTY_EIGHT:
        return ZERO if is_negative(bits) else INFINITY
    return None


def _settle_log(bits: int, _: int) -> int | None:
    if is_negative(bits):
        raise RunNotFinite("the logarithm of a negative number")
    if bits == ZERO:
        return INFINITY | SIGN
    if bits == INFINITY:
        return INFINITY
    return ZERO if bits == ONE else None


def _settle_tanh(bits: int, _: int) -> int | None:
    # x · (1 − x²/3) is nearer to x than a quarter of its last place, 2**−25 · x, as x²/3 < 2**−27.
    if _magnitude(bits) < _2_TO_MINUS_13:
        return bits
    # 1 − tanh(16) < 2 · e**−32 < 2**−45.
    return ONE | bits & SIGN if _magnitude(bits) >= _SIXTEEN else None


def _settle_sigmoid(bits: int, _: int) -> int | None:
    if bits == ZERO:
        return HALF
    if is_negative(bits):
        return ZERO if _magnitude(bits) >= _HUNDRED_TWENTY_EIGHT else None
    # 1 − sigmoid(32) < e**−32 < 2**−46.
    return ONE if bits >= _THIRTY_TWO else None


def _settle_erf(bits: int, _: int) -> int | None:
    if bits == ZERO:
        return ZERO
    # 1 − erf(4) < 2**−25.9, and half a place below 1 is 2**−25.
    return ONE | bits & SIGN if _magnitude(bits) >= _FOUR else None


def _settle_softplus(bits: int, _: int) -> int | None:
    if is_negative(bits):
        return ZERO if _magnitude(bits) >= _HUNDRED_TWENTY_EIGHT else None
    # x + log(1 + e**−x) exceeds x by less than e**−32 < 2**−46, half a place is at least 2**−19.
    return bits if bits >= _THIRTY_TWO else None


def _settle_elu(bits: int, alpha: int) -> int | None:
    if not is_negative(bits):
        return bits
    if alpha == ZERO:
        return ZERO
    # alpha · (1 − e**−32): nearer to alpha than a quarter of its last place.
    if _magnitude(bits) >= _THIRTY_TWO:
        return alpha ^ SIGN
    if _magnitude(bits) >= _2_TO_MINUS_60:
        return None
    # alpha · x · (1 − d), 0 < d < 2**−60: alpha · x may be half-way, but as it has at most 48 bits nothing that
    # rounding looks at lies between it and anything closer to 0 by less than 2**−48 of it.
    a, x = decode(alpha), decode(bits)
    product = a[0] * x[0] << 64
    return round_dyadic(product - (1 if product > 0 else -1), a[1] + x[1] - 64)


def _settle_sin(bits: int, _: int) -> int | None:
    if is_infinite(bits):
        raise RunNotFinite("the sine of an infinity")
    # x · (1 − x²/6) is nearer to x than a quarter of its last place, 2**−25 · x, as x²/6 < 2**−26.
    return bits if _magnitude(bits) < _2_TO_MINUS_12 else None


def _settle_cos(bits: int, _: int) -> int | None:
    if is_infinite(bits):
        raise RunNotFinite("the cosine of an infinity")
    # 1 − x²/2 > 1 − 2**−27, and half a place below 1 is 2**−25.
    return ONE if _magnitude(bits) < _2_TO_MINUS_13 else None


# Approximations: (n, q) with f(x) = n · 2**q, off by at most SLACK units of n.


def _exponential(x: Dyadic, w: int) -> tuple[int, int]:
    return exponential(shifted(x[0], x[1] + w + ARGUMENT_GUARD), w)


def _approximate_exp(x: Dyadic, _: Dyadic, w: int) -> Dyadic:
    t, k = _exponential(x, w)
    return t, k - w


def _approximate_log(x: Dyadic, _: Dyadic, w: int) -> Dyadic:
    return logarithm(*x, w)


def _approximate_tanh(x: Dyadic, _: Dyadic, w: int) -> Dyadic:
    m, e = abs(x[0]), x[1]
    if m.bit_length() + e <= -2:
        # With g = exp(2x) − 1 = 2m · 2**e · ratio: tanh(x) = g / (g + 2); g keeps its first non-zero bits.
        g = m * exponential_ratio(m << e + 1 + w, w) >> SIGNIFICAND_BITS - 1
        n, q = (g << w) // ((2 << w) + shifted(g, e + SIGNIFICAND_BITS)), e + SIGNIFICAND_BITS - w
    else:
        t = shifted(*_exponential((-m, e + 1), w))
        n, q = (((1 << w) - t) << w) // ((1 << w) + t), -w
    return (n if x[0] > 0 else -n), q


def _approximate_sigmoid(x: Dyadic, _: Dyadic, w: int) -> Dyadic:
    t, k = _exponential((-abs(x[0]), x[1]), w)
    denominator = (1 << w) + shifted(t, k)
    return ((t << w) // denominator, k - w) if x[0] < 0 else ((1 << 2 * w) // denominator, -w)


def _approximate_erf(x: Dyadic, _: Dyadic, w: int) -> Dyadic:
    m, e = normalised(*x)
    ratio = constant(TWO_OVER_SQRT_PI, w) * erf_ratio(m, e, w) >> w
    return m * ratio >> SIGNIFICAND_BITS - 1, e + SIGNIFICAND_BITS - 1 - w


def _approximate_softplus(x: Dyadic, _: Dyadic, w: int) -> Dyadic:
    t, k = _exponential((-abs(x[0]), x[1]), w)
    n, q = logarithm_of_one_plus(t, k, w)
    return (n, q) if x[0] <= 0 else (shifted(x[0], x[1] + w) + shifted(n, q + w), -w)


def _approximate_elu(x: Dyadic, alpha: Dyadic, w: int) -> Dyadic:
    a, b = normalised(*alpha)
    m, e = normalised(*x)
    if e < -2 - SIGNIFICAND_BITS:
        n, q = -m * exponential_ratio(shifted(m, e + w), w) >> SIGNIFICAND_BITS - 1, e + SIGNIFICAND_BITS - 1 - w
    else:
        n, q = (1 << w) - shifted(*_exponential((m, e), w)), -w
    return -a * n >> SIGNIFICAND_BITS - 1, b + SIGNIFICAND_BITS - 1 + q


def _quadrant(x: Dyadic, w: int) -> tuple[int, int, int]:
    """(quadrant, r, zeros) with x = quadrant · π/2 + r · 2**(−w − zeros), the rest at most π/4, and r of w bits."""
    m, e = x
    # π/2 is multiplied by less than 2**(24 + e), so it needs that many bits more than the remainder.
    point = w + _NEAREST_QUADRANT_BITS + max(SIGNIFICAND_BITS + e, 0)
    right_angle = constant(PI, point - 1)
    value = shifted(m, e + point)
    quadrant = (2 * value + right_angle) // (2 * right_angle)
    rest = value - quadrant * right_angle
    zeros = point - rest.bit_length()
    return quadrant, shifted(rest, w + zeros - point), zeros


def _sine_from(x: Dyadic, turn: int, w: int) -> Dyadic:
    """The sine of x + turn · π/2."""
    quadrant, r, zeros = _quadrant(x, w)
    square = shifted(r * r, -w - 2 * zeros)
    if quadrant + turn & 1:
        n, q = cosine(square, w), -w
    else:
        n, q = r * sine_ratio(square, w) >> w, -w - zeros
    return (-n if quadrant + turn & 2 else n), q


def _approximate_sin(x: Dyadic, _: Dyadic, w: int) -> Dyadic:
    return _sine_from(x, 0, w)


def _approximate_cos(x: Dyadic, _: Dyadic, w: int) -> Dyadic:
    return _sine_from(x, 1, w)


_Settle = Callable[[int, int], int | None]
_Approximate = Callable[[Dyadic, Dyadic, int], Dyadic]

#: Of each function that is approximated: what it is where that is settled, with the bits of a and of the constant, and
#: (n, q) with f(x) = n · 2**q, off by at most `SLACK` units of n, where it is not.
TRANSCENDENTAL: Final = MappingProxyType[Function, tuple[_Settle, _Approximate]](
    {
        Function.EXP: (_settle_exp, _approximate_exp),
        Function.LOG: (_settle_log, _approximate_log),
        Function.TANH: (_settle_tanh, _approximate_tanh),
        Function.SIGMOID: (_settle_sigmoid, _approximate_sigmoid),
        Function.ERF: (_settle_erf, _approximate_erf),
        Function.SOFTPLUS: (_settle_softplus, _approximate_softplus),
        Function.ELU: (_settle_elu, _approximate_elu),
        Function.SIN: (_settle_sin, _approximate_sin),
        Function.COS: (_settle_cos, _approximate_cos),
        Function.POW: (powers.settled, powers.approximate),
    }
)

#: What `round_function` knows.
ROUNDED: Final = frozenset({*TRANSCENDENTAL, Function.SQRT, Function.RECIPROCAL, Function.HARD_SIGMOID})
