"""Float32 arithmetic on bits: one rounding each, infinities by the rules of IEEE 754, −0 never.

Every function raises `RunNotFinite` where an operand is or the result would be NaN.
"""

from __future__ import annotations

from collections.abc import Callable

from sworn.errors import RunNotFinite
from sworn.referee.floats import (
    INFINITY,
    MAGNITUDE,
    ONE,
    SIGN,
    ZERO,
    canonical,
    decode,
    is_infinite,
    is_negative,
    order_key,
    round_dyadic,
    round_quotient,
    round_to_integer,
    sum_dyadic,
)


def add(left: int, right: int) -> int:
    """RN(left + right)."""
    left, right = canonical(left), canonical(right)
    if is_infinite(left) or is_infinite(right):
        if is_infinite(left) and is_infinite(right) and left != right:
            raise RunNotFinite("∞ − ∞")
        return left if is_infinite(left) else right
    return round_dyadic(*sum_dyadic(decode(left), decode(right)))


def subtract(left: int, right: int) -> int:
    """RN(left − right)."""
    return add(left, canonical(right) ^ SIGN)


def multiply(left: int, right: int) -> int:
    """RN(left · right)."""
    left, right = canonical(left), canonical(right)
    if is_infinite(left) or is_infinite(right):
        if ZERO in (left, right):
            raise RunNotFinite("0 · ∞")
        return INFINITY | (left ^ right) & SIGN
    (a, p), (b, q) = decode(left), decode(right)
    return round_dyadic(a * b, p + q)


def divide(left: int, right: int) -> int:
    """RN(left / right); as every zero is +0, a quotient by zero has the sign of the dividend."""
    left, right = canonical(left), canonical(right)
    if is_infinite(right):
        if is_infinite(left):
            raise RunNotFinite("∞ / ∞")
        return ZERO
    if is_infinite(left) or right == ZERO:
        if left == ZERO:
            raise RunNotFinite("0 / 0")
        return INFINITY | (left ^ right) & SIGN
    (a, p), (b, q) = decode(left), decode(right)
    return round_quotient(a if b > 0 else -a, abs(b), p - q)


def remainder(left: int, right: int) -> int:
    """C's fmod: left − right · trunc(left / right), which is always a float."""
    left, right = canonical(left), canonical(right)
    if is_infinite(left) or right == ZERO:
        raise RunNotFinite("∞ mod b, or a mod 0")
    if is_infinite(right):
        return left
    (a, p), (b, q) = decode(left), decode(right)
    exponent = min(p, q)
    rest = (abs(a) << p - exponent) % (abs(b) << q - exponent)
    return round_dyadic(rest if a >= 0 else -rest, exponent)


def negate(bits: int) -> int:
    """−a."""
    return canonical(canonical(bits) ^ SIGN)


def magnitude(bits: int) -> int:
    """|a|."""
    return canonical(bits) & MAGNITUDE


def sign(bits: int) -> int:
    """−1, 0 or 1."""
    bits = canonical(bits)
    return bits & SIGN | ONE if bits else ZERO


def floor(bits: int) -> int:
    """The greatest integer not above a."""
    return _to_integer(bits, lambda numerator, denominator: numerator // denominator)


def ceiling(bits: int) -> int:
    """The least integer not below a."""
    return _to_integer(bits, lambda numerator, denominator: -(-numerator // denominator))


def nearest(bits: int) -> int:
    """The nearest integer, ties to even."""
    return _to_integer(bits, round_to_integer)


def _to_integer(bits: int, choose: Callable[[int, int], int]) -> int:
    bits = canonical(bits)
    if is_infinite(bits):
        return bits
    significand, exponent = decode(bits)
    return bits if exponent >= 0 else round_dyadic(choose(significand, 1 << -exponent), 0)


def least(left: int, right: int) -> int:
    """min(left, right)."""
    return canonical(min(left, right, key=order_key))


def greatest(left: int, right: int) -> int:
    """max(left, right)."""
    return canonical(max(left, right, key=order_key))


def clamp(bits: int, lower: int, upper: int) -> int:
    """min(max(a, lower), upper): where the bounds cross, upper wins."""
    return least(greatest(bits, lower), upper)


def scale_below_zero(bits: int, slope: int) -> int:
    """The operand where it is ≥ 0, else RN(slope · a)."""
    bits = canonical(bits)
    return multiply(slope, bits) if is_negative(bits) else canonical(bits)
