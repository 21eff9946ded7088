from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support.challenger_world import Bench, Court, fast_chain, open_court
from tests.support.searching import URL, ServedTrace
from tests.support.subjects import corrupted
from tests.support.watcher_world import ETHER

import sworn
from sworn.codec.dispute_structs import fault_commitment
from sworn.codec.tensors import encode_payload
from sworn.dispute.moves import Moves
from sworn.dispute.queries import Queries
from sworn.dispute.trace_source import HttpTraceSource
from sworn.engine.program_engine import ProgramEngine
from sworn.errors import ArtifactUnavailable
from sworn.model.isolation import isolate_step
from sworn.referee import encode_proof
from sworn.testing import gallery
from sworn.types import ZERO_HASH, DisputeStatus, Profile, Status
from sworn.verification import CompiledModel, Trace
from sworn.watcher.challenger.claims import ClaimStatus
from sworn.watcher.replica import Alone
from sworn.watcher.store.payloads import PayloadStore
from sworn.watcher.telemetry import SilentTelemetry

NAME = "mlp"
PLACE = "https://inputs.example/1"


@pytest.fixture(scope="module")
def engine() -> Iterator[ProgramEngine]:
    """Real workers."""
    with ProgramEngine() as engine:
        yield engine


@pytest.fixture(scope="module")
def exact() -> CompiledModel:
    """A small model in profile exact."""
    return sworn.compile_model(gallery.load(NAME))


@pytest.fixture(scope="module")
def bounded() -> CompiledModel:
    """The same in profile bounded."""
    return sworn.compile_model(gallery.load(NAME), profile="bounded")


@pytest.fixture(scope="module")
def loose() -> CompiledModel:
    """A model made to be far from itself."""
    return sworn.compile_model(cancelling(), profile="bounded")


@pytest.fixture(scope="module")
def stage(exact: CompiledModel, bounded: CompiledModel, loose: CompiledModel) -> Iterator[Court]:
    """Contracts, once for all tests here."""
    chain = fast_chain()
    court = open_court(chain)
    court.register(exact)
    court.register(bounded)
    court.register(loose)
    yield court
    chain.close()


@pytest.fixture
def court(stage: Court) -> Iterator[Court]:
    """The same; the chain is put back afterwards."""
    mark = stage.chain.snapshot()
    yield stage
    stage.chain.revert(mark)


@pytest.fixture
def bench(court: Court, engine: ProgramEngine, tmp_path: Path) -> Bench:
    """A challenger that has the model's file."""
    return Bench(court=court, engine=engine, folder=tmp_path, artifacts=(gallery.load(NAME), cancelling()))


def honest_trace(model: CompiledModel) -> Trace:
    """A run on a row of data."""
    return model.trace(gallery.rows(NAME)[0].inputs)


def lie_about(model: CompiledModel) -> Trace:
    """The same with one wrong bit in its largest output, in profile bounded one of the exponent."""
    trace, value = honest_trace(model), model.program.outputs[-1].value
    index = int(np.argmax(trace.values[value]))
    return corrupted(trace, value, index, trace.bits(value, index) ^ (1 if is_exact(model) else 1 << 24))


