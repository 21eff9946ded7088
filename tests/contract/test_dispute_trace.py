from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.court import Court, ShownTrace, Target, try_offchain_result, try_result
from tests.support.scene import Scene
from tests.support.system import DISPUTE_PARAMETERS

from sworn.types import DisputeStatus, Part, Profile

#: 40 values, two of them large: 37 chunks with a short last one, 16 full ones; one is empty.
VALUES = [bytes([number]) * (4 * number + 4) for number in range(37)]
TRACE = ShownTrace([*VALUES, b"\x25" * (36 * 1024 + 5), b"\x26" * (16 * 1024), b""])
LARGE, FULL, EMPTY = 37, 38, 39
TARGETS: list[Target] = [
    (Part.VALUES, 0, 6, 0),
    (Part.VALUES, 0, 4, 2),
    (Part.VALUES, 0, 0, 39),
    (Part.NODES, LARGE, 6, 0),
    (Part.NODES, LARGE, 5, 1),
    (Part.NODES, LARGE, 2, 9),
    (Part.NODES, 3, 0, 0),
    (Part.CHUNKS, LARGE, 0, 0),
    (Part.CHUNKS, LARGE, 0, 2),
    (Part.CHUNKS, FULL, 0, 0),
    (Part.CHUNKS, 3, 0, 0),
]
#: What no tree of this trace has.
ABSENT: list[Target] = [
    (Part.VALUES, 0, 0, 40),
    (Part.VALUES, 0, 7, 0),
    (Part.VALUES, 0, 4, 3),
    (Part.NODES, 40, 0, 0),
    (Part.NODES, LARGE, 0, 37),
    (Part.CHUNKS, LARGE, 0, 3),
    (Part.CHUNKS, EMPTY, 0, 0),
    (Part.CHUNKS, 2**32 - 1, 0, 2**32 - 1),
]


@pytest.fixture
def court(scene: Scene, challenger: Account) -> Court:
    """A challenged result whose operator has not committed to a trace."""
    court = try_result(scene)
    court.open(by=challenger)
    return court


@pytest.fixture
def traced(court: Court) -> Court:
    """The same with a trace."""
    court.commit_trace(TRACE)
    return court


def test_operator_commits_to_trace(court: Court, operator: Account) -> None:
    """The operator swears to the same result once more, with its trace; anyone relays."""
    receipt = court.commit_trace(TRACE)

    assert_emitted(
        receipt,
        "TraceCommitted",
        result_id=court.result_id,
        operator=operator,
        trace_root=TRACE.root,
        data_roots=(),
    )
    assert court.state["trace_root"] == TRACE.root


def test_roots_of_small_trace_are_committed_at_once(court: Court) -> None:
    """Then everybody knows every root."""
    receipt = court.commit_trace(TRACE, inline=True)

    assert_emitted(receipt, "TraceCommitted", trace_root=TRACE.root, data_roots=TRACE.data_roots)


@pytest.mark.parametrize("count", [0, 65])
def test_too_many_roots_or_none_revert(court: Court, count: int) -> None:
    """More than 64 are demanded piece by piece."""
    trace = ShownTrace([bytes([number % 256]) for number in range(count)])

    with reverts("TraceRootsInvalid", count=count):
        court.commit_trace(trace, inline=True)


def test_trace_that_operator_did_not_sign_reverts(court: Court, challenger: Account) -> None:
    """Nobody commits an operator to garbage."""
    result = replace(court.result, trace_root=TRACE.root)

    with reverts("SignerNotAuthorized"):
        court.commit_trace(TRACE, signature=court.scene.sign(result, signer=challenger))


def test_signature_under_other_trace_reverts(court: Court) -> None:
    """The signature binds the trace."""
    with reverts("SignerNotAuthorized"):
        court.commit_trace(TRACE, signature=court.sworn_with(b"\x07" * 32))


def test_second_trace_reverts(traced: Court) -> None:
    """An operator has one trace."""
    other = ShownTrace([b"\x00"])

    with reverts("TraceRootInvalid", trace_root=other.root):
        traced.commit_trace(other)


def test_trace_of_result_that_carries_one_reverts(scene: Scene, challenger: Account) -> None:
    """What was sworn with a trace stands."""
    court = try_result(scene, profile=Profile.BOUNDED, trace_root=TRACE.root)
    court.open(by=challenger)

    with reverts("TraceRootInvalid"):
        court.commit_trace(ShownTrace([b"\x00"]))


def test_trace_in_last_second_counts(court: Court) -> None:
    """The phase's last second is part of it."""
    court.scene.chain.travel(to=court.state["opened_at"] + DISPUTE_PARAMETERS["traceSeconds"])

    court.commit_trace(TRACE)

    assert court.state["trace_root"] == TRACE.root


def test_trace_after_its_phase_reverts(court: Court) -> None:
    """Then only conviction is left."""
    until = court.state["opened_at"] + DISPUTE_PARAMETERS["traceSeconds"]
    court.scene.chain.travel(to=until + 1)

    with reverts("MoveTooLate", until=until):
        court.commit_trace(TRACE)


