from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain, Contract, TransactionReceipt
from tests.support.scene import BOND_WEI, OFFER, STAKE_WEI, VALUE_AT_RISK_WEI, Scene, make_output
from tests.support.system import ETHER, PARAMETERS, System

from sworn.codec.hashing import result_digest
from sworn.types import ZERO_ADDRESS, Profile, RequestId, Result

_LIFETIME_S = PARAMETERS["maxLifetimeSeconds"]
_TAIL_S = PARAMETERS["tailSeconds"]


def test_use_locks_bond_until_tail_has_passed(
    scene: Scene, system: System, operator: Account, requester: Account, challenger: Account
) -> None:
    """A result from off chain is as good as its bond."""
    result = scene.make_offchain_result()

    receipt = _use(scene, result, compensate_to=challenger)

    assert_emitted(
        receipt,
        "ResultUsed",
        result_id=_id(scene, result),
        operator=operator,
        consumer=requester,
        compensate_to=challenger,
        bond_wei=BOND_WEI,
        release_at=result.expiry + _TAIL_S,
    )
    assert receipt.returned == _id(scene, result)
    assert scene.account_of(operator) == (True, STAKE_WEI, BOND_WEI, 0)
    use = system.signed_results.call("useOf", _id(scene, result), requester)
    assert use == (operator.address, challenger.address, BOND_WEI, result.expiry + _TAIL_S)


def test_use_twice_by_one_consumer_adds_up(scene: Scene, system: System, operator: Account, requester: Account) -> None:
    """Risking more needs a larger bond."""
    result = scene.make_offchain_result()

    _use(scene, result)
    _use(scene, result)

    assert scene.account_of(operator).locked_wei == 2 * BOND_WEI
    assert system.signed_results.call("useOf", _id(scene, result), requester)[2] == 2 * BOND_WEI


def test_use_by_two_consumers_is_kept_apart(
    scene: Scene, system: System, requester: Account, stranger: Account
) -> None:
    """Each has its own bond."""
    result = scene.make_offchain_result()
    _use(scene, result)

    _use(scene, result, value_at_risk_wei=0, by=stranger)

    uses = [system.signed_results.call("useOf", _id(scene, result), user)[2] for user in (requester, stranger)]
    assert uses == [BOND_WEI, PARAMETERS["minBondWei"]]


def test_use_beyond_offered_risk_reverts(scene: Scene) -> None:
    """One signature cannot put more at stake than the operator offers for one result, however many use it."""
    result = scene.make_offchain_result()
    maximum_wei = 2 * OFFER.max_value_at_risk_wei
    _use(scene, result, value_at_risk_wei=ETHER - VALUE_AT_RISK_WEI)
    _use(scene, result)

    with reverts(
        "ResultExhausted",
        result_id=_id(scene, result),
        locked_wei=maximum_wei + PARAMETERS["minBondWei"],
        maximum_wei=maximum_wei,
    ):
        _use(scene, result, value_at_risk_wei=0)


def test_use_of_result_of_request_reverts(scene: Scene) -> None:
    """Answers to requests have their own way."""
    result = scene.make_offchain_result(request_id=RequestId(b"\x01" * 32))

    with reverts("ResultNotOffchain", request_id=b"\x01" * 32):
        _use(scene, result)


@pytest.mark.parametrize("lead_s", [0, _LIFETIME_S])
def test_use_with_expiry_at_limit_is_accepted(scene: Scene, chain: Chain, lead_s: int) -> None:
    """The expiry's own second is in time."""
    assert_emitted(_use(scene, scene.make_offchain_result(expiry=chain.now + lead_s)), "ResultUsed")


@pytest.mark.parametrize("lead_s", [-1, _LIFETIME_S + 1])
def test_use_with_expiry_out_of_range_reverts(scene: Scene, chain: Chain, lead_s: int) -> None:
    """Expired results, and those that promise too much, are refused."""
    now = chain.now

    with reverts("ExpiryOutOfRange", expiry=now + lead_s, earliest=now, latest=now + _LIFETIME_S):
        _use(scene, scene.make_offchain_result(expiry=now + lead_s))