def cancelling() -> bytes:
    """A model whose sum cancels: its value may lie anywhere within ±0.5 of what one machine gets."""
    weight = numpy_helper.from_array(np.array([[1e6], [-1e6], [1.0]], dtype=np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def moved(model: CompiledModel, by: float) -> Trace:
    """A run of the cancelling model with another output."""
    honest = model.trace({"x": np.array([[1.0, 1.0, 0.1]], dtype=np.float32)})
    value = model.program.outputs[0].value
    claimed = np.float32(honest.values[value].reshape(-1)[0] + np.float32(by))
    return corrupted(honest, value, 0, int(claimed.view(np.uint32)))


def other_machine(model: CompiledModel) -> Trace:
    """A run whose first sum came out one unit in the last place off, and all that follows from it."""
    honest, inputs = honest_trace(model), len(model.program.inputs)
    values = [np.asarray(value) for value in corrupted(honest, inputs, 0, honest.bits(inputs, 0) ^ 1).values]
    for number in range(1, len(model.program.steps)):
        operands = {value: values[value] for value in isolate_step(model.program, number).values}
        values[inputs + number] = model.checker.run_step(number, operands)
    return Trace.of(model.subject, values)


def is_exact(model: CompiledModel) -> bool:
    """Whether one bit is a lie."""
    return model.model.profile is Profile.EXACT


@pytest.mark.parametrize("inline", [False, True])
def test_challenger_by_itself_convicts_operator_that_lies_in_one_bit(
    bench: Bench, court: Court, exact: CompiledModel, inline: bool
) -> None:
    """From the proposal to the money in its account, against an operator that answers everything in time."""
    answered = court.answer(lie_about(exact), salt=1)
    before = court.chain.gateway.balance(court.challenger.address)
    bench.play(answered, until=DisputeStatus.REFUTED, operator=lambda: answered.defend(inline=inline))
    claim = bench.claim(answered)
    assert claim is not None and claim.status is ClaimStatus.SETTLED
    assert answered.status is Status.REFUTED
    assert answered.dispute.prover == court.challenger.address
    assert "FaultProven" in answered.names() and "ShareClaimed" in answered.names()
    assert court.chain.gateway.balance(court.challenger.address) > before


def test_challenger_convicts_operator_that_stays_silent(bench: Bench, court: Court, exact: CompiledModel) -> None:
    """Whoever swears to an answer and does not stand for a trace of it has lied."""
    answered = court.answer(lie_about(exact), salt=2)
    bench.play(answered, until=DisputeStatus.REFUTED, operator=lambda: False)
    assert answered.names()[-2:] == ["SilenceConvicted", "ShareClaimed"]


def test_challenger_convicts_operator_that_does_not_show_its_trace(
    bench: Bench, court: Court, exact: CompiledModel
) -> None:
    """A garbage root commits to nothing that could be shown."""
    answered = court.answer(lie_about(exact), salt=3)
    bench.play(
        answered,
        until=DisputeStatus.REFUTED,
        operator=lambda: answered.dispute.trace_root == ZERO_HASH and answered.defend(),
    )
    assert "Demanded" in answered.names() and "Disclosed" not in answered.names()
    assert "SilenceConvicted" in answered.names()


def test_friend_that_opens_first_shields_nobody(bench: Bench, court: Court, exact: CompiledModel) -> None:
    """It posts a bond and does nothing; our challenger joins, and wins."""
    answered = court.answer(lie_about(exact), salt=4)
    moves, queries = Moves(court.deployment), Queries(court.deployment)
    bond = queries.challenge_bond(answered.case.request.value_at_risk_wei)
    opening = moves.challenge(answered.case, bond_wei=bond.decode(court.chain.gateway.call(bond.call)))
    court.submit(court.friend, opening)
    bench.play(answered, until=DisputeStatus.REFUTED, operator=answered.defend)
    assert answered.dispute.opener == court.friend.address
    assert answered.dispute.prover == court.challenger.address
    assert "DisputeJoined" in answered.names()


@pytest.mark.parametrize("commits", [False, True])
def test_honest_results_are_never_challenged(
    bench: Bench, court: Court, exact: CompiledModel, bounded: CompiledModel, commits: bool
) -> None:
    """In either profile, whether there is a trace or not."""
    answered = court.answer(honest_trace(exact if not commits else bounded), salt=5, commits=commits)
    bench.play(answered, until=DisputeStatus.NONE, operator=lambda: False)
    claim = bench.claim(answered)
    assert claim is not None and claim.status is ClaimStatus.HONEST
    assert "bit for bit" in claim.reason
    assert court.chain.gateway.nonce(court.challenger.address) == 0


def test_challenger_convicts_false_bounded_result_by_its_trace_server(
    bench: Bench, court: Court, bounded: CompiledModel
) -> None:
    """The whole trace is downloaded and audited: nothing has to be demanded."""
    answered = court.answer(lie_about(bounded), salt=6, commits=True)
    served = ServedTrace(trace=answered.trace)
    source = HttpTraceSource(url=URL, fetcher=served, max_bytes=1 << 24)
    bench.sources = {court.operator.address: source}
    bench.play(answered, until=DisputeStatus.REFUTED, operator=answered.defend)
    assert "Demanded" not in answered.names()
    assert answered.dispute.prover == court.challenger.address
    assert list((bench.folder / "traces").iterdir()) == []


def test_challenger_convicts_false_bounded_result_without_its_trace_server(
    bench: Bench, court: Court, bounded: CompiledModel
) -> None:
    """What the server does not show is demanded on chain, as many parts at once as may wait."""
    answered = court.answer(lie_about(bounded), salt=7, commits=True)
    served = ServedTrace(trace=answered.trace, gone=frozenset({"summary", "values", "disclosures"}))
    bench.sources = {court.operator.address: HttpTraceSource(url=URL, fetcher=served, max_bytes=1 << 24)}
    bench.play(answered, until=DisputeStatus.REFUTED, operator=answered.defend)
    assert answered.names().count("Demanded") > 2
    assert answered.dispute.prover == court.challenger.address
    (told,) = bench.events("result_false")
    assert "in every run" in told["reason"]


@pytest.mark.parametrize("leads", [True, False])
def test_challenger_s_turns_are_told_with_who_led_them(bench: Bench, leads: bool) -> None:
    """A standby's turns do nothing and so never fail: taken for recovery they would win an offered lead back."""
    heard: list[bool] = []

    class Listener(SilentTelemetry):
        def turn(self, seconds: float, failed: bool, led: bool = True) -> None:
            heard.append(led)

    replace(bench.start(), telemetry=Listener(), role=Alone(led=leads)).run(Event(), once=True)
    assert set(heard) == {leads}


def test_observer_reports_false_results_and_sends_nothing(bench: Bench, court: Court, exact: CompiledModel) -> None:
    """It has no key, and posts no bond."""
    bench.observes = True
    answered = court.answer(lie_about(exact), salt=8)
    bench.play(answered, until=DisputeStatus.NONE, operator=lambda: False)
    claim = bench.claim(answered)
    assert claim is not None and claim.status is ClaimStatus.OBSERVED
    (told,) = bench.events("result_false")
    assert "our own run gives" in told["reason"] and told["operator"] == court.operator.address


def test_challenger_fights_several_disputes_at_once(bench: Bench, court: Court, exact: CompiledModel) -> None:
    """Three lies and a true answer among them: each is told from the others."""
    lies = [court.answer(lie_about(exact), salt=10 + number) for number in range(3)]
    honest = court.answer(honest_trace(exact), salt=20)

    def operator() -> bool:
        return sum(lie.defend() for lie in lies) > 0

    for lie in lies:
        bench.play(lie, until=DisputeStatus.REFUTED, operator=operator)
    assert [lie.dispute.prover for lie in lies] == [court.challenger.address] * 3
    assert honest.dispute.status is DisputeStatus.NONE
    reward = Queries(court.deployment).reward(court.challenger.address)
    assert reward.decode(court.chain.gateway.call(reward.call)) == 0


def test_later_commitment_of_another_prover_is_overtaken(bench: Bench, court: Court, exact: CompiledModel) -> None:
    """Whoever copies our proof is paid its gas; the reward is for who committed first."""
    lie = court.answer(lie_about(exact), salt=30)
    moves, queries, copied = Moves(court.deployment), Queries(court.deployment), court.friend

    def operator() -> bool:
        names = lie.names()
        if "DisputeOpened" in names and "DisputeJoined" not in names:
            court.submit(copied, moves.join(lie.result_id, bond_wei=ETHER))
        if "FaultCommitted" in names and "FaultProven" not in names and names.count("FaultCommitted") == 1:
            (fault,) = exact.audit(lie.trace, max_faults=1)
            commitment = fault_commitment(
                lie.result_id, copied.address, kind=fault.kind, value=fault.value, index=fault.index, salt=bytes(32)
            )
            # Commitments of one second count as made at once, and then the first proof stands.
            court.chain.advance(1)
            court.submit(copied, moves.commit_fault(lie.result_id, commitment))
            court.chain.mine(5)
            court.chain.advance(61)
            court.submit(copied, moves.prove_fault(lie.case, encode_proof(fault.proof()), bytes(32)))
            return True
        return lie.defend()

    bench.play(lie, until=DisputeStatus.REFUTED, operator=operator)
    assert lie.names().count("FaultProven") == 2
    assert lie.dispute.prover == court.challenger.address
    reward = queries.reward(court.challenger.address)
    assert reward.decode(court.chain.gateway.call(reward.call)) == 0


@pytest.mark.parametrize(("served", "reason"), [(True, "admissible"), (False, "not at hand")])
def test_honest_bounded_result_of_another_machine_is_not_challenged(
    bench: Bench, court: Court, bounded: CompiledModel, served: bool, reason: str
) -> None:
    """Its bits are not ours; its trace shows that each is within its bound, and without it the output is near."""
    answered = court.answer(other_machine(bounded), salt=40, commits=True)
    assert answered.trace.output_root != honest_trace(bounded).output_root
    assert bounded.audit(answered.trace) == []
    if served:
        source = HttpTraceSource(url=URL, fetcher=ServedTrace(trace=answered.trace), max_bytes=1 << 24)
        bench.sources = {court.operator.address: source}
    bench.play(answered, until=DisputeStatus.NONE, operator=lambda: False)
    claim = bench.claim(answered)
    assert claim is not None and claim.status is ClaimStatus.HONEST and reason in claim.reason
    assert list((bench.folder / "traces").iterdir()) == []


def test_operator_cannot_bait_challenger_with_model_that_is_far_from_itself(
    bench: Bench, court: Court, loose: CompiledModel
) -> None:
    """Thrice our own output, and no fault in its trace: whoever posts a bond over that loses it, each time anew."""
    bait = moved(loose, 0.2)
    assert loose.audit(bait) == []
    answered = court.answer(bait, salt=51, commits=True)
    bench.play(answered, until=DisputeStatus.NONE, operator=lambda: False)
    claim = bench.claim(answered)
    assert claim is not None and claim.status is ClaimStatus.SKIPPED and "undecided" in claim.reason
    assert court.chain.gateway.nonce(court.challenger.address) == 0
    (told,) = bench.events("result_undecided")
    assert told["operator"] == court.operator.address


def test_undecided_result_is_looked_at_again_while_its_trace_server_is_silent(
    bench: Bench, court: Court, loose: CompiledModel
) -> None:
    """The server comes back within the window, and its trace shows that nothing is wrong; till then nothing is sent."""
    answered = court.answer(moved(loose, 0.2), salt=53, commits=True)
    gone = ServedTrace(trace=answered.trace, gone=frozenset({"summary", "values", "disclosures"}))
    sources = {court.operator.address: HttpTraceSource(url=URL, fetcher=gone, max_bytes=1 << 24)}
    bench.sources = sources
    challenger = bench.start()
    bench.turns(challenger)
    claim = bench.claim(answered)
    assert claim is not None and claim.status is ClaimStatus.SEEN and "ResultUndecided" in claim.reason
    served = ServedTrace(trace=answered.trace)
    sources[court.operator.address] = HttpTraceSource(url=URL, fetcher=served, max_bytes=1 << 24)
    challenger.store.save(replace(claim, retry_at=0.0))
    bench.turns(challenger)
    claim = bench.claim(answered)
    assert claim is not None and claim.status is ClaimStatus.HONEST and "admissible" in claim.reason
    assert court.chain.gateway.nonce(court.challenger.address) == 0


def test_distance_accuses_where_the_operator_of_a_challenger_wants_it(
    bench: Bench, court: Court, loose: CompiledModel
) -> None:
    """Who watches models that it trusts may take the risk; nobody else has it."""
    bench.accuse_by_distance = True
    answered = court.answer(moved(loose, 0.2), salt=54, commits=True)
    bench.turns(bench.start())
    claim = bench.claim(answered)
    assert claim is not None and claim.status is ClaimStatus.FALSE


def test_input_that_its_requester_took_away_still_convicts(bench: Bench, court: Court, exact: CompiledModel) -> None:
    """Fetched once, kept until the claim is over, across restarts: or the liar's friend wins every dispute."""
    lie = lie_about(exact)
    answered = court.answer(lie, salt=55, uri=PLACE)
    payload = encode_payload([lie.values[number] for number in range(len(exact.program.inputs))])
    bench.input_hosts, bench.fetch = frozenset({"inputs.example"}), lambda uri, max_bytes: payload
    challenger = bench.start()
    for _ in range(20):
        bench.turns(challenger)
    assert "DisputeOpened" in answered.names()

    def gone(uri: str, max_bytes: int) -> bytes:
        raise ArtifactUnavailable("404")

    bench.fetch = gone
    bench.play(answered, until=DisputeStatus.REFUTED, operator=answered.defend)
    assert answered.dispute.prover == court.challenger.address
    assert PayloadStore(database=bench.database).find(answered.case.request.input_root) is None
