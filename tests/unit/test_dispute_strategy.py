from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sworn.codec.dispute_structs import fault_commitment
from sworn.codec.hashing import Domain
from sworn.dispute.case import MATURITY_BLOCKS, MATURITY_S, Case, Clocks
from sworn.dispute.search import FaultFound, NoFault, Wanted
from sworn.dispute.strategy import Action, Done, Knowledge, Move, OpenDemand, Step, View, Wait, next_move, salt_of
from sworn.referee import FaultKind
from sworn.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    ChallengerState,
    Dispute,
    DisputeStatus,
    ModelId,
    Part,
    RequestId,
    Result,
    ResultId,
    Target,
)

ME, FRIEND = Address("0x" + "0A" * 20), Address("0x" + "0b" * 20)
CLOCKS = Clocks(tail_s=86_400, trace_s=3600, demand_s=7200, disclose_s=1800, commit_s=1800, reveal_s=1200)
OPENED, CLOSES = 10_000, 10_600
ENDS = CLOSES + 3600 + 7200 + 1800 + 1800 + 1200
BOND, PRICE = 1_000, 100
SECRET = b"\x05" * 32
FAULT = FaultFound(kind=FaultKind.ELEMENT, value=3, index=7, proof=b"proof")
TARGET = Target(part=Part.VALUES, level=4)
RESULT = Result(
    request_id=RequestId(b"\x01" * 32),
    model_id=ModelId(b"\x02" * 32),
    input_root=b"\x03" * 32,
    output_root=b"\x04" * 32,
    trace_root=ZERO_HASH,
    operator=FRIEND,
    expiry=20_000,
)
CASE = Case.of(RESULT, Domain(chain_id=1, oracle=FRIEND))
NOBODY = ChallengerState(
    bond_wei=0,
    locked_wei=0,
    spent_wei=0,
    commitment=ZERO_HASH,
    committed_at=0,
    committed_in_block=0,
    open_demands=0,
    claimed=False,
)
NEVER = Dispute(
    status=DisputeStatus.NONE,
    opened_at=0,
    closes_at=0,
    opener=ZERO_ADDRESS,
    joined_wei=0,
    spent_wei=0,
    open_demands=0,
    trace_root=ZERO_HASH,
    prover=ZERO_ADDRESS,
    committed_at=0,
    proof_cost_gwei=0,
    reward_wei=0,
)
OPEN = replace(NEVER, status=DisputeStatus.OPEN, opened_at=OPENED, closes_at=CLOSES, opener=ME)
TRACED = replace(OPEN, trace_root=b"\x09" * 32)
COMMITMENT = fault_commitment(
    CASE.result_id, ME, kind=1, value=3, index=7, salt=salt_of(SECRET, CASE.result_id, ME, FAULT)
)


def look(dispute: Dispute, *, me: ChallengerState | None = None, **changes: Any) -> View:
    """A view of a dispute in which we have posted a bond, unless told."""
    posted = replace(NOBODY, bond_wei=BOND if dispute.status is not DisputeStatus.NONE else 0)
    view = View(
        case=CASE,
        account=ME,
        closes_at=CLOSES,
        dispute=dispute,
        me=me or posted,
        max_open_demands=2,
        smallest_bond_wei=BOND,
        opener_bond_wei=3 * BOND,
        prices=dict.fromkeys(Part, PRICE),
    )
    return replace(view, **changes)


def move(view: View, *, now: int, head: int = 100, **known: Any) -> Step:
    """What a challenger does who is sure that the result is false."""
    knowledge = replace(Knowledge(is_false=True, secret=SECRET, budget_wei=10 * PRICE), **known)
    return next_move(view, knowledge, CLOCKS, now=now, head=head)


def committed(at: int = OPENED, block: int = 50, **changes: Any) -> ChallengerState:
    """Us, with a bond and a commitment to the fault."""
    return replace(NOBODY, bond_wei=BOND, commitment=COMMITMENT, committed_at=at, committed_in_block=block, **changes)


