from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.court import (
    BOND_WEI as CHALLENGE_WEI,
)
from tests.support.court import (
    Court,
    ShownTrace,
    Target,
    try_offchain_result,
    try_result,
)
from tests.support.scene import BOND_WEI, FEE_WEI, Scene
from tests.support.system import PARAMETERS, System

from sworn.types import DisputeStatus, Part, Status

TRACE = ShownTrace([b"\x01" * 128, b"\x02" * 64])
TARGET: Target = (Part.CHUNKS, 0, 0, 0)
REWARD_WEI = BOND_WEI * 30 // 100


@pytest.fixture
def court(scene: Scene, challenger: Account) -> Court:
    """A challenged result with a trace."""
    court = try_result(scene)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    return court


def test_upheld_result_pays_operator_and_requester(
    court: Court, scene: Scene, operator: Account, requester: Account
) -> None:
    """A challenge that proves nothing costs its bond; the result can be finalized."""
    court.scene.chain.travel(to=court.ends_at + 1)

    receipt = court.resolve()

    assert_emitted(receipt, "DisputeResolved", operator=operator, bonds_wei=CHALLENGE_WEI)
    assert_emitted(receipt, "ResultUpheld", result_id=court.result_id)
    assert court.state["status"] == DisputeStatus.UPHELD
    assert court.reward_of(operator) == CHALLENGE_WEI * 70 // 100
    assert court.reward_of(requester) == CHALLENGE_WEI * 30 // 100
    scene.finalize(court.request)
    assert scene.account_of(operator).earned_wei == FEE_WEI


def test_upheld_offchain_result_pays_operator_and_burns(
    scene: Scene, operator: Account, challenger: Account, requester: Account
) -> None:
    """Nobody waited for it, and washing a bond through oneself must cost."""
    court = try_offchain_result(scene)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    scene.chain.travel(to=court.ends_at + 1)

    court.resolve()

    assert court.reward_of(operator) == CHALLENGE_WEI * 70 // 100
    assert court.reward_of(requester) == 0
    assert scene.chain.balance(court.game) == CHALLENGE_WEI * 70 // 100


def test_resolving_before_the_end_reverts(court: Court) -> None:
    """Whoever joined in the last second still has all its time."""
    ends_at = court.ends_at
    court.scene.chain.travel(to=ends_at)

    with reverts("MoveTooEarly", until=ends_at):
        court.resolve()


def test_resolving_without_trace_reverts(scene: Scene, challenger: Account) -> None:
    """Silence is no defence, however late it is noticed."""
    court = try_result(scene)
    court.open(by=challenger)
    scene.chain.travel(to=court.ends_at + 1)

    with reverts("TraceNotCommitted"):
        court.resolve()
    court.convict_silence()


def test_resolving_with_unanswered_demand_reverts(court: Court, challenger: Account) -> None:
    """An operator that owes an answer is convicted, not upheld."""
    court.demand(TARGET, by=challenger)
    court.scene.chain.travel(to=court.ends_at + 1)

    with reverts("DemandsOpen", count=1):
        court.resolve()
    court.convict_silence(challenger=challenger, target=TARGET)


def test_upheld_result_cannot_be_challenged_again(court: Court, scene: Scene, stranger: Account) -> None:
    """Upheld is final: the window has closed before."""
    court.scene.chain.travel(to=court.ends_at + 1)
    court.resolve()

    with reverts("WindowClosed"):
        court.open(by=stranger)
    with reverts("DisputeNotOpen", status=DisputeStatus.UPHELD):
        court.commit_fault(by=scene.cast.challenger)


def test_upheld_offchain_result_cannot_be_challenged_again(scene: Scene, challenger: Account) -> None:
    """One dispute per result."""
    court = try_offchain_result(scene)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    scene.chain.travel(to=court.ends_at + 1)
    court.resolve()

    with reverts("ChallengeTooLate"):
        court.open(by=challenger)


def test_prover_gets_bond_and_reward(court: Court, challenger: Account, requester: Account) -> None:
    """Opener and prover in one: its bond, and 30 % of the operator's."""
    court.convict(by=challenger, trace_root=TRACE.root)
    court.settle()

    receipt = court.claim(challenger)

    assert_emitted(receipt, "ShareClaimed", account=challenger, amount_wei=CHALLENGE_WEI + REWARD_WEI)
    assert court.reward_of(challenger) == CHALLENGE_WEI + REWARD_WEI
    assert court.reward_of(requester) == BOND_WEI // 2


