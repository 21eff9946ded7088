from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
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
    weight,
    weights_of,
)

from sworn.engine.exact import ExactExecutor
from sworn.model.program import (
    Body,
    Contract,
    Copy,
    Extremum,
    Function,
    Lookup,
    Operand,
    Piece,
    Pointwise,
    Program,
    Reduction,
    Space,
)
from sworn.referee.bounded import admits, kappa_of
from sworn.types import DType
from sworn.verification.slack_contractions import Contraction
from sworn.verification.slack_motions import Moves
from sworn.verification.slack_runs import AdmissibleRuns
from sworn.verification.trace_values import element_bits

Array = NDArray[Any]

CONTRACTIONS: dict[str, Program] = {
    "matrix": matmul(5, 30, 7),
    "two inputs": matmul(6, 33, 9, constant=False),
    "mean": matmul(6, 33, 9, divisor=49),
    "convolution": convolution(6, 4, 3),
    "without padding": convolution(6, 4, 3, padding=0),
    "strided groups": convolution(7, 6, 4, stride=2, groups=2, dilation=2, padding=2),
    "depthwise": convolution(6, 4, 4, groups=4),
    "counted": convolution(6, 4, 3, divisor=0),
    "counted pool": average_pool(5, 3),
    "divided pool": average_pool(5, 3, divisor=9),
}


def contraction_of(made: Program) -> tuple[Contraction, Contract]:
    """The contraction that a program consists of."""
    body = made.steps[0].body
    assert isinstance(body, Contract)
    return Contraction(step=made.steps[0], body=body), body


def as_float(bits: int) -> float:
    """A float32 by its bits."""
    return float(np.array(bits, dtype=np.uint32).view(np.float32))


class Case:
    """A program with random weights and inputs."""

    def __init__(self, made: Program, inputs: tuple[Array, ...] | None = None, seed: int = 1) -> None:
        generator = np.random.default_rng(seed)
        self.program, self.weights = made, weights_of(made, generator)
        self.inputs = inputs_of(made, generator) if inputs is None else inputs
        self.runs = AdmissibleRuns(made, self.weights, ExactExecutor(made, self.weights))
        self.values = self.runs.run(self.inputs, {})

    def read(self, operand: Operand) -> Array:
        """An operand's tensor, flat, float64."""
        source = self.weights if operand.space is Space.WEIGHT else self.inputs
        return source[operand.tensor].reshape(-1).astype(np.float64)

    @property
    def moves(self) -> Moves:
        """What can move in the exact run."""
        return Moves(self.program, self.values, self.weights)


def pointwise(function: Function, *, alpha: float = 0.0, beta: float = 0.0, operands: int = 1, n: int = 64) -> Program:
    """One float function of inputs of n elements."""
    inputs = [value(number, (1,)) for number in range(operands)]
    body = Pointwise(function=function, operands=tuple(inputs), alpha=alpha, beta=beta)
    return program([tensor((n,))] * operands, [step(body, (n,))])


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_interval_of_contractions_is_the_bound_by_definition(name: str) -> None:
    """Centre and width are those of the sum over every term, in rationals."""
    case = Case(CONTRACTIONS[name])
    contraction, body = contraction_of(case.program)
    centre, allowed = (array.reshape(-1) for array in contraction.interval(case.read))
    sizes = [tuple(map(np.abs, arrays)) for arrays in (case.weights, case.inputs)]
    for index in range(0, centre.size, 5):
        exact = as_float(contraction_bits(case.program, case.weights, case.inputs, index))
        size = as_float(contraction_bits(case.program, sizes[0], sizes[1], index))
        assert float(np.float32(centre[index])) == exact
        assert allowed[index] == pytest.approx(kappa_of(body) * (2.0**-24 * size + 2.0**-149), rel=1e-6)


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_pull_of_contractions_is_the_adjoint_of_the_sum(name: str) -> None:
    """⟨gradient, change of the sum⟩ = ⟨pulled gradient, change of the operand⟩, for each operand by itself."""
    case = Case(CONTRACTIONS[name])
    contraction, _ = contraction_of(case.program)
    generator = np.random.default_rng(2)
    gradient = generator.standard_normal(case.program.steps[0].axes)
    pulled = list(contraction.pull(case.read, gradient))
    assert len(pulled) == len(case.program.inputs)
    base, _ = contraction.interval(case.read)
    for operand, part in pulled:
        change = generator.standard_normal(part.size)

        def changed(other: Operand, operand: Operand = operand, change: Array = change) -> Array:
            return case.read(other) + (change if other is operand else 0.0)

        moved, _ = contraction.interval(changed)
        assert float(np.sum(gradient * (moved - base))) == pytest.approx(float(part @ change), rel=1e-9)


