"""The demo's second crime: one false element, sworn, committed to and defended, and how one recomputation undoes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sworn.client import DisputeReport, RequestHandle, Verdict
from sworn.errors import RequestRefuted
from sworn.testing.demo_equivocation import BURN_ADDRESS, VALUE_AT_RISK_WEI
from sworn.testing.demo_opening import WINDOW_S
from sworn.testing.demo_stage import ETHER, Stage, StoryBroken
from sworn.testing.lying_engine import Lie
from sworn.testing.models import example_rows, load_model
from sworn.types import DisputeStatus, Status

MODEL: Final = "diabetes_progression"
LIE: Final = Lie(amount=100.0)
#: What the operator's friend is given for its bond and its gas.
ALLOWANCE_WEI: Final = ETHER
#: Of the reward, what the opener gets.
OPENER_PERCENT: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """Everybody's money, in wei, as the contracts have it."""

    stake_wei: int
    compensation_wei: int
    burnt_wei: int


def false_element(stage: Stage) -> None:
    """A liar that does everything else right is convicted by the one element that is wrong."""
    summary = "The operator's software lies from now on: it moves one element of the answer, and its trace agrees."
    with stage.chapter("One false element", summary):
        stage.oracle.watcher.lie(LIE)
        handle = _ask(stage)
        _befriend(stage, handle)
        before = _purse(stage)
        report = _play(stage, handle)
        stage.check(report.status is DisputeStatus.REFUTED, "the result is refuted")
        stage.check(report.dispute.prover == stage.signer("stranger").address, "the stranger proved it")
        _check_money(stage, report, before, _purse(stage))
        _check_shares(stage, handle, report)
        _check_ending(stage, handle)
        stage.oracle.watcher.lie(None)


def _ask(stage: Stage) -> RequestHandle:
    row = example_rows(MODEL)[1]
    handle = stage.client("requester").request(
        model=load_model(MODEL), inputs=dict(row.inputs), window=WINDOW_S, value_at_risk=VALUE_AT_RISK_WEI
    )
    stage.fact("request_id", handle.request_id)
    stage.oracle.answer()
    told = float(handle.wait(until="proposed", timeout=5)["progression"][0, 0])
    stage.fact("answer_on_chain", round(told, 3))
    return handle


def _befriend(stage: Stage, handle: RequestHandle) -> None:
    """The operator's friend challenges first, to keep others out, and then does nothing."""
    stage.say("A friend of the operator challenges the answer first, with the operator's ether, and then sits still:")
    stage.pay("operator", "friend", ALLOWANCE_WEI)
    dispute = stage.client("friend").dispute(handle)
    dispute.open()
    report = dispute.state()
    stage.check(report.dispute.opener == stage.signer("friend").address, "the friend has opened the dispute")
    stage.check(handle.status().status is Status.DISPUTED, "the request waits for the verdict")
    stage.fact("friend_bond_wei", report.bonds_wei)


def _play(stage: Stage, handle: RequestHandle) -> DisputeReport:
    stage.say("A stranger fetches the model, runs the answer again, and compares:")
    # For this client waiting is travelling, while the operator's watcher defends itself.
    challenger = stage.oracle.client(stage.signer("stranger"), sleep=stage.oracle.pass_time)
    found = challenger.verify(handle)
    stage.check(found.verdict is Verdict.FALSE, "the answer is false")
    (difference,) = found.differences
    stage.check(difference.count == difference.elements == 1, "one element differs")
    stage.fact("recomputed", round(float(difference.recomputed), 3))
    stage.fact("difference", str(difference))
    stage.say(
        "It joins with the same bond, and its client plays: the operator must commit to its trace and show what is "
        "demanded; hashes lead to the element; the referee recomputes that one, and nothing else."
    )
    gas_before = _game_gas(stage)
    report = challenger.dispute(handle).play()
    stage.tell()
    proven = next(each for each in report.timeline if each.name == "FaultProven")
    stage.fact("verdict", proven.text, text=f"the stranger {proven.text}")
    stage.fact("dispute_gas", _game_gas(stage) - gas_before, text=f"{_game_gas(stage) - gas_before:,} for all of it")
    return report


