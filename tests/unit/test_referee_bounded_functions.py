"""Functions in profile `bounded`: the tolerance, to the last float, against rationals and 450 bits of mpmath."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from tests.support.bounds import OVERFLOW, SPECIAL, admitted, bits_of, edges, key_of, value_bounds
from tests.support.exact_reals import as_fraction, as_real, float_bits, float_value
from tests.support.programs import program, step, tensor, unary, value
from tests.support.refereeing import refereed

from sworn.errors import RunNotFinite
from sworn.model.program import Function, Pointwise, Program
from sworn.referee.tolerances import TOLERANCES

BITS = 450
INFINITY, NEGATIVE = 0x7F800000, 0xFF800000

REAL: dict[Function, Callable[[Any, Any], Any]] = {
    Function.EXP: lambda x, _: mpmath.exp(x),
    Function.LOG: lambda x, _: mpmath.log(x),
    Function.TANH: lambda x, _: mpmath.tanh(x),
    Function.SIGMOID: lambda x, _: 1 / (1 + mpmath.exp(-x)),
    Function.ERF: lambda x, _: mpmath.erf(x),
    Function.SOFTPLUS: lambda x, _: mpmath.log1p(mpmath.exp(x)),
    Function.SIN: lambda x, _: mpmath.sin(x),
    Function.COS: lambda x, _: mpmath.cos(x),
    Function.ELU: lambda x, alpha: alpha * mpmath.expm1(x),
    Function.POW: lambda x, alpha: mpmath.power(x, alpha),
}
#: Arguments of which the result is rounded from an approximation or from the exact value, and not settled before.
RANGES: dict[Function, tuple[float, float, bool]] = {
    Function.EXP: (2.0**-140, 127.5, True),
    Function.LOG: (2.0**-149, 3e38, False),
    Function.TANH: (2.0**-13, 15.9, True),
    Function.SIGMOID: (2.0**-140, 31.9, True),
    Function.ERF: (2.0**-149, 3.99, True),
    Function.SOFTPLUS: (2.0**-140, 31.9, True),
    Function.SIN: (2.0**-12, 3e38, True),
    Function.COS: (2.0**-13, 3e38, True),
    Function.ELU: (2.0**-60, 31.9, True),
    Function.POW: (2.0**-149, 3e38, False),
}
ALPHAS: dict[Function, tuple[float, ...]] = {
    Function.ELU: (1.0, 0.25, -0.5),
    Function.POW: (2.0, 3.0, 0.5, -0.5, 1.5, -1.0, 0.75, -7.0, 33.0, 200.0),
}
CASES = [(function, alpha) for function in REAL for alpha in ALPHAS.get(function, (0.0,))]


def arguments(function: Function, count: int) -> list[int]:
    """Random exponents and significands within the range, and its ends."""
    low, high, is_signed = RANGES[function]
    first, last = float_bits(low), float_bits(float(np.float32(high)))
    chance = random.Random(function)
    sizes = [first, last, *(chance.randint(first, last) for _ in range(count))]
    signs = (0x80000000,) if function is Function.ELU else (0, 0x80000000) if is_signed else (0,)
    return [bits | sign for bits in sizes for sign in signs]


def judged(made: Program, inputs: list[int]) -> Callable[[int], bool]:
    """What the referee says of claims about a function of some bits."""
    arrays = [np.array([bits], np.uint32).view(np.float32) for bits in inputs]
    return lambda claimed: admitted(made, arrays, (), 0, claimed)


def check_edges(made: Program, inputs: list[int], exact: Fraction) -> None:
    """The last floats within a tolerance are admitted, those beyond are not; infinities where rounding reaches them."""
    body = made.steps[0].body
    assert isinstance(body, Pointwise)
    tolerance, admits = TOLERANCES[body.function], judged(made, inputs)
    margin = Fraction(2) ** tolerance.abs_exponent if tolerance.abs_exponent is not None else Fraction(0)
    low, high = value_bounds(exact, tolerance.rel, margin)
    inside, outside = edges(low, high)
    assert all(map(admits, inside)), (inputs, inside)
    assert not any(map(admits, outside)), (inputs, outside)
    assert admits(INFINITY) == (high >= OVERFLOW) and admits(NEGATIVE) == (low <= -OVERFLOW)
    assert not any(map(admits, SPECIAL[2:]))


@pytest.mark.parametrize(("function", "alpha"), CASES)
def test_tolerance_of_a_function_is_sharp(function: Function, alpha: float) -> None:
    """Over all exponents, for real numbers with 450 bits behind them."""
    made = unary(function, 1, alpha=alpha)
    with mpmath.workprec(BITS):
        for bits in arguments(function, 40):
            x = float_value(bits)
            exact = as_fraction(REAL[function](as_real(x), mpmath.mpf(alpha)))
            if abs(exact) < Fraction(2) ** 300:
                check_edges(made, [bits], exact)


def test_tolerance_of_a_rational_power_is_sharp() -> None:
    """Powers that are rational are compared as such: f · (1 + rel · 2**-24) may be a float, and then it is admitted."""
    for alpha, bits in ((-1.0, 0x3F800000 | 0x200000), (2.0, 0x3F800001), (-2.0, 0x40400000), (7.0, 0x3F800101)):
        check_edges(unary(Function.POW, 1, alpha=alpha), [bits], float_value(bits) ** int(alpha))
    # 2**24 + 8 is 8 · 3 · 699051: a third of it is a float below an exponent that leaves the margin its own bit.
    third = float_bits(3.0 * 2.0**125)
    exact = 1 / float_value(third)
    bound = exact * (1 + Fraction(8, 1 << 24)) + Fraction(1, 1 << 147)
    found = float_bits(float(bound))
    assert float_value(found) == bound
    admits = judged(unary(Function.POW, 1, alpha=-1.0), [third])
    assert admits(found) and not admits(found + 1)


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 0.5), (1 / 6, 0.5), (1.0, -1.0), (-0.25, 1.0), (0.0, 2.0)])
def test_tolerance_of_a_hard_sigmoid_is_sharp(alpha: float, beta: float) -> None:
    """The clamped line is rational; near its knees, on it, and where it is flat."""
    alpha, beta = float(np.float32(alpha)), float(np.float32(beta))
    made = unary(Function.HARD_SIGMOID, 1, alpha=alpha, beta=beta)
    knees = [(side - beta) / alpha for side in (0, 1)] if alpha else []
    for x in (0.0, 1.0, -1.0, 1e-40, 3e38, -3e38, *knees, *(knee * (1 + 2.0**-22) for knee in knees)):
        bits = float_bits(float(np.float32(x)))
        exact = min(max(Fraction(alpha) * float_value(bits) + Fraction(beta), Fraction(0)), Fraction(1))
        check_edges(made, [bits], exact)


@pytest.mark.parametrize("function", sorted(TOLERANCES), ids=lambda function: function.name)
def test_exact_value_of_a_function_is_always_admitted(function: Function) -> None:
    """Whatever is settled, saturates or is infinite: no step is wrong that the exact executor computes."""
    chance = random.Random(function)
    found = [0, 1, 0x3F800000, 0x7F7FFFFF, INFINITY, *(chance.getrandbits(31) % INFINITY for _ in range(150))]
    alpha = 0.75 if function in (Function.ELU, Function.HARD_SIGMOID) else 1.25
    made = unary(function, 1, alpha=alpha, beta=0.5)
    for bits in (bits | sign for bits in found for sign in (0, 0x80000000)):
        (exact,) = refereed(made, [np.array([bits], np.uint32).view(np.float32)])
        admits = judged(made, [bits])
        if isinstance(exact, int):
            assert admits(exact), hex(bits)
            assert not any(map(admits, SPECIAL[2:]))
        else:
            with pytest.raises(exact):
                admits(0)


def test_infinities_that_operands_give_have_no_neighbours() -> None:
    """A limit or a division by zero is one value; the greatest float is no substitute for it."""
    for function, bits, expected in (
        (Function.LOG, 0, NEGATIVE),
        (Function.EXP, INFINITY, INFINITY),
        (Function.EXP, 0x43000000, INFINITY),
        (Function.SOFTPLUS, INFINITY, INFINITY),
    ):
        admits = judged(unary(function, 1), [bits])
        assert admits(expected)
        assert not any(map(admits, (0x7F7FFFFF, 0xFF7FFFFF, 0, expected ^ 0x80000000)))


def test_limits_that_are_finite_keep_their_tolerance() -> None:
    """What infinite arguments lead to is a value like others."""
    for function, bits, limit in (
        (Function.EXP, NEGATIVE, 0),
        (Function.TANH, INFINITY, 1),
        (Function.SIGMOID, NEGATIVE, 0),
        (Function.ERF, NEGATIVE, -1),
    ):
        check_edges(unary(function, 1), [bits], Fraction(limit))


def test_elu_hands_on_what_is_not_negative() -> None:
    """Above 0 it is no approximation."""
    admits = judged(unary(Function.ELU, 1, alpha=1.0), [0x3F800001])
    assert [key for key in range(-3, 4) if admits(bits_of(key_of(0x3F800001) + key))] == [0]


def test_function_without_a_value_raises() -> None:
    """Roots and logarithms of negative numbers, 0 / 0."""
    for function, bits in ((Function.SQRT, 0xBF800000), (Function.LOG, 0xBF800000), (Function.SIN, INFINITY)):
        with pytest.raises(RunNotFinite):
            judged(unary(function, 1), [bits])(0)


def test_function_outside_of_the_table_has_one_value() -> None:
    """Sums, products, choices and roundings are what profile `exact` says."""
    arguments = {Function.SQRT: 1.75}
    functions = (Function.NEG, Function.ABS, Function.FLOOR, Function.RELU, Function.LEAKY_RELU)
    for function in (*functions, Function.SQRT, Function.RECIPROCAL):
        x = arguments.get(function, -1.75)
        made = unary(function, 1, alpha=0.25)
        (exact,) = refereed(made, [np.array([x], np.float32)])
        assert isinstance(exact, int)
        admits = judged(made, [float_bits(x)])
        assert admits(exact) and not admits(exact ^ 1)


def test_quotient_has_one_value() -> None:
    """One unit more or less is a lie: QUANTIZE behind it would make a whole step of that."""
    chance = random.Random(1)
    body = Pointwise(function=Function.DIV, operands=(value(0, (1,)), value(1, (1,))))
    made = program([tensor((1,)), tensor((1,))], (step(body, (1,)),))
    for _ in range(120):
        a, b = (chance.getrandbits(31) % INFINITY | 1 for _ in range(2))
        (exact,) = refereed(made, [np.array([bits], np.uint32).view(np.float32) for bits in (a, b)])
        assert isinstance(exact, int)
        admits = judged(made, [a, b])
        assert admits(exact) and not admits(exact + 1) and not admits(exact - 1 if exact else 2)
