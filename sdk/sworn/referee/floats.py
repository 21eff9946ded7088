"""binary32 as integers: bits to exact numbers, and exact numbers rounded back to bits.

A finite float is ``significand · 2**exponent`` with a signed integer significand. Rounding is to nearest, ties to even;
what overflows is an infinity, and −0 is never given: it is +0.
"""

from __future__ import annotations

import struct
from typing import Final

from sworn.errors import ModelMalformed, RunNotFinite

ZERO: Final = 0x00000000
HALF: Final = 0x3F000000
ONE: Final = 0x3F800000
INFINITY: Final = 0x7F800000
SIGN: Final = 0x80000000
MAGNITUDE: Final = 0x7FFFFFFF

SIGNIFICAND_BITS: Final = 24
#: Exponent of the last bit of a subnormal: no finite float has a bit below it.
LEAST_EXPONENT: Final = -149

_FRACTION_BITS = SIGNIFICAND_BITS - 1
_FRACTION = (1 << _FRACTION_BITS) - 1
#: Bits of a quotient that are computed before the remainder is folded into one more: rounding looks at 25 at most.
_QUOTIENT_BITS = 32


def is_nan(bits: int) -> bool:
    """Whether bits are a NaN."""
    return bits & MAGNITUDE > INFINITY


def is_infinite(bits: int) -> bool:
    """Whether bits are +Inf or −Inf."""
    return bits & MAGNITUDE == INFINITY


def is_negative(bits: int) -> bool:
    """Whether a float is below zero; −0 is not."""
    return bits > SIGN


def canonical(bits: int) -> int:
    """The same float, with −0 as +0. Raises `RunNotFinite` for NaN."""
    if is_nan(bits):
        raise RunNotFinite("a value is NaN")
    return ZERO if bits == SIGN else bits


def decode(bits: int) -> tuple[int, int]:
    """The significand (signed, |·| < 2**24) and exponent of a finite float. Raises `RunNotFinite` for others."""
    exponent = bits >> _FRACTION_BITS & 0xFF
    significand = bits & _FRACTION
    if exponent == 0xFF:
        raise RunNotFinite("a value is NaN or infinite where only finite ones are defined")
    if exponent:
        significand |= 1 << _FRACTION_BITS
        exponent -= 1
    return (-significand if bits & SIGN else significand), exponent + LEAST_EXPONENT


def order_key(bits: int) -> int:
    """An integer that orders floats as their values: −Inf least, −0 equal to +0. Raises `RunNotFinite` for NaN."""
    if is_nan(bits):
        raise RunNotFinite("a value is NaN")
    return -(bits & MAGNITUDE) if bits & SIGN else bits


def from_parameter(value: float) -> int:
    """The bits of a step's parameter. Raises `ModelMalformed` unless it is a float32 value other than NaN."""
    try:
        (bits,) = struct.unpack(">I", packed := struct.pack(">f", value))
    except OverflowError as error:
        raise ModelMalformed(f"the parameter {value!r} is not a float32 value") from error
    if struct.unpack(">f", packed)[0] != value:
        raise ModelMalformed(f"the parameter {value!r} is not a float32 value")
    return canonical(bits)


def to_parameter(bits: int) -> float:
    """The value of bits as a Python float; the inverse of `from_parameter`."""
    value: float = struct.unpack(">f", struct.pack(">I", bits))[0]
    return value


def round_dyadic(significand: int, exponent: int) -> int:
    """The bits of RN(significand · 2**exponent)."""
    magnitude = abs(significand)
    # The last place that the result can hold: 24 places below the leading bit, but none below the subnormals'.
    last = max(magnitude.bit_length() + exponent - SIGNIFICAND_BITS, LEAST_EXPONENT)
    shift = last - exponent
    if shift <= 0:
        rounded = magnitude << -shift
    else:
        rounded, rest = magnitude >> shift, magnitude & (1 << shift) - 1
        half = 1 << shift - 1
        if rest > half or (rest == half and rounded & 1):
            rounded += 1
    # A normal significand carries its own leading bit, 2**23, into the exponent field; so does a carry to 2**24.
    bits = min((last - LEAST_EXPONENT << _FRACTION_BITS) + rounded, INFINITY) if rounded else ZERO
    return bits | SIGN if significand < 0 and bits else bits


def round_quotient(numerator: int, denominator: int, exponent: int = 0) -> int:
    """The bits of RN(numerator / denominator · 2**exponent); the denominator is positive."""
    shift = max(0, _QUOTIENT_BITS + denominator.bit_length() - abs(numerator).bit_length())
    quotient, rest = divmod(abs(numerator) << shift, denominator)
    # The bit below the quotient says whether anything is left: enough to round, as it is below every halfway bit.
    sticky = quotient << 1 | (rest != 0)
    return round_dyadic(-sticky if numerator < 0 else sticky, exponent - shift - 1)


def round_interval(low: int, high: int, exponent: int) -> int | None:
    """The bits that every number from low · 2**exponent to high · 2**exponent rounds to; None where they differ."""
    bits = round_dyadic(low, exponent)
    return bits if bits == round_dyadic(high, exponent) else None


def sum_dyadic(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    """The exact sum of two significand-exponent pairs."""
    exponent = min(left[1], right[1])
    return (left[0] << left[1] - exponent) + (right[0] << right[1] - exponent), exponent


def round_to_integer(numerator: int, denominator: int) -> int:
    """The integer nearest to numerator / denominator, ties to even; the denominator is positive."""
    quotient, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and quotient & 1):
        quotient += 1
    return quotient
