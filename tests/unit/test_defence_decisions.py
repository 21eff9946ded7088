from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest

from sworn.dispute.case import Clocks
from sworn.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Dispute,
    DisputeStatus,
    ModelId,
    Part,
    RequestId,
    Result,
    ResultId,
    Target,
)
from sworn.watcher.defence.alarms import Alarm, Alarms, Duty, alarm_of, duties
from sworn.watcher.defence.decisions import RECHECK_S, Answer, Decision, Outlook, decide
from sworn.watcher.defence.records import Defence, DefenceStatus, OpenDemand
from sworn.watcher.logs import make_logger

ROOT = b"\x0a" * 32
RESULT_ID = ResultId(b"\x0b" * 32)
CLOCKS = Clocks(tail_s=1000, trace_s=100, demand_s=200, disclose_s=50, commit_s=40, reveal_s=30)
OPENED, CLOSES = 10_000, 10_060
DEMAND_UNTIL = CLOSES + 100 + 200
ENDS = DEMAND_UNTIL + 50 + 40 + 30

RESULT = Result(
    request_id=RequestId(b"\x01" * 32),
    model_id=ModelId(b"\x02" * 32),
    input_root=b"\x03" * 32,
    output_root=b"\x04" * 32,
    trace_root=ZERO_HASH,
    operator=Address("0x" + "11" * 20),
    expiry=20_000,
)
OPEN = Dispute(
    status=DisputeStatus.OPEN,
    opened_at=OPENED,
    closes_at=CLOSES,
    opener=Address("0x" + "22" * 20),
    joined_wei=0,
    spent_wei=0,
    open_demands=0,
    trace_root=ZERO_HASH,
    prover=ZERO_ADDRESS,
    committed_at=0,
    proof_cost_gwei=0,
    reward_wei=0,
)
DEFENCE = Defence(result_id=RESULT_ID, block_number=7)


def demand(due_at: int, part: Part = Part.VALUES) -> OpenDemand:
    """Something that is due at a second."""
    return OpenDemand(
        demand_id=due_at.to_bytes(32),
        result_id=RESULT_ID,
        challenger=OPEN.opener,
        target=Target(part=part),
        due_at=due_at,
        block_number=8,
    )


def decided(
    *,
    now: int,
    committed: bool = True,
    demands: tuple[OpenDemand, ...] = (),
    has_trace: bool = True,
    has_exhibit: bool = False,
    defence: Defence = DEFENCE,
    **changes: Any,
) -> Decision:
    """The decision in a dispute."""
    dispute = replace(OPEN, **({"open_demands": len(demands)} | changes))
    outlook = Outlook(
        result=replace(RESULT, trace_root=ROOT) if committed else RESULT,
        dispute=dispute,
        demands=demands,
        has_trace=has_trace,
        has_exhibit=has_exhibit,
    )
    return decide(defence, outlook, clocks=CLOCKS, now=now)


def test_dispute_without_trace_asks_for_one_until_its_last_second() -> None:
    """First a run, then the commitment; one second late, nothing is sent."""
    assert decided(now=OPENED, committed=False, has_trace=False).answer is Answer.TRACE
    assert decided(now=OPENED + 100, committed=False).answer is Answer.COMMIT
    late = decided(now=OPENED + 101, committed=False)
    assert (late.answer, late.due_at) == (Answer.WAIT, OPENED + 101 + RECHECK_S) and late.reason


def test_dispute_with_trace_on_chain_commits_to_nothing_again() -> None:
    """Whether the result carried it or the operator committed to it."""
    assert decided(now=OPENED, committed=False, trace_root=ROOT).answer is Answer.WAIT
    assert decided(now=OPENED).answer is Answer.WAIT


def test_demands_are_answered_most_urgent_first_until_their_last_second() -> None:
    """What is overdue is left out: the contract takes it no more."""
    demands = (demand(OPENED + 10), demand(OPENED + 20), demand(OPENED + 30))
    decision = decided(now=OPENED + 20, demands=demands)
    assert (decision.answer, decision.demands) == (Answer.DISCLOSE, demands[1:])
    late = decided(now=OPENED + 31, demands=demands)
    assert late.answer is Answer.WAIT and "convict" in late.reason


def test_missing_trace_is_made_again_before_anybody_asks() -> None:
    """While demands may come, the trace has to be at hand; afterwards nobody needs it."""
    assert decided(now=DEMAND_UNTIL, has_trace=False).answer is Answer.TRACE
    assert decided(now=DEMAND_UNTIL + 1, has_trace=False).answer is Answer.WAIT
    last = (demand(DEMAND_UNTIL + 40),)
    assert decided(now=DEMAND_UNTIL + 1, has_trace=False, demands=last).answer is Answer.TRACE


