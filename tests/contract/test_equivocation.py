from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain, Statement
from tests.support.scene import BOND_WEI, STAKE_WEI, Scene, make_output
from tests.support.system import PARAMETERS, System

from sworn.codec.trees import payload_root
from sworn.types import ZERO_HASH, Profile, Request, RequestId, Status

_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.mark.parametrize("profile", [Profile.EXACT, Profile.SIGNED])
def test_equivocation_over_one_request_convicts(
    scene: Scene, operator: Account, challenger: Account, profile: Profile
) -> None:
    """Two outputs sworn to one request: one is a lie, whatever the arithmetic."""
    request = scene.ask(profile=profile)
    first, second = scene.make_answer(1.0), scene.make_answer(2.0)

    receipt = scene.convict_over(request, first, second)

    assert_emitted(
        receipt,
        "EquivocationProven",
        operator=operator,
        prover=challenger,
        first=scene.digest_of(request, first),
        second=scene.digest_of(request, second),
        slashed_wei=BOND_WEI,
    )


def test_equivocation_of_bounded_model_is_none(scene: Scene) -> None:
    """Within its error bound a bounded model has many right answers."""
    request = scene.ask(profile=Profile.BOUNDED)
    answers = [scene.make_answer(value, trace_root=b"\x01" * 32) for value in (1.0, 2.0)]

    with reverts("NotEquivocation"):
        scene.convict_over(request, *answers)


def test_equivocation_with_other_trace_only_is_none(scene: Scene) -> None:
    """One output under two traces is no contradiction."""
    request = scene.ask()

    with reverts("NotEquivocation"):
        scene.convict_over(request, scene.make_answer(), scene.make_answer(trace_root=b"\x01" * 32))


def test_equivocation_with_other_expiry_only_is_none(scene: Scene) -> None:
    """Signing an off-chain result anew for longer is no contradiction."""
    first = scene.make_offchain_result()
    second = replace(first, expiry=first.expiry + 1)

    with reverts("NotEquivocation"):
        scene.convict(scene.swear_to(first), scene.swear_to(second), requests=_unused(scene))


def test_equivocation_of_statement_with_itself_is_none(scene: Scene) -> None:
    """Signing the same twice, as after a crash, costs nothing."""
    request = scene.ask()

    with reverts("NotEquivocation"):
        scene.convict_over(request, scene.make_answer(), scene.make_answer())


def test_equivocation_of_two_operators_is_none(scene: Scene, operator: Account, rival: Account) -> None:
    """Operators may disagree."""
    request = scene.ask_anyone()

    with reverts("OperatorsDiffer", first=operator, second=rival):
        scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0, operator=rival))


def test_equivocation_of_unregistered_model_is_none(scene: Scene) -> None:
    """Without a profile nothing is known to be contradictory."""
    request = scene.ask(model_id=b"\x99" * 32)

    with reverts("NotEquivocation"):
        scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))


def test_equivocation_over_two_requests_of_exact_model_convicts(scene: Scene, operator: Account) -> None:
    """One input of an exact model has one output, whoever asks."""
    requests = (scene.ask(), scene.ask())
    statements = [
        scene.swear(request, scene.make_answer(value)) for request, value in zip(requests, (1, 2), strict=True)
    ]

    receipt = scene.convict(*statements, requests=requests)

    assert_emitted(receipt, "EquivocationProven", operator=operator)


def test_equivocation_over_two_requests_of_signed_model_is_none(scene: Scene) -> None:
    """A signed model promises nothing about two requests."""
    requests = (scene.ask(profile=Profile.SIGNED), scene.ask(profile=Profile.SIGNED))
    statements = [
        scene.swear(request, scene.make_answer(value)) for request, value in zip(requests, (1, 2), strict=True)
    ]

    with reverts("NotEquivocation"):
        scene.convict(*statements, requests=requests)


def test_equivocation_over_two_inputs_is_none(scene: Scene) -> None:
    """Different inputs may have different outputs."""
    requests = (scene.ask(), scene.ask(input_root=b"\x77" * 32))
    statements = [
        scene.swear(request, scene.make_answer(value)) for request, value in zip(requests, (1, 2), strict=True)
    ]

    with reverts("NotEquivocation"):
        scene.convict(*statements, requests=requests)


def test_equivocation_over_two_models_is_none(scene: Scene) -> None:
    """Different models may have different outputs."""
    requests = (scene.ask(), scene.ask(profile=Profile.SIGNED))
    statements = [
        scene.swear(request, scene.make_answer(value)) for request, value in zip(requests, (1, 2), strict=True)
    ]

    with reverts("NotEquivocation"):
        scene.convict(*statements, requests=requests)


