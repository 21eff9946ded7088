"""What a conviction of equivocation does to requests, stake and people."""

from __future__ import annotations

from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, assert_silent, reverts
from tests.support.chain import Chain, Contract, TransactionReceipt
from tests.support.scene import BOND_WEI, FEE_WEI, STAKE_WEI, Scene
from tests.support.system import ETHER, PARAMETERS, System

from sworn.types import Address, Assurance, CallbackKind, Request, Status

_BURN_ADDRESS = Address("0x000000000000000000000000000000000000dEaD")
_MIN_BOND_WEI = PARAMETERS["minBondWei"]
_REVERT = 1


def test_conviction_of_proposed_result_refutes_and_refunds(scene: Scene, operator: Account, requester: Account) -> None:
    """A named operator's lie ends the request: the fee comes back, the bond is gone."""
    request, lie = scene.ask(), scene.make_answer(1.0)
    scene.propose(request, lie)

    receipt = scene.convict_over(request, lie, scene.make_answer(2.0))

    assert_emitted(
        receipt,
        "ResultRefuted",
        request_id=scene.id_of(request),
        operator=operator,
        result_id=scene.digest_of(request, lie),
        reopened=False,
    )
    assert_emitted(receipt, "OperatorSlashed", operator=operator, amount_wei=BOND_WEI, from_bond=True)
    assert scene.state_of(request).status is Status.REFUTED
    assert scene.credit_of(requester) == FEE_WEI
    assert scene.account_of(operator) == (True, STAKE_WEI - BOND_WEI, 0, 0)


def test_conviction_by_second_statement_refutes_proposed_result(scene: Scene) -> None:
    """It does not matter which of the two was posted."""
    request, lie = scene.ask(), scene.make_answer(1.0)
    scene.propose(request, lie)

    receipt = scene.convict_over(request, scene.make_answer(2.0), lie)

    assert_emitted(receipt, "ResultRefuted", result_id=scene.digest_of(request, lie))


def test_conviction_shares_slash_between_prover_victim_and_nobody(
    scene: Scene, chain: Chain, operator: Account, challenger: Account, rival: Account
) -> None:
    """30 % to who proved it, 50 % to who was lied to, 20 % burnt."""
    request, lie = scene.ask(refund_to=rival.address), scene.make_answer(1.0)
    scene.propose(request, lie)
    burnt_before = chain.balance(_BURN_ADDRESS)

    receipt = scene.convict_over(request, lie, scene.make_answer(2.0))

    assert_emitted(
        receipt,
        "SlashShared",
        operator=operator,
        prover=challenger,
        victim=rival,
        reward_wei=BOND_WEI * 3 // 10,
        compensation_wei=BOND_WEI // 2,
        burnt_wei=BOND_WEI // 5,
    )
    assert scene.reward_of(challenger) == BOND_WEI * 3 // 10
    assert scene.reward_of(rival) == BOND_WEI // 2
    assert chain.balance(_BURN_ADDRESS) - burnt_before == BOND_WEI // 5


def test_conviction_compensates_whole_value_at_risk(scene: Scene, requester: Account) -> None:
    """The victim's half of the bond is what it stood to lose."""
    request, lie = scene.ask(value_at_risk_wei=ETHER), scene.make_answer(1.0)
    scene.propose(request, lie)

    scene.convict_over(request, lie, scene.make_answer(2.0))

    assert scene.reward_of(requester) == ETHER


def test_conviction_reopens_request_for_others(scene: Scene, chain: Chain, operator: Account, rival: Account) -> None:
    """An open request goes on without the liar, and gets back the time that the lie took."""
    request, lie = scene.ask_anyone(), scene.make_answer(1.0)
    scene.propose(request, lie)
    chain.travel(to=chain.now + 300)

    receipt = scene.convict_over(request, lie, scene.make_answer(2.0))

    state = scene.state_of(request)
    assert (state.status, state.round, state.proposed_at) == (Status.REQUESTED, 1, 0)
    assert state.extension_s == 301
    assert_emitted(receipt, "ResultRefuted", reopened=True, deadline=request.deadline + 301)
    assert scene.system.oracle.call("isBarred", scene.id_of(request), operator)
    with reverts("OperatorBarredFromRequest", request_id=scene.id_of(request), operator=operator):
        scene.propose(request, scene.make_answer(2.0))
    assert_emitted(scene.propose(request, scene.make_answer(operator=rival)), "ResultProposed", round=1)


