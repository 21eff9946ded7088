from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.court import (
    MATURITY_S,
    SALT,
    Court,
    ShownTrace,
    Target,
    request_id_of,
    try_offchain_result,
    try_result,
)
from tests.support.scene import BOND_WEI, Scene
from tests.support.system import DISPUTE_PARAMETERS, System

from sworn.types import DisputeStatus, Part, Profile, Status

TRACE = ShownTrace([b"\x01" * 128, b"\x02" * 64])
SOMETHING: Target = (Part.VALUES, 0, 0, 0)


@pytest.fixture
def court(scene: Scene, challenger: Account) -> Court:
    """A challenged result with a trace."""
    court = try_result(scene)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    return court


def test_proven_fault_convicts_operator(court: Court, scene: Scene, operator: Account, challenger: Account) -> None:
    """Commit, wait, prove: the result is refuted at once."""
    court.commit_fault(by=challenger)
    court.ripen()

    receipt = court.prove(by=challenger, trace_root=TRACE.root)

    assert_emitted(
        receipt,
        "FaultProven",
        result_id=court.result_id,
        operator=operator,
        prover=challenger,
        kind=1,
        value=1,
        index=0,
    )
    assert_emitted(receipt, "ResultRefuted", request_id=request_id_of(court), reopened=False)
    assert_emitted(receipt, "SlashShared", operator=operator, compensation_wei=BOND_WEI // 2)
    assert court.state["status"] == DisputeStatus.REFUTED
    assert court.state["prover"] == challenger.address
    assert scene.state_of(court.request).status is Status.REFUTED


def test_fault_of_open_request_reopens_it(scene: Scene, challenger: Account, rival: Account) -> None:
    """Others may answer what a liar answered; the liar may not."""
    court = try_result(scene, operator="0x" + "00" * 20)
    court.open(by=challenger)
    court.commit_trace(TRACE)

    court.convict(by=challenger, trace_root=TRACE.root)

    assert scene.state_of(court.request).status is Status.REQUESTED
    with reverts("OperatorBarredFromRequest"):
        scene.propose(court.request, scene.make_answer(2.0))
    scene.propose(court.request, scene.make_answer(2.0, operator=rival))


def test_proof_before_commitment_is_ripe_reverts(court: Court, challenger: Account) -> None:
    """Both a minute and five blocks must pass."""
    committed_at = court.commit_fault(by=challenger).timestamp
    with reverts("MoveTooEarly", until=committed_at + MATURITY_S):
        court.prove(by=challenger, trace_root=TRACE.root)
    court.scene.chain.travel(to=committed_at + MATURITY_S)

    with reverts("MoveTooEarly"):
        court.prove(by=challenger, trace_root=TRACE.root)


def test_proof_in_last_second_of_commitment_counts(court: Court, challenger: Account) -> None:
    """It lives as long as the parameter says."""
    committed_at = court.commit_fault(by=challenger).timestamp
    court.ripen()
    court.scene.chain.travel(to=committed_at + DISPUTE_PARAMETERS["revealSeconds"])

    court.prove(by=challenger, trace_root=TRACE.root)

    assert court.state["status"] == DisputeStatus.REFUTED


def test_proof_after_commitment_lapsed_reverts(court: Court, challenger: Account) -> None:
    """One second later it is dead; a new one may be made."""
    committed_at = court.commit_fault(by=challenger).timestamp
    court.ripen()
    until = committed_at + DISPUTE_PARAMETERS["revealSeconds"]
    court.scene.chain.travel(to=until + 1)

    with reverts("MoveTooLate", until=until):
        court.prove(by=challenger, trace_root=TRACE.root)
    court.convict(by=challenger, trace_root=TRACE.root)


def test_conviction_over_another_request_reverts(
    court: Court, scene: Scene, operator: Account, challenger: Account
) -> None:
    """A made-up request with a high value at risk slashes nothing, compensates nobody, and bars nobody."""
    dear = scene.make_request(value_at_risk_wei=10**18, refund_to=challenger.address)
    stranger_court = replace(court, request=dear)
    before = scene.account_of(operator)
    court.commit_fault(by=challenger)
    court.ripen()

    with reverts("StatementMismatch", request_id=request_id_of(court)):
        stranger_court.prove(by=challenger, trace_root=TRACE.root)
    assert scene.account_of(operator) == before
    assert court.state["status"] == DisputeStatus.OPEN


def test_silence_over_another_request_reverts(scene: Scene, challenger: Account) -> None:
    """The same, where nothing has to be proven."""
    court = try_result(scene)
    court.open(by=challenger)
    scene.chain.travel(to=court.ends_at + 1)
    dear = scene.make_request(value_at_risk_wei=10**18, refund_to=challenger.address)

    with reverts("StatementMismatch", request_id=request_id_of(court)):
        replace(court, request=dear).convict_silence()


def test_proof_without_commitment_reverts(court: Court, challenger: Account) -> None:
    """Otherwise it could be copied."""
    with reverts("CommitmentMissing", prover=challenger):
        court.prove(by=challenger, trace_root=TRACE.root)


def test_copied_proof_earns_nothing(court: Court, challenger: Account, stranger: Account) -> None:
    """A commitment names its prover: a copy of it opens for nobody else."""
    court.join(by=stranger)
    court.commit_fault(by=challenger)
    copied = court.commitment(by=challenger)
    court.game.send("commitFault", court.result_id, copied, by=stranger)
    court.ripen()

    with reverts("CommitmentMismatch", prover=stranger):
        court.prove(by=stranger, trace_root=TRACE.root)


def test_parked_commitment_opens_for_its_own_fault_only(court: Court, challenger: Account) -> None:
    """Committing to a guess early is worth nothing if the fault is elsewhere."""
    court.commit_fault(by=challenger, value=7)
    court.ripen()

    with reverts("CommitmentMismatch"):
        court.prove(by=challenger, trace_root=TRACE.root)


@pytest.mark.parametrize("salt", [b"\x00" * 32, b"\x5b" * 32])
def test_proof_with_other_salt_reverts(court: Court, challenger: Account, salt: bytes) -> None:
    """The salt is part of the commitment."""
    court.commit_fault(by=challenger)
    court.ripen()

    with reverts("CommitmentMismatch"):
        court.prove(by=challenger, trace_root=TRACE.root, salt=salt)


@pytest.mark.parametrize(
    "changes",
    [{"model_id": b"\x01" * 32}, {"input_root": b"\x01" * 32}, {"output_root": b"\x01" * 32}],
    ids=["model", "input", "output"],
)
def test_proof_of_other_result_reverts(court: Court, challenger: Account, changes: dict[str, Any]) -> None:
    """A fault in another run convicts nobody here."""
    court.commit_fault(by=challenger)
    court.ripen()

    with reverts("StatementDiffers"):
        court.prove(by=challenger, trace_root=TRACE.root, proof=court.finding(trace_root=TRACE.root, **changes))


def test_proof_of_other_trace_reverts(court: Court, challenger: Account) -> None:
    """A challenger cannot bring a trace of its own."""
    court.commit_fault(by=challenger)
    court.ripen()

    with reverts("StatementDiffers"):
        court.prove(by=challenger, trace_root=b"\x09" * 32)


def test_proof_before_any_trace_reverts(scene: Scene, challenger: Account) -> None:
    """Zero is no trace root."""
    court = try_result(scene)
    court.open(by=challenger)
    court.commit_fault(by=challenger)
    court.ripen()

    with reverts("StatementDiffers"):
        court.prove(by=challenger, trace_root=b"\x00" * 32)


def test_bounded_result_is_convicted_under_its_own_trace(scene: Scene, challenger: Account) -> None:
    """Nothing is left to commit."""
    court = try_result(scene, profile=Profile.BOUNDED, trace_root=TRACE.root)
    court.open(by=challenger)

    court.convict(by=challenger, trace_root=TRACE.root)

    assert court.state["status"] == DisputeStatus.REFUTED


def test_proof_that_shows_no_fault_reverts(court: Court, challenger: Account) -> None:
    """A right element convicts nobody, and costs nobody anything but gas."""
    court.commit_fault(by=challenger)
    court.ripen()
    proof = b"\x00" + court.finding(trace_root=TRACE.root)[1:]

    with reverts("FaultNotShown", result_id=court.result_id):
        court.prove(by=challenger, trace_root=TRACE.root, proof=proof)


def test_too_short_proof_reverts(court: Court, challenger: Account) -> None:
    """Bytes that name no fault are no proof."""
    court.commit_fault(by=challenger)
    court.ripen()

    with reverts("ProofTooShort", length=100):
        court.prove(by=challenger, trace_root=TRACE.root, proof=bytes(100))


def test_commitment_by_stranger_reverts(court: Court, stranger: Account) -> None:
    """Provers post a bond."""
    with reverts("NotChallenger", account=stranger):
        court.commit_fault(by=stranger)


def test_commitment_hides_what_the_contract_says(court: Court, challenger: Account) -> None:
    """The preimage is the same here and there, and nothing of it shows."""
    commitment = court.commitment(by=challenger, value=3, index=9)
    stated = court.game.call("faultCommitment", court.result_id, challenger, 1, 3, 9, SALT)
    assert stated == commitment

    receipt = court.commit_fault(by=challenger, value=3, index=9)

    assert_emitted(receipt, "FaultCommitted", challenger=challenger, commitment=commitment)


def test_zero_commitment_reverts(court: Court, challenger: Account) -> None:
    """Zero stands for none."""
    with reverts("CommitmentInvalid"):
        court.game.send("commitFault", court.result_id, b"\x00" * 32, by=challenger)


def test_commitment_in_last_second_counts_and_a_second_later_not(court: Court, challenger: Account) -> None:
    """Every commitment that is taken can still be proven before the end."""
    until = court.ends_at - DISPUTE_PARAMETERS["revealSeconds"]
    court.scene.chain.travel(to=until)
    court.commit_fault(by=challenger)

    with reverts("MoveTooLate", until=until):
        court.commit_fault(by=challenger)
    court.ripen()
    court.prove(by=challenger, trace_root=TRACE.root)


def test_earlier_commitment_takes_provers_place(
    court: Court, challenger: Account, stranger: Account, operator: Account
) -> None:
    """Who committed first is paid, whoever proves first; the other's gas is repaid."""
    court.join(by=stranger)
    court.commit_fault(by=stranger)
    court.commit_fault(by=challenger)
    court.ripen()
    court.prove(by=challenger, trace_root=TRACE.root)

    receipt = court.prove(by=stranger, trace_root=TRACE.root)

    assert_emitted(receipt, "FaultProven", prover=stranger, operator=operator)
    assert court.state["prover"] == stranger.address
    assert court.state["spent_wei"] > 0
    assert court.game.call("challengerOf", court.result_id, challenger)[2] == court.state["spent_wei"]


def test_later_commitment_does_not_take_provers_place(court: Court, challenger: Account, stranger: Account) -> None:
    """The verdict stands."""
    court.join(by=stranger)
    court.commit_fault(by=challenger)
    court.commit_fault(by=stranger)
    court.ripen()
    court.prove(by=challenger, trace_root=TRACE.root)

    with reverts("DisputeNotOpen", status=DisputeStatus.REFUTED):
        court.prove(by=stranger, trace_root=TRACE.root)


def test_same_proof_twice_reverts(court: Court, challenger: Account) -> None:
    """A conviction happens once."""
    court.convict(by=challenger, trace_root=TRACE.root)

    with reverts("DisputeNotOpen"):
        court.prove(by=challenger, trace_root=TRACE.root)


def test_moves_after_verdict_revert(court: Court, challenger: Account, stranger: Account) -> None:
    """A refuted result is over for everyone."""
    court.convict(by=challenger, trace_root=TRACE.root)

    moves: list[Callable[[], object]] = [
        lambda: court.join(by=stranger),
        lambda: court.commit_fault(by=challenger),
        lambda: court.demand(SOMETHING, by=challenger, price_wei=10**18),
        lambda: court.convict_silence(),
        lambda: court.resolve(),
    ]
    for move in moves:
        with reverts("DisputeNotOpen", status=DisputeStatus.REFUTED):
            move()


def test_conviction_of_offchain_result_opens_its_uses(scene: Scene, system: System, challenger: Account) -> None:
    """Bonds behind its uses can be slashed once no earlier commitment can follow."""
    court = try_offchain_result(scene)
    court.use()
    court.open(by=challenger)
    court.commit_trace(TRACE)
    court.convict(by=challenger, trace_root=TRACE.root)
    consumer = scene.cast.requester
    assert system.dispute_game.call("convictedBy", court.result_id) == challenger.address
    with reverts("MoveTooEarly"):
        system.dispute_game.send("slashUse", court.result_id, consumer, by=challenger)
    court.settle()

    receipt = system.dispute_game.send("slashUse", court.result_id, consumer, by=challenger)

    assert_emitted(receipt, "SlashShared", prover=challenger)


def test_use_of_disputed_result_is_not_released(scene: Scene, system: System, challenger: Account) -> None:
    """The bond waits for the verdict, however long it takes."""
    court = try_offchain_result(scene)
    court.use()
    release_at = court.result.expiry + DISPUTE_PARAMETERS["tailSeconds"]
    scene.chain.travel(to=release_at)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    scene.chain.travel(to=release_at + 600)

    with reverts("ResultUnderDispute", result_id=court.result_id):
        system.signed_results.send("release", court.result_id, scene.cast.requester, by=challenger)
    scene.chain.travel(to=court.ends_at + 1)
    court.resolve()
    system.signed_results.send("release", court.result_id, scene.cast.requester, by=challenger)