FUNCTIONS = {
    Function.DIV: (2, 0.0, 0.0),
    Function.MUL: (2, 0.0, 0.0),
    Function.SUB: (2, 0.0, 0.0),
    Function.MAX: (2, 0.0, 0.0),
    Function.MIN: (2, 0.0, 0.0),
    Function.PRELU: (2, 0.0, 0.0),
    Function.EXP: (1, 0.0, 0.0),
    Function.LOG: (1, 0.0, 0.0),
    Function.SQRT: (1, 0.0, 0.0),
    Function.RECIPROCAL: (1, 0.0, 0.0),
    Function.TANH: (1, 0.0, 0.0),
    Function.SIGMOID: (1, 0.0, 0.0),
    Function.ERF: (1, 0.0, 0.0),
    Function.SOFTPLUS: (1, 0.0, 0.0),
    Function.SIN: (1, 0.0, 0.0),
    Function.COS: (1, 0.0, 0.0),
    Function.NEG: (1, 0.0, 0.0),
    Function.ABS: (1, 0.0, 0.0),
    Function.RELU: (1, 0.0, 0.0),
    Function.CLIP: (1, 0.5, 1.25),
    Function.POW: (1, 1.5, 0.0),
    Function.ELU: (1, 0.75, 0.0),
    Function.HARD_SIGMOID: (1, 0.25, 0.5),
    Function.LEAKY_RELU: (1, 0.125, 0.0),
}
#: Defined for positive operands only.
POSITIVE = {Function.LOG, Function.SQRT, Function.POW}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: str(function.name))
def test_gradient_of_functions_is_the_quotient_of_small_differences(function: Function) -> None:
    """The slope by each operand is how much the result changes when that operand does, in float32 as it is run."""
    count, alpha, beta = FUNCTIONS[function]
    made = pointwise(function, alpha=alpha, beta=beta, operands=count)
    generator = np.random.default_rng(3)
    low = 0.3 if function in POSITIVE else -2.0
    inputs = tuple(generator.uniform(low, 2.0, 64).astype(np.float32) for _ in range(count))
    # A contraction with one term in front: inputs of a model have no slope of their own.
    ones = [Contract(left=value(k, (1,)), reductions=(Reduction(extent=1, left_stride=0),)) for k in range(count)]
    shifted = Pointwise(
        function=function, operands=tuple(value(count + k, (1,)) for k in range(count)), alpha=alpha, beta=beta
    )
    whole = program([tensor((64,))] * count, [*(step(body, (64,)) for body in ones), step(shifted, (64,))])
    case = Case(whole, inputs)
    found = case.moves.gradient({2 * count: np.ones(64)})
    executor = ExactExecutor(made, ())
    for position in range(count):
        width = np.float32(2.0**-10)
        ends = []
        for sign in (1, -1):
            moved = [array + sign * width * (k == position) for k, array in enumerate(inputs)]
            ends.append(executor.run(moved)[count].astype(np.float64))
        slope = (ends[0] - ends[1]) / (2 * float(width))
        near = np.isclose(found.get(position, np.zeros(64)), slope, rtol=2e-2, atol=2e-3)
        # Where the function has a corner between the two ends, neither is the slope.
        assert np.count_nonzero(~near) <= 2


