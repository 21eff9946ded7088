from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.support.lies import faulty_traces
from tests.support.programs import unary
from tests.support.searching import payload_of, result_with, search_through
from tests.support.subjects import compiled, corrupted, every_rule, random_inputs

from sworn.codec.tensors import encode_payload
from sworn.codec.trees import payload_root
from sworn.dispute.disclosure import show
from sworn.dispute.own_run import own_run
from sworn.dispute.search import FaultFound, NoFault, Search, Wanted, audit_trace, search_of
from sworn.dispute.shown_trace import ShownTrace
from sworn.errors import ConfigurationError, DisclosureInvalid, PayloadMalformed
from sworn.model.program import Function
from sworn.referee import FaultKind, check, decode_proof
from sworn.types import ModelId, Part, Profile, Target
from sworn.verification import CompiledModel, Trace


@pytest.fixture(scope="module", params=[Profile.EXACT, Profile.BOUNDED], ids=["exact", "bounded"])
def model(request: pytest.FixtureRequest) -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule(), profile=request.param)


@pytest.fixture(scope="module")
def honest(model: CompiledModel) -> Trace:
    """One run of it."""
    return model.trace(random_inputs(model))


@pytest.fixture(scope="module")
def search(model: CompiledModel) -> Search:
    """A search on the same inputs."""
    return search_of(model, payload_of(model, random_inputs(model)))


def test_search_through_every_kind_of_lie_finds_a_provable_fault(
    model: CompiledModel, honest: Trace, search: Search
) -> None:
    """Whatever is wrong with what an operator commits to, what it must show of it convicts it."""
    for name, lie in faulty_traces(honest).items():
        result = replace(result_with(lie), input_root=honest.input_root)
        if name == "other input":
            # Here a wrong input root is in the statement: the payload behind it is not known to anybody.
            continue
        finding = search_through(search, lie, result).finding
        assert isinstance(finding, FaultFound), name
        proof = decode_proof(finding.proof)
        assert check(proof), name
        assert (proof.kind, proof.value, proof.index) == (finding.kind, finding.value, finding.index)
        assert proof.statement.trace_root == lie.root


def test_search_through_honest_trace_finds_nothing(honest: Trace, search: Search) -> None:
    """An operator that has told the truth can be asked for anything."""
    assert isinstance(search_through(search, honest).finding, NoFault)


def test_search_in_lies_by_one_bit_at_random_names_the_element(
    model: CompiledModel, honest: Trace, search: Search
) -> None:
    """Anywhere in any step: the fault that is found is the one that was planted, or one that stands before it."""
    generator = np.random.default_rng(5)
    inputs = len(model.program.inputs)
    for value in range(inputs, len(honest.values)):
        for _ in range(3):
            index = int(generator.integers(honest.values[value].size))
            itemsize = honest.values[value].itemsize
            high = 8 * itemsize - (1 if model.model.profile is Profile.EXACT else 2)
            bit = int(generator.integers(high)) if model.model.profile is Profile.EXACT else high
            lie = corrupted(honest, value, index, honest.bits(value, index) ^ 1 << bit)
            finding = search_through(search, lie).finding
            assert isinstance(finding, FaultFound), (value, index, bit)
            assert finding.value <= value
            if model.model.profile is Profile.EXACT:
                assert (finding.kind, finding.value, finding.index) == (FaultKind.ELEMENT, value, index)


def test_search_in_exact_walks_by_hashes_and_sees_little(honest: Trace, search: Search, model: CompiledModel) -> None:
    """One demand for the roots, one for the chunks of the value at fault; an audit has to see everything."""
    lie = corrupted(honest, 7, 383, honest.bits(7, 383) ^ 1 << 30)
    exact = model.model.profile is Profile.EXACT
    asked = search_through(search, lie).targets
    assert asked[0] == Target(part=Part.VALUES, level=4)
    assert len(asked) == 2 if exact else len(asked) > 8


def test_search_with_inline_roots_needs_no_demand_for_them(honest: Trace, search: Search) -> None:
    """The operator of a small model commits to them all at once."""
    lie = corrupted(honest, 8, 3, honest.bits(8, 3) ^ 1 << 30)
    shown = ShownTrace(lie.root)
    shown.take_roots(lie.data_roots)
    finding = search.look(result_with(lie), shown)
    assert isinstance(finding, Wanted)
    assert all(target.part is not Part.VALUES for target in finding.targets)
    with pytest.raises(DisclosureInvalid):
        ShownTrace(lie.root).take_roots(honest.data_roots)


