"""Exact reference for binary floats and wads (integers of 1e-18): rationals only, no floating point arithmetic."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

WAD = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """An IEEE 754 binary format."""

    name: str
    exponent_bits: int
    fraction_bits: int
    #: Format character of `struct`.
    code: str

    @property
    def width(self) -> int:
        """Bits of one float."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def bias(self) -> int:
        """What is added to an exponent."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def infinity(self) -> int:
        """Bits of positive infinity."""
        return ((1 << self.exponent_bits) - 1) << self.fraction_bits

    @property
    def sign(self) -> int:
        """Bits of -0."""
        return 1 << (self.width - 1)

    @property
    def largest(self) -> Fraction:
        """The greatest finite float."""
        return self.value(self.infinity - 1)

    def value(self, bits: int) -> Fraction:
        """The exact value of a finite float."""
        raw = bits.to_bytes(self.width // 8)
        return Fraction(struct.unpack(f">{self.code}", raw)[0])

    def nearest(self, value: Fraction) -> int | None:
        """Bits of the nearest float, ties to even; None when it overflows. Zero is +0."""
        magnitude = abs(value)
        if not magnitude:
            return 0
        exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
        exponent -= magnitude < Fraction(2) ** exponent
        exponent = max(exponent, 1 - self.bias)
        # Python rounds a rational half to even.
        significand = round(magnitude / Fraction(2) ** (exponent - self.fraction_bits))
        # One power of two more is one more in the exponent's lowest bit, and subnormals have exponent zero.
        bits = ((exponent + self.bias - 1) << self.fraction_bits) + significand
        if bits >= self.infinity:
            return None
        return bits | (self.sign if value < 0 else 0)

    def from_wad(self, wad: int) -> int | None:
        """Bits of the float nearest to a wad; None when it overflows."""
        return self.nearest(Fraction(wad, WAD))

    def to_wad(self, bits: int) -> int:
        """The wad of a finite float, rounded toward zero."""
        return int(self.value(bits) * WAD)


BINARY32 = Format(name="binary32", exponent_bits=8, fraction_bits=23, code="f")
BINARY64 = Format(name="binary64", exponent_bits=11, fraction_bits=52, code="d")
