from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from tests.support.exact_reals import INFINITY, NEGATIVE_INFINITY, float_bits, float_value, nearest_float

from sworn.errors import CastOutOfRange, DivisionByZero, ModelMalformed, RunNotFinite, SwornError
from sworn.model.program import Function
from sworn.referee import integers
from sworn.referee.functions import Call, apply
from sworn.types import DType

NAN = 0x7FC00000
INTEGER_TYPES = [
    DType.UINT8,
    DType.INT8,
    DType.UINT16,
    DType.INT16,
    DType.INT32,
    DType.INT64,
    DType.UINT32,
    DType.UINT64,
]
F = DType.FLOAT32


def call(function: Function, operands: Sequence[int], dtypes: Sequence[DType] | DType = F, **more: Any) -> int:
    """The bits of a function; one type stands for all operands and, unless given, for the output."""
    types = (dtypes,) * len(operands) if isinstance(dtypes, DType) else tuple(dtypes)
    more.setdefault("output", types[0])
    return apply(Call(function=function, operands=tuple(operands), dtypes=types, **more))


def floats_of(count: int) -> list[int]:
    """Edge floats, infinities included, and random ones of near and far exponents."""
    chance = random.Random(11)
    edges = [0, 1, 2, 0x7FFFFF, 0x800000, 0x3F800000, 0x3F800001, 0x3F000000, 0x40200000, 0x7F7FFFFF, INFINITY]
    random_ones = [chance.randrange(0, 255) << 23 | chance.getrandbits(23) for _ in range(count)]
    near = [chance.randrange(120, 150) << 23 | chance.getrandbits(chance.choice([3, 23])) for _ in range(count)]
    sizes = [*edges, *random_ones, *near]
    return sizes + [bits | 0x80000000 for bits in sizes if bits]


def as_numpy(bits: int) -> np.float32:
    """A numpy float32 with these bits."""
    return np.uint32(bits).view(np.float32)


def outcome(result: Any) -> int | None:
    """What numpy gave, as a step writes it: None for NaN, +0 for zeros."""
    value = np.float32(result)
    return None if np.isnan(value) else int((value + np.float32(0)).view(np.uint32))


def attempt(function: Function, *operands: int) -> int | None:
    """The bits of a float function; None where it has no value."""
    try:
        return call(function, operands)
    except RunNotFinite:
        return None


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (Function.ADD, np.add),
        (Function.SUB, np.subtract),
        (Function.MUL, np.multiply),
        (Function.DIV, np.divide),
        (Function.MIN, np.minimum),
        (Function.MAX, np.maximum),
        (Function.FMOD, np.fmod),
        (Function.PRELU, lambda a, b: a if a >= 0 else np.multiply(a, b)),
    ],
)
def test_binary_function_of_floats_equals_ieee(function: Function, reference: Callable[..., Any]) -> None:
    """Numpy's single operations are correctly rounded, infinities and subnormals included."""
    bits = floats_of(20)
    with np.errstate(all="ignore"):
        for left, right in itertools.product(bits, bits):
            expected = outcome(reference(as_numpy(left), as_numpy(right)))
            assert attempt(function, left, right) == expected, (hex(left), hex(right))


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (Function.NEG, np.negative),
        (Function.ABS, np.abs),
        (Function.SIGN, np.sign),
        (Function.FLOOR, np.floor),
        (Function.CEIL, np.ceil),
        (Function.ROUND, np.rint),
        (Function.RELU, lambda a: max(a, 0)),
    ],
)
def test_unary_function_of_floats_equals_ieee(function: Function, reference: Callable[..., Any]) -> None:
    """And no −0, also from small negative numbers."""
    for bits in [*floats_of(400), float_bits(-0.25), float_bits(-0.5), float_bits(-1.5), float_bits(2.5)]:
        assert call(function, [bits]) == outcome(reference(as_numpy(bits)))


@pytest.mark.parametrize("function", [f for f in Function if f not in (Function.NOT, Function.REQUANTIZE)])
def test_function_of_nan_or_negative_zero_is_refused_or_treats_it_as_zero(function: Function) -> None:
    """A NaN operand never gives a value; −0 gives what +0 gives."""
    more: dict[str, Any] = {"alpha": 1.0, "beta": 1.0, "dtypes": F}
    counts = {Function.WHERE: 3, Function.QUANTIZE: 2, Function.DEQUANTIZE: 2}
    binary = function <= Function.FMOD or function in (Function.PRELU, Function.QUANTIZE) or function >= Function.EQUAL
    count = counts.get(function, 2 if binary and function is not Function.CAST else 1)
    if Function.EQUAL <= function <= Function.GREATER_OR_EQUAL:
        more["output"] = DType.BOOL
    if function in (Function.CAST, Function.QUANTIZE):
        more["output"] = DType.INT8
    with pytest.raises(SwornError):
        call(function, [NAN] * count, **more)

    def give(zero: int) -> int | str:
        try:
            return call(function, [zero] + [0x40000000] * (count - 1), **more)
        except SwornError as error:
            return type(error).__name__

    assert give(0x80000000) == give(0)


