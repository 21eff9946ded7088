from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from tests.support.exact_reals import INFINITY, float_bits, float_value, nearest_float

from sworn.errors import ModelMalformed, RunNotFinite
from sworn.model.program import (
    Body,
    Clip,
    Contract,
    Operand,
    Program,
    ProgramOutput,
    Reduction,
    Space,
    Step,
    TensorType,
)
from sworn.referee import element, integers
from sworn.types import DType

F = DType.FLOAT32
Bits = Sequence[int]


def judge(
    body: Body, output: TensorType, axes: tuple[int, ...], inputs: Mapping[TensorType, Bits]
) -> Callable[[int], int]:
    """The referee of a one-step program over inputs, each with its elements."""
    types, data = tuple(inputs), list(inputs.values())
    step = Step(output=output, axes=axes, body=body)
    result = ProgramOutput(value=len(types), shape=output.shape)
    program = Program(inputs=types, weights=(), steps=(step,), outputs=(result,))
    return lambda index: element(program, 0, index, lambda _, tensor, flat: data[tensor][flat])


def operand(tensor: int, strides: tuple[int, ...], offset: int = 0) -> Operand:
    """An operand among the model's inputs."""
    return Operand(space=Space.VALUE, tensor=tensor, strides=strides, offset=offset)


def floats(count: int, seed: int, spread: int = 12) -> list[int]:
    """Random float32 bits around 1."""
    chance = random.Random(seed)
    return [
        chance.randrange(127 - spread, 128 + spread) << 23 | chance.getrandbits(23) | chance.getrandbits(1) << 31
        for _ in range(count)
    ]


def dot(length: int, **more: object) -> Contract:
    """One row times one row."""
    body = Contract(
        left=operand(0, ()), right=operand(1, ()), reductions=(Reduction(extent=length, left_stride=1, right_stride=1),)
    )
    return replace(body, **more)  # type: ignore[arg-type]


def scalar_dot(left: Bits, right: Bits, **more: object) -> int:
    """The referee's sum of products of two rows of floats."""
    a, b = TensorType(dtype=F, shape=(len(left),)), TensorType(dtype=F, shape=(1, len(right)))
    return judge(dot(len(left), **more), TensorType(dtype=F, shape=()), (), {a: left, b: right})(0)


def test_contraction_of_4608_terms_rounds_the_exact_sum() -> None:
    """Once, also where everything but the last bits cancels."""
    left, right = floats(2304, 1), floats(2304, 2)
    # The second half takes the first half away, but for one unit in the last place of one factor.
    opposite = [bits ^ 0x80000000 for bits in right]
    opposite[77] += 1
    a, b = left + left, right + opposite
    exact = sum((float_value(x) * float_value(y) for x, y in zip(a, b, strict=True)), Fraction(0))
    assert exact
    assert scalar_dot(a, b) == nearest_float(exact)


@pytest.mark.parametrize("seed", range(12))
def test_contraction_of_random_floats_equals_fractions(seed: int) -> None:
    """All exponents, subnormals, divisors, with overflow and underflow."""
    chance = random.Random(seed)
    length = chance.choice([1, 2, 7, 60])
    left = floats(length, seed, spread=chance.choice([3, 60, 126]))
    right = [chance.getrandbits(32) % 0x7F800000 for _ in range(length)]
    if seed % 3 == 0:
        left, right = floats(length, seed, spread=20), [chance.getrandbits(23) for _ in range(length)]
    divisor = chance.choice([1, 3, 49, 2**20 + 1])
    exact = sum((float_value(x) * float_value(y) for x, y in zip(left, right, strict=True)), Fraction(0))
    assert scalar_dot(left, right, divisor=divisor) == nearest_float(exact / divisor)


def test_contraction_at_a_tie_goes_to_even() -> None:
    """A half of the last place alone ties; the least product beside it decides."""
    one, half_place, tiny = float_bits(1.0), float_bits(2.0**-24), 1
    assert scalar_dot([one, half_place], [one, one]) == one
    assert scalar_dot([one, half_place, tiny], [one, one, tiny]) == one + 1
    assert scalar_dot([one + 1, half_place], [one, one]) == one + 2
    assert scalar_dot([one + 1, half_place, tiny], [one, one, tiny | 0x80000000]) == one + 1


