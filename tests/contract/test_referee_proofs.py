from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.support.lies import all_proofs
from tests.support.referee_chain import Verdict, referee_chain
from tests.support.subjects import compiled, corrupted, every_rule, faults_of, random_inputs

import sworn
from sworn.errors import SwornError
from sworn.referee import FaultKind, FaultProof, check, decode_proof, encode_proof
from sworn.testing import gallery
from sworn.types import DType
from sworn.verification import CompiledModel, Trace
from sworn.verification.proving import prove

VECTORS = Path(__file__).parents[1] / "snapshots" / "proof_vectors.json"
#: Bytes of each proof that are changed, spread over its whole length.
MUTATIONS = 150
#: Lies per rule and model of the gallery.
LIES = 2


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """A model with a step of every rule."""
    return compiled(*every_rule())


@pytest.fixture(scope="module")
def trace(model: CompiledModel) -> Trace:
    """An honest run of it."""
    return model.trace(random_inputs(model))


@pytest.fixture(scope="module")
def proofs(model: CompiledModel, trace: Trace) -> dict[str, FaultProof]:
    """One proof of every form."""
    return all_proofs(model, trace)


def test_proofs_of_every_form_convict(proofs: dict[str, FaultProof]) -> None:
    """Whatever Python proves, the chain convicts for."""
    assert {name: referee_chain().check(proof).faulty for name, proof in proofs.items()} == dict.fromkeys(proofs, True)


def test_proofs_in_the_golden_vectors_convict() -> None:
    """The bytes that other languages read mean the same to the chain."""
    for fields in json.loads(VECTORS.read_text(encoding="utf-8"))["proofs"]:
        encoded = bytes.fromhex((fields if isinstance(fields, str) else fields["proof"]).removeprefix("0x"))
        assert referee_chain().check(decode_proof(encoded)).faulty is True


def test_proofs_with_a_changed_byte_convict_nobody(proofs: dict[str, FaultProof]) -> None:
    """Every changed byte is noticed, but in a witness that is as good as the one before."""
    for name, proof in proofs.items():
        encoded = encode_proof(proof)
        for place in np.linspace(0, len(encoded) - 1, MUTATIONS).astype(int).tolist():
            changed = bytearray(encoded)
            changed[place] ^= 1 << place % 8
            verdict = referee_chain().check(bytes(changed), proof.statement_digest)
            assert verdict.faulty is not True or convicts(bytes(changed)), (name, place)


def convicts(encoded: bytes) -> bool:
    """Whether the Python referee convicts for some bytes."""
    try:
        return check(decode_proof(encoded))
    except SwornError:
        return False


def test_proofs_cut_short_or_extended_are_refused(proofs: dict[str, FaultProof]) -> None:
    """A proof is all of its bytes and no more."""
    for proof in proofs.values():
        encoded, digest = encode_proof(proof), proof.statement_digest
        for size in (0, 1, 100, len(encoded) // 2, len(encoded) - 1):
            assert referee_chain().check(encoded[:size], digest).faulty is None
        assert referee_chain().check(encoded + b"\0", digest).error == "FaultProofMalformed"


def test_proofs_held_against_another_statement_are_refused(proofs: dict[str, FaultProof]) -> None:
    """A fault of one statement is none of another."""
    for proof in proofs.values():
        assert referee_chain().check(proof, bytes(32)).error == "StatementDiffers"


def test_proofs_about_right_elements_acquit(trace: Trace) -> None:
    """An honest element stands, whatever step wrote it; a certificate finds no witness against itself."""
    inputs = len(trace.subject.program.inputs)
    for number, step in enumerate(trace.subject.program.steps):
        for index in (0, step.output.elements - 1):
            proof = prove(trace, kind=FaultKind.ELEMENT, value=inputs + number, index=index)
            verdict: Verdict = referee_chain().check(proof)
            assert verdict.faulty is not True
            assert check(proof) is False


@pytest.mark.parametrize("profile", ["exact", "bounded"])
@pytest.mark.parametrize("name", gallery.names())
def test_lies_in_every_rule_of_the_gallery_convict(name: str, profile: str) -> None:
    """A planted lie of one bit, in a step of each rule of every model, is proved to the chain."""
    model = sworn.compile_model(gallery.load(name), profile=profile)
    trace = model.trace(random_inputs(model, seed=9))
    generator, inputs, tried = np.random.default_rng(2), len(model.program.inputs), dict[str, int]()
    for number in generator.permutation(len(model.program.steps)).tolist():
        step, array = model.program.steps[number], trace.values[inputs + number]
        if tried.get(step.rule.name, 0) == LIES or not array.size:
            continue
        tried[step.rule.name] = tried.get(step.rule.name, 0) + 1
        index = int(generator.integers(array.size))
        # In profile `bounded` a lie in a float has to leave its bounds: another power of two does.
        bit = 28 if profile == "bounded" and step.output.dtype is DType.FLOAT32 else 0
        lie = corrupted(trace, inputs + number, index, trace.bits(inputs + number, index) ^ 1 << bit)
        (found,) = [fault for fault in faults_of(model, lie) if (fault.value, fault.index) == (inputs + number, index)]
        assert referee_chain().check(found.proof()).faulty is True, model.step_names[number]