def test_clip_and_leaky_relu_of_floats_follow_their_parameters() -> None:
    """Bounds may be infinite; where they cross, the upper one wins; a slope is rounded once."""
    two, minus = float_bits(2.0), float_bits(-3.0)
    assert call(Function.CLIP, [two], alpha=-1.0, beta=1.0) == float_bits(1.0)
    assert call(Function.CLIP, [minus], alpha=-1.0, beta=1.0) == float_bits(-1.0)
    assert call(Function.CLIP, [minus], alpha=float("-inf"), beta=float("inf")) == minus
    assert call(Function.CLIP, [two], alpha=5.0, beta=1.0) == float_bits(1.0)
    assert call(Function.CLIP, [minus], alpha=-0.0, beta=6.0) == 0
    slope = float(np.float32(0.01))
    expected = nearest_float(Fraction(slope) * -3)
    assert call(Function.LEAKY_RELU, [minus], alpha=slope) == expected
    assert call(Function.LEAKY_RELU, [two], alpha=slope) == two
    assert call(Function.LEAKY_RELU, [NEGATIVE_INFINITY], alpha=-0.5) == INFINITY
    with pytest.raises(RunNotFinite):
        call(Function.LEAKY_RELU, [NEGATIVE_INFINITY], alpha=0.0)


def samples(dtype: DType) -> list[int]:
    """The bits of edge values and of random ones."""
    chance = random.Random(dtype)
    least, greatest = integers.bounds(dtype)
    values = {
        least,
        least + 1,
        greatest,
        greatest - 1,
        0,
        1,
        2,
        3,
        7,
        *(chance.randint(least, greatest) for _ in range(12)),
    }
    values |= {-1, -2, -7} if least else set()
    return [integers.wrap(value, dtype) for value in sorted(values)]


@pytest.mark.parametrize("dtype", INTEGER_TYPES, ids=lambda dtype: dtype.name)
def test_functions_of_integers_wrap_as_numpy(dtype: DType) -> None:
    """Sums, differences and products modulo 2**n; comparisons by value; both remainders."""
    arrays = np.array(samples(dtype), dtype=np.uint64).astype(dtype.numpy)
    references: dict[Function, Callable[..., Any]] = {
        Function.ADD: np.add,
        Function.SUB: np.subtract,
        Function.MUL: np.multiply,
        Function.MIN: np.minimum,
        Function.MAX: np.maximum,
        Function.MOD: np.mod,
        Function.FMOD: np.fmod,
        Function.EQUAL: np.equal,
        Function.LESS: np.less,
        Function.LESS_OR_EQUAL: np.less_equal,
        Function.GREATER: np.greater,
        Function.GREATER_OR_EQUAL: np.greater_equal,
    }
    with np.errstate(all="ignore"):
        for function, reference in references.items():
            output = DType.BOOL if function >= Function.EQUAL else dtype
            for (left, a), (right, b) in itertools.product(zip(samples(dtype), arrays, strict=True), repeat=2):
                if function in (Function.MOD, Function.FMOD) and right == 0:
                    continue
                expected = integers.wrap(int(reference(a, b)), output)
                assert call(function, [left, right], dtype, output=output) == expected


@pytest.mark.parametrize("dtype", INTEGER_TYPES, ids=lambda dtype: dtype.name)
def test_division_of_integers_truncates_and_wraps(dtype: DType) -> None:
    """Towards zero; the least value by −1 is itself; by zero is a typed failure."""
    for left, right in itertools.product(samples(dtype), samples(dtype)):
        a, b = integers.decode(left, dtype), integers.decode(right, dtype)
        if b == 0:
            for function in (Function.DIV, Function.MOD, Function.FMOD):
                with pytest.raises(DivisionByZero):
                    call(function, [left, right], dtype)
        else:
            expected = integers.wrap(int(Fraction(a, b)), dtype)
            assert call(Function.DIV, [left, right], dtype) == expected
    least = integers.wrap(integers.bounds(DType.INT8)[0], DType.INT8)
    assert call(Function.DIV, [least, 0xFF], DType.INT8) == least
    assert call(Function.FMOD, [least, 0xFF], DType.INT8) == 0


