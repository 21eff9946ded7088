"""An operator whose results are challenged: a watcher with real runs in this process, and a hostile challenger."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from numpy.typing import NDArray
from tests.support.watcher_world import ETHER, Posted, WatcherWorld, served_reciprocal

from sworn.abi import interface
from sworn.chain.gateway import Call, Gateway, Receipt
from sworn.chain.sender import FeePolicy
from sworn.chain.signer import LocalSigner
from sworn.chain.transactor import Transactor
from sworn.codec.dispute_structs import demand_id
from sworn.codec.hashing import result_of
from sworn.dispute.case import Case, Clocks
from sworn.dispute.moves import Moves
from sworn.dispute.queries import Queries
from sworn.engine.bounded import BoundedExecutor
from sworn.engine.exact import ExactExecutor
from sworn.engine.identification import CompiledProgram, compile_program, identify
from sworn.engine.protocol import IdentifiedModel, ModelSource, Run, RunLimits
from sworn.errors import TransactionReverted
from sworn.model.exhibit_file import write_exhibit
from sworn.model.trace_file import TraceWriter
from sworn.testing.local_chain import LocalChain
from sworn.types import ANSWERED, ZERO_HASH, Answer, Demand, Deployment, Dispute, Part, Profile, Target, Tensors
from sworn.watcher.assembly import Surroundings, assemble
from sworn.watcher.defence.records import Defence
from sworn.watcher.defence.store import DefenceStore
from sworn.watcher.jobs import Oath
from sworn.watcher.logs import make_logger
from sworn.watcher.policy import Guards, ServedModel
from sworn.watcher.service import Watcher
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.traces import FileTraceStore

ROOT = Target(part=Part.VALUES)
#: Long enough for any number of challenges on a slow machine.
LONG_WINDOW_S = 3_000


@cache
def _compiled(artifact: bytes, profile: Profile) -> CompiledProgram:
    return compile_program(ModelSource(artifact=artifact, profile=profile))


class FaithfulEngine:
    """An `Engine` without workers: what a program engine computes and traces, computed here."""

    def __init__(self) -> None:
        self.runs = 0
        self.traced = 0
        self.exhibits = 0
        self.failure: BaseException | None = None
        #: Changes what every run gives: the machine is not what it was.
        self.disturb: Callable[[NDArray[Any]], NDArray[Any]] = lambda output: output

    def identify(self, source: ModelSource, *, limits: RunLimits) -> IdentifiedModel:
        return identify(source)

    def run(self, model: IdentifiedModel, inputs: Tensors, *, limits: RunLimits, trace_file: Path | None = None) -> Run:
        self.runs += 1
        if self.failure is not None:
            raise self.failure
        profile = model.model.profile
        lowered = _compiled(model.source.artifact, profile).lowered
        executor = (ExactExecutor if profile is Profile.EXACT else BoundedExecutor)(lowered.program, lowered.weights)
        arrays, taken = list(inputs.values()), len(lowered.program.inputs)
        root = ZERO_HASH
        if trace_file is None:
            found = executor.run(arrays)
        else:
            self.traced += 1
            with TraceWriter(trace_file, lowered.program, model_id=model.model_id) as writer:

                def write(value: int, array: NDArray[Any]) -> None:
                    writer.write(value, array if value < taken else self.disturb(array))

                found = executor.run(arrays, include_virtual=True, on_value=write)
                root = writer.finish()
        names = [spec.name for spec in model.schema.outputs]
        outputs = [self.disturb(found[output.value]).reshape(output.shape) for output in lowered.program.outputs]
        return Run(outputs=dict(zip(names, outputs, strict=True)), trace_root=root)

    def exhibit(self, model: IdentifiedModel, folder: Path, *, limits: RunLimits) -> None:
        self.exhibits += 1
        lowered = _compiled(model.source.artifact, model.model.profile).lowered
        write_exhibit(folder, lowered.program, lowered.weights, model_id=model.model_id)

    def close(self) -> None:
        """Nothing to end."""


@dataclass(slots=True, kw_only=True)
class Bench:
    """The operator's watcher: one folder, restarted at will."""

    world: WatcherWorld
    folder: Path
    database: Database
    engine: FaithfulEngine = field(default_factory=FaithfulEngine)
    models: list[ServedModel] = field(default_factory=list)
    gateway: Gateway | None = None
    confirmations: int = 0
    fetch: Callable[[str, int], bytes] = lambda uri, max_bytes: b""
    guards: Guards = field(default_factory=lambda: Guards(min_profit_wei=-ETHER, input_hosts=frozenset({"inputs"})))
    now: float = 1_000_000.0
    logs: io.StringIO = field(default_factory=io.StringIO)
    checkpoint: Callable[[str], None] = lambda point: None

    @property
    def traces(self) -> FileTraceStore:
        """Where traces are kept."""
        return FileTraceStore(self.folder / "traces", max_total_bytes=1 << 30)

    @property
    def store(self) -> DefenceStore:
        """What is remembered of disputes."""
        return DefenceStore(database=self.database)

    def start(self) -> Watcher:
        """A fresh watcher over the same database."""
        return assemble(
            Surroundings(
                gateway=self.gateway or self.world.chain.gateway,
                deployment=self.world.deployment,
                operator=self.world.operator.address,
                transaction_signer=self.world.transaction_signer,
                result_signer=self.world.result_signer,
                models=self.models,
                guards=self.guards,
                engine=self.engine,
                exhibitor=self.engine,
                database=self.database,
                fetch=self.fetch,
                traces=self.traces,
                log=make_logger(self.logs),
                fees=FeePolicy(bump_after_s=3600),
                confirmations=self.confirmations,
                poll_interval_s=0.01,
                clock=lambda: self.now,
                checkpoint=self.checkpoint,
            )
        )

    def work(self, *, seconds: float = 0.0) -> None:
        """Everything that can be done now, some seconds later."""
        self.now += seconds
        self.start().run(Event(), once=True)

    def answer(self, *values: float, salt: int = 0) -> Case:
        """The watcher's result for a new request."""
        posted = post(self.world, *values, salt=salt)
        self.work()
        return self.case(posted)

    def case(self, posted: Posted) -> Case:
        """The result that was proposed for a request."""
        oath = self.start().store.oath(posted.request_id, self.world.operator.address)
        assert oath is not None
        return sworn_case(self.world, posted, oath)

    def defence(self, case: Case) -> Defence:
        """What is remembered of a dispute."""
        found = self.store.defence(case.result_id)
        assert found is not None
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log entries by event name."""
        entries = [json.loads(line) for line in self.logs.getvalue().splitlines()]
        return [entry for entry in entries if entry["event"] == name]


class Ground(Protocol):
    """Where a dispute is fought."""

    @property
    def chain(self) -> LocalChain: ...
    @property
    def deployment(self) -> Deployment: ...


@dataclass(slots=True, kw_only=True)
class Hostile:
    """A challenger of results that are right."""

    world: Ground
    signer: LocalSigner

    @property
    def clocks(self) -> Clocks:
        """The phases of disputes."""
        return Clocks.of(self.world.deployment.parameters)

    def challenge(self, case: Case) -> Receipt:
        """Opens a dispute with the smallest bond, doubled for a base fee that moves."""
        bond_wei = 2 * self._read(Queries(self.world.deployment).challenge_bond(case.request.value_at_risk_wei))
        return self._send(Moves(self.world.deployment).challenge(case, bond_wei=bond_wei))

    def join(self, case: Case) -> Receipt:
        """Joins with four times the smallest bond."""
        bond_wei = 4 * self._read(Queries(self.world.deployment).challenge_bond(case.request.value_at_risk_wei))
        return self._send(Moves(self.world.deployment).join(case.result_id, bond_wei=bond_wei))

    def demand(self, case: Case, target: Target = ROOT) -> bytes:
        """Pays to see something; gives the demand's id."""
        price_wei = 2 * self._read(Queries(self.world.deployment).disclosure_price(target.part))
        self._send(Moves(self.world.deployment).demand(case, target, price_wei=price_wei))
        return demand_id(case.result_id, self.signer.address, target)

    def convict_silence(self, case: Case, target: Target = ROOT) -> Receipt:
        """Says that the operator has not answered."""
        call = Moves(self.world.deployment).convict_silence(case, challenger=self.signer.address, target=target)
        return self._send(call)

    def dispute(self, case: Case) -> Dispute:
        """Where the dispute stands."""
        found: Dispute = self._read(Queries(self.world.deployment).dispute(case.result_id))
        return found

    def is_answered(self, demand: bytes) -> bool:
        """Whether something has been shown."""
        found: Demand = self._read(Queries(self.world.deployment).demand(demand))
        return found.due_at == ANSWERED

    def reward_of(self, account: str) -> int:
        """What the game owes an account."""
        game = interface("DisputeGame")
        data = game.encode("rewardOf", account)
        return int(game.decode("rewardOf", self.world.chain.gateway.call(Call(to=self._game, data=data))))

    def travel_to(self, timestamp: int) -> None:
        """Mines a block at, or right after, a time."""
        now = self.world.chain.gateway.block("latest").timestamp
        self.world.chain.advance(max(timestamp - now, 1))

    @property
    def _game(self) -> Any:
        return self.world.deployment.dispute_game

    def _read(self, query: Any) -> Any:
        return query.decode(self.world.chain.gateway.call(query.call))

    def _send(self, call: Any) -> Receipt:
        transactor = Transactor(
            gateway=self.world.chain.gateway, signer=self.signer, chain_id=self.world.deployment.chain_id
        )
        try:
            return transactor.send(to=call.to, data=call.data, value_wei=call.value)
        except TransactionReverted:
            # What it was estimated for has changed: the operator moves at the same time.
            return transactor.send(to=call.to, data=call.data, value_wei=call.value)


def post(world: WatcherWorld, *values: float, salt: int = 0) -> Posted:
    """A request whose result can be challenged for long."""
    return world.request(
        world.payload(*values), salt=salt, change=lambda request: replace(request, window_s=LONG_WINDOW_S)
    )


def sworn_case(world: WatcherWorld, posted: Posted, oath: Oath) -> Case:
    """The result that was sworn for a request."""
    domain = world.domain
    answer = Answer(operator=world.operator.address, trace_root=oath.trace_root, output=oath.output)
    result = result_of(posted.request, answer, chain_id=domain.chain_id, oracle=domain.oracle)
    return Case.of(result, domain, request=posted.request)


def open_bench(world: WatcherWorld, folder: Path) -> Bench:
    """A watcher with an empty database."""
    database = open_database(f"sqlite:///{folder}/watcher.db")
    upgrade(database)
    served = served_reciprocal(world.model.profile)
    return Bench(world=world, folder=folder, database=database, models=[served])