@pytest.mark.parametrize(("now", "opens"), [(CLOSES - 1, True), (CLOSES, True), (CLOSES + 1, False)])
def test_false_result_is_challenged_until_the_window_closes(now: int, opens: bool) -> None:
    """To the last second and not beyond, with a bond that bears a rise of the base fee."""
    step = move(look(NEVER), now=now)
    assert step == (Move(action=Action.OPEN, value_wei=BOND * 5 // 4) if opens else step)
    assert isinstance(step, Move if opens else Done)


def test_result_that_is_not_known_to_be_false_is_left_alone() -> None:
    """Neither opened nor joined."""
    stranger = look(replace(OPEN, opener=FRIEND), me=NOBODY)
    assert isinstance(move(look(NEVER), now=OPENED, is_false=False), Done)
    assert isinstance(move(stranger, now=OPENED, is_false=False), Done)


@pytest.mark.parametrize(("now", "joins"), [(CLOSES, True), (CLOSES + 1, False)])
def test_dispute_that_somebody_else_opened_is_joined_with_its_bond(now: int, joins: bool) -> None:
    """A friend of the operator who comes first keeps nobody out."""
    step = move(look(replace(OPEN, opener=FRIEND), me=NOBODY), now=now)
    assert isinstance(step, Move if joins else Done)
    assert not joins or step == Move(action=Action.JOIN, value_wei=3 * BOND)


@pytest.mark.parametrize("late", [0, 1])
def test_operator_without_trace_is_convicted_one_second_after_its_time(late: int) -> None:
    """Never before: it would revert."""
    step = move(look(OPEN), now=OPENED + CLOCKS.trace_s + late)
    waits = Wait(until=OPENED + CLOCKS.trace_s + 1, reason="the operator has not committed to a trace")
    assert step == (Move(action=Action.CONVICT_SILENCE) if late else waits)


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("whose", [ME, FRIEND])
def test_unanswered_demand_of_anybody_convicts_one_second_after_its_time(late: int, whose: Address) -> None:
    """The earliest due one, whoever made it."""
    due = OPENED + 500
    demands = (
        OpenDemand(challenger=ME, target=replace(TARGET, level=0), due_at=due + 60),
        OpenDemand(challenger=whose, target=TARGET, due_at=due),
    )
    step = move(look(TRACED, open_demands=demands), now=due + late)
    convicts = Move(action=Action.CONVICT_SILENCE, challenger=whose, target=TARGET)
    assert step == (convicts if late else Wait(until=due + 1, reason="the operator has not answered a demand"))


def test_wanted_part_is_demanded_unless_it_was_or_somebody_waits_for_it() -> None:
    """What another has demanded is shown to everybody: it is not paid for twice."""
    wanted = Wanted(targets=(TARGET, replace(TARGET, level=0)))
    now = OPENED + 10
    waiting = OpenDemand(challenger=FRIEND, target=TARGET, due_at=now + 1800)
    first = Move(action=Action.DEMAND, target=TARGET, value_wei=PRICE * 5 // 4)
    assert move(look(TRACED), now=now, finding=wanted) == first
    second = move(look(TRACED, open_demands=(waiting,)), now=now, finding=wanted)
    assert second == replace(first, target=replace(TARGET, level=0))
    lagging = move(look(TRACED, asked=frozenset({TARGET})), now=now, finding=wanted)
    assert isinstance(lagging, Wait) and "told" in lagging.reason


@pytest.mark.parametrize(("now", "asks"), [(CLOSES + 10_800, True), (CLOSES + 10_801, False)])
def test_demands_end_with_their_phase(now: int, asks: bool) -> None:
    """After it there is nothing left but to wait for the end."""
    step = move(look(TRACED), now=now, finding=Wanted(targets=(TARGET,)))
    assert isinstance(step, Move) is asks
    assert asks or step == Wait(until=ENDS + 1, reason="nothing more can be demanded")


def test_demands_stay_within_number_and_budget() -> None:
    """As many as the contract lets wait, for no more than may be spent."""
    wanted = Wanted(targets=(TARGET,))
    full = replace(NOBODY, bond_wei=BOND, open_demands=2)
    spent = replace(NOBODY, bond_wei=BOND, spent_wei=6 * PRICE, locked_wei=3 * PRICE + 1)
    for me in (full, spent):
        assert isinstance(move(look(TRACED, me=me), now=OPENED, finding=wanted), Wait)
    affordable = replace(spent, locked_wei=3 * PRICE)
    assert isinstance(move(look(TRACED, me=affordable), now=OPENED, finding=wanted), Move)


def test_view_after_a_demand_leads_to_the_next_one() -> None:
    """Several demands can go out without waiting for the blocks between them."""
    wanted, other = Wanted(targets=(TARGET, replace(TARGET, level=0))), replace(TARGET, level=0)
    view = look(TRACED).demanding(TARGET, due_at=OPENED + 1800)
    step = move(view, now=OPENED, finding=wanted)
    assert isinstance(step, Move) and step.target == other
    assert isinstance(move(view.demanding(other, due_at=OPENED + 1800), now=OPENED, finding=wanted), Wait)


@pytest.mark.parametrize(("now", "commits"), [(ENDS - 1200, True), (ENDS - 1199, False)])
def test_fault_is_committed_to_while_it_can_still_be_proven(now: int, commits: bool) -> None:
    """A commitment needs its time to ripen and to be revealed."""
    step = move(look(TRACED), now=now, finding=FAULT)
    assert isinstance(step, Move) is commits
    assert not commits or step == Move(action=Action.COMMIT_FAULT, commitment=COMMITMENT)


@pytest.mark.parametrize(
    ("seconds", "blocks", "ripe"),
    [(MATURITY_S, MATURITY_BLOCKS, True), (MATURITY_S - 1, MATURITY_BLOCKS, False), (MATURITY_S, 4, False)],
)
def test_commitment_is_proven_when_it_is_ripe(seconds: int, blocks: int, ripe: bool) -> None:
    """Both clocks have to agree."""
    step = move(look(TRACED, me=committed()), now=OPENED + seconds, head=50 + blocks, finding=FAULT)
    assert isinstance(step, Move if ripe else Wait)
    if isinstance(step, Move):
        salt = salt_of(SECRET, CASE.result_id, ME, FAULT)
        assert step == Move(action=Action.PROVE_FAULT, proof=b"proof", salt=salt, since=OPENED)


@pytest.mark.parametrize(("age", "action"), [(1200, Action.PROVE_FAULT), (1201, Action.COMMIT_FAULT)])
def test_commitment_that_has_lapsed_is_made_again(age: int, action: Action) -> None:
    """Under another name than the first one, so that it is really sent."""
    step = move(look(TRACED, me=committed()), now=OPENED + age, finding=FAULT)
    assert isinstance(step, Move) and step.action is action
    first = Move(action=Action.COMMIT_FAULT, commitment=COMMITMENT)
    assert step.key(CASE.result_id) != first.key(CASE.result_id)


def test_commitment_to_something_else_is_replaced() -> None:
    """For example one whose secret was lost with the database."""
    me = replace(committed(), commitment=b"\x77" * 32)
    step = move(look(TRACED, me=me), now=OPENED + 100, finding=FAULT)
    assert isinstance(step, Move) and step.action is Action.COMMIT_FAULT and step.commitment == COMMITMENT


def test_ripe_proof_goes_before_silence_and_silence_before_ripening() -> None:
    """The prover earns more, but no sooner than it can prove."""
    overdue = (OpenDemand(challenger=ME, target=TARGET, due_at=OPENED),)
    unripe = move(look(TRACED, me=committed(), open_demands=overdue), now=OPENED + 1, finding=FAULT)
    ripe = move(look(TRACED, me=committed(), open_demands=overdue), now=OPENED + 60, finding=FAULT)
    assert isinstance(unripe, Move) and unripe.action is Action.CONVICT_SILENCE
    assert isinstance(ripe, Move) and ripe.action is Action.PROVE_FAULT


@pytest.mark.parametrize("late", [0, 1])
def test_dispute_without_fault_is_resolved_after_its_end(late: int) -> None:
    """The requester gets its result, although the bond is lost."""
    step = move(look(TRACED), now=ENDS + late, finding=NoFault(reason="all is right"))
    assert step == (Move(action=Action.RESOLVE) if late else Wait(until=ENDS + 1, reason="all is right"))


def test_dispute_that_cannot_be_resolved_is_ended_by_silence() -> None:
    """An operator that owes an answer is never upheld."""
    owed = (OpenDemand(challenger=FRIEND, target=TARGET, due_at=ENDS),)
    step = move(look(TRACED, open_demands=owed), now=ENDS + 1)
    assert isinstance(step, Move) and step.action is Action.CONVICT_SILENCE


@pytest.mark.parametrize("late", [0, 1])
def test_share_is_claimed_when_nobody_can_take_the_provers_place(late: int) -> None:
    """Then it is paid out, then nothing is left."""
    won = replace(TRACED, status=DisputeStatus.REFUTED, prover=ME, committed_at=OPENED)
    settles = OPENED + CLOCKS.reveal_s
    step = move(look(won, me=committed()), now=settles + late, finding=FAULT)
    assert step == (
        Move(action=Action.CLAIM)
        if late
        else Wait(until=settles + 1, reason="an earlier commitment may still be proven")
    )
    claimed = look(won, me=committed(claimed=True), reward_wei=5)
    assert move(claimed, now=settles + 1) == Move(action=Action.WITHDRAW)
    assert isinstance(move(replace(claimed, reward_wei=0), now=settles + 1), Done)


@pytest.mark.parametrize(("theirs", "takes"), [(OPENED + 1, True), (OPENED, False)])
def test_earlier_commitment_takes_the_provers_place(theirs: int, takes: bool) -> None:
    """A copied reveal, or a later one, earns nothing."""
    lost = replace(TRACED, status=DisputeStatus.REFUTED, prover=FRIEND, committed_at=theirs)
    step = move(look(lost, me=committed()), now=OPENED + 70, finding=FAULT)
    assert isinstance(step, Move) is takes
    assert not takes or (isinstance(step, Move) and step.action is Action.PROVE_FAULT)


def test_upheld_dispute_leaves_nothing_to_do() -> None:
    """The bond is gone."""
    assert isinstance(move(look(replace(TRACED, status=DisputeStatus.UPHELD)), now=ENDS + 9), Done)


def test_salts_of_different_faults_results_and_secrets_differ() -> None:
    """And each is the same whenever it is asked for."""
    salts = [
        salt_of(SECRET, CASE.result_id, ME, FAULT),
        salt_of(b"\x06" * 32, CASE.result_id, ME, FAULT),
        salt_of(SECRET, ResultId(b"\x01" * 32), ME, FAULT),
        salt_of(SECRET, CASE.result_id, FRIEND, FAULT),
        salt_of(SECRET, CASE.result_id, ME, replace(FAULT, index=8)),
    ]
    assert len({*salts, salt_of(SECRET, CASE.result_id, ME, FAULT)}) == len(salts) == 5