@pytest.mark.parametrize("dtype", INTEGER_TYPES, ids=lambda dtype: dtype.name)
def test_unary_functions_of_integers_wrap(dtype: DType) -> None:
    """Negation and absolute value of the least value are itself."""
    for bits in samples(dtype):
        value = integers.decode(bits, dtype)
        assert call(Function.NEG, [bits], dtype) == integers.wrap(-value, dtype)
        assert call(Function.ABS, [bits], dtype) == integers.wrap(abs(value), dtype)
        assert integers.decode(call(Function.SIGN, [bits], dtype), dtype) == (value > 0) - (value < 0)
        assert call(Function.RELU, [bits], dtype) == integers.wrap(max(value, 0), dtype)
        clipped = call(Function.CLIP, [bits], dtype, alpha=2.0, beta=float("inf"))
        assert clipped == integers.wrap(max(value, 2), dtype)
    with pytest.raises(ModelMalformed):
        call(Function.CLIP, [0], dtype, alpha=0.5, beta=2.0)


def test_logic_of_booleans_follows_truth_tables() -> None:
    """And, or, exclusive or, not."""
    for a, b in itertools.product((0, 1), repeat=2):
        assert call(Function.AND, [a, b], DType.BOOL) == (a & b)
        assert call(Function.OR, [a, b], DType.BOOL) == (a | b)
        assert call(Function.XOR, [a, b], DType.BOOL) == (a ^ b)
        assert call(Function.NOT, [a], DType.BOOL) == 1 - a
    with pytest.raises(ModelMalformed):
        call(Function.AND, [1, 1], DType.INT8)


def test_where_of_any_type_chooses_and_makes_zero_positive() -> None:
    """The element is copied, as a step writes it."""
    types = (DType.BOOL, F, F)
    assert call(Function.WHERE, [1, INFINITY, 5], types, output=F) == INFINITY
    assert call(Function.WHERE, [0, INFINITY, 0x80000000], types, output=F) == 0
    assert call(Function.WHERE, [0, 3, 0xFE], (DType.BOOL, DType.INT8, DType.INT8), output=DType.INT8) == 0xFE


def test_cast_between_all_types_keeps_truncates_rounds_or_wraps() -> None:
    """Integers wrap, floats truncate, integers round to even into floats, anything but zero is true."""
    for source, target in itertools.product([*INTEGER_TYPES, DType.BOOL], INTEGER_TYPES):
        for bits in samples(source) if source is not DType.BOOL else (0, 1):
            value = integers.decode(bits, source)
            assert call(Function.CAST, [bits], source, output=target) == integers.wrap(value, target)
            assert call(Function.CAST, [bits], source, output=F) == nearest_float(Fraction(value))
            assert call(Function.CAST, [bits], source, output=DType.BOOL) == int(value != 0)
    assert call(Function.CAST, [float_bits(-1.75)], F, output=DType.INT8) == 0xFF
    assert call(Function.CAST, [float_bits(-0.75)], F, output=DType.UINT8) == 0
    assert call(Function.CAST, [float_bits(255.5)], F, output=DType.UINT8) == 255
    assert call(Function.CAST, [float_bits(-(2.0**63))], F, output=DType.INT64) == 1 << 63
    assert call(Function.CAST, [NEGATIVE_INFINITY], F, output=DType.BOOL) == 1
    assert call(Function.CAST, [0x80000000], F, output=DType.BOOL) == 0
    assert call(Function.CAST, [INFINITY], F, output=F) == INFINITY
    refused = [(256.0, DType.UINT8), (-1.0, DType.UINT8), (2.0**63, DType.INT64), (float("inf"), DType.INT32)]
    for real, target in refused:
        with pytest.raises(CastOutOfRange):
            call(Function.CAST, [float_bits(real)], F, output=target)


@pytest.mark.parametrize("output", [DType.INT8, DType.UINT8, DType.INT16], ids=lambda dtype: dtype.name)
def test_quantize_of_random_floats_rounds_the_exact_quotient(output: DType) -> None:
    """Once, to the nearest integer, ties to even; then the zero point; then saturation."""
    chance = random.Random(12)
    least, greatest = integers.bounds(output)
    for _ in range(800):
        scale = float_bits(
            chance.choice([0.5, 0.25, float(np.float32(0.1)), float(np.float32(chance.uniform(0.001, 1)))])
        )
        steps = chance.choice([0, 1, 2, 3, 0.5, 1.5, 2.5, -0.5, chance.uniform(-200, 200), 1e9])
        value = outcome(np.float32(steps) * as_numpy(scale))
        assert value is not None
        zero = chance.randint(least, greatest)
        exact = round(float_value(value) / float_value(scale)) + zero
        expected = integers.wrap(min(max(exact, least), greatest), output)
        bits = call(Function.QUANTIZE, [value, scale, integers.wrap(zero, output)], (F, F, output), output=output)
        assert bits == expected


