from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain, to_abi
from tests.support.court import (
    BOND_WEI,
    Court,
    ShownTrace,
    request_id_of,
    try_offchain_result,
    try_result,
)
from tests.support.scene import VALUE_AT_RISK_WEI, WINDOW_S, Scene
from tests.support.system import DISPUTE_PARAMETERS, System

from sworn.types import ZERO_ADDRESS, ZERO_HASH, DisputeStatus, Profile, Status

TRACE = ShownTrace([b"\x01" * 128, b"\x02" * 64])


@pytest.fixture
def court(scene: Scene) -> Court:
    """A proposed result."""
    return try_result(scene)


def test_challenge_opens_dispute(court: Court, scene: Scene, operator: Account, challenger: Account) -> None:
    """A bond is enough, and the result can no longer be finalized."""
    closes_at = scene.state_of(court.request).proposed_at + WINDOW_S

    receipt = court.open(by=challenger)

    assert_emitted(
        receipt,
        "DisputeOpened",
        result_id=court.result_id,
        operator=operator,
        challenger=challenger,
        bond_wei=BOND_WEI,
    )
    assert_emitted(receipt, "ResultDisputed", request_id=request_id_of(court), result_id=court.result_id)
    assert court.state["status"] == DisputeStatus.OPEN
    assert scene.state_of(court.request).status is Status.DISPUTED
    assert court.game.call("isOpen", court.result_id)
    scene.chain.travel(to=closes_at + 1)
    with reverts("StatusUnexpected", actual=Status.DISPUTED, expected=Status.PROPOSED):
        scene.finalize(court.request)


def test_challenge_in_last_second_of_window_opens_dispute(court: Court, scene: Scene, challenger: Account) -> None:
    """The window's last second counts."""
    scene.chain.travel(to=scene.state_of(court.request).proposed_at + WINDOW_S)

    court.open(by=challenger)

    assert court.state["status"] == DisputeStatus.OPEN


def test_challenge_after_window_reverts(court: Court, scene: Scene, challenger: Account) -> None:
    """One second later it is too late, finalized or not."""
    closes_at = scene.state_of(court.request).proposed_at + WINDOW_S
    scene.chain.travel(to=closes_at + 1)

    with reverts("WindowClosed", request_id=request_id_of(court), closed_at=closes_at):
        court.open(by=challenger)


def test_challenge_of_other_result_reverts(court: Court, challenger: Account) -> None:
    """Only the result that was proposed can be challenged under its request."""
    other = replace(court, result=replace(court.result, output_root=b"\x09" * 32))

    with reverts("ResultMismatch"):
        other.open(by=challenger)