def test_contraction_of_zeros_and_negative_zero_gives_zero() -> None:
    """No sign survives: not from operands, not from underflow, not from a bound."""
    minus = 0x80000000
    assert scalar_dot([0, minus], [minus, minus]) == 0
    assert scalar_dot([0x80000001], [1]) == 0
    assert scalar_dot([float_bits(-1.0)], [float_bits(1.0)], lower=-0.0) == 0


def test_contraction_overflow_gives_infinity_unless_clamped() -> None:
    """The sum is exact, so only its rounding overflows; bounds apply after it."""
    big = 0x7F7FFFFF
    one, minus = float_bits(1.0), float_bits(-1.0)
    assert scalar_dot([big, big], [one, one]) == INFINITY
    assert scalar_dot([big, big, big], [one, one, minus]) == big
    assert scalar_dot([big, big], [one, one], upper=6.0) == float_bits(6.0)
    assert scalar_dot([big, big], [minus, one], lower=0.0, upper=6.0) == 0
    assert scalar_dot([one], [minus], lower=2.0, upper=1.0) == one


@pytest.mark.parametrize("bits", [INFINITY, INFINITY | 0x80000000, 0x7FC00000])
def test_contraction_with_an_infinite_or_nan_operand_is_refused(bits: int) -> None:
    """In every place, also against zero."""
    for left, right in (([bits], [0]), ([0], [bits])):
        with pytest.raises(RunNotFinite):
            scalar_dot(left, right)
    kinds = {TensorType(dtype=F, shape=(1,)): [bits], TensorType(dtype=F, shape=(1, 1)): [0]}
    plain = Contract(left=operand(0, ()), reductions=(Reduction(extent=1, left_stride=1),))
    biased = Contract(left=operand(1, ()), bias=operand(0, ()), reductions=(Reduction(extent=1, left_stride=1),))
    for body in (plain, biased):
        with pytest.raises(RunNotFinite):
            judge(body, TensorType(dtype=F, shape=()), (), kinds)(0)


def convolution(divisor: int = 1) -> tuple[Contract, tuple[int, ...], dict[TensorType, Bits]]:
    """A 3×2 kernel, dilated and padded, over [5, 4, 3], channels last, with 5×2 results of 2 channels; with bias."""
    x = TensorType(dtype=F, shape=(5, 4, 3))
    w = TensorType(dtype=F, shape=(2, 3, 2, 3))
    bias = TensorType(dtype=F, shape=(2,))
    body = Contract(
        left=operand(0, (12, 6, 0), offset=-12 - 3),
        right=operand(1, (0, 0, 18)),
        bias=operand(2, (0, 0, 1)),
        reductions=(
            Reduction(
                extent=3, left_stride=12, right_stride=6, clip=Clip(axis=0, step=1, dilation=1, origin=-1, extent=5)
            ),
            Reduction(
                extent=2, left_stride=9, right_stride=3, clip=Clip(axis=1, step=2, dilation=3, origin=-1, extent=4)
            ),
            Reduction(extent=3, left_stride=1, right_stride=1),
        ),
        divisor=divisor,
    )
    return body, (5, 2, 2), {x: floats(60, 3), w: floats(36, 4), bias: floats(2, 5)}


@pytest.mark.parametrize("divisor", [1, 9, 0])
def test_contraction_of_a_padded_window_counts_what_lies_inside(divisor: int) -> None:
    """A convolution equals its definition; divisor 0 divides by the number of terms that counted."""
    body, axes, inputs = convolution(divisor)
    x, w, bias = ([float_value(bits) for bits in data] for data in inputs.values())
    referee = judge(body, TensorType(dtype=F, shape=axes), axes, inputs)
    for number, (i, j, channel) in enumerate(itertools.product(*map(range, axes))):
        total, count = bias[channel], 0
        for di, dj, c in itertools.product(range(3), range(2), range(3)):
            y, z = i - 1 + di, 2 * j - 1 + 3 * dj
            if 0 <= y < 5 and 0 <= z < 4:
                total += x[(y * 4 + z) * 3 + c] * w[((channel * 3 + di) * 2 + dj) * 3 + c]
                count += 1
        assert referee(number) == nearest_float(total / (divisor or count))