def test_use_of_signed_model_reverts(scene: Scene) -> None:
    """Off chain, a signed model's result cannot be proven false by anybody."""
    result = scene.make_offchain_result(profile=Profile.SIGNED)

    with reverts("ProfileNotProvable", model_id=result.model_id):
        _use(scene, result)


def test_use_of_unregistered_model_reverts(scene: Scene) -> None:
    """Without a registered model nothing can be proven."""
    with reverts("ProfileNotProvable", model_id=b"\x66" * 32):
        _use(scene, scene.make_offchain_result(model_id=b"\x66" * 32))


def test_use_of_bounded_result_without_trace_reverts(scene: Scene) -> None:
    """A bounded result's trace has to be committed."""
    result = scene.make_offchain_result(profile=Profile.BOUNDED)

    with reverts("ResultTraceMissing", model_id=result.model_id):
        _use(scene, result)


def test_use_of_bounded_result_with_trace_is_accepted(scene: Scene) -> None:
    """A committed trace is enough."""
    result = scene.make_offchain_result(profile=Profile.BOUNDED, trace_root=b"\x01" * 32)

    assert_emitted(_use(scene, result), "ResultUsed")


def test_use_with_other_output_reverts(scene: Scene) -> None:
    """The user cannot choose the output."""
    result = scene.make_offchain_result(1.0)
    other = scene.make_offchain_result(2.0)

    with reverts("OutputMismatch", output_root=other.output_root, signed_root=result.output_root):
        _use(scene, result, output=make_output(2.0))


def test_use_with_malformed_output_reverts(scene: Scene) -> None:
    """What is no payload has no root."""
    with reverts("PayloadMalformed"):
        _use(scene, scene.make_offchain_result(), output=b"\x01")


def test_use_signed_by_stranger_reverts(scene: Scene, operator: Account, stranger: Account) -> None:
    """Only the operator's signers bind it."""
    result = scene.make_offchain_result()

    with reverts("SignerNotAuthorized", operator=operator, signer=stranger, not_after=0):
        _use(scene, result, signature=scene.sign(result, signer=stranger))


def test_use_for_zero_operator_reverts(scene: Scene, stranger: Account) -> None:
    """Nobody signs for nobody."""
    result = scene.make_offchain_result(operator=ZERO_ADDRESS)

    with reverts("SignerNotAuthorized", operator=ZERO_ADDRESS, not_after=0):
        _use(scene, result, signature=scene.sign(result, signer=stranger), value_at_risk_wei=0)


def test_use_without_compensation_address_reverts(scene: Scene) -> None:
    """Somebody must be the victim, or its share would be burnt."""
    result = scene.make_offchain_result()
    arguments = (result, make_output(), scene.sign(result), 0, ZERO_ADDRESS)

    with reverts("CompensationAddressInvalid"):
        scene.system.signed_results.send("use", *arguments, by=scene.cast.requester)


def test_use_without_offer_reverts(scene: Scene, system: System, operator: Account) -> None:
    """A withdrawn offer serves nobody."""
    result = scene.make_offchain_result()
    system.operator_registry.send("setOffer", result.model_id, replace(OFFER, active=False), by=operator)

    with reverts("OfferMissing", operator=operator, model_id=result.model_id):
        _use(scene, result)


