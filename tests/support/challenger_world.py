"""A chain on which an operator may lie, and a challenger that watches it; both moves and time are the test's."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

from tests.support.watcher_world import ETHER

from sworn.abi import interface
from sworn.chain.deployment import deploy
from sworn.chain.gateway import Call, Gateway, Receipt
from sworn.chain.sender import FeePolicy
from sworn.chain.signer import LocalSigner
from sworn.chain.transactor import Transactor
from sworn.codec.hashing import Domain, result_digest, result_of
from sworn.codec.structs import answer_to_abi, model_to_abi, request_params_to_abi, request_to_abi
from sworn.codec.tensors import encode_payload, encode_reference
from sworn.codec.trees import payload_root
from sworn.dispute.case import Case, Clocks
from sworn.dispute.disclosure import show
from sworn.dispute.moves import Moves
from sworn.dispute.queries import Queries
from sworn.dispute.record import demands_of
from sworn.dispute.trace_source import TraceServer
from sworn.engine.protocol import Engine
from sworn.errors import ArtifactUnavailable, ConfigurationError
from sworn.storage import CachedArtifactStore
from sworn.testing.anvil import AnvilChain
from sworn.testing.local_chain import EmbeddedChain, LocalChain
from sworn.types import (
    ZERO_HASH,
    Address,
    Answer,
    Assurance,
    Deployment,
    Dispute,
    DisputeStatus,
    Request,
    ResultId,
    Status,
)
from sworn.verification import CompiledModel, Trace
from sworn.verification.assembly import assemble
from sworn.watcher.challenger.assembly import ChallengerSurroundings, assemble_challenger
from sworn.watcher.challenger.claims import Claim, Scrutiny
from sworn.watcher.challenger.service import Challenger
from sworn.watcher.challenger.store import ClaimStore
from sworn.watcher.contracts import Contracts
from sworn.watcher.logs import make_logger
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade

WINDOW_S = 600
CLOCKS = Clocks(tail_s=86_400, trace_s=3600, demand_s=29_400, disclose_s=1800, commit_s=1800, reveal_s=1200)
#: Whatever it costs, and everybody.
EVERYTHING = Scrutiny(max_exposure_wei=100 * ETHER, max_demands_wei=10 * ETHER, min_profit_wei=-ETHER)
#: Rounds of a dispute after which it hangs.
MANY = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    """Contracts on a local chain, an operator with stake, a requester, a challenger and a friend of the operator."""

    chain: LocalChain
    deployment: Deployment

    @property
    def operator(self) -> LocalSigner:
        """Owner and signer of results."""
        return self.chain.signers[1]

    @property
    def requester(self) -> LocalSigner:
        """Who is lied to."""
        return self.chain.signers[2]

    @property
    def challenger(self) -> LocalSigner:
        """Whose daemon is tested."""
        return self.chain.signers[3]

    @property
    def friend(self) -> LocalSigner:
        """Who opens disputes to shield the operator."""
        return self.chain.signers[4]

    @property
    def contracts(self) -> Contracts:
        """The deployment, to read from."""
        return Contracts(gateway=self.chain.gateway, deployment=self.deployment)

    @property
    def domain(self) -> Domain:
        """Where signatures count."""
        return self.contracts.domain

    def send(self, signer: LocalSigner, contract: str, function: str, *args: Any, value_wei: int = 0) -> Receipt:
        """A transaction to one of the contracts."""
        address = getattr(self.deployment, contract)
        name = "".join(part.capitalize() for part in contract.split("_")).replace("Oracle", "InferenceOracle")
        data = interface(name).encode(function, *args)
        return self.submit(signer, Call(to=address, data=data, value=value_wei))

    def submit(self, signer: LocalSigner, call: Call) -> Receipt:
        """A transaction from a call."""
        transactor = Transactor(gateway=self.chain.gateway, signer=signer, chain_id=self.deployment.chain_id)
        return transactor.send(to=call.to, data=call.data, value_wei=call.value)

    def answer(
        self, trace: Trace, *, salt: int, payload: bytes | None = None, uri: str | None = None, commits: bool = False
    ) -> Answered:
        """A request that the operator answers with what a trace gives; ``commits`` swears to the trace as well.

        With a ``uri`` the request only says where its payload lies.
        """
        model = trace.subject
        inputs = [trace.values[number] for number in range(len(model.program.inputs))]
        given = encode_payload(inputs) if payload is None else payload
        now = self.chain.gateway.block("latest").timestamp
        request = Request(
            model_id=model.model_id,
            input_root=payload_root(given),
            requester=self.requester.address,
            operator=self.operator.address,
            refund_to=self.requester.address,
            fee_wei=ETHER // 100,
            value_at_risk_wei=ETHER // 10,
            callback_gas=0,
            window_s=WINDOW_S,
            deadline=now + 3600,
            assurance=Assurance.FINAL,
            salt=salt.to_bytes(32),
        )
        emitted = given if uri is None else encode_reference(uri)
        params = request_params_to_abi(request)
        self.send(self.requester, "oracle", "request", params, emitted, value_wei=request.fee_wei)
        output = encode_payload(list(trace.outputs.values()))
        root = trace.root if commits else ZERO_HASH
        answer = Answer(operator=self.operator.address, trace_root=root, output=output)
        result = result_of(request, answer, chain_id=self.domain.chain_id, oracle=self.domain.oracle)
        signature = self.operator.sign_digest(result_digest(result, self.domain))
        self.send(self.operator, "oracle", "propose", request_to_abi(request), answer_to_abi(answer), signature)
        case = Case.of(result, self.domain, request=request)
        return Answered(court=self, case=case, trace=replace(trace, output_root=result.output_root))

    def register(self, model: CompiledModel) -> None:
        """Makes a model known."""
        self.send(self.requester, "model_registry", "register", model_to_abi(model.model))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A proposed result, and the trace that its operator stands for."""

    court: Court
    case: Case
    trace: Trace

    @property
    def result_id(self) -> ResultId:
        """Of the result."""
        return self.case.result_id

    @property
    def dispute(self) -> Dispute:
        """Where its dispute stands."""
        query = Queries(self.court.deployment).dispute(self.result_id)
        return query.decode(self.court.chain.gateway.call(query.call))

    @property
    def status(self) -> Status:
        """Where its request stands."""
        return self.court.contracts.state_of(self.case.result.request_id).status

    def defend(self, *, inline: bool = False) -> bool:
        """Everything that the operator owes now: its trace, answers to demands; whether that was anything."""
        dispute, moves = self.dispute, Moves(self.court.deployment)
        if dispute.status is not DisputeStatus.OPEN:
            return False
        result = self.case.result
        if result.trace_root == ZERO_HASH == dispute.trace_root:
            sworn = replace(result, trace_root=self.trace.root)
            signature = self.court.operator.sign_digest(result_digest(sworn, self.court.domain))
            call = moves.commit_trace(self.case, self.trace.root, signature)
            if inline:
                call = moves.commit_trace_roots(self.case, self.trace.data_roots, signature)
            self.court.submit(self.court.operator, call)
            return True
        demands = demands_of(self.events())
        for demand in demands:
            shown = show(self.trace, demand.target)
            call = moves.disclose(self.case, demand.challenger, demand.target, shown)
            self.court.submit(self.court.operator, call)
        return bool(demands)

    def events(self) -> list[Any]:
        """Everything that has happened in the dispute."""
        queries, gateway = Queries(self.court.deployment), self.court.chain.gateway
        logs = gateway.logs(
            addresses=(self.court.deployment.dispute_game,),
            topics=queries.topics(result_id=self.result_id),
            from_block=self.court.deployment.block,
            to_block=gateway.block("latest").number,
        )
        return list(map(queries.event, logs))

    def names(self) -> list[str]:
        """The names of those events."""
        return [event.name for event in self.events()]