def test_opener_gets_share_of_others_proof(court: Court, challenger: Account, stranger: Account) -> None:
    """Opening is worth a tenth of the reward."""
    court.join(by=stranger)
    court.convict(by=stranger, trace_root=TRACE.root)
    court.settle()

    court.claim(challenger)
    court.claim(stranger)

    assert court.reward_of(challenger) == CHALLENGE_WEI + REWARD_WEI // 10
    assert court.reward_of(stranger) == CHALLENGE_WEI + REWARD_WEI * 9 // 10


def test_demands_are_repaid_before_shares(
    court: Court, challenger: Account, stranger: Account, operator: Account
) -> None:
    """Whoever paid to see the trace does not pay for the conviction."""
    court.join(by=stranger)
    price = court.price(Part.CHUNKS)
    court.demand(TARGET, by=stranger, price_wei=price)
    court.disclose(TARGET, TRACE.show(TARGET), to=stranger)
    court.convict(by=challenger, trace_root=TRACE.root)
    court.settle()

    court.claim(challenger)
    court.claim(stranger)

    assert court.reward_of(operator) == price
    assert court.reward_of(stranger) == CHALLENGE_WEI + price
    assert court.reward_of(challenger) == CHALLENGE_WEI + REWARD_WEI - price


def test_repayment_is_no_more_than_half_the_reward(scene: Scene, challenger: Account, stranger: Account) -> None:
    """However often an operator's friend pays for disclosures: the prover gets its own costs, and half the reward."""
    court = try_result(scene, value_at_risk_wei=0)
    reward_wei = PARAMETERS["minBondWei"] * 30 // 100
    court.open(by=challenger)
    court.commit_trace(TRACE)
    court.join(by=stranger)
    chunks, nodes = court.price(Part.CHUNKS), court.price(Part.NODES)
    for index in range(3):
        court.demand((Part.CHUNKS, 0, 0, index), by=stranger)
        court.disclose((Part.CHUNKS, 0, 0, index), TRACE.show((Part.CHUNKS, 0, 0, index)), to=stranger)
    court.demand((Part.NODES, 0, 0, 0), by=challenger)
    court.disclose((Part.NODES, 0, 0, 0), TRACE.show((Part.NODES, 0, 0, 0)), to=challenger)
    before = {account: court.reward_of(account) for account in (challenger, stranger)}
    court.convict(by=challenger, trace_root=TRACE.root)
    court.settle()

    court.claim(challenger)
    court.claim(stranger)

    assert court.state["spent_wei"] == 3 * chunks + nodes > reward_wei // 2
    assert court.reward_of(challenger) - before[challenger] == CHALLENGE_WEI + reward_wei // 2 + nodes
    assert court.reward_of(stranger) - before[stranger] == CHALLENGE_WEI + reward_wei // 2 - nodes


def test_silence_pays_challengers_by_their_bonds(
    court: Court, challenger: Account, stranger: Account, requester: Account
) -> None:
    """Nobody proved anything: a tenth for opening, the rest by bonds; the unanswered demand's price comes back too."""
    court.join(by=stranger, bond_wei=3 * CHALLENGE_WEI)
    price = court.price(Part.CHUNKS)
    due_at = court.demand(TARGET, by=stranger, price_wei=price).timestamp + court.parameter("discloseSeconds")
    court.scene.chain.travel(to=due_at + 1)
    court.convict_silence(challenger=stranger, target=TARGET)

    court.claim(challenger)
    court.claim(stranger)

    shared_wei = REWARD_WEI * 9 // 10
    assert court.reward_of(challenger) == CHALLENGE_WEI + REWARD_WEI // 10 + shared_wei // 4
    assert court.reward_of(stranger) == 3 * CHALLENGE_WEI + price + shared_wei * 3 // 4
    assert court.reward_of(requester) == BOND_WEI // 2


def test_claim_before_settlement_reverts(court: Court, challenger: Account) -> None:
    """An earlier commitment may still take the prover's place."""
    court.convict(by=challenger, trace_root=TRACE.root)
    settles_at = court.state["committed_at"] + court.parameter("revealSeconds")
    court.scene.chain.travel(to=settles_at)

    with reverts("MoveTooEarly", until=settles_at):
        court.claim(challenger)


