"""What profile `bounded` admits, by its definition: rationals and real numbers, and the floats at the very edge."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.support.exact_reals import float_value
from tests.support.programs import contraction_terms
from tests.support.refereeing import words

from sworn.model.program import Contract, Program, Space
from sworn.referee.bounded import admits

Array = NDArray[Any]
UNIT = Fraction(1, 1 << 24)
LEAST = Fraction(1, 1 << 149)
LARGEST = 0x7F7FFFFF
#: From here on numbers round to infinity.
OVERFLOW = Fraction(2**128 - 2**103)
SPECIAL = (0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x80000000)


def sum_bounds(
    made: Program, weights: Sequence[Array], inputs: Sequence[Array], index: int
) -> tuple[Fraction | float, Fraction | float]:
    """The least and the greatest real number that one element of a program's only step, a float contraction, may be."""
    body = made.steps[0].body
    assert isinstance(body, Contract)
    terms, divisor = contraction_terms(made, weights, inputs, index)
    longest = prod(reduction.extent for reduction in body.reductions)
    kappa = longest + (1 if body.divisor == 1 else 3)
    centre = sum(terms, Fraction(0)) / divisor
    reach = kappa * (UNIT * sum(map(abs, terms), Fraction(0)) / divisor + LEAST)
    lower, upper = -inf if body.lower is None else body.lower, inf if body.upper is None else body.upper

    def clamp(number: Fraction) -> Fraction | float:
        raised = lower if number < lower else number
        return upper if raised > upper else raised

    return clamp(centre - reach), clamp(centre + reach)


def value_bounds(value: Fraction, rel: int, margin: Fraction) -> tuple[Fraction, Fraction]:
    """The least and the greatest number within a tolerance of a function's value."""
    reach = rel * UNIT * abs(value) + margin
    return value - reach, value + reach


def bits_of(key: int) -> int:
    """The float at a place among all floats: 0 is 0, and each is one more than the float below it."""
    return key if key >= 0 else -key | 0x80000000


def key_of(bits: int) -> int:
    """The place of a float among all floats."""
    return -(bits & 0x7FFFFFFF) if bits & 0x80000000 else bits


def greatest_float(limit: Fraction | float) -> int | None:
    """The place of the greatest finite float that is not above a number; None where there is none."""
    low, high = -LARGEST - 1, LARGEST
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if float_value(bits_of(middle)) <= limit else (low, middle - 1)
    return None if low < -LARGEST else low


def edges(low: Fraction | float, high: Fraction | float) -> tuple[list[int], list[int]]:
    """The bits of the floats just inside of two bounds, and of those just outside."""
    top, bottom = greatest_float(high), greatest_float(-low)
    inside, outside = [], []
    if top is not None:
        inside.append(top)
        outside += [top + 1] if top < LARGEST else []
    if bottom is not None:
        inside.append(-bottom)
        outside += [-bottom - 1] if bottom < LARGEST else []
    kept = [key for key in inside if low <= float_value(bits_of(key)) <= high]
    return [bits_of(key) for key in kept], [bits_of(key) for key in outside if key not in kept]


def admitted(made: Program, inputs: Sequence[Array], weights: Sequence[Array], index: int, claimed: int) -> bool:
    """What the referee says of a claim about an element of a program's only step."""
    tensors = {Space.VALUE: [words(array) for array in inputs], Space.WEIGHT: [words(array) for array in weights]}

    def type_of(space: Space, number: int) -> Any:
        return (made.inputs if space is Space.VALUE else made.weights)[number]

    return admits(
        made.steps[0], type_of, index, lambda space, number, flat: tensors[space][number][flat], claimed=claimed
    )


def as_bits(values: Sequence[float] | Array) -> list[int]:
    """The bits of float32 values."""
    return words(np.asarray(values, dtype=np.float32))
