"""Audits and proofs in profile `bounded`: honest runs that differ are clean, lies are found to the last float."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.bounds import SPECIAL, bits_of, edges, key_of, sum_bounds
from tests.support.programs import average_pool, convolution, inputs_of, matmul, program, step, tensor, unary, value
from tests.support.programs import weights_of as random_weights
from tests.support.subjects import compiled, corrupted, every_rule, faults_of, random_inputs

from sworn.engine.exact import ExactExecutor
from sworn.errors import ConfigurationError, EngineError
from sworn.model.footprint import footprint
from sworn.model.program import Function, Pointwise, Program, Space
from sworn.referee import FaultKind, Read, check, decode_proof, encode_proof
from sworn.referee.bounded import admits
from sworn.referee.tolerances import TOLERANCES
from sworn.types import DType, Profile
from sworn.verification import CompiledModel, Trace, admissible, difference
from sworn.verification.trace_values import element_bits

Array = NDArray[Any]


def made(written: Program, *, seed: int = 0, spread: int = 0) -> CompiledModel:
    """A hand-made program in profile `bounded`, with random weights."""
    weights = random_weights(written, np.random.default_rng(seed), spread=spread)
    return compiled(written, weights, profile=Profile.BOUNDED)


def honest(model: CompiledModel, *, seed: int = 0, spread: int = 0) -> Trace:
    """A run with random inputs of many sizes."""
    inputs = inputs_of(model.program, np.random.default_rng(seed), spread=spread)
    return traced(model, inputs)


def traced(model: CompiledModel, inputs: Any) -> Trace:
    """An exact run, infinities and all."""
    found = model.executor.run(inputs, keep=True, include_virtual=True)
    return Trace.of(model.subject, [found[number] for number in range(model.subject.value_count)])


def reader(trace: Trace) -> Read:
    """The elements of a trace and of its model."""
    weights = trace.subject.weights
    return lambda space, number, index: (
        trace.bits(number, index) if space is Space.VALUE else element_bits(weights[number], index)
    )


def judged(trace: Trace, number: int, index: int) -> bool:
    """What the referee says of an element as the trace has it."""
    wrote, program = trace.subject.program.steps[number], trace.subject.program
    value_number = len(program.inputs) + number

    def type_of(space: Space, tensor_number: int) -> Any:
        return program.value(tensor_number) if space is Space.VALUE else program.weights[tensor_number]

    return admits(wrote, type_of, index, reader(trace), claimed=trace.bits(value_number, index))


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule(), profile=Profile.BOUNDED)


@pytest.fixture(scope="module")
def trace(model: CompiledModel) -> Trace:
    """An honest run of it."""
    return model.trace(random_inputs(model))


@pytest.mark.parametrize("number", range(11))
def test_corruption_is_found_and_proved_where_the_referee_does_not_admit_it(
    model: CompiledModel, trace: Trace, number: int
) -> None:
    """Audit, proof and referee agree on every bit of every kind of step; most kinds have no tolerance."""
    value_number = 3 + number
    array = trace.values[value_number]
    generator = np.random.default_rng(number)
    for bit in range(8 * array.itemsize):
        index = int(generator.integers(array.size))
        lie = corrupted(trace, value_number, index, trace.bits(value_number, index) ^ 1 << bit)
        mine = [fault for fault in model.audit(lie) if (fault.value, fault.index) == (value_number, index)]
        bits = lie.bits(value_number, index)
        admitted = (array.dtype != np.float32 or bits != 0x80000000) and not is_odd_bool(array, bits)
        assert bool(mine) != (admitted and judged(lie, number, index)), (bit, index)
        if mine:
            assert mine[0].expected == trace.bits(value_number, index)
            proof = mine[0].proof()
            assert check(decode_proof(encode_proof(proof)))
            assert len(encode_proof(proof)) <= footprint(model.program, number).proof_bytes


def is_odd_bool(array: Array, bits: int) -> bool:
    """Whether bits are no bool where one belongs."""
    return array.dtype == np.bool_ and bits > 1


CONTRACTIONS = {
    "product": matmul(5, 33, 4),
    "one term": matmul(4, 1, 4),
    "computed operands": matmul(3, 9, 2, constant=False),
    "windows": convolution(6, 4, 6),
    "groups": convolution(7, 4, 6, groups=2, dilation=2, stride=2),
    "clamped": convolution(6, 4, 6, lower=0.0, upper=1.0),
    "mean": average_pool(5, 3),
    "divided": matmul(5, 33, 4, divisor=5),
}


@pytest.mark.parametrize("spread", [0, 40])
@pytest.mark.parametrize("name", CONTRACTIONS)
def test_claims_at_the_very_edge_of_a_sum_are_told_apart(name: str, spread: int) -> None:
    """The last floats within the bound stand in a clean trace; those one further are found, and proved."""
    model = made(CONTRACTIONS[name], spread=spread)
    trace = honest(model, spread=spread)
    inputs, last = len(model.program.inputs), len(trace.values) - 1
    for index in range(0, trace.values[last].size, 7):
        bounds = sum_bounds(model.program, model.weights, trace.values[:inputs], index)
        inside, outside = edges(*bounds)
        for claimed in inside:
            assert faults_of(model, corrupted(trace, last, index, claimed)) == []
        for claimed in (*outside, *SPECIAL):
            found = [f for f in faults_of(model, corrupted(trace, last, index, claimed)) if f.kind is FaultKind.ELEMENT]
            assert [(fault.value, fault.index) for fault in found] == [(last, index)], hex(claimed)
            assert check(found[0].proof())


def test_many_claims_beside_the_exact_bits_are_judged_as_the_referee_does() -> None:
    """The bulk of a tensor is decided by float64, and every decision is the referee's."""
    for name, written in CONTRACTIONS.items():
        model = made(written, spread=3)
        trace = honest(model, spread=3)
        last, generator = len(trace.values) - 1, np.random.default_rng(1)
        flat = trace.values[last].reshape(-1)
        moved = [
            bits_of(key_of(int(bits)) + int(shift))
            for bits, shift in zip(
                flat.view(np.uint32),
                (generator.standard_normal(flat.size) * 2.0 ** generator.integers(0, 9, flat.size)),
                strict=True,
            )
        ]
        lie = Trace.of(trace.subject, [*trace.values[:last], np.array(moved, np.uint32).view(np.float32)])
        wrong = [index for index in range(flat.size) if moved[index] == 0x80000000 or not judged(lie, 0, index)]
        found = [fault.index for fault in faults_of(model, lie) if fault.kind is FaultKind.ELEMENT]
        assert found == wrong
        assert found, name


