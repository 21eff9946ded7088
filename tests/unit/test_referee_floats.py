from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from tests.support.exact_reals import float_value, nearest_float

from sworn.errors import ModelMalformed, RunNotFinite
from sworn.referee import floats

EDGES = (0, 1, 2, 0x7FFFFF, 0x800000, 0x800001, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x7F7FFFFE, 0x7F7FFFFF)


def patterns(count: int) -> list[int]:
    """Edge patterns of both signs, and random ones that are finite."""
    chance = random.Random(7)
    edges = [bits | sign for bits in EDGES for sign in (0, floats.SIGN)]
    return edges + [bits for _ in range(count) if (bits := chance.getrandbits(32)) & floats.MAGNITUDE < floats.INFINITY]


def test_decode_of_finite_bits_gives_the_exact_value() -> None:
    """A significand times a power of two is the float, subnormals included."""
    for bits in patterns(2000):
        significand, exponent = floats.decode(bits)
        assert Fraction(significand) * Fraction(2) ** exponent == float_value(bits)


@pytest.mark.parametrize("bits", [floats.INFINITY, floats.INFINITY | floats.SIGN, 0x7FC00000, 0xFF800001])
def test_decode_of_infinities_and_nan_is_refused(bits: int) -> None:
    """What has no value is a typed error."""
    with pytest.raises(RunNotFinite):
        floats.decode(bits)


def test_round_dyadic_of_random_and_halfway_numbers_equals_fractions() -> None:
    """Ties go to even, in every range of exponents, just beside them not."""
    chance = random.Random(8)
    for _ in range(4000):
        bits = chance.choice(EDGES[1:]) if chance.random() < 0.3 else chance.getrandbits(31) % floats.INFINITY
        significand, exponent = floats.decode(bits)
        # Half-way to the next float, exactly or by a hair off.
        significand, exponent = (2 * significand + 1) << 40, exponent - 41
        significand += chance.choice([0, 0, 1, -1, chance.getrandbits(42)])
        significand = -significand if chance.random() < 0.5 else significand
        expected = nearest_float(Fraction(significand) * Fraction(2) ** exponent)
        assert floats.round_dyadic(significand, exponent) == expected


def test_round_dyadic_at_the_ends_overflows_and_underflows() -> None:
    """Half-way to 2**128 is an infinity, half of the least subnormal is zero, and zero has no sign."""
    assert floats.round_dyadic((1 << 25) - 1, 103) == floats.INFINITY
    assert floats.round_dyadic(((1 << 25) - 1 << 9) - 1, 94) == 0x7F7FFFFF
    assert floats.round_dyadic(-1, 5000) == floats.INFINITY | floats.SIGN
    assert floats.round_dyadic(-1, -150) == floats.ZERO
    assert floats.round_dyadic(3, -151) == 1
    assert floats.round_dyadic(0, 0) == floats.ZERO


def test_round_quotient_of_random_and_tied_numbers_equals_fractions() -> None:
    """A remainder, however small, breaks a tie; quotients may tie among subnormals."""
    chance = random.Random(9)
    for _ in range(3000):
        numerator = chance.getrandbits(chance.choice([1, 24, 60, 300])) * chance.choice([-1, 1])
        denominator = chance.getrandbits(chance.choice([1, 8, 24, 40])) + 1
        exponent = chance.choice([0, 30, -60, -149, -160, -298])
        expected = nearest_float(Fraction(numerator, denominator) * Fraction(2) ** exponent)
        assert floats.round_quotient(numerator, denominator, exponent) == expected


def test_round_interval_around_a_halfway_point_is_undecided() -> None:
    """An interval is rounded only where both ends agree."""
    halfway = ((1 << 24) | 1) << 20
    assert floats.round_interval(halfway - 1, halfway + 1, 0) is None
    assert floats.round_interval(halfway + 1, halfway + 9, 0) == nearest_float(Fraction(halfway + 1))


def test_order_key_of_all_kinds_orders_as_numpy() -> None:
    """Infinities at the ends, both zeros equal."""
    bits = [*patterns(300), floats.INFINITY, floats.INFINITY | floats.SIGN]
    values = np.array(bits, dtype=np.uint32).view(np.float32)
    keys = [floats.order_key(b) for b in bits]
    for key, value in zip(keys, values, strict=True):
        assert [key < other for other in keys] == (value < values).tolist()
    with pytest.raises(RunNotFinite):
        floats.order_key(0x7FC00000)


def test_from_parameter_of_other_than_float32_values_is_refused() -> None:
    """A parameter has the value that it states, or the program is malformed."""
    assert floats.from_parameter(-0.0) == floats.ZERO
    assert floats.from_parameter(float("-inf")) == floats.INFINITY | floats.SIGN
    assert floats.to_parameter(floats.from_parameter(0.25)) == 0.25
    for value in (0.1, 1e39, 1e-60, float("nan")):
        with pytest.raises(ModelMalformed):
            floats.from_parameter(value)


def test_round_to_integer_of_halves_goes_to_even() -> None:
    """Also below zero."""
    assert [floats.round_to_integer(n, 2) for n in (-5, -3, -1, 1, 3, 5)] == [-2, -2, 0, 0, 2, 2]
    assert floats.round_to_integer(-(10**40) - 1, 2 * 10**40) == -1