def test_equivocation_off_chain_in_exact_convicts(scene: Scene, operator: Account) -> None:
    """Results given over HTTP count like any others."""
    statements = [scene.swear_to(scene.make_offchain_result(value)) for value in (1.0, 2.0)]

    receipt = scene.convict(*statements, requests=_unused(scene))

    assert_emitted(receipt, "EquivocationProven", operator=operator)


def test_equivocation_off_chain_in_signed_is_none(scene: Scene) -> None:
    """Without a request there is nothing that a signed model's result is bound to."""
    statements = [scene.swear_to(scene.make_offchain_result(value, profile=Profile.SIGNED)) for value in (1.0, 2.0)]

    with reverts("NotEquivocation"):
        scene.convict(*statements, requests=_unused(scene))


def test_equivocation_between_chain_and_off_chain_in_exact_convicts(scene: Scene, operator: Account) -> None:
    """What is posted on chain must equal what was handed out."""
    request = scene.ask()
    scene.propose(request, scene.make_answer(1.0))
    statements = (scene.swear(request, scene.make_answer(1.0)), scene.swear_to(scene.make_offchain_result(2.0)))

    receipt = scene.convict(*statements, requests=(request, request))

    assert_emitted(receipt, "EquivocationProven", operator=operator, slashed_wei=BOND_WEI + PARAMETERS["minBondWei"])
    assert scene.state_of(request).status is Status.REFUTED


def test_equivocation_signed_by_stranger_reverts(scene: Scene, operator: Account, stranger: Account) -> None:
    """Nobody can be convicted by somebody else's key."""
    request = scene.ask()
    good = scene.swear(request, scene.make_answer(1.0))
    result = scene.result_of(request, scene.make_answer(2.0))
    forged = Statement(result=result, signature=scene.sign(result, signer=stranger))

    for pair in ((good, forged), (forged, good)):
        with reverts("SignerNotAuthorized", operator=operator, signer=stranger, not_after=0):
            scene.convict(*pair, requests=(request, request))


def test_equivocation_with_malleated_signature_reverts(scene: Scene) -> None:
    """The twin of a signature proves nothing new; only the form that the oracle accepts counts."""
    request = scene.ask()
    good = scene.swear(request, scene.make_answer(1.0))
    other = scene.swear(request, scene.make_answer(2.0))
    s = _CURVE_ORDER - int.from_bytes(other.signature[32:64])
    twin = other.signature[:32] + s.to_bytes(32) + bytes([55 - other.signature[64]])

    with reverts("ECDSAInvalidSignatureS"):
        scene.convict(good, Statement(result=other.result, signature=twin), requests=(request, request))


def test_equivocation_beyond_signers_validity_reverts(scene: Scene, system: System, operator: Account) -> None:
    """What a revoked signer signs beyond its end is invalid everywhere, here as well."""
    signer = scene.cast.signers[operator.address]
    system.operator_registry.send("revokeSigner", signer, by=operator)
    not_after = system.operator_registry.call("signerNotAfter", operator, signer)
    late = scene.make_offchain_result(2.0, expiry=not_after + 1)

    with reverts("SignerNotAuthorized", expiry=not_after + 1, not_after=not_after):
        scene.convict(scene.swear_to(scene.make_offchain_result(1.0)), scene.swear_to(late), requests=_unused(scene))


def test_equivocation_by_revoked_signer_within_validity_convicts(
    scene: Scene, chain: Chain, system: System, operator: Account
) -> None:
    """Old signatures stay attributable, even long after the key's end."""
    signer = scene.cast.signers[operator.address]
    statements = [scene.swear_to(scene.make_offchain_result(value)) for value in (1.0, 2.0)]
    system.operator_registry.send("revokeSigner", signer, by=operator)
    chain.travel(to=system.operator_registry.call("signerNotAfter", operator, signer) + 1000)

    receipt = scene.convict(*statements, requests=_unused(scene))

    assert_emitted(receipt, "EquivocationProven", operator=operator)