def test_search_in_result_of_another_input_or_trace_is_refused(honest: Trace, search: Search) -> None:
    """Nobody is accused of what somebody else said."""
    result = result_with(honest)
    for other in (replace(result, model_id=ModelId(b"\x01" * 32)), replace(result, trace_root=b"\x01" * 32)):
        with pytest.raises(ConfigurationError):
            search.look(other, ShownTrace(honest.root))


def test_shown_piece_of_another_trace_is_refused_and_leaves_nothing(honest: Trace) -> None:
    """A server may lie as much as it likes."""
    shown = ShownTrace(corrupted(honest, 8, 3, 1).root)
    with pytest.raises(DisclosureInvalid):
        shown.take(Target(part=Part.CHUNKS, value=8), show(honest, Target(part=Part.CHUNKS, value=8)))
    assert (shown.tree, shown.values) == (None, {})


def test_audit_of_whole_lying_trace_finds_the_same_as_a_search(honest: Trace, model: CompiledModel) -> None:
    """A trace server shows it all at once."""
    lie = corrupted(honest, 8, 3, honest.bits(8, 3) ^ 1 << 30)
    finding = audit_trace(model, lie, result_with(lie))
    assert isinstance(finding, FaultFound) and check(decode_proof(finding.proof))
    assert isinstance(audit_trace(model, honest, result_with(honest)), NoFault)
    with pytest.raises(ConfigurationError):
        audit_trace(model, honest, result_with(lie))


def test_large_value_is_walked_down_to_one_chunk() -> None:
    """Through several levels of its tree; an element in the last, shorter chunk is found as well."""
    model = compiled(unary(Function.ABS, 41_001), ())
    honest = model.trace(random_inputs(model))
    search = search_of(model, payload_of(model, random_inputs(model)))
    for index in (0, 20_000, 41_000):
        lie = corrupted(honest, 1, index, honest.bits(1, index) ^ 1)
        searched = search_through(search, lie)
        assert isinstance(searched.finding, FaultFound)
        assert (searched.finding.value, searched.finding.index) == (1, index)
        assert [target.part for target in searched.targets] == [Part.VALUES, Part.NODES, Part.CHUNKS]


def test_answer_to_input_that_no_payload_may_hold_is_a_fault() -> None:
    """Operators must fail such a request; a NaN, a −0 and an infinity alike."""
    model = compiled(unary(Function.ABS, 6), ())
    for bits in (0x7FC00001, 0x80000000, 0xFF800000):
        raw = np.arange(6, dtype=np.float32)
        raw.view(np.uint32)[4] = bits
        lie = Trace.of(model.subject, [raw, np.abs(raw)])
        payload = payload_of(model, {"in0": np.zeros(6, dtype=np.float32)})[:-24] + raw.astype(">f4").tobytes()
        assert payload_root(payload) == lie.input_root
        finding = search_through(search_of(model, payload), lie).finding
        assert isinstance(finding, FaultFound)
        assert (finding.kind, finding.value, finding.index) == (FaultKind.PORT, 0, 4)


def test_answer_where_a_step_has_no_value_is_a_fault() -> None:
    """Whatever the operator claims the logarithm of −1 to be."""
    model = compiled(unary(Function.LOG, 6), ())
    inputs = {"in0": np.array([1, 2, 4, 8, -1, 16], dtype=np.float32)}
    payload = payload_of(model, inputs)
    lie = Trace.of(model.subject, [inputs["in0"], np.ones(6, dtype=np.float32)])
    finding = search_through(search_of(model, payload), lie).finding
    assert isinstance(finding, FaultFound)
    assert (finding.kind, finding.value, finding.index) == (FaultKind.ELEMENT, 1, 4)


def test_answer_to_payload_that_does_not_fit_the_model_is_a_fault() -> None:
    """No inputs of the right type lead to such an input root."""
    model = compiled(unary(Function.ABS, 6), ())
    payload = encode_payload([np.zeros((3, 2), dtype=np.float32)])
    values = [np.zeros(6, dtype=np.float32)] * 2
    lie = Trace.of(model.subject, values, input_root=payload_root(payload))
    finding = search_through(search_of(model, payload), lie).finding
    assert isinstance(finding, FaultFound) and finding.kind is FaultKind.INPUT_LINK
    nothing = Trace.of(model.subject, [], input_root=payload_root(payload), output_root=lie.output_root)
    finding = search_through(search_of(model, payload), nothing).finding
    assert isinstance(finding, FaultFound) and finding.kind is FaultKind.COUNT
    with pytest.raises(PayloadMalformed):
        own_run(model, b"\x00ipfs://somewhere")
