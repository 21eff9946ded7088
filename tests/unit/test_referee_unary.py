from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import pytest
from tests.support.exact_reals import (
    INFINITY,
    NEGATIVE_INFINITY,
    as_fraction,
    as_real,
    float_bits,
    float_value,
    nearest_float,
    nearest_float_of_real,
)

from sworn.errors import ModelMalformed, RunNotFinite
from sworn.model.program import Function
from sworn.referee import floats, series, unary
from sworn.referee.unary import round_function

#: Enough for cos of 2**127 and for 1 + 2**-150.
BITS = 450
NAN = 0x7FC00000
ONE, HALF = float_bits(1.0), float_bits(0.5)

REFERENCE: dict[Function, Callable[[Any], Any]] = {
    Function.EXP: mpmath.exp,
    Function.LOG: mpmath.log,
    Function.TANH: mpmath.tanh,
    Function.SIGMOID: lambda x: 1 / (1 + mpmath.exp(-x)),
    Function.ERF: mpmath.erf,
    Function.SOFTPLUS: lambda x: x + mpmath.log1p(mpmath.exp(-x)) if x > 0 else mpmath.log1p(mpmath.exp(x)),
    Function.SIN: mpmath.sin,
    Function.COS: mpmath.cos,
    Function.SQRT: mpmath.sqrt,
    Function.RECIPROCAL: lambda x: 1 / x,
}

#: Arguments whose results come near to half-way points or to the ends of a range.
HARD = {
    Function.EXP: [0x42B17217, 0x42B17218, 0xC2CFF1B4, 0xC2CFF1B5, 0xC2AEAC50, 0x33800000, 0xB3000000, 0x33000000],
    Function.LOG: [0x3F7FFFFF, 0x3F800001, 0x3F3504F3, 0x3F3504F4, 0x3FB504F3, 0x3FB504F4, 1, 0x7F7FFFFF, 0x402DF854],
    Function.TANH: [0x38FFFFFF, 0x39000000, 0x3E7FFFFF, 0x3E800000, 0x41102CB3, 0x41102CB4, 0x417FFFFF, 0x41800000],
    Function.SIGMOID: [0xB3800000, 0x33800000, 0x34000000, 0xB4000000, 0x418AA123, 0xC2CFF1B5, 0xC2AEAC50, 0x41FFFFFF],
    Function.ERF: [0x407AD447, 0x407AD446, 0x407FFFFF, 0x40790000, 0x40800000, 1, 0x7FFFFF, 0x3F7FFFFF, 0x40751000],
    Function.SOFTPLUS: [0x41FFFFFF, 0x42000000, 0xC2CFF1B5, 0x33800000, 0xC1800000, 0xC2AEAC50, 0x4185AA12],
    Function.SIN: [0x39800000, 0x397FFFFF, 0x40490FDB, 0x3FC90FDB, 0x6F79BE45, 0x7F7FFFFF, 0x40C90FDB],
    Function.COS: [0x39000000, 0x38FFFFFF, 0x3FC90FDB, 0x6F79BE45, 0x7F7FFFFF, 0x396E0000, 0x39800000],
    Function.SQRT: [1, 2, 3, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x3F7FFFFF],
    Function.RECIPROCAL: [1, 0x200000, 0x200001, 0x1FFFFF, 0x7F7FFFFF, 0x7E800000, 0x7E800001, 0x7F000001],
}


def arguments(function: Function, count: int) -> list[int]:
    """Every exponent, hard cases and random numbers, finite and not zero, of both signs where defined."""
    chance = random.Random(function)
    every = [exponent << 23 | chance.getrandbits(23) for exponent in range(255)]
    middle = [chance.randrange(100, 142) << 23 | chance.getrandbits(23) for _ in range(count)]
    sizes = [*every, *middle, *(bits & floats.MAGNITUDE for bits in HARD[function]), 1, 0x7FFFFF, 0x800000]
    signs = (0,) if function in (Function.LOG, Function.SQRT) else (0, floats.SIGN)
    return [bits | sign for bits in sizes if bits for sign in signs]


