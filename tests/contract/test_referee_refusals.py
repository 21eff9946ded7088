from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.lies import all_proofs
from tests.support.referee_chain import referee_chain
from tests.support.subjects import compiled, every_rule, random_inputs

from sworn.codec.hashing import model_id
from sworn.referee import FaultProof, check
from sworn.referee.proof import TensorsOpening
from sworn.types import Profile


@pytest.fixture(scope="module")
def proofs() -> dict[str, FaultProof]:
    """One proof of every form, of a model with a step of every rule."""
    model = compiled(*every_rule())
    return all_proofs(model, model.trace(random_inputs(model)))


def stated(proof: FaultProof, **fields: Any) -> FaultProof:
    """The proof with another statement, and that statement's digest."""
    statement = replace(proof.statement, **fields)
    return replace(proof, statement=statement, statement_digest=statement.digest())


def promised(proof: FaultProof, profile: Profile) -> FaultProof:
    """The proof under a model of another profile."""
    model = replace(proof.model, profile=profile)
    return replace(stated(proof, model_id=model_id(model)), model=model)


def reopened(proof: FaultProof, **fields: Any) -> FaultProof:
    """The proof with another opening of its values."""
    return replace(proof, values=replace(proof.values, **fields))


def without(opening: TensorsOpening, number: int) -> dict[int, Any]:
    """The opened tensors but one, of which only the root is left."""
    opened = opening.data(number)
    return {**opening.tensors, number: opened.data_root()}


#: The form of the proof, what is wrong with it, and how the referee refuses it.
WRONG: dict[str, tuple[str, Callable[[FaultProof], FaultProof], str]] = {
    "another input root": ("other input", lambda p: replace(p, statement_digest=bytes(32)), "RootDiffers"),
    "another trace root": ("contraction", lambda p: stated(p, trace_root=bytes(32)), "RootDiffers"),
    "another model": ("contraction", lambda p: stated(p, model_id=bytes(32)), "RootDiffers"),
    "no promise": ("contraction", lambda p: promised(p, Profile.SIGNED), "ProfileUnprovable"),
    "a hash too many": (
        "contraction",
        lambda p: reopened(p, siblings=(*p.values.siblings, bytes(32))),
        "SiblingsMiscounted",
    ),
    "a hash too few": ("contraction", lambda p: reopened(p, siblings=p.values.siblings[:-1]), "SiblingsMiscounted"),
    "a witness for a sum": ("contraction", lambda p: replace(p, witness=0), "EvidenceUnfit"),
    "no witness for a leaf": ("tree", lambda p: replace(p, witness=None), "EvidenceUnfit"),
    "no step": (
        "function",
        lambda p: replace(p, program=replace(p.program, step=None)),
        "SiblingsMiscounted",
    ),
    "an index of a link": ("other input", lambda p: replace(p, index=1), "EvidenceUnfit"),
    "weights for a length": ("long step", lambda p: replace(p, weights=p.values), "RootDiffers"),
    "another value": ("contraction", lambda p: replace(p, value=p.value + 1), "ElementMissing"),
    "an index behind the last": ("contraction", lambda p: replace(p, index=1 << 40), "ElementMissing"),
    "a root in place of chunks": (
        "contraction",
        lambda p: reopened(p, tensors=without(p.values, p.value)),
        "ElementNotOpened",
    ),
    "no weights": ("contraction", lambda p: replace(p, weights=None), "ElementNotOpened"),
    "an element whose chunk is closed": ("contraction", lambda p: replace(p, index=p.index ^ 256), "ElementMissing"),
    "a witness that does not count": ("extremum", lambda p: replace(p, witness=1 << 20), "WitnessUnfit"),
    "a witness in another tree": ("tree", lambda p: replace(p, witness=1 << 20), "WitnessUnfit"),
    "a witness for no leaf": ("leaf that is none", lambda p: replace(p, witness=1), "WitnessUnfit"),
}


@pytest.mark.parametrize("name", WRONG)
def test_proofs_that_do_not_hold_together_are_refused(name: str, proofs: dict[str, FaultProof]) -> None:
    """The chain names what is wrong, and Python does not convict either."""
    form, change, error = WRONG[name]
    wrong = change(proofs[form])
    assert referee_chain().check(wrong).error == error
    assert not check(wrong)


def test_proofs_for_bounded_and_exact_models_of_one_program_are_not_interchangeable(
    proofs: dict[str, FaultProof],
) -> None:
    """The profile is part of the model's id: under the other one a proof is about another statement."""
    proof = proofs["contraction"]
    other = promised(proof, Profile.BOUNDED)
    assert referee_chain().check(other, proof.statement_digest).error == "StatementDiffers"
    assert referee_chain().check(other).faulty is check(other)


@pytest.mark.parametrize("form", ["contraction", "function", "tree", "rank", "other output", "not canonical"])
def test_proofs_that_run_out_of_gas_give_no_verdict(form: str, proofs: dict[str, FaultProof]) -> None:
    """Whatever the gas is that is given, there is the right verdict or none."""
    proof = proofs[form]
    enough = 2 * referee_chain().check(proof).gas + 100_000
    found = [referee_chain().check(proof, gas=enough * part // 60).faulty for part in range(1, 61)]
    assert set(found) == {None, True}
    assert found == sorted(found, key=lambda verdict: verdict is True)