def test_parts_of_the_model_wait_for_its_exhibit_and_hold_nothing_up() -> None:
    """What belongs to the trace is shown at once."""
    demands = (demand(OPENED + 10, Part.STEPS), demand(OPENED + 20))
    decision = decided(now=OPENED, demands=demands)
    assert (decision.answer, decision.demands) == (Answer.EXHIBIT, demands[1:])
    decision = decided(now=OPENED, demands=demands, has_exhibit=True)
    assert (decision.answer, decision.demands) == (Answer.DISCLOSE, demands)


def test_dispute_is_ended_after_its_last_second_alone() -> None:
    """At the end itself somebody may still prove something."""
    waiting = decided(now=ENDS)
    assert (waiting.answer, waiting.due_at) == (Answer.WAIT, ENDS + 1)
    assert decided(now=ENDS + 1).answer is Answer.RESOLVE


def test_dispute_whose_demand_is_not_logged_yet_is_not_ended() -> None:
    """The chain counts a demand that the logs have not told of: resolving would revert."""
    assert decided(now=ENDS + 1, open_demands=1) == Decision(answer=Answer.WAIT, reason="waiting for a demand's log")


@pytest.mark.parametrize(
    ("verdict", "status"),
    [(DisputeStatus.UPHELD, DefenceStatus.UPHELD), (DisputeStatus.REFUTED, DefenceStatus.REFUTED)],
)
def test_verdict_settles_the_dispute_whatever_is_open(verdict: DisputeStatus, status: DefenceStatus) -> None:
    """Demands without an answer are nobody's business any more."""
    decision = decided(now=OPENED, status=verdict, demands=(demand(OPENED + 10),), has_trace=False)
    assert (decision.answer, decision.status) == (Answer.SETTLE, status)


def test_dispute_that_the_node_does_not_know_waits() -> None:
    """A node that is behind, or a reorg that the logs will tell of."""
    assert decided(now=OPENED, status=DisputeStatus.NONE).answer is Answer.WAIT


def test_result_that_cannot_be_defended_costs_no_gas() -> None:
    """Nothing is sent; the verdict alone is waited for."""
    lost = replace(DEFENCE, status=DefenceStatus.INDEFENSIBLE, reason="another output")
    decision = decided(now=OPENED, defence=lost, demands=(demand(OPENED + 10),))
    assert (decision.answer, decision.status, decision.reason) == (Answer.WAIT, lost.status, lost.reason)
    assert decided(now=OPENED, defence=lost, status=DisputeStatus.UPHELD).status is DefenceStatus.UPHELD


DUTY = Duty(key=b"k", result_id=RESULT_ID, what="trace", since=1_000, until=2_000)


@pytest.mark.parametrize(
    ("now", "alarm"),
    [
        (1_000, Alarm.NONE),
        (1_499, Alarm.NONE),
        (1_500, Alarm.HALF),
        (1_899, Alarm.HALF),
        (1_900, Alarm.TENTH),
        (2_000, Alarm.TENTH),
        (2_001, Alarm.MISSED),
    ],
)
def test_alarm_grows_with_the_time_that_has_passed(now: int, alarm: Alarm) -> None:
    """At half of the time, at its last tenth, and when it is over."""
    assert alarm_of(DUTY, now) is alarm


def test_alarms_are_raised_once_and_again_for_new_duties() -> None:
    """Every step once; a duty that was done is forgotten, and one that comes back is told anew."""
    stream = io.StringIO()
    alarms = Alarms(make_logger(stream))
    for now in (1_400, 1_600, 1_700, 1_950, 1_960, 2_001, 2_100):
        alarms.look([DUTY], now)
    alarms.look([], 2_100)
    alarms.look([DUTY], 1_600)
    told = [(entry["event"], entry["level"]) for entry in map(json.loads, stream.getvalue().splitlines())]
    assert told == [
        ("deadline_near", "warning"),
        ("deadline_near", "critical"),
        ("deadline_missed", "critical"),
        ("deadline_near", "warning"),
    ]


def test_duties_are_traces_that_are_owed_and_demands() -> None:
    """A dispute whose trace is on chain owes only what is demanded."""
    owing = replace(DEFENCE, opened_at=OPENED, answer_by=OPENED + 100)
    done = replace(DEFENCE, opened_at=OPENED)
    assert [(duty.what, duty.since, duty.until) for duty in duties([owing, done], [], disclose_s=50)] == [
        ("trace", OPENED, OPENED + 100)
    ]
    (shown,) = duties([done], [demand(OPENED + 70)], disclose_s=50)
    assert (shown.what, shown.since, shown.until) == ("disclosure", OPENED + 20, OPENED + 70)
