"""Puts a `Watcher` together from what its surroundings give it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.follower import Finality, LogFollower
from sworn.chain.gateway import Gateway
from sworn.chain.heads import POLLING, Wakeup
from sworn.chain.rotation import RotatingSender
from sworn.chain.sender import FeePolicy, Sender
from sworn.chain.signer import Signer
from sworn.chain.transactions import TransactionSender
from sworn.dispute.queries import Queries
from sworn.engine.protocol import Engine, Exhibitor
from sworn.errors import ConfigurationError
from sworn.types import Address, Deployment, Profile
from sworn.watcher.assembly_jobs import JobParts, runs_of, steps_of
from sworn.watcher.contracts import Contracts
from sworn.watcher.defence.assembly import DefenceParts, put_together
from sworn.watcher.defence.intake import FOLLOWED
from sworn.watcher.defence.service import Defender
from sworn.watcher.defence.store import DefenceStore
from sworn.watcher.guarding import admission_of, quarantine_of
from sworn.watcher.inference import Inference, InputFetcher
from sworn.watcher.intake import Intake
from sworn.watcher.policy import Guards, ServedModel
from sworn.watcher.rehearsal import MuteSender, Rehearsal
from sworn.watcher.reloading import Guarded, Reloading
from sworn.watcher.replica import ALONE, ReplicaRole
from sworn.watcher.retention import UNSWORN_S, Retention, RowRetention
from sworn.watcher.service import Watcher
from sworn.watcher.signing import ResultSigners
from sworn.watcher.store.database import Database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.payloads import PayloadStore
from sworn.watcher.store.pruning import PRUNE_INTERVAL_S, Pruner
from sworn.watcher.store.transactions import SqlTransactionStore
from sworn.watcher.submissions import Batching
from sworn.watcher.telemetry import NO_TELEMETRY, Telemetry
from sworn.watcher.traces import TraceStore

#: Where a deployment file does not state its tail.
DEFAULT_TAIL_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The world of one watcher: chain, keys, models, engine, database."""

    gateway: Gateway
    deployment: Deployment
    operator: Address
    transaction_signer: Signer
    #: Keys that sent before; what they have under way is seen through.
    retiring_signers: Sequence[Signer] = ()
    result_signer: Signer
    #: Result keys that come after it or go before it; whichever is authorised signs.
    other_result_signers: Sequence[Signer] = ()
    #: Days before the end of a result key's authority from which on it is warned of.
    expiry_warning_days: float = 7.0
    models: Sequence[ServedModel]
    guards: Guards
    engine: Engine
    #: Shows parts of models to challengers; None = it cannot, and who demands one wins.
    exhibitor: Exhibitor | None = None
    #: Migrated to the newest schema.
    database: Database
    fetch: InputFetcher
    log: FilteringBoundLogger
    #: Needed for models in profiles bounded and exact.
    traces: TraceStore | None = None
    #: Seconds for which a trace is kept beyond the end of its request's window; None = the deployment's tail.
    keep_traces_s: int | None = None
    #: Seconds after which what is over is removed from the database; None = never.
    keep_rows_s: int | None = None
    #: Seconds between two looks for it.
    prune_interval_s: float = PRUNE_INTERVAL_S
    fees: FeePolicy = field(default_factory=FeePolicy)
    confirmations: int = 2
    #: When a block is settled enough for its requests to be taken.
    finality: Finality = Finality.CONFIRMATIONS
    max_log_range: int = 2_000
    start_block: int | None = None
    workers: int = 1
    #: Threads that call the engine.
    callers: int = 16
    #: Runs that are begun and have not ended.
    queue: int = 256
    batching: Batching = field(default_factory=Batching)
    give_up_before_s: int = 120
    poll_interval_s: float = 2.0
    clock: Callable[[], float] = time.time
    checkpoint: Callable[[str], None] = lambda point: None
    #: Who hears of what the watcher does.
    telemetry: Telemetry = NO_TELEMETRY
    #: This process among those that share the database.
    role: ReplicaRole = ALONE
    #: Ends a rest early when the chain has a new block.
    wakeup: Wakeup = POLLING
    #: Reads guards again while the watcher runs, if anything does.
    reloading: Callable[[Guarded], Reloading] | None = None
    #: Nothing is signed and nothing sent: it is told what would be.
    rehearsal: Rehearsal | None = None

    @property
    def leading(self) -> Database:
        """The database for what only the leader may store."""
        return self.database.fenced(self.role.fence)


def assemble(around: Surroundings) -> Watcher:
    """A watcher, tied to its database.

    Raises `ChainError`, `StoreError`, and `ConfigurationError` for another deployment's database.
    """
    contracts = Contracts(gateway=around.gateway, deployment=around.deployment)
    store = JobStore(database=around.database, clock=around.clock)
    store.claim(chain_id=around.deployment.chain_id, oracle=around.deployment.oracle)
    models = _models(around)
    sender = _sender(around)
    inference = _inference(around, contracts, models)
    signers = result_signers(around, contracts)
    admission = admission_of(around, contracts, models)
    parts = JobParts(
        around=around,
        contracts=contracts,
        store=store,
        sender=sender,
        signers=signers,
        models=models,
        guards=lambda: admission.guards,
    )
    steps = steps_of(parts)
    return Watcher(
        gateway=around.gateway,
        intake=_intake(around, contracts, JobStore(database=around.leading, clock=around.clock)),
        steps=steps,
        runs=runs_of(parts, steps=steps, admission=admission, inference=inference),
        admission=admission,
        store=store,
        sender=sender,
        inference=inference,
        retention=_retention(around, contracts, store),
        defence=_defence(around, contracts, store, sender, inference, signers),
        log=around.log,
        workers=around.workers,
        callers=around.callers,
        poll_interval_s=around.poll_interval_s,
        checkpoint=around.checkpoint,
        clock=around.clock,
        role=around.role,
        wakeup=around.wakeup,
        reloading=None if around.reloading is None else around.reloading(admission),
        telemetry=around.telemetry,
    )