def test_silence_about_trace_convicts_one_second_after_its_phase(court: Court, operator: Account) -> None:
    """Not a second earlier."""
    until = court.state["opened_at"] + DISPUTE_PARAMETERS["traceSeconds"]
    court.scene.chain.travel(to=until)
    with reverts("MoveTooEarly", until=until):
        court.convict_silence()
    court.scene.chain.travel(to=until + 1)

    receipt = court.convict_silence()

    assert_emitted(receipt, "SilenceConvicted", result_id=court.result_id, operator=operator)
    assert_emitted(receipt, "ResultRefuted", operator=operator)
    assert court.state["status"] == DisputeStatus.REFUTED


def test_demand_is_recorded_and_priced(traced: Court, challenger: Account) -> None:
    """The price waits in the contract until the answer; what was sent beyond it is the challenger's."""
    target = TARGETS[0]
    paid = traced.price(Part.VALUES)

    receipt = traced.demand(target, by=challenger, price_wei=3 * paid)

    demand_id = traced.game.call("demandIdOf", traced.result_id, challenger, target)
    due_at = receipt.timestamp + DISPUTE_PARAMETERS["discloseSeconds"]
    assert_emitted(receipt, "Demanded", demand_id=demand_id, challenger=challenger, price_wei=paid, due_at=due_at)
    assert traced.game.call("demandOf", demand_id) == (due_at, paid)
    assert traced.state["open_demands"] == 1
    assert traced.reward_of(challenger) == 2 * paid


def test_demand_below_price_reverts(traced: Court, challenger: Account) -> None:
    """An answer must never cost the operator money."""
    with reverts("DemandPriceTooLow", sent_wei=1):
        traced.demand(TARGETS[0], by=challenger, price_wei=1)


def test_demand_twice_reverts(traced: Court, challenger: Account) -> None:
    """The same answer is not asked for again, waiting or given."""
    target = TARGETS[0]
    traced.demand(target, by=challenger)
    with reverts("DemandExists"):
        traced.demand(target, by=challenger)
    traced.disclose(target, TRACE.show(target), to=challenger)

    with reverts("DemandExists"):
        traced.demand(target, by=challenger)


def test_demand_by_stranger_reverts(traced: Court, stranger: Account) -> None:
    """Only those with a bond keep an operator busy."""
    with reverts("NotChallenger", account=stranger):
        traced.demand(TARGETS[0], by=stranger)


def test_demand_without_trace_reverts(court: Court, challenger: Account) -> None:
    """There is nothing to show yet."""
    with reverts("TraceNotCommitted"):
        court.demand(TARGETS[0], by=challenger)


def test_more_than_sixty_four_waiting_demands_revert(traced: Court, challenger: Account) -> None:
    """A challenger has a MiB of chunks on the way at most; an answer makes room."""
    waiting: list[Target] = [(Part.VALUES, 0, 0, index) for index in range(64)]
    for target in waiting:
        traced.demand(target, by=challenger)
    with reverts("TooManyDemands", account=challenger):
        traced.demand(TARGETS[0], by=challenger)
    traced.disclose(waiting[0], TRACE.show(waiting[0]), to=challenger)

    traced.demand(TARGETS[0], by=challenger)

    assert traced.state["open_demands"] == 64


@pytest.mark.parametrize("target", [(Part.VALUES, 1, 0, 0), (Part.CHUNKS, 0, 1, 0), (Part.NODES, 0, 33, 0)])
def test_demand_for_what_no_trace_has_reverts(traced: Court, challenger: Account, target: Target) -> None:
    """Trees have at most 2^32 leaves."""
    with reverts("TargetInvalid"):
        traced.demand(target, by=challenger)


def test_demand_after_its_phase_reverts(traced: Court, challenger: Account) -> None:
    """The operator's last answer is due before the end."""
    until = traced.state["closes_at"] + DISPUTE_PARAMETERS["traceSeconds"] + DISPUTE_PARAMETERS["demandSeconds"]
    traced.scene.chain.travel(to=until + 1)

    with reverts("MoveTooLate", until=until):
        traced.demand(TARGETS[0], by=challenger)


@pytest.mark.parametrize("target", TARGETS)
def test_disclosure_is_taken_and_paid(traced: Court, challenger: Account, operator: Account, target: Target) -> None:
    """What leads to the trace root is an answer, and earns the price."""
    paid = traced.price(target[0])
    traced.demand(target, by=challenger)
    shown = TRACE.show(target)

    receipt = traced.disclose(target, shown, to=challenger)

    assert_emitted(receipt, "Disclosed", result_id=traced.result_id, challenger=challenger, disclosure=shown)
    assert traced.reward_of(operator) == paid
    assert traced.state["open_demands"] == 0
    assert traced.state["spent_wei"] == paid