def test_use_with_free_stake_too_low_reverts(scene: Scene, operator: Account) -> None:
    """There is no use without a bond behind it."""
    scene.propose(scene.ask(value_at_risk_wei=STAKE_WEI // 2))

    with reverts("FreeStakeTooLow", operator=operator, free_wei=0, required_wei=BOND_WEI):
        _use(scene, scene.make_offchain_result())


def test_use_by_contract_records_contract_as_consumer(
    scene: Scene, system: System, puppet: Contract, requester: Account, stranger: Account
) -> None:
    """The consumer is who called, its user is who is compensated."""
    result = scene.make_offchain_result()
    call = system.signed_results.encode("use", result, make_output(), scene.sign(result), 0, requester)

    receipt = puppet.send("execute", system.signed_results, call, by=stranger)

    assert_emitted(receipt, "ResultUsed", consumer=puppet, compensate_to=requester)


def test_release_in_last_second_of_tail_reverts(scene: Scene, chain: Chain) -> None:
    """The tail's last second still belongs to who wants to refute."""
    result = scene.make_offchain_result()
    _use(scene, result)
    release_at = result.expiry + _TAIL_S
    chain.travel(to=release_at)

    with reverts("UseNotReleased", release_at=release_at, timestamp=release_at):
        _release(scene, result)


def test_release_one_second_after_tail_frees_bond(
    scene: Scene, chain: Chain, system: System, operator: Account, requester: Account
) -> None:
    """Nobody refuted it: the stake is free again."""
    result = scene.make_offchain_result()
    _use(scene, result)
    chain.travel(to=result.expiry + _TAIL_S + 1)

    receipt = _release(scene, result)

    assert_emitted(receipt, "UseReleased", result_id=_id(scene, result), consumer=requester, bond_wei=BOND_WEI)
    assert scene.account_of(operator) == (True, STAKE_WEI, 0, 0)
    assert system.signed_results.call("useOf", _id(scene, result), requester) == (ZERO_ADDRESS, ZERO_ADDRESS, 0, 0)


def test_release_twice_reverts(scene: Scene, chain: Chain, requester: Account) -> None:
    """A bond is freed once."""
    result = scene.make_offchain_result()
    _use(scene, result)
    chain.travel(to=result.expiry + _TAIL_S + 1)
    _release(scene, result)

    with reverts("UseMissing", result_id=_id(scene, result), consumer=requester):
        _release(scene, result)


def test_release_without_use_reverts(scene: Scene, requester: Account) -> None:
    """There is nothing to free."""
    result = scene.make_offchain_result()

    with reverts("UseMissing", result_id=_id(scene, result), consumer=requester):
        _release(scene, result)


def test_release_of_convicted_result_reverts(scene: Scene, chain: Chain) -> None:
    """The bond behind a lie is never freed."""
    result = scene.make_offchain_result(1.0)
    _use(scene, result)
    _convict(scene, result)
    chain.travel(to=result.expiry + _TAIL_S + 1)

    with reverts("ResultConvicted", result_id=_id(scene, result)):
        _release(scene, result)


def test_use_of_convicted_result_reverts(scene: Scene) -> None:
    """A known lie is used by nobody."""
    result = scene.make_offchain_result(1.0)
    _convict(scene, result)

    with reverts("ResultConvicted", result_id=_id(scene, result)):
        _use(scene, result)


def test_slash_use_shares_bond_with_recorded_victim(
    scene: Scene, system: System, operator: Account, requester: Account, challenger: Account, stranger: Account
) -> None:
    """Anyone may collect; the shares go to the first prover and to whoever the consumer named."""
    result = scene.make_offchain_result(1.0)
    _use(scene, result, compensate_to=requester)
    _convict(scene, result)
    before = scene.account_of(operator)
    reward_before_wei = scene.reward_of(challenger)

    receipt = system.dispute_game.send("slashUse", _id(scene, result), requester, by=stranger)

    assert_emitted(receipt, "UseSlashed", result_id=_id(scene, result), consumer=requester, bond_wei=BOND_WEI)
    assert_emitted(receipt, "OperatorSlashed", operator=operator, amount_wei=BOND_WEI, from_bond=True)
    assert_emitted(
        receipt,
        "SlashShared",
        operator=operator,
        prover=challenger,
        victim=requester,
        reward_wei=BOND_WEI * 3 // 10,
        compensation_wei=VALUE_AT_RISK_WEI,
        burnt_wei=BOND_WEI // 5,
    )
    assert scene.account_of(operator) == (True, before.stake_wei - BOND_WEI, 0, 0)
    assert scene.reward_of(requester) == VALUE_AT_RISK_WEI
    assert scene.reward_of(challenger) - reward_before_wei == BOND_WEI * 3 // 10


def test_slash_use_twice_reverts(scene: Scene, system: System, requester: Account, stranger: Account) -> None:
    """A bond is taken once."""
    result = scene.make_offchain_result(1.0)
    _use(scene, result)
    _convict(scene, result)
    system.dispute_game.send("slashUse", _id(scene, result), requester, by=stranger)

    with reverts("UseMissing", result_id=_id(scene, result), consumer=requester):
        system.dispute_game.send("slashUse", _id(scene, result), requester, by=stranger)


def test_slash_use_without_conviction_reverts(
    scene: Scene, system: System, requester: Account, stranger: Account
) -> None:
    """A bond is safe until its result is proven false."""
    result = scene.make_offchain_result()
    _use(scene, result)

    with reverts("ResultNotConvicted", result_id=_id(scene, result)):
        system.dispute_game.send("slashUse", _id(scene, result), requester, by=stranger)


def test_slash_use_long_after_tail_still_works(
    scene: Scene, chain: Chain, system: System, operator: Account, requester: Account, stranger: Account
) -> None:
    """A bond that nobody has released yet still answers for a lie."""
    result = scene.make_offchain_result(1.0)
    _use(scene, result)
    chain.travel(to=result.expiry + _TAIL_S + 1000)
    _convict(scene, result)

    system.dispute_game.send("slashUse", _id(scene, result), requester, by=stranger)

    assert scene.account_of(operator).locked_wei == 0


def test_check_uncollateralised_accepts_what_use_would(scene: Scene, system: System) -> None:
    """The same checks, without a bond."""
    result = scene.make_offchain_result()

    checked = system.signed_results.call("checkUncollateralised", result, make_output(), scene.sign(result))

    assert checked == _id(scene, result)


def test_check_uncollateralised_needs_no_stake(scene: Scene, system: System) -> None:
    """It says nothing about who would pay."""
    scene.propose(scene.ask(value_at_risk_wei=STAKE_WEI // 2))
    result = scene.make_offchain_result()

    assert system.signed_results.call("checkUncollateralised", result, make_output(), scene.sign(result))


def test_check_uncollateralised_with_foreign_signer_reverts(
    scene: Scene, system: System, operator: Account, stranger: Account
) -> None:
    """Even a dry run believes authorised signers only."""
    result = scene.make_offchain_result()
    signature = scene.sign(result, signer=stranger)

    with reverts("ResultSignerInvalid", operator=operator, signer=stranger, not_after=0):
        system.signed_results.call("checkUncollateralised", result, make_output(), signature)


def test_check_uncollateralised_beyond_signers_validity_reverts(
    scene: Scene, system: System, operator: Account
) -> None:
    """Invalid everywhere means here, too."""
    signer = scene.cast.signers[operator.address]
    system.operator_registry.send("revokeSigner", signer, by=operator)
    not_after = system.operator_registry.call("signerNotAfter", operator, signer)
    scene.chain.travel(to=scene.chain.now + 100)
    result = scene.make_offchain_result(expiry=not_after + 1)

    with reverts("ResultSignerInvalid", signer=signer, not_after=not_after):
        system.signed_results.call("checkUncollateralised", result, make_output(), scene.sign(result))


def _id(scene: Scene, result: Result) -> bytes:
    return result_digest(result, scene.system.domain)


def _use(
    scene: Scene,
    result: Result,
    *,
    output: bytes | None = None,
    signature: bytes | None = None,
    value_at_risk_wei: int = VALUE_AT_RISK_WEI,
    compensate_to: Account | None = None,
    by: Account | None = None,
) -> TransactionReceipt:
    signature = scene.sign(result) if signature is None else signature
    victim = compensate_to or scene.cast.requester
    arguments = (result, output or make_output(), signature, value_at_risk_wei, victim)
    return scene.system.signed_results.send("use", *arguments, by=by or scene.cast.requester)


def _release(scene: Scene, result: Result) -> TransactionReceipt:
    arguments = (_id(scene, result), scene.cast.requester)
    return scene.system.signed_results.send("release", *arguments, by=scene.cast.stranger)


def _convict(scene: Scene, result: Result) -> None:
    contradiction = replace(scene.make_offchain_result(2.0), expiry=result.expiry)
    request = scene.make_request()
    scene.convict(scene.swear_to(result), scene.swear_to(contradiction), requests=(request, request))
