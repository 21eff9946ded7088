from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.accounts import Account, funded_account
from tests.support.assertions import assert_emitted, assert_silent, reverts
from tests.support.chain import Chain, Contract
from tests.support.scene import BOND_WEI, OFFER, STAKE_WEI, Scene
from tests.support.system import ETHER, PARAMETERS, System

from sworn.codec.hashing import Domain, result_digest
from sworn.types import ZERO_HASH, Address, Assurance, Profile, Status

_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def test_propose_by_stranger_locks_bond(scene: Scene, operator: Account) -> None:
    """Anyone may relay a signed result; the operator's bond is locked behind it."""
    request, answer = scene.ask(), scene.make_answer()
    signature = scene.sign_result(request, answer)

    receipt = scene.propose(request, answer, signature=signature)

    assert_emitted(
        receipt,
        "ResultProposed",
        request_id=scene.id_of(request),
        operator=operator,
        result_id=scene.digest_of(request, answer),
        round=0,
        trace_root=ZERO_HASH,
        output=answer.output,
        signature=signature,
    )
    assert receipt.returned == scene.digest_of(request, answer)
    assert scene.account_of(operator) == (True, STAKE_WEI, BOND_WEI, 0)
    state = scene.state_of(request)
    assert (state.status, state.proposed_at) == (Status.PROPOSED, receipt.timestamp)
    assert state.result_tag == scene.digest_of(request, answer)[:20]


def test_propose_with_small_value_at_risk_locks_minimum_bond(scene: Scene, operator: Account) -> None:
    """No result is backed by less than the minimum."""
    scene.propose(scene.ask(value_at_risk_wei=0))

    assert scene.account_of(operator).locked_wei == PARAMETERS["minBondWei"]


def test_propose_before_finality_does_not_call_consumer(scene: Scene, puppet: Contract) -> None:
    """With assurance Final the consumer hears nothing until the window has closed."""
    receipt = scene.propose(scene.ask(via=puppet))

    assert_silent(receipt, "ResultReceived")


def test_propose_provisional_calls_consumer_at_once(scene: Scene, puppet: Contract) -> None:
    """With assurance Provisional the consumer learns the result now, marked as not final."""
    request, answer = scene.ask(via=puppet, assurance=Assurance.PROVISIONAL), scene.make_answer()

    receipt = scene.propose(request, answer)

    assert_emitted(
        receipt,
        "ResultReceived",
        request_id=scene.id_of(request),
        salt=request.salt,
        result_id=scene.digest_of(request, answer),
        round=0,
        is_final=False,
        output=answer.output,
    )


def test_propose_in_last_second_is_accepted(scene: Scene, chain: Chain) -> None:
    """The deadline itself is in time."""
    request = scene.ask()
    chain.travel(to=request.deadline)

    scene.propose(request)

    assert scene.state_of(request).status is Status.PROPOSED


def test_propose_one_second_late_reverts(scene: Scene, chain: Chain) -> None:
    """One second after the deadline is too late."""
    request = scene.ask()
    chain.travel(to=request.deadline + 1)

    with reverts("DeadlinePassed", request_id=scene.id_of(request), deadline=request.deadline):
        scene.propose(request)


def test_propose_for_unknown_request_reverts(scene: Scene) -> None:
    """A preimage that nobody requested has no status."""
    request = scene.make_request()

    with reverts("StatusUnexpected", request_id=scene.id_of(request), actual=Status.NONE, expected=Status.REQUESTED):
        scene.propose(request)


def test_propose_twice_reverts(scene: Scene) -> None:
    """A request has one proposal at a time."""
    request = scene.ask()
    scene.propose(request)

    with reverts("StatusUnexpected", actual=Status.PROPOSED, expected=Status.REQUESTED):
        scene.propose(request)


def test_propose_with_changed_request_reverts(scene: Scene) -> None:
    """A preimage that differs in one field is another request, which does not exist."""
    request = scene.ask()

    with reverts("StatusUnexpected", actual=Status.NONE):
        scene.propose(replace(request, fee_wei=request.fee_wei + 1))


def test_propose_by_operator_not_named_reverts(scene: Scene, operator: Account, rival: Account) -> None:
    """A named request belongs to its operator alone."""
    request = scene.ask()

    with reverts("OperatorNotNamed", request_id=scene.id_of(request), operator=rival, named=operator):
        scene.propose(request, scene.make_answer(operator=rival))