@pytest.mark.parametrize("function", REFERENCE, ids=lambda function: function.name)
def test_function_of_all_exponents_and_hard_cases_is_correctly_rounded(function: Function) -> None:
    """The bits are those of the real value, rounded once, by a reference of 450 bits."""
    with mpmath.workprec(BITS):
        for bits in arguments(function, 250):
            expected = nearest_float_of_real(REFERENCE[function](as_real(float_value(bits))))
            assert round_function(function, bits) == expected, hex(bits)


def near_one(function: Function, seed: int) -> list[int]:
    """Arguments of moderate size, where approximations are used."""
    chance = random.Random(seed)
    sizes = [chance.randrange(90, 135) << 23 | chance.getrandbits(23) for _ in range(120)]
    return sizes if function is Function.LOG else [bits | chance.getrandbits(1) << 31 for bits in sizes]


@pytest.mark.parametrize(
    "function", sorted(unary.TRANSCENDENTAL.keys() - {Function.POW}), ids=lambda function: function.name
)
@pytest.mark.parametrize("w", unary.LEVELS)
def test_approximation_at_every_level_keeps_its_bound(function: Function, w: int) -> None:
    """The derived bound holds: off by less than `SLACK` units, and enough leading bits for 2**(16 - w)."""
    parameter = float_bits(-1.6875) if function is Function.ELU else 0
    settle, approximate = unary.TRANSCENDENTAL[function]
    reference = REFERENCE.get(function, lambda x: mpmath.mpf(-1.6875) * mpmath.expm1(x))
    with mpmath.workprec(BITS + 200):
        for bits in [*HARD.get(function, []), *near_one(function, w)]:
            if settle(bits, parameter) is not None:
                continue
            n, q = approximate(floats.decode(bits), floats.decode(parameter), w)
            truth = as_fraction(reference(as_real(float_value(bits)))) / Fraction(2) ** q
            assert abs(n).bit_length() > w - 4
            assert abs(n - truth) < series.SLACK


def test_sigmoid_at_its_hardest_argument_is_decided() -> None:
    """At -2**-24 the value misses a half-way point by 2**-76.6 of itself, more than the first level sees."""
    bits = floats.SIGN | float_bits(2.0**-24)
    n, q = unary.TRANSCENDENTAL[Function.SIGMOID][1](floats.decode(bits), (0, 0), unary.LEVELS[0])
    assert floats.round_interval(n - series.SLACK, n + series.SLACK, q) is None
    assert round_function(Function.SIGMOID, bits) == HALF


@pytest.mark.parametrize(
    ("function", "bits", "expected"),
    [
        (Function.EXP, 0, ONE),
        (Function.EXP, INFINITY, INFINITY),
        (Function.EXP, NEGATIVE_INFINITY, 0),
        (Function.LOG, ONE, 0),
        (Function.LOG, 0, NEGATIVE_INFINITY),
        (Function.LOG, floats.SIGN, NEGATIVE_INFINITY),
        (Function.LOG, INFINITY, INFINITY),
        (Function.TANH, 0, 0),
        (Function.TANH, INFINITY, ONE),
        (Function.TANH, NEGATIVE_INFINITY, ONE | floats.SIGN),
        (Function.TANH, floats.SIGN | 1, floats.SIGN | 1),
        (Function.SIGMOID, 0, HALF),
        (Function.SIGMOID, INFINITY, ONE),
        (Function.SIGMOID, NEGATIVE_INFINITY, 0),
        (Function.ERF, 0, 0),
        (Function.ERF, INFINITY, ONE),
        (Function.ERF, NEGATIVE_INFINITY, ONE | floats.SIGN),
        (Function.SOFTPLUS, INFINITY, INFINITY),
        (Function.SOFTPLUS, NEGATIVE_INFINITY, 0),
        (Function.SIN, 0, 0),
        (Function.COS, 0, ONE),
        (Function.SQRT, 0, 0),
        (Function.SQRT, INFINITY, INFINITY),
        (Function.RECIPROCAL, 0, INFINITY),
        (Function.RECIPROCAL, floats.SIGN, INFINITY),
        (Function.RECIPROCAL, NEGATIVE_INFINITY, 0),
    ],
)
def test_function_of_zero_and_infinity_has_its_limit(function: Function, bits: int, expected: int) -> None:
    """Exact cases and infinities follow IEEE 754, with every zero positive."""
    assert round_function(function, bits) == expected


