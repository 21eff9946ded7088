from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from tests.support.programs import matmul, unary
from tests.support.subjects import compiled, corrupted, every_rule, faults_of, random_inputs

from sworn.errors import CodecError, ConfigurationError, ProofMalformed
from sworn.model.footprint import footprint
from sworn.model.program import Function
from sworn.referee import (
    FaultKind,
    FaultProof,
    check,
    decode_proof,
    encode_proof,
    proof_from_json,
    proof_to_json,
)
from sworn.types import Profile
from sworn.verification import CompiledModel, Fault, Trace, difference, prove


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule())


@pytest.fixture(scope="module")
def trace(model: CompiledModel) -> Trace:
    """An honest run of it."""
    return model.trace(random_inputs(model))


def resized(trace: Trace, number: int, size: int) -> Trace:
    """The trace with another number of elements in one tensor."""
    values = list(trace.values)
    values[number] = np.resize(values[number].reshape(-1), size)
    return Trace.of(trace.subject, values)


def second_best(trace: Trace, index: int) -> int:
    """The position in a full 3 × 3 window that only the best element refutes."""
    y, x, channel = np.unravel_index(index, (3, 3, 6))
    window = trace.values[3].reshape(6, 6, 6)[2 * y - 1 : 2 * y + 2, 2 * x - 1 : 2 * x + 2, channel]
    assert window.shape == (3, 3)
    return int(np.argsort(window.reshape(-1))[-2])


def faulty_traces(trace: Trace) -> dict[str, Trace]:
    """One trace for every kind of fault and every form of proof."""
    values, subject = trace.values, trace.subject
    return {
        "contraction": corrupted(trace, 3, 20, trace.bits(3, 20) ^ 1),
        "extremum": corrupted(trace, 5, 30, second_best(trace, 30)),
        "extremum that is no position": corrupted(trace, 5, 30, 1 << 63),
        "extremum in the padding": corrupted(trace, 5, 0, 0),
        "lookup": corrupted(trace, 6, 1, trace.bits(6, 1) ^ 1),
        "copy": corrupted(trace, 7, 0, 0x3F800000),
        "function": corrupted(trace, 8, 3, trace.bits(8, 3) ^ 1),
        "not canonical": corrupted(trace, 8, 3, 0x80000000),
        "rank": corrupted(trace, 9, 0, (trace.bits(9, 0) + 1) % 4),
        "tree": corrupted(trace, 10, 3, (trace.bits(10, 3) + 1) % 4),
        "leaf that is none": corrupted(trace, 10, 3, 4),
        "leaf of a tree without nodes": corrupted(trace, 10, 2, 1),
        "integers": corrupted(trace, 11, 4, trace.bits(11, 4) ^ 1),
        "input that is not finite": corrupted(trace, 0, 5, 0x7F800000),
        "output that is not finite": corrupted(trace, 13, 5, 0x7F800000),
        "short input": resized(trace, 1, 19),
        "long step": resized(trace, 8, 300),
        "tensor too many": Trace.of(subject, [*values, values[0]]),
        "tensor too few": Trace.of(subject, values[:-1], input_root=trace.input_root, output_root=trace.output_root),
        "other input": Trace.of(subject, values, input_root=bytes(31) + b"\x01"),
        "other output": Trace.of(subject, values, output_root=bytes(31) + b"\x01"),
    }


def proof_of(model: CompiledModel, trace: Trace) -> FaultProof:
    """The proof of the fault for which a trace was made: the last one that is found."""
    return faults_of(model, trace)[-1].proof() if len(trace.values) else pytest.fail("no values")


def test_audit_of_an_honest_trace_finds_nothing(model: CompiledModel, trace: Trace) -> None:
    """An honest operator has nothing to fear; what is right cannot be proved wrong."""
    assert model.audit(trace) == []
    for value in range(3, len(trace.values)):
        for index in (0, trace.values[value].size - 1):
            assert not check(prove(trace, kind=FaultKind.ELEMENT, value=value, index=index))
    for kind in (FaultKind.COUNT, FaultKind.INPUT_LINK, FaultKind.OUTPUT_LINK):
        assert not check(prove(trace, kind=kind))
    for value in (0, 13):
        assert not check(prove(trace, kind=FaultKind.LENGTH, value=value))
        assert not check(prove(trace, kind=FaultKind.PORT, value=value))