def _models(around: Surroundings) -> dict[bytes, ServedModel]:
    if around.traces is None and any(model.profile is not Profile.SIGNED for model in around.models):
        raise ConfigurationError("models in profiles exact and bounded need a place for traces")
    return {bytes(model.model_id): model for model in around.models}


def _inference(around: Surroundings, contracts: Contracts, models: Mapping[bytes, ServedModel]) -> Inference:
    return Inference(
        engine=around.engine,
        models=models,
        guards=around.guards,
        fetch=around.fetch,
        max_output_bytes=contracts.max_output_bytes(),
        traces=around.traces,
        fetched=PayloadStore(database=around.database, clock=around.clock).find,
    )


def _sender(around: Surroundings) -> TransactionSender:
    if around.rehearsal is not None:
        return MuteSender(around.transaction_signer.address, around.log)
    current = _sender_of(around, around.transaction_signer)
    if not around.retiring_signers:
        return current
    return RotatingSender(current=current, retiring=[_sender_of(around, each) for each in around.retiring_signers])


def _sender_of(around: Surroundings, signer: Signer) -> Sender:
    chain_id = around.deployment.chain_id
    return Sender(
        gateway=around.gateway,
        signer=signer,
        store=SqlTransactionStore(database=around.leading, chain_id=chain_id, clock=around.clock),
        chain_id=chain_id,
        confirmations=around.confirmations,
        fees=around.fees,
        clock=around.clock,
        checkpoint=around.checkpoint,
        telemetry=around.telemetry,
    )


def result_signers(around: Surroundings, contracts: Contracts) -> ResultSigners:
    """The keys that may sign the operator's results."""
    return ResultSigners(
        signers=(around.result_signer, *around.other_result_signers),
        contracts=contracts,
        operator=around.operator,
        confirmations=around.confirmations,
        log=around.log,
        warning_days=around.expiry_warning_days,
        clock=around.clock,
    )


def _retention(around: Surroundings, contracts: Contracts, store: JobStore) -> Retention:
    tail_s = around.deployment.parameters.get("tailSeconds", DEFAULT_TAIL_S)
    rows = None
    if around.keep_rows_s is not None:
        pruner = Pruner(database=around.leading, keep_s=around.keep_rows_s)
        rows = RowRetention(pruner=pruner, log=around.log, every_s=around.prune_interval_s)
    return Retention(
        traces=around.traces,
        store=store,
        contracts=contracts,
        operator=around.operator,
        keep_s=tail_s if around.keep_traces_s is None else around.keep_traces_s,
        confirmations=around.confirmations,
        log=around.log,
        contested=DefenceStore(database=around.database, clock=around.clock).contested,
        payloads=PayloadStore(database=around.database, clock=around.clock),
        rows=rows,
        unsworn_s=0.0 if around.role is ALONE else UNSWORN_S,
    )


def _defence(
    around: Surroundings,
    contracts: Contracts,
    store: JobStore,
    sender: TransactionSender,
    inference: Inference,
    signers: ResultSigners,
) -> Defender | None:
    if around.traces is None or around.rehearsal is not None:
        return None
    follower = LogFollower(
        gateway=around.gateway,
        addresses=(around.deployment.dispute_game,),
        topics=Queries(around.deployment).topics(*FOLLOWED),
        start_block=around.deployment.block if around.start_block is None else around.start_block,
        # The store notices reorganisations itself, and a clock runs from the first block on.
        confirmations=0,
        max_range=around.max_log_range,
    )
    return put_together(
        DefenceParts(
            contracts=contracts,
            jobs=store,
            database=around.database,
            sender=sender,
            result_signers=signers,
            operator=around.operator,
            traces=around.traces,
            inference=inference,
            exhibitor=around.exhibitor,
            follower=follower,
            confirmations=around.confirmations,
            max_log_range=around.max_log_range,
            workers=around.workers,
            poll_interval_s=around.poll_interval_s,
            log=around.log,
            clock=around.clock,
            checkpoint=around.checkpoint,
            quarantine=quarantine_of(around.database, around.log, around.clock),
        )
    )


def _intake(around: Surroundings, contracts: Contracts, store: JobStore) -> Intake:
    start = around.deployment.block if around.start_block is None else around.start_block
    follower = LogFollower(
        gateway=around.gateway,
        addresses=(around.deployment.oracle,),
        topics=contracts.request_topics(around.operator),
        start_block=start,
        # The job store notices reorganisations itself: requests are followed up to the newest block.
        confirmations=0,
        finality=around.finality,
        max_range=around.max_log_range,
    )
    return Intake(
        follower=follower,
        contracts=contracts,
        store=store,
        log=around.log,
        checkpoint=around.checkpoint,
        confirmations=around.confirmations,
        telemetry=around.telemetry,
    )
