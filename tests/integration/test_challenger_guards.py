from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eth_abi.abi import encode
from tests.support.challenger_world import (
    EVERYTHING,
    WINDOW_S,
    Answered,
    Bench,
    Court,
    KillsOnce,
    fast_chain,
    open_court,
)
from tests.support.subjects import corrupted
from tests.support.watcher_world import ETHER

import sworn
from sworn.abi import interface
from sworn.chain.gateway import Call, Gateway, Log, Topic
from sworn.codec.hashing import model_id
from sworn.codec.structs import model_to_abi
from sworn.dispute.moves import Moves
from sworn.dispute.queries import Queries
from sworn.dispute.strategy import Action
from sworn.engine.program_engine import ProgramEngine
from sworn.testing import gallery
from sworn.types import ZERO_HASH, Address, DisputeStatus, ModelId
from sworn.verification import CompiledModel, Trace
from sworn.watcher.challenger.claims import ClaimStatus, Scrutiny
from sworn.watcher.challenger.service import CHALLENGER_KILL_POINTS

NAME = "logistic"


@pytest.fixture(scope="module")
def engine() -> Iterator[ProgramEngine]:
    """Real workers."""
    with ProgramEngine() as engine:
        yield engine


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """A small model in profile exact."""
    return sworn.compile_model(gallery.load(NAME))


@pytest.fixture(scope="module")
def stage(model: CompiledModel) -> Iterator[Court]:
    """Contracts, once for all tests here."""
    chain = fast_chain()
    court = open_court(chain)
    court.register(model)
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
    return Bench(court=court, engine=engine, folder=tmp_path, artifacts=(gallery.load(NAME),))


def lie_about(model: CompiledModel) -> Trace:
    """A run with one wrong bit in an output."""
    trace = model.trace(gallery.rows(NAME)[0].inputs)
    value = model.program.outputs[-1].value
    index = int(np.argmax(trace.values[value]))
    return corrupted(trace, value, index, trace.bits(value, index) ^ 1)