@pytest.mark.parametrize("function", sorted(TOLERANCES), ids=lambda function: function.name)
def test_claims_around_a_function_are_judged_as_the_referee_does(function: Function) -> None:
    """One to forty units in the last place away, below and above, subnormals and the ends of the range among them."""
    alpha = {Function.ELU: 0.5, Function.HARD_SIGMOID: 0.25, Function.POW: 1.5}.get(function, 0.0)
    count = 400
    model = made(unary(function, count, alpha=alpha, beta=0.5))
    generator = np.random.default_rng(int(function))
    arguments = (generator.standard_normal(count) * 2.0 ** generator.integers(-40, 7, count)).astype(np.float32)
    arguments[:3] = (1e-40, 0.0, 3e38)
    if function in (Function.LOG, Function.POW):
        arguments = np.abs(arguments)
    trace = traced(model, [arguments])
    keys = [key_of(int(bits)) for bits in trace.values[1].view(np.uint32)]
    shifts = generator.integers(-40, 41, count).tolist()
    moved = [bits_of(key + shift) for key, shift in zip(keys, shifts, strict=True)]
    lie = Trace.of(trace.subject, [trace.values[0], np.array(moved, np.uint32).view(np.float32)])
    # Beyond an infinity there are only NaNs, which are wrong without looking.
    wrong = [i for i in range(count) if moved[i] & 0x7FFFFFFF > 0x7F800000 or not judged(lie, 0, i)]
    assert [fault.index for fault in faults_of(model, lie) if fault.kind is FaultKind.ELEMENT] == wrong
    assert 0 < len(wrong) < count