def test_contraction_without_right_operand_sums_and_divides() -> None:
    """A mean over rows that are apart; one of nothing is malformed."""
    kind = TensorType(dtype=F, shape=(4, 3))
    data = floats(12, 6)
    body = Contract(left=operand(0, (1,)), reductions=(Reduction(extent=4, left_stride=3),), divisor=4)
    referee = judge(body, TensorType(dtype=F, shape=(3,)), (3,), {kind: data})
    for column in range(3):
        exact = sum((float_value(data[row * 3 + column]) for row in range(4)), Fraction(0))
        assert referee(column) == nearest_float(exact / 4)
    nothing = Clip(axis=0, step=1, dilation=1, origin=9, extent=4)
    reduction = Reduction(extent=4, left_stride=3, clip=nothing)
    with pytest.raises(ModelMalformed):
        judge(replace(body, reductions=(reduction,), divisor=0), TensorType(dtype=F, shape=(3,)), (3,), {kind: data})(0)


def test_contraction_of_bytes_subtracts_zero_points_and_wraps() -> None:
    """Mixed signs, padding that counts for nothing, and a bias that wraps the int32 sum."""
    chance = random.Random(7)
    left, right = [chance.randrange(256) for _ in range(50)], [chance.randrange(256) for _ in range(50)]
    a, b = TensorType(dtype=DType.UINT8, shape=(50,)), TensorType(dtype=DType.INT8, shape=(50,))
    bias = TensorType(dtype=DType.INT32, shape=(1,))
    clip = Clip(axis=0, step=1, dilation=1, origin=-2, extent=40)
    body = Contract(
        left=operand(0, (0,)),
        right=operand(1, (0,)),
        bias=operand(2, (0,)),
        reductions=(Reduction(extent=50, left_stride=1, right_stride=1, clip=clip),),
        left_zero=131,
        right_zero=-7,
    )
    exact = (
        2**31
        - 5
        + sum((left[r] - 131) * (integers.decode(right[r], DType.INT8) + 7) for r in range(50) if 0 <= r - 2 < 40)
    )
    output = TensorType(dtype=DType.INT32, shape=(1,))
    assert judge(body, output, (1,), {a: left, b: right, bias: [2**31 - 5]})(0) == exact % 2**32


def test_contraction_of_int32_elements_wraps() -> None:
    """Without a right operand."""
    kind = TensorType(dtype=DType.INT32, shape=(3,))
    body = Contract(left=operand(0, ()), reductions=(Reduction(extent=3, left_stride=1),))
    referee = judge(body, TensorType(dtype=DType.INT32, shape=()), (), {kind: [2**31 - 1, 2**31 - 1, 3]})
    assert referee(0) == 1


def test_contraction_that_contradicts_itself_is_refused() -> None:
    """Too long, outside of its operands, divided or clamped integers, zero points of floats."""
    kind = TensorType(dtype=F, shape=(4,))
    scalar = TensorType(dtype=F, shape=())
    number = TensorType(dtype=DType.INT32, shape=(4,))
    plain = Contract(left=operand(0, ()), reductions=(Reduction(extent=4, left_stride=1),))
    long = tuple(Reduction(extent=91, left_stride=0) for _ in range(2))
    wrong = [
        replace(plain, reductions=long),
        replace(plain, left=operand(0, (), offset=1)),
        replace(plain, left=operand(0, (), offset=-1)),
        replace(plain, left=operand(0, (1,))),
        replace(plain, left_zero=3),
        replace(plain, divisor=-1),
        replace(plain, bias=operand(1, ())),
        replace(
            plain,
            reductions=(Reduction(extent=4, left_stride=1, clip=Clip(axis=0, step=1, dilation=1, origin=0, extent=1)),),
        ),
    ]
    for body in wrong:
        with pytest.raises(ModelMalformed):
            judge(body, scalar, (), {kind: [0] * 4, number: [0] * 4})(0)
    output = TensorType(dtype=DType.INT32, shape=())
    for body in (replace(plain, divisor=2), replace(plain, lower=0.0), replace(plain, right=operand(0, ()))):
        with pytest.raises(ModelMalformed):
            judge(body, output, (), {number: [0] * 4})(0)
