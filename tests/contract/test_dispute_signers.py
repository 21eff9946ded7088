from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.accounts import Account, funded_account
from tests.support.assertions import assert_emitted, reverts
from tests.support.court import BOND_WEI, Court, ShownTrace, try_offchain_result, try_result
from tests.support.scene import Scene
from tests.support.system import DISPUTE_PARAMETERS, System

from sworn.codec.hashing import Domain, result_digest
from sworn.types import Address

TRACE = ShownTrace([b"\x01" * 128, b"\x02" * 64])
#: Order of secp256k1.
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def offchain_near_its_end(scene: Scene) -> Court:
    """An off-chain result, challenged in the last second in which that is possible: long after its expiry."""
    court = try_offchain_result(scene)
    scene.chain.travel(to=court.result.expiry + DISPUTE_PARAMETERS["tailSeconds"])
    return court


def swear(court: Court, key: Account) -> bytes:
    """A signature of some key under the result with its trace."""
    return court.scene.sign(replace(court.result, trace_root=TRACE.root), signer=key)


@pytest.mark.parametrize("offchain", [False, True], ids=["request", "offchain"])
def test_operator_that_revoked_its_signer_still_defends_with_it(
    scene: Scene, system: System, operator: Account, challenger: Account, *, offchain: bool
) -> None:
    """A revoked key stays good for a lifetime, which no expiry of what it has sworn to exceeds."""
    court = try_offchain_result(scene) if offchain else try_result(scene)
    system.operator_registry.send("revokeSigner", scene.cast.signers[operator.address], by=operator)
    if offchain:
        scene.chain.travel(to=court.result.expiry + DISPUTE_PARAMETERS["tailSeconds"])
    court.open(by=challenger)

    receipt = court.commit_trace(TRACE)

    assert_emitted(receipt, "TraceCommitted", operator=operator, trace_root=TRACE.root)


def test_expired_offchain_result_can_be_defended_by_another_signer(
    scene: Scene, system: System, operator: Account, challenger: Account
) -> None:
    """The key that signed is gone, the result's expiry has passed: any signer of the operator commits to the trace."""
    court = offchain_near_its_end(scene)
    court.open(by=challenger)
    fresh = funded_account(7)
    with reverts("SignerNotAuthorized", signer=fresh):
        court.commit_trace(TRACE, signature=swear(court, fresh))
    system.operator_registry.send("authorizeSigner", fresh, by=operator)

    court.commit_trace(TRACE, signature=swear(court, fresh))

    assert court.state["trace_root"] == TRACE.root


def test_operator_that_leaves_still_defends_its_results(
    scene: Scene, system: System, operator: Account, challenger: Account
) -> None:
    """Unbonding everything caps its signers at a lifetime, and its stake stays until every dispute has ended."""
    court = try_offchain_result(scene)
    system.operator_registry.send("unbond", 2**256 - 1, by=operator)
    release_at = system.operator_registry.call("unbondingOf", operator)[1]
    scene.chain.travel(to=court.result.expiry + DISPUTE_PARAMETERS["tailSeconds"])
    court.open(by=challenger)

    court.commit_trace(TRACE)

    assert court.ends_at < release_at
    with reverts("UnbondingNotReleased"):
        system.operator_registry.send("withdrawStake", operator, by=operator)


def test_lie_of_operator_that_leaves_is_charged_to_its_unbonding_stake(
    scene: Scene, system: System, operator: Account, challenger: Account
) -> None:
    """Convicted in the last second that a dispute can have: the stake is still there."""
    court = try_offchain_result(scene)
    system.operator_registry.send("unbond", 2**256 - 1, by=operator)
    before = scene.account_of(operator).stake_wei
    scene.chain.travel(to=court.result.expiry + DISPUTE_PARAMETERS["tailSeconds"])
    court.open(by=challenger)
    court.commit_trace(TRACE)
    scene.chain.travel(to=court.ends_at - court.parameter("revealSeconds"))

    court.convict(by=challenger, trace_root=TRACE.root)

    assert before - scene.account_of(operator).stake_wei == system.parameters["minBondWei"]


def test_signature_beyond_its_signers_validity_opens_no_dispute(
    scene: Scene, system: System, operator: Account, challenger: Account
) -> None:
    """What was never valid cannot be challenged: nobody could have used it."""
    key = scene.cast.signers[operator.address]
    system.operator_registry.send("revokeSigner", key, by=operator)
    not_after = system.operator_registry.call("signerNotAfter", operator, key)
    court = try_offchain_result(scene, expiry=not_after + 1)

    with reverts("SignerNotAuthorized", signer=key, not_after=not_after):
        court.open(by=challenger)


@pytest.mark.parametrize("where", ["chain", "oracle"])
def test_signature_for_another_deployment_opens_no_dispute(scene: Scene, challenger: Account, where: str) -> None:
    """A result sworn elsewhere is none here: chain and oracle are part of what is signed."""
    court = try_offchain_result(scene)
    domain = scene.system.domain
    other = {
        "chain": Domain(chain_id=domain.chain_id + 1, oracle=domain.oracle),
        "oracle": Domain(chain_id=domain.chain_id, oracle=Address(challenger.address)),
    }[where]
    signature = scene.cast.signers[court.result.operator].sign(result_digest(court.result, other))

    with reverts("SignerNotAuthorized"):
        court.open(by=challenger, signature=signature)


def test_malleated_signature_neither_challenges_nor_defends(scene: Scene, challenger: Account) -> None:
    """A signature has one form: high s and other lengths are refused."""
    court = try_offchain_result(scene)
    good = scene.sign(court.result)
    high_s = good[:32] + (_ORDER - int.from_bytes(good[32:64])).to_bytes(32) + bytes([55 - good[64]])
    with reverts("ECDSAInvalidSignatureS"):
        court.open(by=challenger, signature=high_s)
    with reverts("ECDSAInvalidSignatureLength"):
        court.open(by=challenger, signature=good + b"\x00")
    court.open(by=challenger, bond_wei=BOND_WEI)
    sworn = court.sworn_with(TRACE.root)
    high_s = sworn[:32] + (_ORDER - int.from_bytes(sworn[32:64])).to_bytes(32) + bytes([55 - sworn[64]])

    with reverts("ECDSAInvalidSignatureS"):
        court.commit_trace(TRACE, signature=high_s)