@pytest.mark.parametrize("seed", range(12))
def test_any_bits_as_claims_are_judged_as_the_referee_does(seed: int) -> None:
    """NaNs of every kind, infinities, −0, subnormals and whatever else fits 32 bits; operands of every size."""
    generator = np.random.default_rng(seed)
    functions = sorted(TOLERANCES)
    chosen = [*CONTRACTIONS.values(), *(unary(function, 60, alpha=0.5, beta=0.5) for function in functions)]
    model = made(chosen[int(generator.integers(len(chosen)))], seed=seed, spread=int(generator.integers(80)))
    inputs = [np.abs(array) for array in inputs_of(model.program, generator, spread=int(generator.integers(60)))]
    trace = traced(model, inputs)
    last = len(trace.values) - 1
    size = trace.values[last].size
    claims = generator.integers(0, 1 << 32, size, dtype=np.uint64).astype(np.uint32)
    claims[::5] = np.resize(np.array(SPECIAL, np.uint32), claims[::5].size)
    claims[1::3] = trace.values[last].reshape(-1).view(np.uint32)[1::3] ^ (
        1 << generator.integers(0, 10, claims[1::3].size)
    )
    lie = Trace.of(trace.subject, [*trace.values[:last], claims.view(np.float32)])
    wrong = [i for i in range(size) if not is_canonical(int(claims[i])) or not judged(lie, 0, i)]
    found = [fault for fault in faults_of(model, lie) if fault.kind is FaultKind.ELEMENT]
    assert [fault.index for fault in found] == wrong
    assert all(check(fault.proof()) for fault in found[:5])


def is_canonical(bits: int) -> bool:
    """Whether bits may stand in a float tensor at all."""
    return bits & 0x7FFFFFFF <= 0x7F800000 and bits != 0x80000000


QUICK = (Function.EXP, Function.LOG, Function.TANH, Function.ERF, Function.SIGMOID, Function.SOFTPLUS)


