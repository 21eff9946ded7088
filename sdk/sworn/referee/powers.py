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
#: 3**165 has more than 261 bits: a float, a bound and their sum have no factor like it between 2**−170 and 2**129.
_LARGEST_RATIONAL_POWER = 170
#: Beyond any float in either direction, its square root included.
_FAR = 1000
#: An exponent below 2**7 in magnitude multiplies the logarithm's relative error, 2**12 units in 2**(w − 3).
_LOGARITHM_GUARD = 16


def settled(bits: int, alpha: int) -> int | None:
    """The bits of a**alpha where no rounding of an irrational number is needed; else None.

    As IEEE 754 `pow`, but −Inf is no exception among negative numbers: raises `RunNotFinite` for those and a fractional
    alpha, `ModelMalformed` for an infinite alpha.
    """
    result = at_edges(bits, alpha)
    if result is not None:
        return result
    m, e, power = _power_of_odd(bits, alpha)
    if power is None or (m != 1 and not 0 < power <= _LARGEST_EXACT_POWER):
        return None
    return round_dyadic(_signed(m**power if m != 1 else 1, bits, alpha), min(max(e * power, -_FAR), _FAR))


def rational(bits: int, alpha: int) -> tuple[int, int, int] | None:
    """(n, d, q) with a**alpha = n / d · 2**q; None where it is irrational, or has more bits than any bound.

    For what `at_edges` leaves. With power p of an odd m, f · (2**24 + rel) has all of m**p among its factors or below
    its line: beyond p = `_LARGEST_RATIONAL_POWER` no float and no bound has 280 bits, and f equals none.
    """
    m, e, power = _power_of_odd(bits, alpha)
    if power is None or (m != 1 and abs(power) > _LARGEST_RATIONAL_POWER):
        return None
    if m == 1:
        return _signed(1, bits, alpha), 1, min(max(e * power, -_FAR), _FAR)
    odd = m ** abs(power)
    return _signed(odd if power > 0 else 1, bits, alpha), 1 if power > 0 else odd, e * power


def at_edges(bits: int, alpha: int) -> int | None:
    """The bits of a**alpha where a is 0, 1 or infinite or alpha is 0; else None. Raises as `settled` does."""
    if is_infinite(alpha):
        raise ModelMalformed("an exponent is infinite")
    if alpha == ZERO or bits == ONE:
        return ONE
    if is_negative(bits) and not _is_integer(alpha):
        raise RunNotFinite("a negative number to a fractional power")
    if is_infinite(bits):
        return ZERO if is_negative(alpha) else INFINITY | (SIGN if is_negative(bits) and _is_odd(alpha) else 0)
    if bits == ZERO:
        return INFINITY if is_negative(alpha) else ZERO
    return None


def _signed(significand: int, bits: int, alpha: int) -> int:
    return -significand if is_negative(bits) and _is_odd(alpha) else significand


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


def _power_of_odd(bits: int, alpha: int) -> tuple[int, int, int | None]:
    """(m, e, p) with |a|**alpha = (m · 2**e)**p for odd m > 0 and integer p; p is None where there are none.

    A root of a dyadic number is dyadic only if m is a square and e is even; all others are irrational.
    """
    m, e = _odd(*decode(bits & ~SIGN))
    n, j = _odd(*decode(alpha))
    while j < 0:
        root = isqrt(m)
        if root * root != m or e & 1:
            return m, e, None
        m, e, j = root, e >> 1, j + 1
    return m, e, n << j