@pytest.mark.parametrize(
    ("function", "bits"),
    [
        (Function.LOG, floats.SIGN | 1),
        (Function.LOG, NEGATIVE_INFINITY),
        (Function.SQRT, floats.SIGN | 1),
        (Function.SIN, INFINITY),
        (Function.COS, NEGATIVE_INFINITY),
        (Function.EXP, NAN),
        (Function.SQRT, NAN),
    ],
)
def test_function_without_a_value_is_refused(function: Function, bits: int) -> None:
    """A NaN ends the run as a typed failure."""
    with pytest.raises(RunNotFinite):
        round_function(function, bits)


def reference_power(x: Fraction, alpha: Fraction) -> int:
    """The bits of x to the power alpha, algebraically where a square root suffices."""
    twice = alpha * 2
    if twice.denominator == 1 and abs(alpha) < 500:
        power = as_real(abs(x)) ** int(twice)
        value = mpmath.sqrt(power)
    else:
        value = mpmath.exp(as_real(alpha) * mpmath.log(as_real(abs(x))))
    is_odd = alpha.denominator == 1 and alpha.numerator % 2 == 1
    return nearest_float_of_real(-value if x < 0 and is_odd else value)


def test_power_of_random_numbers_is_correctly_rounded() -> None:
    """Integer, half-integer and arbitrary exponents, small and large, agree with a reference of many bits."""
    chance = random.Random(3)
    exponents = [-3.0, -2.0, -1.0, -0.5, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 7.0, 15.0, 16.0, 17.0, 101.0]
    exponents += [floats.to_parameter(chance.randrange(105, 137) << 23 | chance.getrandbits(23)) for _ in range(40)]
    with mpmath.workprec(6000):
        for alpha in exponents:
            for _ in range(6):
                bits = chance.randrange(110, 145) << 23 | chance.getrandbits(chance.choice([3, 23])) << 20 & 0x7FFFFF
                bits |= floats.SIGN * (alpha.is_integer() and chance.random() < 0.3)
                expected = reference_power(float_value(bits), Fraction(alpha))
                assert round_function(Function.POW, bits, alpha) == expected, (hex(bits), alpha)


@pytest.mark.parametrize(
    ("base", "alpha", "expected"),
    [
        (0.0, 0.0, 1.0),
        (0.0, 2.5, 0.0),
        (0.0, -1.0, float("inf")),
        (float("inf"), 0.5, float("inf")),
        (float("inf"), -0.5, 0.0),
        (float("-inf"), 3.0, float("-inf")),
        (float("-inf"), 2.0, float("inf")),
        (float("-inf"), -3.0, 0.0),
        (1.0, 2.0**100, 1.0),
        (-1.0, 2.0**127, 1.0),
        (-1.0, 16777215.0, -1.0),
        (-2.0, 127.0, -(2.0**127)),
        (-2.0, 129.0, float("-inf")),
        (-2.0, -151.0, 0.0),
        (2.0, -149.0, 2.0**-149),
        (2.0, 2.0**127, float("inf")),
        (0.5, 2.0**127, 0.0),
        (2.0**-96, 1.0 / 32.0, 0.125),
        (6561.0, 0.125, 3.0),
        (4097.0, 2.0, 4097.0**2 - 1.0),
    ],
)
def test_power_in_exact_and_limiting_cases_follows_ieee(base: float, alpha: float, expected: float) -> None:
    """Exact powers, ties (4097 squared) and infinities."""
    assert round_function(Function.POW, float_bits(base), alpha) == float_bits(expected)


