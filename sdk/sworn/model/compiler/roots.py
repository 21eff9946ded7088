"""RN(γ / √(var + ε)), correctly rounded in integers."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np
import numpy.typing as npt

from sworn.errors import ModelUnsupported

#: Bits of a float32 significand, and exponents of the least subnormal and of the last place of the greatest float.
_BITS, _LEAST, _GREATEST = 24, -149, 104


def inverse_root(
    gamma: npt.NDArray[np.float32], variance: npt.NDArray[np.float32], epsilon: float, *, label: str
) -> npt.NDArray[np.float32]:
    """γ / √(var + ε) per element, one rounding to nearest even.

    Raises `ModelUnsupported` where var + ε is not positive, or something is infinite or overflows.
    """
    if not (np.isfinite(gamma).all() and np.isfinite(variance).all() and np.isfinite(epsilon)):
        raise ModelUnsupported(f"{label}: statistics are not finite")
    pairs = zip(gamma.tolist(), variance.tolist(), strict=True)
    result = [_inverse_root(Fraction(g), Fraction(v) + Fraction(epsilon), label) for g, v in pairs]
    return np.array(result, np.float32)


def _inverse_root(gamma: Fraction, square: Fraction, label: str) -> float:
    if square <= 0:
        raise ModelUnsupported(f"{label}: variance plus epsilon is not positive")
    if gamma == 0:
        return 0.0
    # The root of q times a power of four, floored, with enough bits that rounding needs only the sticky remainder.
    quotient = gamma * gamma / square
    shift = (2 * 64 - (quotient.numerator.bit_length() - quotient.denominator.bit_length())) // 2
    scaled = quotient * Fraction(4) ** shift
    whole = isqrt(scaled.numerator // scaled.denominator)
    sticky = Fraction(whole * whole) != scaled
    magnitude = _rounded(2 * whole + sticky, -shift - 1)
    if magnitude is None:
        raise ModelUnsupported(f"{label}: scale divided by deviation overflows")
    return magnitude if gamma > 0 else -magnitude


def _rounded(mantissa: int, exponent: int) -> float | None:
    """Gives mantissa · 2^exponent to the nearest float32, ties to even; None for overflow."""
    last = max(exponent + mantissa.bit_length() - _BITS, _LEAST)
    drop = last - exponent
    kept, rest = mantissa >> drop, mantissa & ((1 << drop) - 1)
    half = 1 << (drop - 1)
    kept += rest > half or (rest == half and kept & 1)
    if kept == 1 << _BITS:
        kept, last = kept >> 1, last + 1
    return None if last > _GREATEST else float(Fraction(kept) * Fraction(2) ** last)