def test_equivocation_ten_years_and_another_stake_apart_convicts(
    scene: Scene, chain: Chain, system: System, operator: Account, stranger: Account
) -> None:
    """No time, no change of key, and no stake that left in between makes a second output safe: a journal never ends."""
    registry = system.operator_registry
    first = scene.swear_to(scene.make_offchain_result(1.0))
    registry.send("revokeSigner", scene.cast.signers[operator.address], by=operator)
    registry.send("unbond", 2**256 - 1, by=operator)
    chain.travel(to=registry.call("unbondingOf", operator)[1])
    registry.send("withdrawStake", operator, by=operator)
    chain.travel(to=chain.now + 10 * 365 * 86_400)
    registry.send("register", "", by=operator, value_wei=STAKE_WEI)
    registry.send("authorizeSigner", stranger, by=operator)
    again = scene.make_offchain_result(2.0)
    second = Statement(result=again, signature=scene.sign(again, signer=stranger))

    receipt = scene.convict(first, second, requests=_unused(scene))

    assert_emitted(receipt, "EquivocationProven", operator=operator, slashed_wei=2 * PARAMETERS["minBondWei"])


def test_equivocation_with_request_that_does_not_belong_reverts(scene: Scene) -> None:
    """A statement is judged with its own request, and no other."""
    request, other = scene.ask(), scene.ask(value_at_risk_wei=0)
    statements = [scene.swear(request, scene.make_answer(value)) for value in (1.0, 2.0)]

    for requests in ((other, request), (request, other)):
        with reverts("StatementMismatch", request_id=scene.id_of(request)):
            scene.convict(*statements, requests=requests)


@pytest.mark.parametrize("change", ["model_id", "input_root"])
def test_equivocation_with_statement_about_something_else_reverts(scene: Scene, change: str) -> None:
    """A signer that swore to another model or input than its request names cannot ever be paid for it."""
    request = scene.ask()
    value = scene.cast.models[Profile.SIGNED] if change == "model_id" else payload_root(make_output(9.0))
    changes: dict[str, Any] = {change: value}
    results = [replace(scene.result_of(request, scene.make_answer(v)), **changes) for v in (1.0, 2.0)]

    with reverts("StatementMismatch", request_id=scene.id_of(request)):
        scene.convict(*map(scene.swear_to, results), requests=(request, request))


def test_equivocation_with_made_up_request_id_reverts(scene: Scene) -> None:
    """An id without a preimage is no request."""
    results = [replace(scene.make_offchain_result(value), request_id=RequestId(b"\x05" * 32)) for value in (1.0, 2.0)]

    with reverts("StatementMismatch", request_id=b"\x05" * 32):
        scene.convict(*map(scene.swear_to, results), requests=_unused(scene))


def test_equivocation_convicted_twice_reverts(scene: Scene, operator: Account) -> None:
    """The same pair is paid for once."""
    request = scene.ask()
    scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))

    with reverts("AlreadyConvicted", operator=operator):
        scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))
    assert scene.account_of(operator).stake_wei == STAKE_WEI - BOND_WEI


def test_equivocation_with_third_output_after_conviction_reverts(scene: Scene, operator: Account) -> None:
    """A key that signs everything costs its operator one bond per request."""
    request = scene.ask()
    scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))

    with reverts("AlreadyConvicted", operator=operator):
        scene.convict_over(request, scene.make_answer(3.0), scene.make_answer(4.0))


def test_equivocation_off_chain_convicted_twice_reverts(scene: Scene, operator: Account) -> None:
    """The same pair off chain is paid for once, in either order."""
    first, second = (scene.swear_to(scene.make_offchain_result(value)) for value in (1.0, 2.0))
    scene.convict(first, second, requests=_unused(scene))

    with reverts("AlreadyConvicted", operator=operator):
        scene.convict(second, first, requests=_unused(scene))


def test_equivocation_off_chain_records_first_prover(
    scene: Scene, system: System, challenger: Account, rival: Account
) -> None:
    """Who proved a result false first is rewarded for every use of it."""
    first, second, third = (scene.make_offchain_result(value) for value in (1.0, 2.0, 3.0))
    scene.convict(scene.swear_to(first), scene.swear_to(second), requests=_unused(scene))
    scene.convict(scene.swear_to(second), scene.swear_to(third), requests=_unused(scene), by=rival)

    provers = [
        system.dispute_game.call("convictedBy", system.oracle.call("digestOf", result))
        for result in (first, second, third)
    ]

    assert provers == [challenger.address, challenger.address, rival.address]


def test_equivocation_digest_of_result_is_same_here_and_there(scene: Scene, system: System) -> None:
    """The judged digest is the one that is signed."""
    request, answer = scene.make_request(), scene.make_answer()

    assert system.oracle.call("digestOf", scene.result_of(request, answer)) == scene.digest_of(request, answer)
    assert scene.make_offchain_result().request_id == ZERO_HASH


def _unused(scene: Scene) -> tuple[Request, Request]:
    request = scene.make_request()
    return request, request