def test_power_of_negative_base_and_fraction_is_refused() -> None:
    """There is no real value; and an infinite exponent is no constant of a program."""
    with pytest.raises(RunNotFinite):
        round_function(Function.POW, float_bits(-2.0), 0.5)
    with pytest.raises(RunNotFinite):
        round_function(Function.POW, NEGATIVE_INFINITY, 0.75)
    with pytest.raises(ModelMalformed):
        round_function(Function.POW, float_bits(2.0), float("inf"))


def test_elu_of_all_sizes_is_correctly_rounded() -> None:
    """Also where alpha · x is half-way between floats and the rest of the series is 2**-149 of it."""
    chance = random.Random(4)
    cases = [(floats.SIGN | 1, 1.5), (floats.SIGN | 3, 0.5), (floats.SIGN | 1, 0.5), (floats.SIGN | 0x00FFFFFF, 1.5)]
    for exponent in range(1, 255):
        x = floats.SIGN | exponent << 23 | chance.getrandbits(23)
        cases.append((x, floats.to_parameter(chance.choice([0x3F800000, 0x3FC00000, chance.getrandbits(30)]))))
    with mpmath.workprec(BITS):
        for bits, alpha in cases:
            value = mpmath.mpf(alpha) * mpmath.expm1(as_real(float_value(bits)))
            assert round_function(Function.ELU, bits, alpha) == nearest_float_of_real(value), (hex(bits), alpha)
    assert round_function(Function.ELU, NEGATIVE_INFINITY, 0.75) == float_bits(-0.75)
    assert round_function(Function.ELU, NEGATIVE_INFINITY, 0.0) == 0
    assert round_function(Function.ELU, INFINITY, 0.75) == INFINITY


def test_hard_sigmoid_of_random_numbers_is_rounded_once() -> None:
    """Product, sum and bounds are exact; only the result is rounded."""
    chance = random.Random(5)
    for _ in range(1000):
        bits = chance.randrange(60, 135) << 23 | chance.getrandbits(23) | chance.getrandbits(1) << 31
        alpha = floats.to_parameter(chance.randrange(118, 128) << 23 | chance.getrandbits(23))
        beta = floats.to_parameter(chance.randrange(110, 127) << 23 | chance.getrandbits(23))
        value = Fraction(alpha) * float_value(bits) + Fraction(beta)
        expected = nearest_float(max(Fraction(0), min(Fraction(1), value)))
        assert round_function(Function.HARD_SIGMOID, bits, alpha, beta) == expected
    assert round_function(Function.HARD_SIGMOID, INFINITY, 0.25, 0.5) == ONE
    assert round_function(Function.HARD_SIGMOID, INFINITY, -0.25, 0.5) == 0
    with pytest.raises(RunNotFinite):
        round_function(Function.HARD_SIGMOID, INFINITY, 0.0, 0.5)


def test_round_function_of_another_function_is_refused() -> None:
    """Only functions of one float are known."""
    with pytest.raises(ModelMalformed):
        round_function(Function.ADD, ONE)


def test_constants_of_the_series_are_rounded_down() -> None:
    """All 512 bits after the point."""
    with mpmath.workprec(700):
        for value, real in (
            (series.LN2, mpmath.log(2)),
            (series.PI, +mpmath.pi),
            (series.TWO_OVER_SQRT_PI, 2 / mpmath.sqrt(mpmath.pi)),
        ):
            assert value == int(mpmath.floor(real * mpmath.mpf(2) ** series.CONSTANT_BITS))