def test_claim_twice_reverts(court: Court, challenger: Account) -> None:
    """A share is paid once."""
    court.convict(by=challenger, trace_root=TRACE.root)
    court.settle()
    court.claim(challenger)

    with reverts("NothingToClaim", account=challenger):
        court.claim(challenger)


def test_claim_of_stranger_reverts(court: Court, challenger: Account, stranger: Account) -> None:
    """Without a bond there is no share."""
    court.convict(by=challenger, trace_root=TRACE.root)
    court.settle()

    with reverts("NothingToClaim", account=stranger):
        court.claim(stranger)


def test_claim_of_open_or_upheld_dispute_reverts(court: Court, challenger: Account) -> None:
    """The bonds of a challenge that failed are gone."""
    with reverts("DisputeNotRefuted", status=DisputeStatus.OPEN):
        court.claim(challenger)
    court.scene.chain.travel(to=court.ends_at + 1)
    court.resolve()

    with reverts("DisputeNotRefuted", status=DisputeStatus.UPHELD):
        court.claim(challenger)


def test_equivocation_ends_dispute_and_gives_bonds_back(court: Court, scene: Scene, challenger: Account) -> None:
    """The result fell by other means: nobody among the challengers was wrong."""
    other = scene.make_answer(2.0)
    price = court.price(Part.CHUNKS)
    court.demand(TARGET, by=challenger, price_wei=price)

    scene.convict_over(court.request, scene.make_answer(), other, by=scene.cast.stranger)

    assert court.state["status"] == DisputeStatus.REFUTED
    assert scene.state_of(court.request).status is Status.REFUTED
    court.settle()
    before = court.reward_of(challenger)
    court.claim(challenger)
    opener_wei = REWARD_WEI // 10
    assert court.reward_of(challenger) == before + CHALLENGE_WEI + price + opener_wei


def test_operator_cannot_wash_its_bond_by_convicting_itself(
    court: Court, scene: Scene, system: System, operator: Account
) -> None:
    """Challenger, prover and operator in one lose the requester's half and what is burnt."""
    court.join(by=operator)
    before = scene.account_of(operator).stake_wei

    court.convict(by=operator, trace_root=TRACE.root)
    court.settle()
    court.claim(operator)

    assert scene.account_of(operator).stake_wei == before - BOND_WEI
    assert court.reward_of(operator) <= CHALLENGE_WEI + REWARD_WEI
    assert system.chain.balance(court.game) == 2 * CHALLENGE_WEI + REWARD_WEI + BOND_WEI // 2


def test_friend_cannot_shield_false_result(court: Court, scene: Scene, challenger: Account, stranger: Account) -> None:
    """A friendly challenger that does nothing keeps nobody else from proving."""
    idle = court.scene.cast.rival
    court.join(by=idle)
    court.join(by=stranger)

    court.convict(by=stranger, trace_root=TRACE.root)

    assert scene.state_of(court.request).status is Status.REFUTED
    assert court.state["prover"] == stranger.address


def test_everything_that_was_posted_can_be_withdrawn_but_what_is_burnt(
    court: Court, system: System, challenger: Account, stranger: Account, requester: Account, operator: Account
) -> None:
    """After all claims and withdrawals the contract is empty."""
    court.join(by=stranger)
    court.demand(TARGET, by=challenger)
    court.disclose(TARGET, TRACE.show(TARGET), to=challenger)
    court.convict(by=stranger, trace_root=TRACE.root)
    court.settle()
    for account in (challenger, stranger):
        court.claim(account)

    for account in (challenger, stranger, requester, operator):
        system.dispute_game.send("withdrawFor", account, by=stranger)

    assert system.chain.balance(system.dispute_game) <= 1


def test_refuted_result_is_never_taken_again(scene: Scene, challenger: Account) -> None:
    """A new request with the same content is another request; under this one the result is dead."""
    court = try_result(scene)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    court.convict(by=challenger, trace_root=TRACE.root)

    with reverts("StatusUnexpected", actual=Status.REFUTED):
        scene.propose(court.request)
    with reverts("StatusUnexpected", actual=Status.REFUTED):
        replace(court).open(by=challenger)