def test_propose_to_open_request_by_any_offerer_is_accepted(scene: Scene, rival: Account) -> None:
    """An open request takes the first answer of anyone who offers the model."""
    request = scene.ask_anyone()

    receipt = scene.propose(request, scene.make_answer(operator=rival))

    assert_emitted(receipt, "ResultProposed", operator=rival)


def test_propose_to_open_request_without_offer_reverts(scene: Scene, system: System, rival: Account) -> None:
    """Who has withdrawn its offer for the model cannot answer open requests."""
    request = scene.ask_anyone()
    system.operator_registry.send("setOffer", request.model_id, replace(OFFER, active=False), by=rival)

    with reverts("OfferMissing", operator=rival, model_id=request.model_id):
        scene.propose(request, scene.make_answer(operator=rival))


def test_propose_by_named_operator_without_offer_is_accepted(scene: Scene, system: System, operator: Account) -> None:
    """Being named and signing is consent enough."""
    request = scene.ask()
    system.operator_registry.send("setOffer", request.model_id, replace(OFFER, active=False), by=operator)

    scene.propose(request)

    assert scene.state_of(request).status is Status.PROPOSED


def test_propose_for_unregistered_model_reverts(scene: Scene) -> None:
    """Without a registered model nobody knows which disputes are possible."""
    request = scene.ask(model_id=b"\x99" * 32)

    with reverts("ModelNotRegistered", model_id=request.model_id):
        scene.propose(request)


def test_propose_bounded_without_trace_reverts(scene: Scene) -> None:
    """Bits of a bounded model cannot be recomputed, so its trace has to be committed."""
    request = scene.ask(profile=Profile.BOUNDED)

    with reverts("TraceRootMissing", request_id=scene.id_of(request)):
        scene.propose(request)


def test_propose_bounded_with_trace_is_accepted(scene: Scene) -> None:
    """A committed trace is enough."""
    request, answer = scene.ask(profile=Profile.BOUNDED), scene.make_answer(trace_root=b"\x01" * 32)

    assert_emitted(scene.propose(request, answer), "ResultProposed", trace_root=b"\x01" * 32)


def test_propose_oversized_output_reverts(scene: Scene) -> None:
    """Outputs are stored in calldata of later calls, so they are limited."""
    request = scene.ask()
    answer = replace(scene.make_answer(), output=bytes(PARAMETERS["maxOutputBytes"] + 1))

    with reverts("OutputSizeInvalid", length=len(answer.output), maximum=PARAMETERS["maxOutputBytes"]):
        scene.propose(request, answer, signature=bytes(65))


def test_propose_largest_output_is_accepted(scene: Scene) -> None:
    """The limit itself fits, and its root is affordable."""
    size = PARAMETERS["maxOutputBytes"] - 7
    answer = replace(scene.make_answer(), output=b"\x01\x02\x01" + size.to_bytes(4) + bytes(size))
    request = scene.ask()

    receipt = scene.propose(request, answer)

    assert receipt.gas_used < 1_000_000


def test_propose_malformed_output_reverts(scene: Scene) -> None:
    """An output that is no payload has no root."""
    answer = replace(scene.make_answer(), output=scene.make_answer().output + b"\x00")

    with reverts("PayloadMalformed", offset=len(answer.output) - 1):
        scene.propose(scene.ask(), answer, signature=bytes(65))


