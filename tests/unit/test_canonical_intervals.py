from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.programs import convolution, matmul, program, step, tensor, unary, value, weights_of

from sworn.model.canonical import Guard, GuardKind, Intervals
from sworn.model.program import Contract, Function, Pointwise, Program

Array = NDArray[Any]


def guards_of(made: Program, weights: tuple[Array, ...] = ()) -> list[tuple[int, GuardKind]]:
    """The values that must be watched, and what for."""
    found = Intervals(made, weights, computed=frozenset(range(len(made.steps))), fused={})
    return [(guard.value, guard.kind) for guard in found.guards]


def deep(layers: int) -> tuple[Program, tuple[Array, ...]]:
    """The same convolution, again and again."""
    base = convolution(4, 8, 8)
    body = base.steps[0].body
    assert isinstance(body, Contract)
    steps = [replace(base.steps[0], body=replace(body, left=replace(body.left, tensor=k))) for k in range(layers)]
    return program(base.inputs, steps, base.weights), weights_of(base, np.random.default_rng(1))


def test_deep_network_is_watched_in_few_places() -> None:
    """Where sums might reach the greatest float, not at every layer."""
    made, weights = deep(40)
    found = guards_of(made, weights)
    assert found[0] == (0, GuardKind.BOUND)
    assert 2 < len(found) < 10


def test_bounded_function_needs_no_guard_behind_it() -> None:
    """What comes out of a sigmoid is small, whatever went in."""
    made = matmul(2, 4, 3)
    squashed = step(Pointwise(function=Function.SIGMOID, operands=(value(0, (1,)),)), (8,))
    body = made.steps[0].body
    assert isinstance(body, Contract)
    moved = replace(made.steps[0], body=replace(body, left=replace(body.left, tensor=1)))
    whole = program(made.inputs, (squashed, moved), made.weights)
    assert guards_of(whole, weights_of(made, np.random.default_rng(1))) == []


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (Function.EXP, GuardKind.GREATEST),
        (Function.LOG, GuardKind.LEAST),
        (Function.SQRT, GuardKind.LEAST),
        (Function.RECIPROCAL, GuardKind.APART),
    ],
)
def test_function_with_a_limited_domain_is_watched(function: Function, kind: GuardKind) -> None:
    """Its operand is kept where its kernel was tried, and where it has a value at all."""
    assert guards_of(unary(function, 5)) == [(0, kind)]


def test_difference_of_infinities_is_watched() -> None:
    """Of two inputs that may be infinite, both must be ordinary."""
    body = Pointwise(function=Function.SUB, operands=(value(0, (1,)), value(1, (1,))))
    made = program((tensor((4,)),) * 2, (step(body, (4,)),))
    assert guards_of(made) == [(0, GuardKind.BOUND), (1, GuardKind.BOUND)]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (GuardKind.BOUND, [1.0, -2.0], [1.0, -40.0]),
        (GuardKind.LEAST, [3.0, 4.0], [2.0, 4.0]),
        (GuardKind.GREATEST, [3.0, -400.0], [3.5, 0.0]),
        (GuardKind.APART, [3.0, -4.0], [3.0, -2.0]),
    ],
)
def test_guard_judges_a_value_and_its_scalar(kind: GuardKind, good: list[float], bad: list[float]) -> None:
    """Exact runs are judged by their values, others by what their graph makes of them; NaN never passes."""
    guard = Guard(value=0, kind=kind, limit=3.0)
    assert guard.holds(np.array(good, dtype=np.float32))
    assert not guard.holds(np.array(bad, dtype=np.float32))
    assert not guard.passes(float("nan"))
    assert guard.passes(3.0)