@pytest.mark.parametrize("place", [-1.0, -0.3, 0.0, 0.7, 1.0])
def test_elements_placed_in_their_intervals_are_admitted_and_those_beyond_are_not(place: float) -> None:
    """The scalar referee admits every element of such a run; at the ends, two floats farther is too far."""
    cases = [Case(made) for made in CONTRACTIONS.values()]
    cases += [Case(pointwise(function)) for function in (Function.EXP, Function.TANH, Function.SIGMOID, Function.ERF)]
    for case in cases:
        written = case.program.steps[0]
        flat = case.runs.run(case.inputs, {0: np.full(written.output.elements, place)})[-1]

        def read(space: Space, number: int, index: int, case: Case = case) -> int:
            return element_bits((case.weights if space is Space.WEIGHT else case.inputs)[number], index)

        def type_of(space: Space, number: int, case: Case = case) -> Any:
            return (case.program.weights if space is Space.WEIGHT else case.program.inputs)[number]

        for index in range(0, flat.size, 7):
            assert admits(written, type_of, index, read, claimed=element_bits(flat, index))
            if abs(place) == 1.0:
                far = flat[index]
                for _ in range(2):
                    far = np.nextafter(far, np.float32(place * np.inf))
                assert not admits(written, type_of, index, read, claimed=element_bits(np.array([far]), 0))


def test_reach_of_random_runs_is_never_left() -> None:
    """No element of any admissible run is farther from the exact one than its reach."""
    body = Contract(
        left=value(1, (9, 0)),
        right=weight(2, (0, 9)),
        reductions=(Reduction(extent=9, left_stride=1, right_stride=1),),
        lower=0.0,
    )
    first = matmul(5, 30, 9)
    whole = program(first.inputs, [*first.steps, step(body, (5, 4))], [*first.weights, tensor((4, 9))])
    case, generator = Case(whole), np.random.default_rng(4)
    reaches = case.moves.motions.reaches
    for _ in range(50):
        places = {number: generator.choice([-1.0, 1.0], whole.steps[number].output.elements) for number in (0, 1)}
        for found, exact, reach in zip(case.runs.run(case.inputs, places), case.values, reaches, strict=True):
            assert np.all(np.abs(found.astype(np.float64) - exact) <= reach * (1 + 1e-6))


def rounding(offset: float) -> Case:
    """X = a sum of two terms, then ⌊x⌉; the sum is half an integer and ``offset``."""
    summed = Contract(left=value(0, (0,)), reductions=(Reduction(extent=2, left_stride=1),))
    rounded = Pointwise(function=Function.ROUND, operands=(value(1, (1,)),))
    whole = program([tensor((2,))], [step(summed, (1,)), step(rounded, (1,))])
    return Case(whole, (np.array([2.0, 0.5 + offset], dtype=np.float32),))


def test_rounding_near_a_tie_may_move_by_one_and_elsewhere_not() -> None:
    """κ = 3 units of 2.5 are 4.5e-7: from 2.5 + 4e-7 the tie is in reach, from 2.5 + 1e-3 not."""
    assert rounding(4e-7).moves.motions.own[1].tolist() == [1.0]
    assert rounding(1e-3).moves.motions.own[1].tolist() == [0.0]


@pytest.mark.parametrize(("gap", "turned"), [(1e-7, {1: 1}), (1e-3, {})])
def test_position_of_close_rivals_is_reported_as_a_choice(gap: float, turned: dict[int, int]) -> None:
    """An index that something else reads may jump where two elements are nearer than their reach."""
    doubled = Contract(left=value(0, (2,)), reductions=(Reduction(extent=2, left_stride=1),))
    best = Extremum(source=value(1, (0,)), reductions=(Reduction(extent=2, left_stride=1),), largest=True)
    whole = program([tensor((4,))], [step(doubled, (2,)), step(best, (1,), DType.INT64)])
    case = Case(whole, (np.array([0.5, 0.5, 0.5, 0.5 + gap], dtype=np.float32),))
    assert case.moves.motions.turned == turned