@pytest.mark.parametrize("function", QUICK, ids=lambda function: function.name)
def test_claims_near_the_bound_everywhere_do_not_keep_the_referee_busy(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trace made to be undecided costs a few wide integers, not one for each of its elements."""
    count = 3000
    model = made(unary(function, count))
    generator = np.random.default_rng(int(function))
    trace = traced(model, [np.abs(generator.standard_normal(count) * 3 + 0.01).astype(np.float32)])
    asked = []

    def counted(*place: Any, claimed: int) -> bool:
        asked.append(claimed)
        return admits(*place, claimed=claimed)

    monkeypatch.setattr(admissible, "admits", counted)
    for units in range(1, 14):
        flat = trace.values[1].view(np.uint32) + np.uint32(units)
        faults_of(model, Trace.of(trace.subject, [trace.values[0], flat.view(np.float32)]))
    assert len(asked) < 40


def test_honest_runs_that_differ_are_clean_and_no_difference() -> None:
    """Other orders of additions give other bits: an audit finds nothing, and comparing traces is refused."""
    model = made(matmul(40, 300, 50))
    trace = honest(model)
    left, right, bias = trace.values[0], model.weights[0], model.weights[1]
    for product in (backwards(left, right), left @ right.T):
        other = Trace.of(trace.subject, [left, (product + bias + np.float32(0)).astype(np.float32)])
        assert other.root != trace.root
        assert model.audit(other) == []
        with pytest.raises(ConfigurationError):
            difference(other, trace)


def backwards(left: Array, right: Array) -> Array:
    """A float32 product whose terms are added up one after the other, the last one first."""
    total = np.zeros((len(left), len(right)), dtype=np.float32)
    for k in reversed(range(left.shape[1])):
        total += left[:, k, None] * right[None, :, k]
    return total


def test_steps_are_judged_from_the_operands_in_the_trace() -> None:
    """A lie changes what is right afterwards: a trace that goes on from it has one fault, one that does not has two."""
    first = matmul(1, 3, 3).steps[0]
    body = Pointwise(function=Function.EXP, operands=(value(1, (1,)),))
    written = program((tensor((1, 3)),), (first, step(body, (3,))), matmul(1, 3, 3).weights)
    model = made(written)
    trace = honest(model)
    lie = corrupted(trace, 1, 1, trace.bits(1, 1) ^ 1 << 22)
    assert [(fault.value, fault.index) for fault in model.audit(lie) if fault.kind is FaultKind.ELEMENT] == [
        (1, 1),
        (2, 1),
    ]
    again = ExactExecutor(unary(Function.EXP, 3), ()).run([lie.values[1].reshape(-1)])[1]
    consistent = Trace.of(trace.subject, [*lie.values[:2], again.reshape(3)])
    assert [(fault.value, fault.index) for fault in model.audit(consistent)] == [(1, 1)]


@pytest.mark.parametrize(
    ("written", "broken"),
    [
        (matmul(3, 4, 5, constant=False), np.inf),
        (unary(Function.SQRT, 6), -1.0),
        (unary(Function.LOG, 6), -1.0),
    ],
)
def test_any_claim_about_an_element_without_a_value_is_a_fault(written: Program, broken: float) -> None:
    """The run had to end; 0, an infinity or the greatest float instead are lies, and proved."""
    model = compiled(written, (), profile=Profile.BOUNDED)
    arrays = [np.full(kind.shape, 0.5, dtype=np.float32) for kind in written.inputs]
    arrays[0].reshape(-1)[2] = broken
    for claim in (0.0, np.inf, -np.inf, 3.4e38, 1e-45):
        output = np.full(written.steps[-1].output.shape, claim, dtype=np.float32)
        trace = Trace.of(model.subject, [*arrays, output])
        found = [fault for fault in faults_of(model, trace) if fault.kind is FaultKind.ELEMENT]
        assert len(found) == 1 and found[0].expected is None
        assert check(found[0].proof())


def test_sum_that_overflows_is_a_fault_even_where_exact_bits_are_infinite() -> None:
    """In this profile a sum is never infinite: the exact executor's own answer convicts whoever gives it."""
    model = compiled(
        matmul(1, 1, 1), (np.full((1, 1), 3e38, np.float32), np.zeros(1, np.float32)), profile=Profile.BOUNDED
    )
    trace = traced(model, [np.full((1, 1), 3e38, np.float32)])
    assert trace.bits(1, 0) == 0x7F800000
    found = [fault for fault in model.audit(trace) if fault.kind is FaultKind.ELEMENT]
    assert len(found) == 1 and check(found[0].proof())


def test_audit_of_a_trace_without_end_stops_at_the_faults_asked_for(model: CompiledModel, trace: Trace) -> None:
    """A trace that is wrong everywhere costs no more than a few of its elements."""
    lie = Trace.of(trace.subject, [*trace.values[:3], trace.values[3] + np.float32(1), *trace.values[4:]])
    assert len(model.audit(lie, max_faults=3)) == 3


def test_profiles_of_one_program_have_two_ids() -> None:
    """The same program, judged in two ways, is two models."""
    ids = {compiled(*every_rule(), profile=profile).model_id for profile in (Profile.EXACT, Profile.BOUNDED)}
    assert len(ids) == 2
    with pytest.raises(EngineError):
        made(matmul(1, 1, 1)).executor.run([np.full((1, 1), np.inf, np.float32)])


def kinds() -> dict[str, Callable[[], Program]]:
    """Programs of integers, which have no tolerance."""
    operands = (value(0, (1,)), value(1, (1,)))
    body = Pointwise(function=Function.DIV, operands=operands)
    return {"division": lambda: program((tensor((4,), DType.INT32),) * 2, (step(body, (4,), DType.INT32),))}


def test_integers_of_a_tolerant_function_have_none() -> None:
    """DIV of integers is not DIV of floats."""
    model = made(kinds()["division"]())
    arrays = [np.array([7, 8, -9, 10], np.int32), np.array([2, 3, 2, -3], np.int32)]
    trace = traced(model, arrays)
    assert model.audit(trace) == []
    assert [fault.index for fault in model.audit(corrupted(trace, 2, 1, 3))] == [1]
