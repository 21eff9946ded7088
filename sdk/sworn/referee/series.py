"""Logarithms, exponentials and their like in fixed point: integers with ``w`` bits after the point.

Errors are counted in units of the last of those bits. Every shift and every division rounds down and costs less than
one unit. A series has fewer than 256 terms (at most 62 for exp, 106 for atanh, 200 for erf, at 352 bits); a term is
made by one shift and one or two divisions, inherits less than half of its predecessor's error (the ratio of
neighbouring terms is below 1/2; erf states its own bound), and the cut-off tail is less than the last term. So a series
is off by less than 256 · 4 = 2**10 units, and a result made of one or two of them with a few products by less than
2**12: that is `SLACK`.
"""

from __future__ import annotations

from typing import Final

from sworn.referee.floats import SIGNIFICAND_BITS

#: Bound on the error of every approximation in `sworn.referee.unary`, in units of its last place.
SLACK: Final = 1 << 12

#: Bits after the point of the constants below, which are rounded down.
CONSTANT_BITS: Final = 512
LN2: Final = int(
    "b17217f7d1cf79abc9e3b39803f2f6af40f343267298b62d8a0d175b8baafa2b"
    "e7b876206debac98559552fb4afa1b10ed2eae35c138214427573b291169b825",
    16,
)
PI: Final = int(
    "3243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c8"
    "9452821e638d01377be5466cf34e90c6cc0ac29b7c97c50dd3f84d5b5b5470917",
    16,
)
#: 2 / √π.
TWO_OVER_SQRT_PI: Final = int(
    "120dd750429b6d11ae3a914fed7fd8688281341d7587cea2e7342b06199cc4161"
    "80eb39f0b24e1e2281806c12d98f35d77a3e9ddc91c394f0e9eedf0efffd84a2",
    16,
)

#: ⌈√2 · 2**23⌉: significands from here on are halved, so that a logarithm's argument lies between √½ and √2.
_SQRT2_SIGNIFICAND = 11863284
#: The argument of an exponential carries this many more bits: |k| ≤ 256 multiples of ln 2, each off by less than one.
ARGUMENT_GUARD: Final = 8
#: Terms of erf's series reach e**16 < 2**24 at |x| = 4 and multiply the error of each of up to 256 terms by no more.
_ERF_GUARD = 32


def constant(value: int, w: int) -> int:
    """A constant with w bits after the point; off by less than one unit."""
    return value >> CONSTANT_BITS - w


def shifted(value: int, places: int) -> int:
    """The value times 2**places, rounded down."""
    return value << places if places >= 0 else value >> -places


def normalised(significand: int, exponent: int) -> tuple[int, int]:
    """The same non-zero number with a significand of exactly 24 bits."""
    places = SIGNIFICAND_BITS - significand.bit_length()
    return significand << places, exponent - places


def exponential(y: int, w: int) -> tuple[int, int]:
    """(t, k) with exp(y) = t · 2**(k − w) and t · 2**−w between 0.7 and 1.42; y has w + `ARGUMENT_GUARD` bits."""
    ln2 = constant(LN2, w + ARGUMENT_GUARD)
    k = (2 * y + ln2) // (2 * ln2)
    r = (y - k * ln2) >> ARGUMENT_GUARD
    term = total = 1 << w
    n = 0
    while term:
        n += 1
        term = (term * r >> w) // n
        total += term
    return total, k


def exponential_ratio(y: int, w: int) -> int:
    """(exp(y) − 1) / y with w bits, for |y| ≤ 1/2 with w bits: keeps every bit of exp(y) − 1 when y is small."""
    term = total = 1 << w
    n = 1
    while term:
        n += 1
        term = (term * y >> w) // n
        total += term
    return total


def odd_reciprocals(v: int, w: int) -> int:
    """Σ vʲ / (2j + 1) = artanh(√v) / √v with w bits, for 0 ≤ v ≤ 1/9 with w bits."""
    power = total = 1 << w
    n = 1
    while power:
        n += 2
        power = power * v >> w
        total += power // n
    return total


def logarithm(significand: int, exponent: int, w: int) -> tuple[int, int]:
    """(n, q) with log(significand · 2**exponent) = n · 2**q, |n| ≥ 2**(w − 3); for a positive number other than 1.

    With f = x / 2**k between √½ and √2 and u = (f − 1) / (f + 1): log x = k · ln 2 + 2 · artanh(u), |u| < 0.172. Where
    k = 0 the bits of u start at its first non-zero one, so that the result's relative error is as small near x = 1.
    """
    m, exponent = normalised(significand, exponent)
    k = exponent + SIGNIFICAND_BITS - 1
    unit = 1 << SIGNIFICAND_BITS - 1
    if m >= _SQRT2_SIGNIFICAND:
        k, unit = k + 1, unit << 1
    # Leading zeros of |u|: 0 where k > 0, as there only absolute bits count.
    zeros = (m + unit).bit_length() - abs(m - unit).bit_length() if k == 0 else 0
    u = ((m - unit) << w + zeros) // (m + unit)
    artanh = u * odd_reciprocals(u * u >> w + 2 * zeros, w) >> w
    return 2 * artanh + k * constant(LN2, w), -w - zeros


def logarithm_of_one_plus(t: int, k: int, w: int) -> tuple[int, int]:
    """(n, q) with log(1 + t · 2**(k − w)) = n · 2**q, n ≥ 2**(w − 3); the argument t · 2**(k − w) is at most 1.

    u = z / (2 + z) is at most 1/3, and log(1 + z) = 2 · artanh(u).
    """
    u = (t << w) // ((2 << w) + shifted(t, k))
    return u * odd_reciprocals(shifted(u * u, 2 * k - w), w) >> w - 1, k - w


def erf_ratio(significand: int, exponent: int, w: int) -> int:
    """√π / 2 · erf(x) / x = Σ (−x²)ʲ / (j! · (2j + 1)) with w bits, for |x| ≤ 4."""
    guarded = w + _ERF_GUARD
    v = -shifted(significand * significand, 2 * exponent + guarded)
    term = total = 1 << guarded
    n = 0
    while term:
        n += 1
        term = (term * v >> guarded) // n
        total += term // (2 * n + 1)
    return total >> _ERF_GUARD


def cosine(v: int, w: int) -> int:
    """Cosine of √v with w bits, for v ≤ 0.62 with w bits."""
    return _alternating_factorials(v, w, start=0)


def sine_ratio(v: int, w: int) -> int:
    """sin(√v) / √v with w bits, for v ≤ 0.62 with w bits."""
    return _alternating_factorials(v, w, start=1)


def _alternating_factorials(v: int, w: int, *, start: int) -> int:
    term = total = 1 << w
    n = start
    while term:
        n += 2
        term = (-term * v >> w) // (n * (n - 1))
        total += term
    return total