def test_conviction_gives_others_until_extended_deadline(scene: Scene, chain: Chain, rival: Account) -> None:
    """The rival's signature still names the original deadline, and is accepted until the extended one."""
    request, lie = scene.ask_anyone(), scene.make_answer(1.0)
    chain.travel(to=request.deadline - 50)
    scene.propose(request, lie)
    chain.travel(to=chain.now + 100)
    scene.convict_over(request, lie, scene.make_answer(2.0))
    extended = request.deadline + scene.state_of(request).extension_s
    mark = chain.snapshot()
    chain.travel(to=extended + 1)
    with reverts("DeadlinePassed", deadline=extended):
        scene.propose(request, scene.make_answer(operator=rival))
    chain.restore(mark)
    chain.travel(to=extended)

    scene.complete(request, scene.make_answer(operator=rival))

    assert scene.account_of(rival).earned_wei == FEE_WEI


def test_conviction_of_lie_told_in_last_second_leaves_others_a_window(
    scene: Scene, chain: Chain, rival: Account
) -> None:
    """Whoever lies at the deadline does not take the request from everybody else."""
    request, lie = scene.ask_anyone(), scene.make_answer(1.0)
    chain.travel(to=request.deadline)
    scene.propose(request, lie)

    convicted_at = chain.now
    scene.convict_over(request, lie, scene.make_answer(2.0))

    extended = request.deadline + scene.state_of(request).extension_s
    assert extended == convicted_at + request.window_s
    chain.travel(to=extended)
    scene.complete(request, scene.make_answer(operator=rival))


def test_conviction_after_window_before_finalization_still_refutes(scene: Scene) -> None:
    """Until it is final, a result can fall."""
    request, lie = scene.ask(), scene.make_answer(1.0)
    scene.propose(request, lie)
    scene.close_window(request)

    scene.convict_over(request, lie, scene.make_answer(2.0))

    assert scene.state_of(request).status is Status.REFUTED
    with reverts("StatusUnexpected", actual=Status.REFUTED, expected=Status.PROPOSED):
        scene.finalize(request, lie)


def test_conviction_before_proposal_refunds_named_request(scene: Scene, operator: Account, requester: Account) -> None:
    """Who swore two answers before giving one cannot give any; nobody else could."""
    request = scene.ask()

    receipt = scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))

    assert_emitted(receipt, "OperatorBarred", request_id=scene.id_of(request), operator=operator, refunded=True)
    assert_emitted(receipt, "OperatorSlashed", amount_wei=BOND_WEI, from_bond=False)
    assert scene.state_of(request).status is Status.REFUTED
    assert scene.credit_of(requester) == FEE_WEI
    assert scene.reward_of(requester) == BOND_WEI // 2


def test_conviction_before_proposal_leaves_open_request_open(
    scene: Scene, operator: Account, rival: Account, requester: Account
) -> None:
    """Others may still answer; there is no refund."""
    request = scene.ask_anyone()

    receipt = scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))

    assert_emitted(receipt, "OperatorBarred", operator=operator, refunded=False)
    assert scene.credit_of(requester) == 0
    with reverts("OperatorBarredFromRequest", operator=operator):
        scene.propose(request, scene.make_answer(1.0))
    scene.complete(request, scene.make_answer(operator=rival))
    assert scene.state_of(request).status is Status.FINALIZED


def test_conviction_after_finalization_slashes_free_stake(scene: Scene, operator: Account, requester: Account) -> None:
    """A final result stays final, but the lie is still paid for."""
    request = scene.ask()
    scene.complete(request, scene.make_answer(1.0))

    receipt = scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))

    assert_emitted(receipt, "OperatorBarred", refunded=False)
    assert_emitted(receipt, "OperatorSlashed", amount_wei=BOND_WEI, from_bond=False)
    assert scene.state_of(request).status is Status.FINALIZED
    assert scene.account_of(operator) == (True, STAKE_WEI - BOND_WEI, 0, FEE_WEI)
    assert scene.reward_of(requester) == BOND_WEI // 2
    assert scene.credit_of(requester) == 0