def test_maximum_made_of_position_and_lookup_is_no_choice() -> None:
    """The greatest element moves no farther than its rivals, whichever it is."""
    doubled = Contract(left=value(0, (2,)), reductions=(Reduction(extent=2, left_stride=1),))
    best = Extremum(source=value(1, (0,)), reductions=(Reduction(extent=2, left_stride=1),), largest=True)
    taken = Lookup(source=value(1, (0,)), index=value(2, (1,)), extents=(2,), strides=(1,))
    steps = [step(doubled, (2,)), step(best, (1,), DType.INT64, virtual=True), step(taken, (1,))]
    case = Case(program([tensor((4,))], steps), (np.full(4, 0.5, dtype=np.float32),))
    motions = case.moves.motions
    assert motions.turned == {}
    assert motions.reaches[3][0] == pytest.approx(motions.reaches[1].max())


def test_gradient_through_copies_goes_where_each_element_came_from() -> None:
    """Of two pieces that overlap the first is read; what is filled is read nowhere."""
    summed = Contract(left=value(0, (1,)), reductions=(Reduction(extent=1, left_stride=0),))
    pieces = (
        Piece(source=value(1, (1,)), starts=(1,), stops=(3,), every=(1,)),
        Piece(source=value(1, (0,), 3), starts=(0,), stops=(4,), every=(1,)),
    )
    body: Body = Copy(pieces=pieces)
    case = Case(program([tensor((4,))], [step(summed, (4,)), step(body, (6,))]))
    pulled = case.moves.gradient({2: np.array([1.0, 10.0, 100.0, 1000.0, 5.0, 5.0])})
    assert pulled[0].tolist() == [10.0, 100.0, 0.0, 1001.0]


def test_masks_of_minus_infinity_do_not_move() -> None:
    """What is masked stays −Inf, and then 0 but for subnormals; the other elements have a finite reach."""
    summed = Contract(left=value(0, (1,)), reductions=(Reduction(extent=1, left_stride=0),))
    masked = Pointwise(function=Function.ADD, operands=(value(1, (1,)), weight(0, (1,))))
    raised = Pointwise(function=Function.EXP, operands=(value(2, (1,)),))
    made = program([tensor((4,))], [step(body, (4,)) for body in (summed, masked, raised)], [tensor((4,))])
    mask = np.array([0, -np.inf, 0, -np.inf], dtype=np.float32)
    values = AdmissibleRuns(made, (mask,), ExactExecutor(made, (mask,))).run((np.ones(4, dtype=np.float32),), {})
    moves = Moves(made, values, (mask,))
    for reach in moves.motions.reaches[2:]:
        assert np.all(np.isfinite(reach)) and np.all((reach > 1e-40) == (mask == 0))
    gradient = moves.gradient({3: np.ones(4)})
    assert 0 < moves.estimate(gradient) < 1e-5


def test_estimate_across_an_infinite_slope_is_infinite() -> None:
    """The square root of a sum that is zero may rise faster than any slope; its neighbour is not concerned."""
    summed = Contract(left=value(0, (1,)), reductions=(Reduction(extent=1, left_stride=0),))
    root = Pointwise(function=Function.SQRT, operands=(value(1, (1,)),))
    whole = program([tensor((2,))], [step(summed, (2,)), step(root, (2,))])
    moves = Case(whole, (np.array([1.0, 0.0], dtype=np.float32),)).moves
    assert 0 < moves.estimate(moves.gradient({2: np.array([1.0, 0.0])})) < 1e-5
    assert moves.estimate(moves.gradient({2: np.array([0.0, 1.0])})) == np.inf
