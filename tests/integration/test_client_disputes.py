"""Disputes as the client opens, fights, reads and ends them, before the real referee."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.client_world import ETHER, PRICE_WEI, World, open_world
from tests.support.lying_operator import Lie, compiled, ripen, settle, tell_lie

from sworn import abi
from sworn.client import Cause, Party
from sworn.codec.hashing import Domain, result_digest
from sworn.dispute.case import Case
from sworn.errors import ConfigurationError, ContractRevert, RequestRefuted, RequestTimeout, RequestUnknown
from sworn.referee import encode_proof
from sworn.testing.local_chain import ChainKind
from sworn.types import ZERO_HASH, DisputeStatus, Part, RequestId, Result, Status, Target

CHALLENGER, FRIEND = 5, 6
VALUE_AT_RISK = ETHER // 20


@pytest.fixture(scope="module")
def stage() -> Iterator[World]:
    """A deployment with one operator."""
    with open_world(ChainKind.EMBEDDED) as world:
        world.enrol()
        yield world


@pytest.fixture
def world(stage: World) -> Iterator[World]:
    """The stage for one test."""
    mark = stage.chain.snapshot()
    yield stage
    stage.chain.revert(mark)


@pytest.fixture
def lie(world: World) -> Lie:
    """A false answer with ten minutes to challenge it."""
    return tell_lie(world, window=600, value_at_risk=VALUE_AT_RISK)


def test_dispute_of_a_false_answer_ends_with_everybody_paid(world: World, lie: Lie) -> None:
    """Opened, proven by one element, settled: requester and challenger get theirs out of the liar's bond."""
    client = world.client(CHALLENGER)
    dispute = client.dispute(lie.handle.request_id)
    preview = dispute.bond()
    dispute.open()
    lie.commit_trace(dispute.case)
    dispute.commit_fault(lie.fault)
    ripen(world)
    dispute.prove(lie.fault)

    assert lie.handle.status().status is Status.REFUTED
    settle(world, dispute)
    dispute.claim()
    assert client.reward() == preview.bond_wei + preview.reward_wei
    assert preview.slash_wei == 2 * VALUE_AT_RISK and preview.reward_wei == preview.slash_wei * 3 // 10
    assert world.client().reward() == preview.slash_wei // 2
    before = world.chain.gateway.balance(client.address)
    paid = dispute.withdraw()
    cost = paid.gas_used * paid.effective_gas_price
    assert world.chain.gateway.balance(client.address) - before + cost == preview.bond_wei + preview.reward_wei
    assert dispute.state().next_step.startswith("Nothing to do")


def test_dispute_report_at_every_phase_says_who_must_move(world: World, lie: Lie) -> None:
    """From the unchallenged result to the verdict, the report names the party, the move and the last second."""
    dispute = world.client(CHALLENGER).dispute(lie.handle)
    report = dispute.state()
    assert report.status is DisputeStatus.NONE
    assert [(each.who, each.until) for each in report.deadlines] == [(Party.ANYONE, dispute.bond().until)]

    dispute.open()
    report = dispute.state()
    (owed,) = [each for each in report.deadlines if each.binding]
    assert (owed.who, owed.account, owed.what) == (Party.OPERATOR, world.operator, "commit to its trace")
    assert owed.until == report.dispute.opened_at + world.deployment.parameters["traceSeconds"]

    lie.commit_trace(dispute.case)
    dispute.demand(Target(part=Part.CHUNKS, value=1))
    report = dispute.state()
    assert report.trace_root == lie.trace.root
    (owed,) = [each for each in report.deadlines if each.binding]
    assert owed.what == "show chunks 0 to 15 of value 1" and owed.until == report.demands[0].due_at

    names = [each.name for each in report.timeline]
    assert names == ["DisputeOpened", "TraceCommitted", "Demanded"]
    assert [each.at for each in report.timeline] == sorted(each.at for each in report.timeline)
    assert report.ends_at == report.dispute.closes_at + sum(
        world.deployment.parameters[f"{name}Seconds"] for name in ("trace", "demand", "disclose", "commit", "reveal")
    )


def test_dispute_with_a_silent_operator_is_won_without_a_proof(world: World, lie: Lie) -> None:
    """No trace in time: whoever says so convicts, one second after the deadline and not before."""
    dispute = world.client(CHALLENGER).dispute(lie.handle)
    dispute.open()
    report = dispute.state()
    world.chain.advance(world.deployment.parameters["traceSeconds"])
    # A transaction comes in the next block, at least a second later: the simulation looks at the latest one.
    assert dispute.state().now - report.dispute.opened_at == world.deployment.parameters["traceSeconds"]
    world.chain.advance(1)
    assert "Convict the operator" in dispute.state().next_step
    world.client(FRIEND).dispute(lie.handle).convict_silence()
    assert dispute.state().status is DisputeStatus.REFUTED


