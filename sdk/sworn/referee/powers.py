"""Powers with a constant exponent."""

from __future__ import annotations

from math import isqrt

from sworn.errors import ModelMalformed, RunNotFinite
from sworn.referee.floats import (
    INFINITY,
    ONE,
    SIGN,
    ZERO,
    decode,
    is_infinite,
    is_negative,
    round_dyadic,
)
from sworn.referee.series import ARGUMENT_GUARD, exponential, logarithm, shifted

#: Powers of an odd number from 3 on have more than 25 bits above this: neither a float nor half-way between two.
_LARGEST_EXACT_POWER = 15
#: Beyond any float in either direction, its square root included.
_FAR = 1000
#: An exponent below 2**7 in magnitude multiplies the logarithm's relative error, 2**12 units in 2**(w − 3).
_LOGARITHM_GUARD = 16


def settled(bits: int, alpha: int) -> int | None:
    """The bits of a**alpha where no rounding of an irrational number is needed; else None.

    As IEEE 754 `pow`, but −Inf is no exception among negative numbers: raises `RunNotFinite` for those and a fractional
    alpha, `ModelMalformed` for an infinite alpha.
    """
    if is_infinite(alpha):
        raise ModelMalformed("an exponent is infinite")
    if alpha == ZERO or bits == ONE:
        return ONE
    if is_negative(bits) and not _is_integer(alpha):
        raise RunNotFinite("a negative number to a fractional power")
    sign = SIGN if is_negative(bits) and _is_odd(alpha) else 0
    if is_infinite(bits):
        return ZERO if is_negative(alpha) else INFINITY | sign
    if bits == ZERO:
        return INFINITY if is_negative(alpha) else ZERO
    exact = _exact_power(*_odd(*decode(bits & ~SIGN)), *_odd(*decode(alpha)))
    if exact is None:
        return None
    significand, exponent = exact
    return round_dyadic(-significand if sign else significand, min(max(exponent, -_FAR), _FAR))


def approximate(x: tuple[int, int], alpha: tuple[int, int], w: int) -> tuple[int, int]:
    """(n, q) with x**alpha = n · 2**q as exp(alpha · log |x|); |x| is neither 0 nor 1, alpha is not 0."""
    n, q = logarithm(abs(x[0]), x[1], w + _LOGARITHM_GUARD)
    significand = (-1 if x[0] < 0 and alpha[1] <= 0 and alpha[0] >> -alpha[1] & 1 else 1) << w
    y, exponent = n * alpha[0], q + alpha[1]
    if y.bit_length() + exponent > ARGUMENT_GUARD - 1:
        return significand, _FAR if y > 0 else -_FAR
    t, k = exponential(shifted(y, exponent + w + ARGUMENT_GUARD), w)
    return t if significand > 0 else -t, k - w


def _odd(significand: int, exponent: int) -> tuple[int, int]:
    """The same non-zero number with an odd significand."""
    places = (significand & -significand).bit_length() - 1
    return significand >> places, exponent + places


def _is_integer(alpha: int) -> bool:
    return _odd(*decode(alpha))[1] >= 0


def _is_odd(alpha: int) -> bool:
    return _odd(*decode(alpha))[1] == 0


def _exact_power(m: int, e: int, n: int, j: int) -> tuple[int, int] | None:
    """(m · 2**e) ** (n · 2**j) for odd m > 0 and odd n, where it may be a float or half-way between two; else None.

    A root of a dyadic number is dyadic only if m is a square and e is even; a negative power only if m is 1.
    """
    while j < 0:
        root = isqrt(m)
        if root * root != m or e & 1:
            return None
        m, e, j = root, e >> 1, j + 1
    power = n << j
    if m == 1:
        return 1, e * power
    return (m**power, e * power) if 0 < power <= _LARGEST_EXACT_POWER else None