def refused(bench: Bench, answered: Answered, *, event: str) -> str:
    """Why a challenger sends nothing about a claim, until its window has closed."""
    challenger = bench.start()
    bench.turns(challenger)
    told = bench.events(event)
    claim = bench.claim(answered)
    assert claim is not None and not claim.status.terminal
    assert answered.dispute.status is DisputeStatus.NONE
    bench.court.chain.advance(WINDOW_S + 1)
    bench.turns(bench.start())
    assert bench.court.chain.gateway.nonce(bench.court.challenger.address) == 0
    return str(told[0]["reason"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetfulGateway:
    """A node that has never seen a log."""

    gateway: Gateway

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        return []


def test_challenger_is_not_blinded_by_what_a_stranger_publishes(
    court: Court, bench: Bench, model: CompiledModel
) -> None:
    """Anybody may name a place for a model's file, in any bytes: one transaction would shield every liar for ever."""
    publish = interface("IModelRegistry").encode("publish", model.model_id, "x")[:4]
    data = publish + encode(["bytes32", "bytes"], [model.model_id, b"\xff"])
    court.submit(court.chain.signers[5], Call(to=court.deployment.model_registry, data=data))
    answered = court.answer(lie_about(model), salt=1)
    bench.turns(bench.start())
    assert answered.dispute.status is DisputeStatus.OPEN


def test_claim_whose_model_cannot_be_had_is_not_judged(bench: Bench, court: Court, model: CompiledModel) -> None:
    """Nobody has published the file: the challenger says so, and leaves the claim alone."""
    bench.artifacts = ()
    answered = court.answer(lie_about(model), salt=1)
    assert "ArtifactUnavailable" in refused(bench, answered, event="claim_postponed")


def test_claim_under_id_that_its_file_does_not_have_is_not_judged(
    bench: Bench, court: Court, model: CompiledModel
) -> None:
    """Whoever registered it says that the file has another program: nobody can be held to that."""
    foreign = replace(model.model, program_root=b"\x07" * 32)
    court.send(court.requester, "model_registry", "register", model_to_abi(foreign))
    subject = replace(model.subject, model=foreign, model_id=model_id(foreign))
    answered = court.answer(replace(lie_about(model), subject=subject), salt=2)
    assert "compiles to the model" in refused(bench, answered, event="claim_unverified")


def test_claim_that_another_node_has_not_seen_risks_no_bond(bench: Bench, court: Court, model: CompiledModel) -> None:
    """One node alone may have made it up."""
    answered = court.answer(lie_about(model), salt=3)
    forgetful: Any = ForgetfulGateway(gateway=court.chain.gateway)
    bench.witness = forgetful
    assert "the nodes disagree" in refused(bench, answered, event="challenge_refused")


def test_claim_that_two_nodes_have_seen_is_challenged(bench: Bench, court: Court, model: CompiledModel) -> None:
    """The second one is asked, and agrees."""
    answered = court.answer(lie_about(model), salt=4)
    bench.witness = court.chain.gateway
    bench.turns(bench.start())
    assert answered.dispute.status is DisputeStatus.OPEN


@pytest.mark.parametrize(
    ("scrutiny", "reason"),
    [
        (replace(EVERYTHING, max_exposure_wei=10**12), "raise max_exposure_wei"),
        (replace(EVERYTHING, min_profit_wei=ETHER), "of gas"),
    ],
)
def test_challenge_beyond_what_may_be_risked_or_earned_is_not_made(
    bench: Bench, court: Court, model: CompiledModel, scrutiny: Scrutiny, reason: str
) -> None:
    """The lie is reported all the same."""
    bench.scrutiny = scrutiny
    answered = court.answer(lie_about(model), salt=5)
    assert reason in refused(bench, answered, event="challenge_refused")
    assert bench.events("result_false")


def test_claims_on_lists_or_out_of_the_sample_are_skipped(bench: Bench, court: Court, model: CompiledModel) -> None:
    """They are not even run."""
    other = Address("0x" + "11" * 20)
    answered = court.answer(lie_about(model), salt=6)
    scrutinies = (
        replace(EVERYTHING, share=0.0),
        replace(EVERYTHING, deny_operators=frozenset({court.operator.address})),
        replace(EVERYTHING, allow_requesters=frozenset({other})),
        replace(EVERYTHING, allow_models=frozenset({ModelId(ZERO_HASH)})),
    )
    for number, scrutiny in enumerate(scrutinies):
        folder = bench.folder / str(number)
        folder.mkdir()
        again = Bench(court=court, engine=bench.engine, folder=folder, scrutiny=scrutiny)
        again.turns(again.start())
        claim = again.claim(answered)
        assert claim is not None and claim.status is ClaimStatus.SKIPPED
        assert not again.events("check_started")


@dataclass(slots=True, kw_only=True)
class CountingGateway:
    """A node that counts the log queries about one contract."""

    gateway: Gateway
    address: Address
    queries: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        self.queries += self.address in addresses
        return self.gateway.logs(addresses=addresses, topics=topics, from_block=from_block, to_block=to_block)


def test_claim_that_is_tried_again_does_not_read_the_registry_again(
    bench: Bench, court: Court, model: CompiledModel
) -> None:
    """Since the deployment there are millions of blocks: one claim a minute would leave no time for any dispute."""
    court.answer(lie_about(model), salt=11)
    court.chain.mine(300)
    counting = CountingGateway(gateway=court.chain.gateway, address=court.deployment.model_registry)
    node: Any = counting
    bench.artifacts, bench.gateway, bench.max_log_range = (), node, 20
    challenger = bench.start()
    bench.turns(challenger)
    assert counting.queries >= 15
    for _ in range(3):
        counting.queries = 0
        (claim,) = challenger.store.claims()
        challenger.store.save(replace(claim, retry_at=0.0))
        bench.turns(challenger)
        # The newest blocks only: somebody may have published the file.
        assert 1 <= counting.queries <= 4
    assert len(bench.events("check_started")) == 4


def test_claim_whose_input_lies_where_nothing_is_fetched_is_skipped_at_once(
    bench: Bench, court: Court, model: CompiledModel
) -> None:
    """By default no host is trusted: such claims would be tried, and the registry read, every minute for ever."""
    answered = court.answer(lie_about(model), salt=12, uri="https://elsewhere.example/x")
    proposed_at = court.contracts.state_of(answered.case.result.request_id).proposed_at
    counting = CountingGateway(gateway=court.chain.gateway, address=court.deployment.model_registry)
    node: Any = counting
    bench.gateway = node
    bench.turns(bench.start())
    claim = bench.claim(answered)
    assert claim is not None and claim.status is ClaimStatus.SKIPPED and "input_hosts" in claim.reason
    assert counting.queries == 0 and not bench.events("check_started")
    assert claim.closes_at == proposed_at + WINDOW_S


def test_disputes_together_never_demand_more_than_may_be_risked(
    bench: Bench, court: Court, model: CompiledModel
) -> None:
    """Whoever enters on bonds alone cannot pay for what it must see later, or pays more than it was told it may."""
    answers = [court.answer(lie_about(model), salt=salt) for salt in (13, 14)]
    bond = Queries(court.deployment).challenge_bond(answers[0].case.request.value_at_risk_wei)
    bond_wei = bond.decode(court.chain.gateway.call(bond.call)) * 5 // 4
    # Room for two bonds, and for the demands of one dispute and a half.
    limit_wei = 2 * bond_wei + ETHER * 3 // 2
    bench.scrutiny = replace(EVERYTHING, max_demands_wei=ETHER, max_exposure_wei=limit_wei)
    bench.turns(bench.start())
    entered = [each for each in answers if each.dispute.status is DisputeStatus.OPEN]
    assert len(entered) == 1
    assert "raise max_exposure_wei" in str(bench.events("challenge_refused")[0]["reason"])
    claim = bench.claim(entered[0])
    assert claim is not None and claim.exposure_wei == bond_wei + ETHER


def kill_points(*missing: Action) -> set[str]:
    """Every point but those of some moves."""
    return {point for point in CHALLENGER_KILL_POINTS if not any(point.startswith(each.value) for each in missing)}


def test_challenger_that_dies_at_every_step_still_proves_and_is_paid(
    bench: Bench, court: Court, model: CompiledModel
) -> None:
    """Killed the first time that it reaches each point, and started again over what it had stored."""
    killer = KillsOnce()
    bench.checkpoint = killer
    answered = court.answer(lie_about(model), salt=7)
    bench.play(answered, until=DisputeStatus.REFUTED, operator=answered.defend)
    absent = kill_points(Action.JOIN, Action.CONVICT_SILENCE, Action.RESOLVE)
    assert killer.reached == absent and bench.deaths == len(absent)
    assert answered.dispute.prover == court.challenger.address
    demands = answered.names().count("Demanded")
    # Opening, commitment, proof, claim, withdrawal: not one transaction more.
    assert court.chain.gateway.nonce(court.challenger.address) == demands + 5


def test_challenger_that_dies_at_every_step_still_convicts_silence(
    bench: Bench, court: Court, model: CompiledModel
) -> None:
    """In a dispute that a friend of the operator has opened."""
    killer = KillsOnce()
    bench.checkpoint = killer
    answered = court.answer(lie_about(model), salt=8)
    bond = Queries(court.deployment).challenge_bond(answered.case.request.value_at_risk_wei)
    bond_wei = bond.decode(court.chain.gateway.call(bond.call))
    court.submit(court.friend, Moves(court.deployment).challenge(answered.case, bond_wei=bond_wei))
    bench.play(answered, until=DisputeStatus.REFUTED, operator=lambda: False)
    assert {f"{each.value}_broadcast" for each in (Action.JOIN, Action.CONVICT_SILENCE)} <= killer.reached
    assert court.chain.gateway.nonce(court.challenger.address) == 4


def test_challenger_that_may_spend_nothing_on_demands_ends_the_dispute(
    bench: Bench, court: Court, model: CompiledModel
) -> None:
    """It loses its bond, and the requester gets its result; dying at every step changes nothing."""
    killer = KillsOnce()
    bench.checkpoint = killer
    bench.scrutiny = replace(EVERYTHING, max_demands_wei=0)
    answered = court.answer(lie_about(model), salt=9)
    bench.play(answered, until=DisputeStatus.UPHELD, operator=answered.defend)
    assert f"{Action.RESOLVE.value}_receipt_stored" in killer.reached
    assert court.chain.gateway.nonce(court.challenger.address) == 2