def test_dispute_with_an_unanswered_demand_convicts_for_it(world: World, lie: Lie) -> None:
    """The oldest unanswered demand is the one that silence is convicted for; before it is due the contract refuses."""
    dispute = world.client(CHALLENGER).dispute(lie.handle)
    dispute.open()
    lie.commit_trace(dispute.case)
    with pytest.raises(ConfigurationError, match="owes nothing"):
        dispute.convict_silence()
    dispute.demand(Target(part=Part.VALUES))
    with pytest.raises(abi.reverts()["MoveTooEarly"]):
        dispute.convict_silence()
    world.chain.advance(world.deployment.parameters["discloseSeconds"] + 1)
    assert "should have shown" in dispute.state().reason
    dispute.convict_silence()
    assert dispute.state().status is DisputeStatus.REFUTED


def test_dispute_without_a_proof_ends_for_the_operator(world: World, lie: Lie) -> None:
    """The result stands, the bond goes to operator and requester, and the request goes on where it was."""
    dispute = world.client(CHALLENGER).dispute(lie.handle)
    bond_wei = dispute.bond().bond_wei
    dispute.open()
    lie.commit_trace(dispute.case)
    report = dispute.state()
    assert report.ends_at is not None
    with pytest.raises(abi.reverts()["MoveTooEarly"]):
        dispute.resolve()
    world.chain.advance(report.ends_at - report.now + 1)
    assert dispute.state().next_step == "Resolve it: anyone may."
    dispute.resolve()
    assert dispute.state().status is DisputeStatus.UPHELD
    assert world.client(1).reward() == bond_wei - bond_wei * 30 // 100
    assert lie.handle.status().cause is Cause.FINALIZABLE
    lie.handle.finalize()
    assert lie.handle.wait(timeout=1).final


def test_friend_who_opens_first_does_not_shield_the_lie(world: World, lie: Lie) -> None:
    """The operator's friend opens and sits still; somebody else joins with the same bond and proves."""
    friend = world.client(FRIEND).dispute(lie.handle)
    friend.open()
    dispute = world.client(CHALLENGER).dispute(lie.handle)
    preview = dispute.bond()
    assert preview.bond_wei == preview.smallest_wei == preview.risk_wei == friend.state().bonds_wei
    assert preview.largest_wei is None and not preview.obstacle
    dispute.join()
    lie.commit_trace(dispute.case)
    dispute.commit_fault(lie.fault)
    ripen(world)
    dispute.prove(encode_proof(lie.fault.proof()))
    report = dispute.state()
    assert report.dispute.prover == world.client(CHALLENGER).address
    assert [each.account for each in report.challengers] == [world.client(key).address for key in (FRIEND, CHALLENGER)]
    settle(world, dispute)
    dispute.claim()
    reward = report.dispute.reward_wei
    assert world.client(CHALLENGER).reward() == dispute.bond().bond_wei + reward - reward // 10


def test_request_under_challenge_says_so_and_is_waited_for(world: World, lie: Lie) -> None:
    """Status and wait know the dispute; the waiting ends with the refutation, not with a result."""
    dispute = world.client(CHALLENGER).dispute(lie.handle)
    dispute.open()
    report = lie.handle.status()
    assert (report.status, report.cause) == (Status.DISPUTED, Cause.DISPUTED)
    assert "must commit to the trace" in report.reason and "ends within" in report.next_step
    assert report.dispute is not None and report.dispute.result_id == dispute.result_id
    assert report.window_closes_at == report.dispute.dispute.closes_at
    with pytest.raises(RequestTimeout, match="under challenge"):
        lie.handle.wait(timeout=0.05)
    disputed = lie.handle.wait(timeout=1, until="proposed")
    assert disputed.status is Status.DISPUTED and not disputed.final

    lie.commit_trace(dispute.case)
    dispute.commit_fault(lie.fault)
    ripen(world)
    dispute.prove(lie.fault)
    with pytest.raises(RequestRefuted):
        lie.handle.wait(timeout=1)
    step = lie.handle.status().next_step
    assert str(PRICE_WEI) in step and f"compensation: {VALUE_AT_RISK} wei" in step


def test_disputes_are_found_by_state_operator_and_request(world: World, lie: Lie) -> None:
    """The list comes from events, the newest first, and each row leads back to its handle."""
    other = tell_lie(world, window=600)
    client = world.client(CHALLENGER)
    assert client.disputes() == ()
    for each in (lie, other):
        client.dispute(each.handle).open()
    newest, oldest = client.disputes()
    assert (newest.request_id, oldest.request_id) == (other.handle.request_id, lie.handle.request_id)
    assert oldest.operator == world.operator and oldest.opener == client.address
    world.chain.advance(world.deployment.parameters["traceSeconds"] + 1)
    client.dispute(oldest).convict_silence()
    assert [each.result_id for each in client.disputes(status=DisputeStatus.OPEN)] == [newest.result_id]
    assert [each.result_id for each in client.disputes(request_id=lie.handle)] == [oldest.result_id]
    assert client.disputes(operator=client.address) == ()
    assert len(client.disputes(operator=world.operator)) == 2