def _game_gas(stage: Stage) -> int:
    """Gas of the chapter's transactions to the dispute game."""
    stage.tell()
    sent = stage.chapters[-1].transactions
    return sum(each["gas"] for each in sent if each["call"].startswith("DisputeGame."))


def _purse(stage: Stage) -> Purse:
    return Purse(
        stake_wei=stage.client("operator").operator.account().stake_wei,
        compensation_wei=stage.client("requester").reward(),
        burnt_wei=stage.ledger.balance(BURN_ADDRESS),
    )


def _check_money(stage: Stage, report: DisputeReport, before: Purse, after: Purse) -> None:
    reward = report.dispute.reward_wei
    rows: list[tuple[Any, ...]] = [
        ("operator's stake", before.stake_wei, after.stake_wei, after.stake_wei - before.stake_wei),
        ("reward for the conviction (30 %)", 0, reward, reward),
        (
            "requester's compensation (50 %)",
            before.compensation_wei,
            after.compensation_wei,
            after.compensation_wei - before.compensation_wei,
        ),
        ("burnt (20 %)", before.burnt_wei, after.burnt_wei, after.burnt_wei - before.burnt_wei),
    ]
    stage.narrator.table("what it cost", ("", "before", "after", "change"), rows)
    slashed = before.stake_wei - after.stake_wei
    stage.check(slashed == 2 * VALUE_AT_RISK_WEI, "twice the value at risk is slashed")
    stage.check(reward == slashed * 30 // 100, "those who convicted get 30 %")
    stage.check(after.compensation_wei - before.compensation_wei == slashed * 50 // 100, "the requester gets 50 %")
    stage.check(after.burnt_wei - before.burnt_wei == slashed * 20 // 100, "20 % are burnt")
    stage.fact("slashed_wei", slashed)
    stage.fact("victim_compensation_wei", after.compensation_wei - before.compensation_wei)
    stage.fact("burnt_wei", after.burnt_wei - before.burnt_wei)


def _check_shares(stage: Stage, handle: RequestHandle, report: DisputeReport) -> None:
    """The friend's head start was worth a tenth of the reward, and kept nobody out."""
    friend = stage.client("friend").dispute(handle)
    friend.claim()
    friend.withdraw()
    shares = {each.who: each.amount_wei for each in friend.state().timeline if each.name == "ShareClaimed" and each.who}
    bonds = {each.account: each.state.bond_wei for each in report.challengers}
    reward, spent = report.dispute.reward_wei, report.dispute.spent_wei
    opener = (reward - spent) * OPENER_PERCENT // 100
    friend_share, own_share = (shares[stage.signer(role).address] for role in ("friend", "stranger"))
    stage.check(friend_share == bonds[stage.signer("friend").address] + opener, "the friend gets a tenth, and its bond")
    stage.check(
        own_share == bonds[stage.signer("stranger").address] + reward - opener,
        "the stranger gets its bond, what it paid for demands, and nine tenths of the rest",
    )
    stage.fact("stranger_share_wei", own_share)
    stage.fact("friend_share_wei", friend_share)


def _check_ending(stage: Stage, handle: RequestHandle) -> None:
    client = stage.client("requester")
    owed, before = client.reward(), stage.balance("requester")
    receipt = client.withdraw_reward()
    cost = receipt.gas_used * receipt.effective_gas_price
    stage.check(stage.balance("requester") - before + cost == owed == VALUE_AT_RISK_WEI, "the requester is made whole")
    try:
        handle.wait(timeout=5)
    except RequestRefuted as error:
        stage.fact("client_raises", type(error).__name__)
    else:
        raise StoryBroken("a refuted request gave a result")