def test_conviction_while_another_answer_is_proposed_bars_and_later_refutes(scene: Scene, operator: Account) -> None:
    """Two unposted lies bar the operator; the posted one falls by its own contradiction."""
    request, posted = scene.ask(), scene.make_answer(1.0)
    scene.propose(request, posted)

    scene.convict_over(request, scene.make_answer(2.0), scene.make_answer(3.0))
    assert scene.state_of(request).status is Status.PROPOSED
    scene.convict_over(request, posted, scene.make_answer(2.0))

    assert scene.state_of(request).status is Status.REFUTED
    assert scene.account_of(operator) == (True, STAKE_WEI - 2 * BOND_WEI, 0, 0)


def test_conviction_over_two_proposed_results_slashes_both_bonds(scene: Scene, operator: Account) -> None:
    """One input, two posted outputs: both requests fall."""
    requests = (scene.ask(), scene.ask(value_at_risk_wei=ETHER))
    answers = (scene.make_answer(1.0), scene.make_answer(2.0))
    for request, answer in zip(requests, answers, strict=True):
        scene.propose(request, answer)

    receipt = scene.convict(*map(scene.swear, requests, answers), requests=requests)

    assert_emitted(receipt, "EquivocationProven", slashed_wei=BOND_WEI + 2 * ETHER)
    assert [scene.state_of(request).status for request in requests] == [Status.REFUTED] * 2
    assert scene.account_of(operator) == (True, STAKE_WEI - BOND_WEI - 2 * ETHER, 0, 0)


def test_conviction_of_proposed_result_by_finalized_one_takes_bond_first(scene: Scene, operator: Account) -> None:
    """The bond behind the standing lie pays for it, and stake for the finished request's."""
    requests = (scene.ask(), scene.ask())
    answers = (scene.make_answer(1.0), scene.make_answer(2.0))
    scene.complete(requests[0], answers[0])
    scene.propose(requests[1], answers[1])

    receipt = scene.convict(*map(scene.swear, requests, answers), requests=requests)

    assert_emitted(receipt, "EquivocationProven", slashed_wei=2 * BOND_WEI)
    assert scene.state_of(requests[1]).status is Status.REFUTED
    assert scene.account_of(operator) == (True, STAKE_WEI - 2 * BOND_WEI, 0, FEE_WEI)


def test_conviction_of_bystander_leaves_round_of_proposed_result(
    scene: Scene, puppet: Contract, rival: Account
) -> None:
    """The final callback names the round that was proposed, whoever else was convicted meanwhile."""
    request, truth = scene.ask_anyone(via=puppet), scene.make_answer(3.0, operator=rival)
    proposed = assert_emitted(scene.propose(request, truth), "ResultProposed")
    _convict_anew(scene, request)
    scene.close_window(request)

    final = scene.finalize(request, truth)

    assert_emitted(final, "ResultReceived", round=proposed.arguments["round"])


def test_conviction_tells_consumer_of_provisional_result(scene: Scene, puppet: Contract) -> None:
    """Who was told a result is told that it fell."""
    request, lie = scene.ask_anyone(via=puppet, assurance=Assurance.PROVISIONAL), scene.make_answer(1.0)
    scene.propose(request, lie)

    receipt = scene.convict_over(request, lie, scene.make_answer(2.0))

    assert_emitted(
        receipt,
        "RefutationReceived",
        request_id=scene.id_of(request),
        salt=request.salt,
        round=1,
        reopened=True,
    )


def test_conviction_of_reopened_request_ends_in_final_answer_of_rival(
    scene: Scene, puppet: Contract, rival: Account
) -> None:
    """Provisional, refuted, provisional again, final: the consumer sees every step in order."""
    request, lie = scene.ask_anyone(via=puppet, assurance=Assurance.PROVISIONAL), scene.make_answer(1.0)
    scene.propose(request, lie)
    scene.convict_over(request, lie, scene.make_answer(2.0))
    truth = scene.make_answer(3.0, operator=rival)

    assert_emitted(scene.propose(request, truth), "ResultReceived", round=1, is_final=False)
    scene.close_window(request)
    assert_emitted(scene.finalize(request, truth), "ResultReceived", round=1, is_final=True, output=truth.output)


def test_conviction_does_not_bother_consumer_that_was_never_told(scene: Scene, puppet: Contract) -> None:
    """With assurance Final, a reopened request looks as if nothing had happened."""
    request, lie = scene.ask_anyone(via=puppet), scene.make_answer(1.0)
    scene.propose(request, lie)

    receipt = scene.convict_over(request, lie, scene.make_answer(2.0))

    assert_silent(receipt, "RefutationReceived", "CallbackFailed")