def test_dispute_is_found_by_request_result_and_record(world: World, lie: Lie) -> None:
    """Whatever names the result leads to the same handle; what names none is refused."""
    client = world.client(CHALLENGER)
    by_request = client.dispute(lie.handle.request_id)
    by_result = client.dispute(lie.handle.wait(timeout=1, until="proposed"))
    assert by_request.result_id == by_result.result_id
    with pytest.raises(RequestUnknown):
        client.dispute(by_result.result_id)
    by_request.open()
    assert client.dispute(by_result.result_id).case == by_request.case
    assert client.dispute(by_request.case).result_id == by_request.result_id
    with pytest.raises(RequestUnknown):
        client.dispute(RequestId(ZERO_HASH))
    with pytest.raises(RequestTimeout):
        client.dispute(world.request())


def test_bond_preview_of_a_closed_window_names_the_obstacle(world: World, lie: Lie) -> None:
    """After the window nothing can be posted, and the preview says so before the contract does."""
    dispute = world.client(CHALLENGER).dispute(lie.handle)
    assert dispute.bond().obstacle == ""
    world.chain.advance(601)
    preview = dispute.bond()
    assert "any more" in preview.obstacle and preview.largest_wei == 4 * preview.smallest_wei
    with pytest.raises(abi.reverts()["WindowClosed"]):
        dispute.open()


def test_commitment_is_made_again_by_the_same_key_alone(world: World, lie: Lie) -> None:
    """A new client of the same account proves what the old one committed to; another account's salt differs."""
    dispute = world.client(CHALLENGER).dispute(lie.handle)
    dispute.open()
    world.client(FRIEND).dispute(lie.handle).join()
    lie.commit_trace(dispute.case)
    dispute.commit_fault(lie.fault)
    world.client(FRIEND).dispute(lie.handle).commit_fault(lie.fault)
    first, second = dispute.state().challengers
    assert first.state.commitment != second.state.commitment
    secrets = [world.client(key)._signing.secret("salts") for key in (CHALLENGER, CHALLENGER, FRIEND)]
    assert secrets[0] == secrets[1] != secrets[2]
    ripen(world)
    world.client(CHALLENGER).dispute(lie.handle).prove(lie.fault)
    assert dispute.state().status is DisputeStatus.REFUTED


def test_read_only_client_reads_disputes_and_moves_nothing(world: World, lie: Lie) -> None:
    """Without a key everything can be looked at; a move says what is missing."""
    dispute = world.client(None).dispute(lie.handle.request_id)
    assert dispute.state().status is DisputeStatus.NONE and dispute.bond().bond_wei > 0
    with pytest.raises(ConfigurationError, match="read-only"):
        dispute.open()
    with pytest.raises(ConfigurationError, match="read-only"):
        dispute.commit_fault(lie.fault)


async def test_async_client_fights_the_same_dispute(world: World, lie: Lie) -> None:
    """The written twin, from the list to the proof."""
    client = world.async_client(CHALLENGER)
    dispute = await client.dispute(lie.handle.request_id)
    await dispute.open()
    lie.commit_trace(dispute.case)
    await dispute.commit_fault(lie.fault)
    ripen(world)
    await dispute.prove(lie.fault)
    (record,) = await client.disputes()
    assert record.status is DisputeStatus.REFUTED
    assert (await client.verify(lie.handle.request_id, model=compiled(world.artifact))).differences


def test_dispute_over_an_off_chain_result_is_fought_as_a_case(world: World) -> None:
    """Its signature stands in for the oracle's word: opened, silent, refuted, claimed; nothing is collected twice."""
    request = world.request().request
    expiry = world.chain.gateway.block("latest").timestamp + 600
    result = Result(
        request_id=RequestId(ZERO_HASH),
        model_id=world.model_id,
        input_root=request.input_root,
        output_root=request.input_root,
        trace_root=ZERO_HASH,
        operator=world.operator,
        expiry=expiry,
    )
    where = Domain(chain_id=world.deployment.chain_id, oracle=world.deployment.oracle)
    case = Case.of(result, where, signature=world.signer.sign_digest(result_digest(result, where)))
    dispute = world.client(CHALLENGER).dispute(case)
    assert dispute.bond().until == expiry + world.deployment.parameters["tailSeconds"]
    dispute.open()
    (record,) = world.client(None).disputes()
    assert record.request_id is None and dispute.state().request_id is None
    with pytest.raises(ConfigurationError, match="as a Case"):
        world.client(CHALLENGER).dispute(record)
    with pytest.raises(ConfigurationError, match="move by move"):
        dispute.play()
    world.chain.advance(world.deployment.parameters["traceSeconds"] + 1)
    dispute.convict_silence()
    dispute.claim()
    assert world.client(CHALLENGER).reward() > dispute.bond().smallest_wei
    with pytest.raises(ContractRevert):
        dispute.collect()
