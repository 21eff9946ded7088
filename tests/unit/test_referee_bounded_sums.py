"""Contractions in profile `bounded`: the bound, to the last float, against rationals."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.bounds import LARGEST, SPECIAL, admitted, as_bits, edges, sum_bounds
from tests.support.exact_reals import float_bits, nearest_float
from tests.support.programs import (
    average_pool,
    contraction_bits,
    convolution,
    inputs_of,
    matmul,
    program,
    step,
    tensor,
    value,
    weights_of,
)

from sworn.errors import RunNotFinite
from sworn.model.program import Contract, Program, Reduction
from sworn.types import DType

Array = NDArray[Any]

PROGRAMS: dict[str, Program] = {
    "one term": matmul(4, 1, 3),
    "product": matmul(3, 40, 4),
    "both computed": matmul(3, 7, 4, constant=False),
    "clamped": matmul(3, 40, 4, lower=-0.25, upper=0.5),
    "crossing bounds": matmul(3, 40, 4, lower=1.0, upper=-1.0),
    "one bound": matmul(3, 40, 4, lower=0.0),
    "divided": matmul(3, 40, 4, divisor=7),
    "divided and clamped": matmul(3, 40, 4, divisor=3, upper=0.125),
    "windows": convolution(5, 4, 6),
    "windows of groups, dilated": convolution(7, 4, 6, groups=2, dilation=2, stride=2),
    "mean of what counts": average_pool(4, 2),
    "mean with padding": average_pool(4, 2, divisor=9),
}


def sampled(made: Program, generator: np.random.Generator, count: int) -> list[int]:
    """The first and the last element, and some between."""
    elements = made.steps[0].output.elements
    return sorted({0, elements - 1, *generator.integers(0, elements, count).tolist()})


@pytest.mark.parametrize("spread", [0, 12, 60])
@pytest.mark.parametrize("name", PROGRAMS)
def test_bound_of_a_sum_is_sharp(name: str, spread: int) -> None:
    """The last float within the bound is admitted and the next one is not; the exact value always is."""
    made, generator = PROGRAMS[name], np.random.default_rng(spread)
    inputs, weights = inputs_of(made, generator, spread=spread), weights_of(made, generator, spread=spread)
    for index in sampled(made, generator, 6):
        inside, outside = edges(*sum_bounds(made, weights, inputs, index))
        for claimed in inside:
            assert admitted(made, inputs, weights, index, claimed), (index, hex(claimed))
        for claimed in outside:
            assert not admitted(made, inputs, weights, index, claimed), (index, hex(claimed))
        exact = contraction_bits(made, weights, inputs, index)
        if exact & 0x7F800000 != 0x7F800000:
            assert admitted(made, inputs, weights, index, exact)
        for claimed in SPECIAL:
            assert not admitted(made, inputs, weights, index, claimed)


def single(left: float, right: float, bias: float, **options: Any) -> tuple[Program, list[Array], list[Array]]:
    """One term: left · right + bias."""
    made = matmul(1, 1, 1, **options)
    weights = [np.array([[right]], np.float32), np.array([bias], np.float32)]
    return made, [np.array([[left]], np.float32)], weights


@pytest.mark.parametrize(
    ("left", "right", "bias", "options"),
    [
        (2.0**-149, 0.25, 0.0, {}),
        (2.0**-80, 2.0**-80, 0.0, {}),
        (1e-40, 1.0, -1e-40, {}),
        (2.0**-126, 1.0, -(2.0**-149), {}),
        (1.0, 1.0, -1.0, {}),
        (3e38, 1.0, 1e31, {}),
        (2.0**100, 2.0**28, 0.0, {}),
        (2.0**100, 2.0**28, 0.0, {"upper": 6.0}),
        (2.0**127, 2.0**127, 0.0, {"lower": 0.0, "upper": 6.0}),
        (-(2.0**127), 2.0**127, 0.0, {"lower": 0.0}),
        (0.0, 1.0, 0.0, {}),
        (1.0, 2.0**-27, 0.0, {"lower": 2.0**-27}),
        (1.0, 1.0, 0.0, {"lower": 1.0, "upper": 1.0}),
        (1.0, 1.0, 0.0, {"divisor": 8191}),
        (1e-44, 1.0, 0.0, {"divisor": 1000}),
    ],
)
def test_bound_at_the_ends_of_the_range_is_sharp(
    left: float, right: float, bias: float, options: dict[str, Any]
) -> None:
    """Underflow, cancellation, overflow, and clamps at, below and above the sum."""
    made, inputs, weights = single(left, right, bias, **options)
    inside, outside = edges(*sum_bounds(made, weights, inputs, 0))
    assert all(admitted(made, inputs, weights, 0, claimed) for claimed in inside)
    assert not any(admitted(made, inputs, weights, 0, claimed) for claimed in (*outside, *SPECIAL))


def test_sum_that_overflows_admits_no_claim_beyond_the_floats() -> None:
    """A sum never gives an infinity: near 2**128 the greatest floats may stand, far beyond nothing may."""
    near, far = single(2.0**100, 2.0**28, 0.0), single(2.0**127, 2.0**127, 0.0)
    assert admitted(near[0], near[1], near[2], 0, LARGEST)
    for claimed in (LARGEST, 0, *SPECIAL):
        assert not admitted(far[0], far[1], far[2], 0, claimed)


@pytest.mark.parametrize("broken", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", ["left", "right", "bias"])
def test_sum_of_an_operand_that_is_not_finite_has_no_value(broken: float, place: str) -> None:
    """The run had to end; whatever the claim is, there is no value to compare it with."""
    numbers = {"left": 1.0, "right": 0.0, "bias": 1.0, place: broken}
    made, inputs, weights = single(numbers["left"], numbers["right"], numbers["bias"])
    for claimed in (0, 0x3F800000, *SPECIAL):
        with pytest.raises(RunNotFinite):
            admitted(made, inputs, weights, 0, claimed)


def test_integers_sums_have_one_value() -> None:
    """What is no float has no tolerance."""
    body = Contract(
        left=value(0, (0,)), right=value(1, (0,)), reductions=(Reduction(extent=2, left_stride=1, right_stride=1),)
    )
    made = program((tensor((2,), DType.INT8),) * 2, (step(body, (1,), DType.INT32),))
    inputs = [np.array([3, -5], np.int8), np.array([7, 2], np.int8)]
    assert [claimed for claimed in range(16) if admitted(made, inputs, (), 0, claimed)] == [11]


def in_some_order(terms: NDArray[np.float32], chance: np.random.Generator) -> np.float32:
    """A float32 sum in a random order of additions."""
    parts = list(terms)
    while len(parts) > 1:
        first, second = sorted(chance.choice(len(parts), 2, replace=False).tolist())
        parts[first] = np.float32(parts[first] + parts.pop(second))
    return np.float32(parts[0])


def fused(left: NDArray[np.float32], right: NDArray[np.float32], bias: np.float32) -> int:
    """Bits of a chain of fused multiplications and additions, from the bias on."""
    total = Fraction(float(bias))
    for a, b in zip(left, right, strict=True):
        bits = nearest_float(total + Fraction(float(a)) * Fraction(float(b)))
        total = Fraction(float(np.array(bits, np.uint32).view(np.float32)))
    return float_bits(float(total))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 24), st.integers(0, 40))
def test_every_order_of_additions_is_admitted(seed: int, terms: int, spread: int) -> None:
    """No honest machine is convicted: random orders, fused additions or not, cancellation or not."""
    generator = np.random.default_rng(seed)
    made = matmul(1, terms, 1)
    inputs, weights = list(inputs_of(made, generator, spread=spread)), list(weights_of(made, generator, spread=spread))
    left, right, bias = inputs[0][0], weights[0][0], weights[1][0]
    products = left * right
    # The bias cancels the rest, nearly.
    weights[1] = np.array([-products.sum() if seed % 2 else bias], np.float32)
    if not np.isfinite(weights[1]).all():
        return
    for _ in range(4):
        found = in_some_order(np.append(products, weights[1]), generator) + np.float32(0)
        assert admitted(made, inputs, weights, 0, as_bits([float(found)])[0])
    assert admitted(made, inputs, weights, 0, fused(left, right, weights[1][0]))


def test_clamp_does_not_widen_the_bound() -> None:
    """A claim above the lower bound of a clamp needs a sum that reaches it."""
    made, inputs, weights = single(1.0, -1.0, 0.0, lower=0.0)
    assert admitted(made, inputs, weights, 0, 0)
    assert not admitted(made, inputs, weights, 0, 1)
    body = made.steps[0].body
    assert isinstance(body, Contract)
    free = replace(made, steps=(replace(made.steps[0], body=replace(body, lower=None)),))
    assert not admitted(free, inputs, weights, 0, 0)
