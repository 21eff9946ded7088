from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from tests.support.lies import all_proofs, faulty_traces
from tests.support.programs import matmul, unary
from tests.support.subjects import compiled, corrupted, every_rule, faults_of, random_inputs

from sworn.codec.hashing import model_id
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
from sworn.verification import CompiledModel, Trace, difference, prove


@pytest.fixture(scope="module", params=[Profile.EXACT, Profile.BOUNDED], ids=lambda profile: profile.name.lower())
def model(request: pytest.FixtureRequest) -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule(), profile=request.param)


@pytest.fixture(scope="module")
def trace(model: CompiledModel) -> Trace:
    """An honest run of it."""
    return model.trace(random_inputs(model))


@pytest.fixture(scope="module")
def exact() -> tuple[CompiledModel, Trace]:
    """The same in profile `exact`, where bits are equal or wrong."""
    made = compiled(*every_rule())
    return made, made.trace(random_inputs(made))


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
    exact: tuple[CompiledModel, Trace], value: int
) -> None:
    """Single elements, single bits from the lowest to the highest: all are found, and every proof convicts."""
    model, trace = exact
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
def test_difference_to_an_own_trace_is_the_first_wrong_element(exact: tuple[CompiledModel, Trace], value: int) -> None:
    """Whoever has an own trace of the same input needs no audit."""
    model, trace = exact
    own = model.trace(random_inputs(model))
    assert difference(trace, own) is None
    lie = corrupted(corrupted(trace, value, 2, trace.bits(value, 2) ^ 1), value, 9, trace.bits(value, 9) ^ 1)
    found = difference(lie, own)
    assert found is not None and (found.value, found.index, found.expected) == (value, 2, trace.bits(value, 2))
    assert check(found.proof())


def test_difference_of_sizes_and_inputs_is_told_apart(exact: tuple[CompiledModel, Trace]) -> None:
    """Missing tensors and wrong lengths have proofs too; another input is no fault at all."""
    model, trace = exact
    lies = faulty_traces(trace)
    for name, kind in (("tensor too many", FaultKind.COUNT), ("long step", FaultKind.LENGTH)):
        found = difference(lies[name], trace)
        assert found is not None and found.kind is kind and check(found.proof())
    with pytest.raises(ConfigurationError):
        difference(model.trace(random_inputs(model, seed=1)), trace)


def test_fault_of_an_element_names_step_and_bits(model: CompiledModel, trace: Trace) -> None:
    """What people read: where, what is there, what belongs there."""
    lie = corrupted(trace, 8, 3, trace.bits(8, 3) ^ 1 << 20)
    fault = model.audit(lie)[0]
    assert (fault.step, fault.value, fault.index) == (5, 8, 3)
    relation = "not" if model.model.profile is Profile.EXACT else "too far from"
    assert str(fault) == f"element: pointwise 5[3] is {fault.claimed:#x}, {relation} {fault.expected:#x}"
    assert str(faults_of(model, faulty_traces(trace)["other input"])[0]) == "input link: inputs"
    assert len(model.audit(corrupted(trace, 1, 0, 0), max_faults=2)) == 2


def test_audit_of_values_that_are_not_canonical_blames_them_alone(model: CompiledModel, trace: Trace) -> None:
    """NaN, −0 and odd bools are faults where they stand; what follows is judged by what they mean, or not at all."""
    true = int(np.flatnonzero(trace.values[12])[0])
    assert [(f.value, f.index) for f in faults_of(model, corrupted(trace, 12, true, 2))] == [(12, true)]
    zero = int(np.flatnonzero(trace.values[3] == 0)[0]) if (trace.values[3] == 0).any() else None
    assert zero is None or {f.value for f in faults_of(model, corrupted(trace, 3, zero, 0x80000000))} == {3}
    nan = faults_of(model, corrupted(trace, 8, 5, 0x7FC00001))
    assert [(f.value, f.index) for f in nan] == [(8, 5)]
    assert check(nan[0].proof())
    given = faults_of(model, corrupted(trace, 1, 5, 0x7FC00001))
    assert [(f.kind, f.value, f.index) for f in given] == [(FaultKind.PORT, 1, 5)]
    assert check(given[0].proof())


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
    written = proof_to_json(all_proofs(model, trace)["other output"])
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
    """A profile that promises nothing about elements cannot be broken by one."""
    proof = all_proofs(model, trace)["function"]
    assert check(relabelled(proof, proof.model.profile))
    assert not check(relabelled(proof, Profile.SIGNED))


def relabelled(proof: FaultProof, profile: Profile) -> FaultProof:
    """The proof as one of a model in another profile, with everything that follows from it."""
    record = replace(proof.model, profile=profile)
    statement = replace(proof.statement, model_id=model_id(record))
    return replace(proof, model=record, statement=statement, statement_digest=statement.digest())