def test_conviction_of_named_operator_tells_consumer_that_it_is_over(scene: Scene, puppet: Contract) -> None:
    """Even with assurance Final: no other answer will come."""
    request, lie = scene.ask(via=puppet), scene.make_answer(1.0)
    scene.propose(request, lie)

    receipt = scene.convict_over(request, lie, scene.make_answer(2.0))

    assert_emitted(receipt, "RefutationReceived", round=1, reopened=False)


def test_conviction_before_proposal_tells_consumer_that_it_is_over(scene: Scene, puppet: Contract) -> None:
    """A named operator that is barred before it answered leaves nothing to wait for."""
    receipt = _convict_anew(scene, scene.ask(via=puppet))

    assert_emitted(receipt, "RefutationReceived", round=0, reopened=False)


def test_conviction_with_failing_consumer_goes_through(
    scene: Scene, puppet: Contract, operator: Account, stranger: Account
) -> None:
    """A consumer in league with the operator cannot stop the slash."""
    request, lie = scene.ask(via=puppet, assurance=Assurance.PROVISIONAL), scene.make_answer(1.0)
    scene.propose(request, lie)
    puppet.send("behave", _REVERT, by=stranger)

    receipt = scene.convict_over(request, lie, scene.make_answer(2.0))

    assert_emitted(receipt, "CallbackFailed", kind=CallbackKind.REFUTED)
    assert scene.account_of(operator).stake_wei == STAKE_WEI - BOND_WEI


def test_conviction_when_provisional_callback_failed_tells_nothing_of_reopening(
    scene: Scene, puppet: Contract, stranger: Account
) -> None:
    """A consumer that never learnt of the provisional result has nothing to undo."""
    puppet.send("behave", _REVERT, by=stranger)
    request, lie = scene.ask_anyone(via=puppet, assurance=Assurance.PROVISIONAL), scene.make_answer(1.0)
    scene.propose(request, lie)
    puppet.send("behave", 0, by=stranger)

    receipt = scene.convict_over(request, lie, scene.make_answer(2.0))

    assert_silent(receipt, "RefutationReceived")
    assert scene.state_of(request).pending is CallbackKind.NONE


def test_conviction_rewards_are_withdrawn_once(
    scene: Scene, chain: Chain, system: System, challenger: Account, puppet: Contract, stranger: Account
) -> None:
    """Rewards and compensations wait until they are fetched, or pushed by anyone."""
    request = scene.ask(refund_to=puppet.address)
    scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))

    own = system.dispute_game.send("withdraw", by=challenger)
    pushed = system.dispute_game.send("withdrawFor", puppet, by=stranger)

    assert_emitted(own, "RewardWithdrawn", account=challenger, amount_wei=BOND_WEI * 3 // 10)
    assert_emitted(pushed, "RewardWithdrawn", account=puppet, amount_wei=BOND_WEI // 2)
    assert chain.balance(puppet) == BOND_WEI // 2
    with reverts("RewardMissing", account=challenger):
        system.dispute_game.send("withdraw", by=challenger)


def test_conviction_reward_for_contract_that_refuses_stays(
    scene: Scene, system: System, puppet: Contract, stranger: Account
) -> None:
    """A failed payment changes nothing."""
    puppet.send("refuseEther", True, by=stranger)
    scene.convict_over(scene.ask(refund_to=puppet.address), scene.make_answer(1.0), scene.make_answer(2.0))

    with reverts("RewardTransferFailed", account=puppet, amount_wei=BOND_WEI // 2):
        system.dispute_game.send("withdrawFor", puppet, by=stranger)
    assert scene.reward_of(puppet) == BOND_WEI // 2


def test_conviction_leaves_no_ether_behind(scene: Scene, chain: Chain, system: System) -> None:
    """What the dispute game holds is exactly what it owes."""
    _convict_anew(scene, scene.ask())

    owed_wei = sum(scene.reward_of(account) for account in (scene.cast.challenger, scene.cast.requester))
    assert chain.balance(system.dispute_game) == owed_wei == BOND_WEI * 8 // 10


def _convict_anew(scene: Scene, request: Request) -> TransactionReceipt:
    return scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))
