"""Real numbers rounded to binary32 with fractions alone: the reference for what the library does with integers."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import mpmath

#: Magnitudes beyond these are far outside of binary32: 2**200 overflows, 2**-300 underflows.
_OVERFLOWING, _UNDERFLOWING = 200, -300
INFINITY, NEGATIVE_INFINITY = 0x7F800000, 0xFF800000


def float_bits(value: float) -> int:
    """The bits of a Python float that is a float32 value."""
    (bits,) = struct.unpack(">I", struct.pack(">f", value))
    return int(bits)


def float_value(bits: int) -> Fraction:
    """The exact value of a finite float32."""
    (value,) = struct.unpack(">f", struct.pack(">I", bits))
    return Fraction(value)


def nearest_float(value: Fraction) -> int:
    """The bits of the float32 nearest to a number, ties to even, with +0 for every zero."""
    if value == 0:
        return 0
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    place = Fraction(2) ** max(exponent - 23, -149)
    # `round` on fractions is to nearest, ties to even.
    rounded = round(size / place) * place
    bits = INFINITY if rounded >= 2**128 else float_bits(float(rounded))
    return bits | 0x80000000 if value < 0 and bits else bits


def as_real(value: Fraction) -> Any:
    """A fraction with a power of two below the line, as an mpmath number without error."""
    return mpmath.mpf(value.numerator) / value.denominator


def as_fraction(value: Any) -> Fraction:
    """An mpmath number as a fraction without error."""
    sign, mantissa, exponent, _ = value._mpf_
    fraction = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -fraction if sign else fraction


def nearest_float_of_real(value: Any) -> int:
    """The bits of the float32 nearest to an mpmath number of enough precision."""
    if value == 0:
        return 0
    magnitude = int(mpmath.mag(value)) if mpmath.isfinite(value) else _OVERFLOWING
    if magnitude >= _OVERFLOWING:
        return INFINITY if value > 0 else NEGATIVE_INFINITY
    return 0 if magnitude <= _UNDERFLOWING else nearest_float(as_fraction(value))