def test_propose_with_free_stake_too_low_reverts(scene: Scene, operator: Account) -> None:
    """A result needs its whole bond in free stake."""
    request = scene.ask(value_at_risk_wei=STAKE_WEI // 2 + 1)

    with reverts("FreeStakeTooLow", operator=operator, free_wei=STAKE_WEI, required_wei=STAKE_WEI + 2):
        scene.propose(request)


def test_propose_with_exactly_enough_stake_is_accepted(scene: Scene, operator: Account) -> None:
    """The last wei counts."""
    scene.propose(scene.ask(value_at_risk_wei=STAKE_WEI // 2))

    assert scene.account_of(operator).locked_wei == STAKE_WEI


def test_propose_second_result_beyond_stake_reverts(scene: Scene, operator: Account) -> None:
    """Locked stake backs nothing else."""
    scene.propose(scene.ask(value_at_risk_wei=STAKE_WEI // 2))

    with reverts("FreeStakeTooLow", operator=operator, free_wei=0, required_wei=BOND_WEI):
        scene.propose(scene.ask())


def test_propose_with_huge_value_at_risk_reverts(scene: Scene, operator: Account) -> None:
    """The largest value at risk does not wrap around to a small bond."""
    with reverts("FreeStakeTooLow", operator=operator, required_wei=2 * (2**96 - 1)):
        scene.propose(scene.ask(value_at_risk_wei=2**96 - 1))


def test_propose_signed_by_stranger_reverts(scene: Scene, operator: Account, stranger: Account) -> None:
    """Only keys that the operator has authorised can bind it."""
    request, answer = scene.ask(), scene.make_answer()
    signature = scene.sign_result(request, answer, signer=stranger)

    with reverts("SignerNotAuthorized", operator=operator, signer=stranger, expiry=request.deadline, not_after=0):
        scene.propose(request, answer, signature=signature)


def test_propose_signed_by_owner_key_reverts(scene: Scene, operator: Account) -> None:
    """The owner address itself is no signer unless it has authorised itself."""
    request, answer = scene.ask(), scene.make_answer()

    with reverts("SignerNotAuthorized", signer=operator, not_after=0):
        scene.propose(request, answer, signature=scene.sign_result(request, answer, signer=operator))


def test_propose_signed_for_rival_reverts(scene: Scene, rival: Account) -> None:
    """A rival's signer cannot bind the operator."""
    request, answer = scene.ask(), scene.make_answer()
    signature = scene.sign_result(request, answer, signer=scene.cast.signers[rival.address])

    with reverts("SignerNotAuthorized", not_after=0):
        scene.propose(request, answer, signature=signature)


def test_propose_with_high_s_signature_reverts(scene: Scene) -> None:
    """The twin of a signature, made by anyone without the key, is refused."""
    request, answer = scene.ask(), scene.make_answer()
    signature = scene.sign_result(request, answer)
    s = _CURVE_ORDER - int.from_bytes(signature[32:64])
    twin = signature[:32] + s.to_bytes(32) + bytes([55 - signature[64]])

    with reverts("ECDSAInvalidSignatureS", s=s.to_bytes(32)):
        scene.propose(request, answer, signature=twin)


def test_propose_with_compact_signature_reverts(scene: Scene) -> None:
    """ERC-2098's 64 bytes would be a second form of the same signature."""
    request, answer = scene.ask(), scene.make_answer()
    signature = scene.sign_result(request, answer)
    s = int.from_bytes(signature[32:64]) | (signature[64] - 27) << 255

    with reverts("ECDSAInvalidSignatureLength", length=64):
        scene.propose(request, answer, signature=signature[:32] + s.to_bytes(32))


@pytest.mark.parametrize("signature", [bytes(65), bytes(64) + b"\x1b", b"\x01" * 64 + b"\x1d"])
def test_propose_with_unrecoverable_signature_reverts(scene: Scene, signature: bytes) -> None:
    """What recovers to no key is not the signature of address zero."""
    with reverts("ECDSAInvalidSignature"):
        scene.propose(scene.ask(), signature=signature)


@pytest.mark.parametrize("length", [0, 66, 97])
def test_propose_with_signature_of_wrong_length_reverts(scene: Scene, length: int) -> None:
    """Signatures have 65 bytes; a wallet's own formats are not accepted."""
    with reverts("ECDSAInvalidSignatureLength", length=length):
        scene.propose(scene.ask(), signature=bytes(length))


def test_propose_with_signature_for_other_chain_reverts(scene: Scene, system: System) -> None:
    """The same statement on another chain is another digest."""
    _assert_foreign_signature_fails(scene, replace(system.domain, chain_id=system.domain.chain_id + 1))


def test_propose_with_signature_for_other_oracle_reverts(scene: Scene, system: System) -> None:
    """The same statement at another deployment is another digest."""
    _assert_foreign_signature_fails(scene, replace(system.domain, oracle=system.signed_results.address))


def test_propose_with_signature_for_other_request_reverts(scene: Scene) -> None:
    """A signature under one request's result cannot be replayed under its twin with another salt."""
    answer = scene.make_answer()
    signature = scene.sign_result(scene.ask(), answer)

    with reverts("SignerNotAuthorized", not_after=0):
        scene.propose(scene.ask(), answer, signature=signature)


def test_propose_with_other_output_than_signed_reverts(scene: Scene) -> None:
    """The relayer cannot change the output."""
    request = scene.ask()
    signature = scene.sign_result(request, scene.make_answer(1.0))

    with reverts("SignerNotAuthorized", not_after=0):
        scene.propose(request, scene.make_answer(2.0), signature=signature)


def test_propose_beyond_revoked_signers_validity_reverts(scene: Scene, system: System, operator: Account) -> None:
    """A revoked signer cannot sign what expires after its end."""
    signer = scene.cast.signers[operator.address]
    system.operator_registry.send("revokeSigner", signer, by=operator)
    not_after = system.operator_registry.call("signerNotAfter", operator, signer)
    late = scene.ask(deadline=not_after + 1)
    timely = scene.ask(deadline=not_after)

    scene.propose(timely)
    with reverts("SignerNotAuthorized", signer=signer, expiry=not_after + 1, not_after=not_after):
        scene.propose(late)


def test_propose_for_contract_operator_ignores_erc1271(
    scene: Scene, chain: Chain, system: System, puppet: Contract, stranger: Account
) -> None:
    """A wallet that calls every signature its own could later disown a lie: only keys count."""
    registry = system.operator_registry
    for call in (registry.encode("register", ""), registry.encode("authorizeSigner", puppet)):
        puppet.send("execute", registry, call, by=stranger)
    request = scene.ask(operator=puppet.address)
    answer = replace(scene.make_answer(), operator=puppet.address)
    signature = scene.sign_result(request, answer, signer=stranger)

    with reverts("SignerNotAuthorized", operator=puppet, signer=stranger, not_after=0):
        scene.propose(request, answer, signature=signature)


def test_propose_for_contract_operator_with_key_is_accepted(
    scene: Scene, system: System, puppet: Contract, stranger: Account
) -> None:
    """The owner may be a contract, as long as its signer is a key."""
    registry, key = system.operator_registry, funded_account(7)
    puppet.send("execute", registry, registry.encode("register", ""), by=stranger, value_wei=ETHER)
    puppet.send("execute", registry, registry.encode("authorizeSigner", key), by=stranger)
    request = scene.ask(operator=puppet.address)
    answer = replace(scene.make_answer(), operator=puppet.address)

    receipt = scene.propose(request, answer, signature=scene.sign_result(request, answer, signer=key))

    assert_emitted(receipt, "ResultProposed", operator=Address(puppet.address))


def test_propose_signed_by_delegated_key_counts_as_key(
    scene: Scene, chain: Chain, puppet: Contract, operator: Account, stranger: Account
) -> None:
    """EIP-7702 code at a signer's address, even one that calls every signature its own, changes nothing."""
    signer = scene.cast.signers[operator.address]
    chain.delegate(signer, to=puppet, by=stranger)
    assert chain.node.code(signer.address)
    request, answer = scene.ask(), scene.make_answer()

    with reverts("SignerNotAuthorized", signer=stranger, not_after=0):
        scene.propose(request, answer, signature=scene.sign_result(request, answer, signer=stranger))
    scene.propose(request, answer)

    assert scene.state_of(request).status is Status.PROPOSED


def test_propose_states_result_that_view_states(scene: Scene, system: System) -> None:
    """`resultOf` shows what a signer is asked to sign."""
    request, answer = scene.ask(), scene.make_answer()
    result = scene.result_of(request, answer)

    stated = system.oracle.call("resultOf", request, answer)

    assert stated == (
        result.request_id,
        result.model_id,
        result.input_root,
        result.output_root,
        result.trace_root,
        result.operator,
        request.deadline,
    )


def _assert_foreign_signature_fails(scene: Scene, domain: Domain) -> None:
    request, answer = scene.ask(), scene.make_answer()
    signer = scene.cast.signers[answer.operator]
    signature = signer.sign(result_digest(scene.result_of(request, answer), domain))
    with reverts("SignerNotAuthorized", not_after=0):
        scene.propose(request, answer, signature=signature)