def test_quantize_of_infinities_and_zero_scale_saturates() -> None:
    """An infinite quotient saturates whatever the zero point; 0 / 0 has no value."""
    types: dict[str, Any] = {"dtypes": (F, F, DType.INT8), "output": DType.INT8}
    one = float_bits(1.0)
    assert call(Function.QUANTIZE, [INFINITY, one, 0x80], **types) == 127
    assert call(Function.QUANTIZE, [NEGATIVE_INFINITY, one, 5], **types) == 0x80
    assert call(Function.QUANTIZE, [one, 0, 5], **types) == 127
    assert call(Function.QUANTIZE, [one, INFINITY, 5], **types) == 5
    with pytest.raises(RunNotFinite):
        call(Function.QUANTIZE, [0, 0, 5], **types)


def test_quantize_just_below_a_half_does_not_round_twice() -> None:
    """A quotient just below 1.5 would become 1.5 as a float, and then 2; the exact quotient gives 1."""
    value, scale = float_bits(1.5), 0x3F800001
    for candidate in range(0x3FC00000, 0x3FC00010):
        exact = float_value(candidate) / float_value(scale)
        if exact < Fraction(3, 2) and nearest_float(exact) == value:
            assert call(Function.QUANTIZE, [candidate, scale], (F, F), output=DType.INT8) == 1
            break
    else:
        pytest.fail("no candidate rounds twice")


@pytest.mark.parametrize("source", [DType.INT8, DType.UINT8, DType.INT32], ids=lambda dtype: dtype.name)
def test_dequantize_of_integers_rounds_the_exact_product(source: DType) -> None:
    """The difference is an exact integer, also where it leaves the type's range."""
    for a, c in itertools.product(samples(source), samples(source)):
        scale = float_bits(float(np.float32(0.0123)))
        difference = integers.decode(a, source) - integers.decode(c, source)
        expected = nearest_float(difference * float_value(scale))
        assert call(Function.DEQUANTIZE, [a, scale, c], (source, F, source), output=F) == expected
        if difference:
            infinity = INFINITY if difference > 0 else NEGATIVE_INFINITY
            assert call(Function.DEQUANTIZE, [a, INFINITY, c], (source, F, source), output=F) == infinity


def test_requantize_of_accumulators_equals_float32_steps() -> None:
    """Three roundings, each as numpy does it: to float, the product, to an integer."""
    chance = random.Random(13)
    types = (DType.INT32, F, DType.UINT8)
    for _ in range(1500):
        accumulator = chance.choice([chance.randint(-(2**31), 2**31 - 1), chance.randint(-5000, 5000)])
        multiplier = np.float32(chance.choice([0.5, 0.25, chance.uniform(1e-5, 0.1), 1e30]))
        zero = chance.randint(0, 255)
        with np.errstate(over="ignore"):
            product = np.float32(accumulator) * multiplier
        exact = int(np.clip(np.rint(product), -1e6, 1e6)) + zero
        bits = [integers.wrap(accumulator, DType.INT32), float_bits(float(multiplier)), zero]
        assert call(Function.REQUANTIZE, bits, types, output=DType.UINT8) == min(max(exact, 0), 255)


def test_function_of_wrong_types_or_counts_is_refused() -> None:
    """A program that asks for what no definition covers is malformed."""
    one = float_bits(1.0)
    refused: list[tuple[Function, list[int], Any, DType]] = [
        (Function.ADD, [one], F, F),
        (Function.ADD, [one, one], F, DType.INT32),
        (Function.ADD, [one, 1], (F, DType.INT32), F),
        (Function.ADD, [1, 1], DType.BOOL, DType.BOOL),
        (Function.ADD, [1, 1], DType.FLOAT64, DType.FLOAT64),
        (Function.MOD, [one, one], F, F),
        (Function.POW, [1], DType.INT32, DType.INT32),
        (Function.PRELU, [1, 1], DType.INT32, DType.INT32),
        (Function.QUANTIZE, [one, one, 1], (F, F, DType.INT32), DType.INT32),
        (Function.DEQUANTIZE, [1, one, 1], (DType.INT64, F, DType.INT64), F),
        (Function.FLOOR, [1], DType.INT32, DType.INT32),
        (Function.EXP, [1], DType.INT32, DType.INT32),
        (Function.EQUAL, [one, one], F, F),
        (Function.LESS, [one, 1], (F, DType.INT32), DType.BOOL),
        (Function.CAST, [1], DType.FLOAT64, F),
        (Function.QUANTIZE, [one, one, 1], (F, F, DType.UINT8), DType.INT8),
        (Function.REQUANTIZE, [1, one, 1], (DType.INT64, F, DType.INT8), DType.INT8),
        (Function.WHERE, [1, one, one], (DType.INT8, F, F), F),
    ]
    for function, operands, dtypes, output in refused:
        with pytest.raises(ModelMalformed):
            call(function, operands, dtypes, output=output)