class Killed(BaseException):
    """The process is gone: nothing catches that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillsOnce:
    """A checkpoint that ends the process the first time that each point is reached."""

    reached: set[str] = field(default_factory=set)

    def __call__(self, point: str) -> None:
        if point not in self.reached:
            self.reached.add(point)
            raise Killed(point)


def _nothing(uri: str, max_bytes: int) -> bytes:
    raise ArtifactUnavailable("there is nothing")


@dataclass(slots=True, kw_only=True)
class Bench:
    """A challenger in this process: one database, one engine, restarted at will."""

    court: Court
    engine: Engine
    folder: Path
    artifacts: tuple[bytes, ...] = ()
    scrutiny: Scrutiny = EVERYTHING
    sources: Mapping[Address, TraceServer] = field(default_factory=dict)
    witness: Gateway | None = None
    #: None = the court's.
    gateway: Gateway | None = None
    max_log_range: int = 2_000
    #: Gives inputs by reference; none are fetched while there are no hosts.
    fetch: Callable[[str, int], bytes] = _nothing
    input_hosts: frozenset[str] = frozenset()
    accuse_by_distance: bool = False
    signer: LocalSigner | None = None
    observes: bool = False
    checkpoint: Callable[[str], None] = lambda point: None
    logged: io.StringIO = field(default_factory=io.StringIO)
    deaths: int = 0

    @property
    def database(self) -> Database:
        """The same one after every restart."""
        database = open_database(f"sqlite:///{self.folder}/challenger.db")
        upgrade(database)
        return database

    def start(self) -> Challenger:
        """A challenger over what is stored."""
        store = CachedArtifactStore(self.folder / "artifacts")
        for artifact in self.artifacts:
            store.put(artifact)
        signer = None if self.observes else self.signer or self.court.challenger
        return assemble_challenger(
            ChallengerSurroundings(
                gateway=self.gateway or self.court.chain.gateway,
                max_log_range=self.max_log_range,
                witness=self.witness,
                deployment=self.court.deployment,
                signer=signer,
                engine=self.engine,
                compile_model=assemble,
                artifacts=store,
                database=self.database,
                scrutiny=self.scrutiny,
                fetch=self.fetch,
                input_hosts=self.input_hosts,
                accuse_by_distance=self.accuse_by_distance,
                sources=self.sources,
                folder=self.folder / "traces",
                log=make_logger(self.logged, level="debug"),
                fees=FeePolicy(bump_after_s=1e9),
                poll_interval_s=0.01,
                checkpoint=self.checkpoint,
            )
        )

    def turns(self, challenger: Challenger) -> None:
        """All that can be done without waiting for the chain."""
        challenger.run(Event(), once=True)

    def play(self, answered: Answered, *, until: DisputeStatus, operator: Callable[[], bool]) -> Challenger:
        """Lets challenger, operator and time take turns until a dispute stands so, and is settled here."""
        challenger = self.start()
        for _ in range(MANY):
            try:
                self.turns(challenger)
            except Killed:
                self.deaths += 1
                challenger = self.start()
                continue
            if operator():
                continue
            claim = challenger.store.claim(answered.result_id)
            if claim is not None and claim.status.terminal:
                assert answered.dispute.status is until, claim
                return challenger
            self.wait(answered)
        raise AssertionError(f"not done: {answered.names()}\n{self.logged.getvalue()[-6000:]}")

    def wait(self, answered: Answered) -> None:
        """Blocks, and enough seconds for the clock that is waited for."""
        self.court.chain.mine(5)
        waits_long = answered.dispute.status is DisputeStatus.OPEN and not self.waits_for_proof(answered)
        self.court.chain.advance(CLOCKS.disclose_s if waits_long else 61)

    def waits_for_proof(self, answered: Answered) -> bool:
        """Whether somebody has committed to a fault."""
        return "FaultCommitted" in answered.names()

    def claim(self, answered: Answered) -> Claim | None:
        """What is stored about a claim."""
        return ClaimStore(database=self.database).claim(answered.result_id)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What was logged under a name."""
        lines = [json.loads(line) for line in self.logged.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]


def fast_chain() -> LocalChain:
    """An anvil, which runs proofs at full speed; without one, the chain in this process."""
    try:
        return AnvilChain()
    except ConfigurationError:
        return EmbeddedChain()


def open_court(chain: LocalChain) -> Court:
    """Deploys everything and registers the operator, who signs its results itself."""
    court = Court(chain=chain, deployment=deploy(chain.gateway, chain.signers[0]))
    court.send(court.operator, "operator_registry", "register", "", value_wei=10 * ETHER)
    court.send(court.operator, "operator_registry", "authorizeSigner", court.operator.address)
    return court
