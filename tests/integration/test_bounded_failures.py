from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.bounded_runs import check_run, inadmissible, prefer_kernels
from tests.support.programs import (
    convolution,
    inputs_of,
    matmul,
    program,
    random_floats,
    row_major,
    step,
    tensor,
    unary,
    value,
    weight,
    weights_of,
)
from tests.support.refereeing import words

from sworn.engine.bounded import BoundedExecutor, kernels, machine, plan
from sworn.engine.bounded.sessions import Session
from sworn.errors import EngineError, IndexOutOfRange, InputRejected, RunFailed, RunNotFinite, ShapeMismatch
from sworn.model.program import (
    Contract,
    Extremum,
    Function,
    Lookup,
    Pointwise,
    Program,
    Reduction,
)
from sworn.types import DType

Array = NDArray[Any]


@pytest.fixture(autouse=True)
def _kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    prefer_kernels(monkeypatch)


def activated(function: Function = Function.RELU) -> Program:
    """A product, and a function of it that may hide what went wrong in it."""
    made = matmul(2, 4, 3)
    body = Pointwise(function=function, operands=(value(1, (3, 1)),))
    return program(made.inputs, (*made.steps, step(body, (2, 3))), made.weights)


ONES = (np.ones((3, 4), dtype=np.float32), np.zeros(3, dtype=np.float32))


@pytest.mark.parametrize("function", [Function.RELU, Function.SIGMOID, Function.TANH, Function.EXP])
def test_sum_that_overflows_behind_a_function_ends_the_run(function: Function) -> None:
    """−∞ would become 0 or −1, and nobody would see it."""
    executor = BoundedExecutor(activated(function), ONES)
    taken = np.full((2, 4), -3e38, dtype=np.float32)
    for keep in (False, True):
        with pytest.raises(RunNotFinite):
            executor.run([taken], keep=keep)


def test_sum_whose_parts_overflow_is_still_admissible() -> None:
    """3e38 + 3e38 − 3e38 − 3e38 + … is finite, whatever a kernel's registers say."""
    taken = np.array([[3e38, 3e38, -3e38, -3e38], [3e38, 3e38, -3e38, -1e38]], dtype=np.float32)
    made = activated()
    traced = BoundedExecutor(made, ONES).run([taken], keep=True)
    assert traced[1][0].tolist() == [0.0, 0.0, 0.0]
    assert inadmissible(made, ONES, traced) == []


@pytest.mark.parametrize("bad", [math.inf, -math.inf])
def test_infinite_operand_of_a_sum_ends_the_run(bad: float) -> None:
    """A clamp may hide it, but the rule asks for the operand."""
    made = matmul(2, 4, 3, lower=0.0, upper=1.0)
    taken = np.zeros((2, 4), dtype=np.float32)
    taken[1, 2] = bad
    with pytest.raises(RunNotFinite):
        BoundedExecutor(made, ONES).run([taken])


def test_input_that_holds_nan_is_rejected() -> None:
    """With or without a trace."""
    taken = np.zeros((2, 4), dtype=np.float32)
    taken[0, 3] = math.nan
    executor = BoundedExecutor(activated(), ONES)
    for keep in (False, True):
        with pytest.raises(InputRejected):
            executor.run([taken], keep=keep)


def test_inputs_and_weights_that_do_not_fit_are_rejected() -> None:
    """Number, element type and shape."""
    made = activated()
    executor = BoundedExecutor(made, ONES)
    for inputs in ([], [np.zeros((2, 4))], [np.zeros((4, 2), dtype=np.float32)]):
        with pytest.raises(InputRejected):
            executor.run(inputs)
    for weights in ((), (ONES[0], ONES[1].astype(np.float64)), (ONES[1], ONES[0])):
        with pytest.raises(ShapeMismatch):
            BoundedExecutor(made, weights)


def test_division_by_zero_follows_the_rules() -> None:
    """A quotient by 0 is infinite with the dividend's sign, whatever the zero's; 0 / 0 ends the run."""
    body = Pointwise(function=Function.MUL, operands=(value(0, (1,)), weight(0, (0,))))
    quotient = Pointwise(function=Function.DIV, operands=(value(1, (1,)), value(2, (1,))))
    made = program((tensor((3,)), tensor((3,))), (step(body, (3,)), step(quotient, (3,))), (tensor((1,)),))
    # −1 · 0 is +0 here, and −0 in any kernel.
    executor = BoundedExecutor(made, (np.array([-1.0], dtype=np.float32),))
    top = np.array([1.0, -2.0, 3.0], dtype=np.float32)
    found = executor.run([np.zeros(3, dtype=np.float32), top], keep=True)
    assert words(found[2]) == [0, 0, 0]
    reversed_ = replace(quotient, operands=(value(1, (1,)), value(2, (1,))))
    made = replace(made, steps=(made.steps[0], step(reversed_, (3,))))
    found = BoundedExecutor(made, (np.array([-1.0], dtype=np.float32),)).run([np.zeros(3, dtype=np.float32), top])
    assert np.array_equal(found[3], [math.inf, -math.inf, math.inf])
    with pytest.raises(RunNotFinite):
        executor.run([np.zeros(3, dtype=np.float32)] * 2)