def test_challenge_with_too_small_bond_reverts(court: Court, system: System, challenger: Account) -> None:
    """The bond must pay for the operator's answers, and be a hundredth of the value at risk."""
    least = system.dispute_game.call("challengeBondFor", VALUE_AT_RISK_WEI)
    assert least >= VALUE_AT_RISK_WEI // 100

    with reverts("ChallengeBondTooLow", sent_wei=least // 2):
        court.open(by=challenger, bond_wei=least // 2)


def test_friend_cannot_price_others_out_with_its_bond(court: Court, system: System, challenger: Account) -> None:
    """Whoever joins matches the opener's bond, which is therefore capped."""
    most = 4 * system.dispute_game.call("challengeBondFor", VALUE_AT_RISK_WEI)

    with reverts("ChallengeBondTooHigh", sent_wei=2 * most):
        court.open(by=challenger, bond_wei=2 * most)


def test_bond_grows_with_value_at_risk(system: System) -> None:
    """Challenging a dear answer costs at least 1 % of what is at stake."""
    assert system.dispute_game.call("challengeBondFor", 10**21) == 10**19


def test_second_challenge_reverts(court: Court, challenger: Account, stranger: Account) -> None:
    """There is one dispute per result; others join it."""
    court.open(by=challenger)

    with reverts("StatusUnexpected", actual=Status.DISPUTED):
        court.open(by=stranger)


def test_offchain_result_can_be_challenged(scene: Scene, challenger: Account) -> None:
    """Also after its expiry, until the tail has passed."""
    court = try_offchain_result(scene)
    closes_at = court.result.expiry + DISPUTE_PARAMETERS["tailSeconds"]
    scene.chain.travel(to=closes_at)

    court.open(by=challenger)

    assert court.state["closes_at"] == closes_at


def test_offchain_result_after_tail_cannot_be_challenged(scene: Scene, challenger: Account) -> None:
    """Then its bonds are free."""
    court = try_offchain_result(scene)
    closes_at = court.result.expiry + DISPUTE_PARAMETERS["tailSeconds"]
    scene.chain.travel(to=closes_at + 1)

    with reverts("ChallengeTooLate", closed_at=closes_at):
        court.open(by=challenger)


def test_second_challenge_of_offchain_result_reverts(scene: Scene, challenger: Account, stranger: Account) -> None:
    """There is one dispute per result."""
    court = try_offchain_result(scene)
    court.open(by=challenger)

    with reverts("DisputeExists", status=DisputeStatus.OPEN):
        court.open(by=stranger)


def test_challenge_of_offchain_result_that_nobody_signed_reverts(scene: Scene, challenger: Account) -> None:
    """A stranger's signature puts nothing in an operator's mouth."""
    court = try_offchain_result(scene)

    with reverts("SignerNotAuthorized"):
        court.open(by=challenger, signature=scene.sign(court.result, signer=challenger))


def test_challenge_of_request_answer_as_offchain_reverts(court: Court, scene: Scene, challenger: Account) -> None:
    """An answer to a request has its own window."""
    arguments = (court.result, scene.sign(court.result))

    with reverts("ResultNotOffchain", request_id=request_id_of(court)):
        court.game.send("challengeOffchain", *arguments, by=challenger, value_wei=BOND_WEI)


def test_challenge_of_signed_model_reverts(scene: Scene, challenger: Account) -> None:
    """Profile signed has no arithmetic to judge by."""
    court = try_result(scene, profile=Profile.SIGNED)

    with reverts("ResultNotProvable", model_id=court.result.model_id):
        court.open(by=challenger)


def test_bounded_result_can_be_challenged(scene: Scene, challenger: Account) -> None:
    """It carries its trace root."""
    court = try_result(scene, profile=Profile.BOUNDED, trace_root=TRACE.root)

    court.open(by=challenger)

    assert court.state["status"] == DisputeStatus.OPEN


def test_join_adds_challenger(court: Court, challenger: Account, stranger: Account) -> None:
    """Whoever posts the opener's bond has the same rights."""
    court.open(by=challenger)

    receipt = court.join(by=stranger)

    assert_emitted(receipt, "DisputeJoined", result_id=court.result_id, challenger=stranger, bond_wei=BOND_WEI)
    assert court.state["joined_wei"] == BOND_WEI
    assert court.game.call("challengerOf", court.result_id, stranger)[0] == BOND_WEI


def test_join_without_bond_reverts(court: Court, challenger: Account, stranger: Account) -> None:
    """Nobody joins for less than the opener."""
    court.open(by=challenger)

    with reverts("ChallengeBondTooLow", sent_wei=BOND_WEI - 1, bond_wei=BOND_WEI):
        court.join(by=stranger, bond_wei=BOND_WEI - 1)


def test_join_twice_reverts(court: Court, challenger: Account) -> None:
    """The opener is a party already."""
    court.open(by=challenger)

    with reverts("AlreadyChallenger", account=challenger):
        court.join(by=challenger)


def test_join_after_window_reverts(court: Court, scene: Scene, challenger: Account, stranger: Account) -> None:
    """The circle of challengers closes with the window."""
    court.open(by=challenger)
    closes_at = court.state["closes_at"]
    scene.chain.travel(to=closes_at + 1)

    with reverts("ChallengeTooLate", closed_at=closes_at):
        court.join(by=stranger)


def test_join_of_undisputed_result_reverts(court: Court, stranger: Account) -> None:
    """There must be a dispute."""
    with reverts("DisputeNotOpen", status=DisputeStatus.NONE):
        court.join(by=stranger)


def test_only_dispute_game_disputes(court: Court, system: System, stranger: Account) -> None:
    """Nobody else stops or revives a result."""
    with reverts("CallerNotDisputeGame", caller=stranger):
        system.oracle.send("dispute", court.request, *[ZERO_ADDRESS, ZERO_HASH, ZERO_HASH], by=stranger)
    with reverts("CallerNotDisputeGame", caller=stranger):
        system.oracle.send("uphold", court.request, court.result_id, by=stranger)


def test_phases_longer_than_longest_dispute_cannot_be_deployed(chain: Chain, system: System, deployer: Account) -> None:
    """Stake is locked for the longest dispute only."""
    parameters = {**DISPUTE_PARAMETERS, "maxDisputeSeconds": 100}
    total = sum(DISPUTE_PARAMETERS[f"{name}Seconds"] for name in ("trace", "demand", "disclose", "commit", "reveal"))

    with reverts("DisputeTooLong", total_seconds=total, maximum=100):
        _deploy(chain, system, deployer, parameters)


def test_commitments_that_never_ripen_cannot_be_deployed(chain: Chain, system: System, deployer: Account) -> None:
    """A commitment must live longer than it takes to ripen."""
    with reverts("RevealTooShort", reveal_seconds=60):
        _deploy(chain, system, deployer, {**DISPUTE_PARAMETERS, "revealSeconds": 60})


def _deploy(chain: Chain, system: System, deployer: Account, parameters: dict[str, int]) -> None:
    parties = (system.oracle, system.operator_registry, system.model_registry, system.signed_results)
    addresses = [to_abi(party) for party in (*parties, system.referee, system.trace_verifier)]
    chain.deploy("DisputeGame", *addresses, tuple(parameters.values()), by=deployer)