@pytest.mark.parametrize("value", range(3, 14))
def test_corruption_of_any_step_from_one_ulp_up_is_found_and_proved(
    model: CompiledModel, trace: Trace, value: int
) -> None:
    """Single elements, single bits from the lowest to the highest: all are found, and every proof convicts."""
    array = trace.values[value]
    generator = np.random.default_rng(value)
    width = 8 * array.itemsize
    for bit in {0, 1, width // 2, width - 1, *generator.integers(0, width, 4).tolist()}:
        index = int(generator.integers(array.size))
        lie = corrupted(trace, value, index, trace.bits(value, index) ^ 1 << bit)
        found = [fault for fault in model.audit(lie) if (fault.value, fault.index) == (value, index)]
        assert found[0].kind is FaultKind.ELEMENT
        assert found[0].expected == trace.bits(value, index)
        assert found[0].claimed == lie.bits(value, index)
        proof = found[0].proof()
        assert check(proof)
        assert len(encode_proof(proof)) <= footprint(model.program, value - 3).proof_bytes


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("input that is not finite", FaultKind.PORT),
        ("output that is not finite", FaultKind.PORT),
        ("short input", FaultKind.LENGTH),
        ("long step", FaultKind.LENGTH),
        ("tensor too many", FaultKind.COUNT),
        ("tensor too few", FaultKind.COUNT),
        ("other input", FaultKind.INPUT_LINK),
        ("other output", FaultKind.OUTPUT_LINK),
    ],
)
def test_audit_of_a_trace_that_is_wrong_as_a_whole_says_how(
    model: CompiledModel, trace: Trace, name: str, kind: FaultKind
) -> None:
    """Wrong sizes, broken links and forbidden values have proofs of their own."""
    lie = faulty_traces(trace)[name]
    found = [fault for fault in faults_of(model, lie) if fault.kind is kind]
    assert len(found) == 1
    proof = found[0].proof()
    assert check(proof)
    assert proof.statement == lie.statement


@pytest.mark.parametrize("value", [3, 5, 10, 13])
def test_difference_to_an_own_trace_is_the_first_wrong_element(model: CompiledModel, trace: Trace, value: int) -> None:
    """Whoever has an own trace of the same input needs no audit."""
    own = model.trace(random_inputs(model))
    assert difference(trace, own) is None
    lie = corrupted(corrupted(trace, value, 2, trace.bits(value, 2) ^ 1), value, 9, trace.bits(value, 9) ^ 1)
    found = difference(lie, own)
    assert found is not None and (found.value, found.index, found.expected) == (value, 2, trace.bits(value, 2))
    assert check(found.proof())


def test_difference_of_sizes_and_inputs_is_told_apart(model: CompiledModel, trace: Trace) -> None:
    """Missing tensors and wrong lengths have proofs too; another input is no fault at all."""
    lies = faulty_traces(trace)
    for name, kind in (("tensor too many", FaultKind.COUNT), ("long step", FaultKind.LENGTH)):
        found = difference(lies[name], trace)
        assert found is not None and found.kind is kind and check(found.proof())
    with pytest.raises(ConfigurationError):
        difference(model.trace(random_inputs(model, seed=1)), trace)


def test_fault_of_an_element_names_step_and_bits(model: CompiledModel, trace: Trace) -> None:
    """What people read: where, what is there, what belongs there."""
    lie = corrupted(trace, 8, 3, trace.bits(8, 3) ^ 1)
    fault = model.audit(lie)[0]
    assert (fault.step, fault.value, fault.index) == (5, 8, 3)
    assert str(fault) == f"element: pointwise 5[3] is {fault.claimed:#x}, not {fault.expected:#x}"
    assert str(faults_of(model, faulty_traces(trace)["other input"])[0]) == "input link: inputs"
    assert len(model.audit(corrupted(trace, 1, 0, 0), max_faults=2)) == 2


@pytest.mark.parametrize(
    ("made", "inputs"),
    [
        (matmul(3, 4, 5, constant=False), {(0, 6): np.inf}),
        (unary(Function.SQRT, 6), {(0, 4): -1.0}),
        (unary(Function.LOG, 6), {(0, 2): -1.0}),
    ],
)
def test_element_without_a_value_convicts_whoever_states_one(made: Any, inputs: dict[tuple[int, int], float]) -> None:
    """An infinite operand of a sum, the root of a negative number: the run had to fail, and any answer is a lie."""
    model = compiled(made, ())
    arrays = [np.full(kind.shape, 0.5, dtype=np.float32) for kind in made.inputs]
    for (number, index), number_there in inputs.items():
        arrays[number].reshape(-1)[index] = number_there
    output = np.ones(made.steps[-1].output.shape, dtype=np.float32)
    found = [f for f in faults_of(model, Trace.of(model.subject, [*arrays, output])) if f.kind is FaultKind.ELEMENT]
    assert len(found) == 1 and found[0].expected is None
    assert found[0].index == next(iter(inputs))[1] // (1 if len(arrays) == 1 else 4) * (1 if len(arrays) == 1 else 5)
    assert "no value" in str(found[0])
    assert check(found[0].proof())


def all_proofs(model: CompiledModel, trace: Trace) -> dict[str, FaultProof]:
    """One proof of every form."""
    found = {}
    for name, lie in faulty_traces(trace).items():
        faults = faults_of(model, lie)
        changed = [n for n, value in enumerate(trace.values) if n < len(lie.values) and value is not lie.values[n]]
        mine: list[Fault] = [f for f in faults if not changed or f.value in changed] or faults
        found[name] = mine[0].proof()
    return found