def softmax(rows: int, size: int, *, masked: bool = False) -> Program:
    """max, Sub, Exp, Σ, Div over rows, after a mask is added."""
    shape = (rows, size)
    full, one = row_major(shape), (1, 0)
    masking = step(Pointwise(function=Function.ADD, operands=(value(0, full), value(1, full))), shape)
    found = Extremum(source=value(2, (size,)), reductions=(Reduction(extent=size, left_stride=1),), largest=True)
    taken = Lookup(source=value(2, (size,)), index=value(3, (1,)), extents=(size,), strides=(1,))
    total = Contract(left=value(6, (size,)), reductions=(Reduction(extent=size, left_stride=1),))
    return program(
        (tensor(shape), tensor(shape)),
        (
            masking,
            step(found, (rows,), DType.INT64, virtual=True),
            step(taken, (rows,)),
            step(Pointwise(function=Function.SUB, operands=(value(2, full), value(4, one))), shape),
            step(Pointwise(function=Function.EXP, operands=(value(5, full),)), shape),
            step(total, (rows,)),
            step(Pointwise(function=Function.DIV, operands=(value(6, full), value(7, one))), shape),
        ),
    )


def test_softmax_is_run_by_kernels_whatever_is_masked() -> None:
    """−∞ and the least float as masks are ordinary; a row that is masked as a whole ends the run."""
    made = softmax(4, 9)
    generator = np.random.default_rng(1)
    scores, mask = random_floats(generator, (4, 9), spread=6), np.zeros((4, 9), dtype=np.float32)
    mask[0, 3:], mask[1, :8], mask[2, ::2] = -math.inf, np.finfo(np.float32).min, -1e9
    executor = check_run(made, (), (scores, mask))
    assert executor.plan.kernel_steps == {0, 2, 3, 4, 5, 6}
    mask[3] = -math.inf
    with pytest.raises(RunNotFinite):
        executor.run([scores, mask])


def test_index_outside_of_its_table_is_a_typed_failure() -> None:
    """The words of onnxruntime never come out."""
    body = Lookup(source=weight(0, (0, 1)), index=value(0, (1, 0)), extents=(7,), strides=(4,))
    made = program((tensor((5,), DType.INT64),), (step(body, (5, 4)),), (tensor((7, 4)),))
    executor = BoundedExecutor(made, (np.zeros((7, 4), dtype=np.float32),))
    with pytest.raises(IndexOutOfRange):
        executor.run([np.array([0, 1, 7, 2, 3])])


@pytest.mark.parametrize("seed", range(40))
def test_enormous_inputs_never_give_what_a_referee_would_refuse(seed: int) -> None:
    """A run either fails as typed, or every element is admissible: no input can make an honest operator lie."""
    generator = np.random.default_rng(seed)
    first, second = convolution(5, 2, 3, lower=0.0), convolution(5, 3, 2)
    body = second.steps[0].body
    assert isinstance(body, Contract) and body.right is not None and body.bias is not None
    moved = replace(
        body,
        left=replace(body.left, tensor=1),
        right=replace(body.right, tensor=2),
        bias=replace(body.bias, tensor=3),
    )
    squashed = Pointwise(function=Function.SIGMOID, operands=(value(2, (1,)),))
    made = program(
        first.inputs,
        (*first.steps, replace(second.steps[0], body=moved), step(squashed, (50,))),
        (*first.weights, *second.weights),
    )
    weights = weights_of(made, generator)
    taken = random_floats(generator, (1, 5, 5, 2)) * np.float32(2.0 ** generator.integers(100, 127))
    executor = BoundedExecutor(made, weights)
    try:
        traced = executor.run([taken], keep=True)
    except EngineError:
        return
    assert inadmissible(made, weights, traced, most=20) == []


def test_function_that_fails_its_trial_is_computed_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose exp is bad still gives admissible values, and says which steps kernels compute."""
    monkeypatch.setattr(machine, "is_function_right", lambda function: function is not Function.EXP)
    made = softmax(4, 9)
    scores = random_floats(np.random.default_rng(1), (4, 9))
    executor = check_run(made, (), (scores, scores))
    assert executor.plan.kernel_steps == {0, 2, 3, 5, 6}


def test_sums_that_fail_their_trial_are_computed_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with arithmetic of fewer bits."""
    monkeypatch.setattr(machine, "are_sums_right", lambda: False)
    made = matmul(2, 4, 3)
    assert check_run(made, ONES, inputs_of(made, np.random.default_rng(1))).plan.kernel_steps == frozenset()