@pytest.mark.parametrize("target", TARGETS)
def test_false_disclosure_reverts(traced: Court, challenger: Account, target: Target) -> None:
    """One changed field, and it is no answer."""
    traced.demand(target, by=challenger)
    forgeries: list[dict[str, object]] = [
        {"values": 41},
        {"values_tree": b"\x01" * 32},
        {"siblings": [b"\x01" * 32] * 7},
        {"nodes": [b"\x01" * 32]} if target[0] is not Part.CHUNKS else {"chunks": b"\x01"},
        {"nodes": []} if target[0] is not Part.CHUNKS else {"chunks": b""},
    ]
    if target[0] is not Part.VALUES:
        forgeries += [{"length": 7}, {"chunks_tree": b"\x01" * 32}, {"value_siblings": []}]
    for forgery in forgeries:
        with reverts("DisclosureMismatch"):
            traced.disclose(target, TRACE.show(target, **forgery), to=challenger)


@pytest.mark.parametrize("target", ABSENT)
def test_showing_that_something_is_absent_answers(traced: Court, challenger: Account, target: Target) -> None:
    """Counts are part of the roots: a demand for what the trace does not have is no trap."""
    traced.demand(target, by=challenger)

    traced.disclose(target, TRACE.show(target), to=challenger)

    assert traced.state["open_demands"] == 0


def test_claiming_that_something_is_absent_reverts(traced: Court, challenger: Account) -> None:
    """An operator cannot hide a chunk behind a shorter length."""
    target: Target = (Part.CHUNKS, LARGE, 0, 2)
    traced.demand(target, by=challenger)

    with reverts("DisclosureMismatch"):
        traced.disclose(target, TRACE.show(target, length=1024), to=challenger)


def test_disclosure_that_nobody_demanded_reverts(traced: Court, challenger: Account) -> None:
    """There is nothing to earn unasked."""
    with reverts("DemandMissing"):
        traced.disclose(TARGETS[0], TRACE.show(TARGETS[0]), to=challenger)


def test_disclosure_twice_reverts(traced: Court, challenger: Account) -> None:
    """An answer is paid once."""
    target = TARGETS[0]
    traced.demand(target, by=challenger)
    traced.disclose(target, TRACE.show(target), to=challenger)

    with reverts("DemandAnswered"):
        traced.disclose(target, TRACE.show(target), to=challenger)


def test_disclosure_in_last_second_counts_and_a_second_later_not(traced: Court, challenger: Account) -> None:
    """The deadline is a second, for both sides."""
    early, late = TARGETS[0], TARGETS[1]
    traced.demand(late, by=challenger)
    due_at = traced.demand(early, by=challenger).timestamp + DISPUTE_PARAMETERS["discloseSeconds"]
    traced.scene.chain.travel(to=due_at)

    traced.disclose(early, TRACE.show(early), to=challenger)
    with reverts("MoveTooLate", until=due_at - 1):
        traced.disclose(late, TRACE.show(late), to=challenger)


def test_unanswered_demand_convicts_one_second_after_it_was_due(traced: Court, challenger: Account) -> None:
    """Not a second earlier."""
    target = TARGETS[0]
    due_at = traced.demand(target, by=challenger).timestamp + DISPUTE_PARAMETERS["discloseSeconds"]
    traced.scene.chain.travel(to=due_at)
    with reverts("MoveTooEarly", until=due_at):
        traced.convict_silence(challenger=challenger, target=target)
    traced.scene.chain.travel(to=due_at + 1)

    receipt = traced.convict_silence(challenger=challenger, target=target)

    assert_emitted(receipt, "SilenceConvicted")
    assert traced.state["status"] == DisputeStatus.REFUTED


def test_answered_or_unmade_demand_does_not_convict(traced: Court, challenger: Account) -> None:
    """However long one waits."""
    target = TARGETS[0]
    traced.demand(target, by=challenger)
    traced.disclose(target, TRACE.show(target), to=challenger)
    traced.scene.chain.travel(to=traced.ends_at + 1)

    with reverts("MoveTooEarly"):
        traced.convict_silence(challenger=challenger, target=target)
    with reverts("DemandMissing"):
        traced.convict_silence(challenger=challenger, target=TARGETS[1])


def test_garbage_trace_root_cannot_answer_anything(court: Court, challenger: Account) -> None:
    """An operator that commits to a root without a trace is convicted for its silence."""
    garbage = ShownTrace([b"\x01"])
    garbage.root = b"\x66" * 32
    court.commit_trace(garbage)
    target: Target = (Part.VALUES, 0, 0, 0)
    due_at = court.demand(target, by=challenger).timestamp + DISPUTE_PARAMETERS["discloseSeconds"]

    with reverts("DisclosureMismatch"):
        court.disclose(target, garbage.show(target), to=challenger)
    court.scene.chain.travel(to=due_at + 1)
    court.convict_silence(challenger=challenger, target=target)

    assert court.state["status"] == DisputeStatus.REFUTED


def test_offchain_result_is_traced_the_same_way(scene: Scene, challenger: Account) -> None:
    """Only the request is missing."""
    court = try_offchain_result(scene)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    target: Target = (Part.CHUNKS, FULL, 0, 0)
    price = court.price(Part.CHUNKS)
    court.demand(target, by=challenger)

    court.disclose(target, TRACE.show(target), to=challenger)

    assert court.state["spent_wei"] == price