def test_proofs_of_every_form_come_back_from_bytes_and_json(model: CompiledModel, trace: Trace) -> None:
    """A proof survives being written down, and convicts afterwards."""
    for proof in all_proofs(model, trace).values():
        assert check(proof)
        assert decode_proof(encode_proof(proof)) == proof
        assert proof_from_json(proof_to_json(proof)) == proof


def variants(thing: Any) -> list[Any]:
    """A field's value, changed in every way that its type allows."""
    if isinstance(thing, FaultKind | Profile):
        return [each for each in type(thing) if each is not thing]
    if isinstance(thing, bool) or thing is None:
        return []
    if isinstance(thing, int):
        return [thing + 1, thing - 1, thing ^ 1 << 31]
    if isinstance(thing, bytes):
        flipped = [
            thing[:i] + bytes([thing[i] ^ 1]) + thing[i + 1 :] for i in {0, len(thing) // 2, len(thing) - 1} if thing
        ]
        return [*flipped, thing[:-1] if thing else b"\x01", thing + b"\x00"]
    if isinstance(thing, tuple):
        inner = [(*thing[:i], each, *thing[i + 1 :]) for i in range(len(thing)) for each in variants(thing[i])]
        hashes = all(isinstance(each, bytes) for each in thing)
        return [*inner, *([(*thing, bytes(32))] if hashes else []), *([thing[:-1]] if thing and hashes else [])]
    if isinstance(thing, dict):
        inner_dicts = [{**thing, key: each} for key, value in thing.items() for each in variants(value)]
        dropped = [{k: v for k, v in thing.items() if k != key} for key in thing]
        moved = [{(k + 1 if k == key else k): v for k, v in thing.items()} for key in thing]
        return [*inner_dicts, *dropped, *moved]
    assert is_dataclass(thing)
    return [
        replace(thing, **{field.name: each})  # type: ignore[type-var]
        for field in fields(thing)
        for each in variants(getattr(thing, field.name))
    ]


def test_proof_with_any_field_changed_is_rejected(model: CompiledModel, trace: Trace) -> None:
    """Model, statement, step, openings, index, witness: whatever is changed, the proof convicts nobody."""
    tried = 0
    for name, proof in all_proofs(model, trace).items():
        for changed in variants(proof):
            assert not check(changed), (name, changed)
            tried += 1
        for field, value in (("weights", None), ("witness", None), ("witness", 0)):
            changed = replace(proof, **{field: value})  # type: ignore[arg-type]
            assert changed == proof or not check(changed), (name, field)
    assert tried > 2500


def test_proof_with_any_byte_changed_is_rejected(model: CompiledModel, trace: Trace) -> None:
    """The same for the bytes of a proof: unreadable, or convicting nobody."""
    for name in ("contraction", "extremum", "leaf that is none", "other output"):
        data = encode_proof(all_proofs(model, trace)[name])
        for position in range(0, len(data), 3):
            changed = bytearray(data)
            changed[position] ^= 1 << position % 8
            try:
                assert not check(decode_proof(bytes(changed))), (name, position)
            except ProofMalformed:
                continue
        for bad in (data[:-1], data + b"\x00", b""):
            with pytest.raises(ProofMalformed):
                decode_proof(bad)


def test_proof_in_json_with_other_fields_is_refused(model: CompiledModel, trace: Trace) -> None:
    """What people read beside a proof has to be what it proves."""
    written = proof_to_json(proof_of(model, faulty_traces(trace)["other output"]))
    for key in written:
        for bad in ({**written, key: "0x00"}, {k: v for k, v in written.items() if k != key}):
            with pytest.raises(CodecError):
                proof_from_json(bad)


def test_proof_of_a_certificate_opens_one_witness_only(model: CompiledModel, trace: Trace) -> None:
    """A window's size does not matter, nor a tree's: the proof looks at two elements, or one node."""
    proofs = all_proofs(model, trace)
    assert proofs["extremum"].witness == trace.bits(5, 30)
    assert proofs["extremum that is no position"].witness == 0
    assert proofs["extremum in the padding"].witness == 0
    assert proofs["tree"].witness is not None and proofs["leaf that is none"].witness == 0
    # Not even the features are opened where a leaf does not exist.
    assert set(proofs["leaf that is none"].values.tensors) == {10}
    assert set(proofs["not canonical"].values.tensors) == {8} and proofs["not canonical"].weights is None
    worse = set(range(9)) - {trace.bits(5, 30)}
    assert not any(check(replace(proofs["extremum"], witness=position)) for position in worse)


def test_proof_of_a_signed_model_is_rejected(model: CompiledModel, trace: Trace) -> None:
    """A profile that promises no bits cannot be broken by one."""
    proof = all_proofs(model, trace)["function"]
    for profile in (Profile.SIGNED, Profile.BOUNDED):
        assert not check(replace(proof, model=replace(proof.model, profile=profile)))