def test_sum_that_overflows_in_an_exact_part_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where only another step of that part reads it."""
    monkeypatch.setattr(machine, "are_sums_right", lambda: False)
    monkeypatch.setattr(machine, "is_function_right", lambda function: function is Function.NEG)
    made = activated(Function.TANH)
    negated = step(Pointwise(function=Function.NEG, operands=(value(2, (1,)),)), (6,))
    executor = BoundedExecutor(program(made.inputs, (*made.steps, negated), made.weights), ONES)
    assert executor.plan.kernel_steps == {2}
    for keep in (False, True):
        with pytest.raises(RunNotFinite):
            executor.run([np.full((2, 4), 3e38, dtype=np.float32)], keep=keep)


def test_trace_that_differs_from_the_answer_becomes_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a silent difference: both come from one session then."""
    made = activated(Function.TANH)
    assert not part_of(BoundedExecutor(made, ONES)).is_traced_always
    monkeypatch.setattr(kernels.KernelPart, "_is_consistent", lambda *_: False)
    executor = check_run(made, ONES, inputs_of(made, np.random.default_rng(1)))
    assert part_of(executor).is_traced_always


def part_of(executor: BoundedExecutor) -> kernels.KernelPart:
    """The only part of a plan."""
    (part,) = executor.plan.parts
    assert isinstance(part, kernels.KernelPart)
    return part


def test_graph_that_onnxruntime_does_not_get_through_is_computed_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that would fail in every run is found out when it is made."""

    def fails(*_: object) -> None:
        raise RunFailed("onnxruntime failed")

    monkeypatch.setattr(kernels.KernelPart, "_is_consistent", fails)
    made = activated(Function.TANH)
    executor = check_run(made, ONES, inputs_of(made, np.random.default_rng(1)))
    assert executor.plan.parts == ()
    assert executor.plan.kernel_steps == frozenset()


def test_failure_inside_onnxruntime_is_answered_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor's exception means another way to the same answer."""
    made = activated(Function.TANH)
    inputs = inputs_of(made, np.random.default_rng(1))
    executor = BoundedExecutor(made, ONES)

    def fails(*_: object) -> None:
        raise RunFailed("onnxruntime failed")

    monkeypatch.setattr(Session, "run", fails)
    traced = executor.run(inputs, keep=True)
    assert inadmissible(made, ONES, traced) == []


def test_small_program_is_computed_exactly_and_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the exact executor is faster it is taken, but a sum that it lets overflow ends the run."""
    monkeypatch.setattr(plan, "prefers_exact", lambda _: True)
    executor = BoundedExecutor(activated(Function.TANH), ONES)
    assert executor.plan.parts == ()
    fine = executor.run([np.ones((2, 4), dtype=np.float32)])
    assert set(fine) == {0, 2}
    for keep in (False, True, (1,)):
        with pytest.raises(RunNotFinite):
            executor.run([np.full((2, 4), 3e38, dtype=np.float32)], keep=keep)


def test_values_are_told_in_order_and_kept_on_demand() -> None:
    """`on_value` sees what a trace holds; ``keep`` adds to inputs and outputs."""
    made = activated(Function.TANH)
    inputs = inputs_of(made, np.random.default_rng(1))
    executor = BoundedExecutor(made, ONES)
    told: list[int] = []
    found = executor.run(inputs, keep=(1,), on_value=lambda number, _: told.append(number))
    assert told == [0, 1, 2]
    assert set(found) == {0, 1, 2}
    assert set(executor.run(inputs)) == {0, 2}


def test_many_threads_share_an_executor() -> None:
    """Each gets the answer to its own input."""
    made = convolution(9, 3, 8)
    generator = np.random.default_rng(1)
    executor = BoundedExecutor(made, weights_of(made, generator), threads=2)
    inputs = [inputs_of(made, generator) for _ in range(8)]
    expected = [words(executor.run(each)[1]) for each in inputs]
    found: dict[int, list[int]] = {}

    def work(number: int) -> None:
        for _ in range(10):
            found[number] = words(executor.run(inputs[number])[1])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(8)] == expected


def test_negative_zeros_and_subnormals_are_canonical() -> None:
    """No tensor holds −0, and subnormal numbers are kept."""
    made = unary(Function.NEG, 3)
    found = BoundedExecutor(made, ()).run([np.array([0.0, -0.0, 1e-45], dtype=np.float32)])
    assert words(found[0])[:2] == [0, 0]
    assert words(found[1]) == [0, 0, 0x80000001]
