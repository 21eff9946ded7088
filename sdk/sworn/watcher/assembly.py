"""Puts a `Watcher` together from what its surroundings give it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.follower import LogFollower
from sworn.chain.gateway import Gateway
from sworn.chain.sender import FeePolicy, Sender
from sworn.chain.signer import Signer
from sworn.dispute.queries import Queries
from sworn.engine.protocol import Engine, Exhibitor
from sworn.errors import ConfigurationError
from sworn.types import Address, Deployment, Profile
from sworn.watcher.contracts import Contracts
from sworn.watcher.defence.assembly import DefenceParts, put_together
from sworn.watcher.defence.intake import FOLLOWED
from sworn.watcher.defence.service import Defender
from sworn.watcher.defence.store import DefenceStore
from sworn.watcher.inference import Inference, InputFetcher
from sworn.watcher.intake import Intake
from sworn.watcher.policy import Guards, ServedModel
from sworn.watcher.retention import Retention
from sworn.watcher.service import Watcher
from sworn.watcher.steps import Steps
from sworn.watcher.store.database import Database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.payloads import PayloadStore
from sworn.watcher.store.transactions import SqlTransactionStore
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
    result_signer: Signer
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
    fees: FeePolicy = field(default_factory=FeePolicy)
    confirmations: int = 2
    max_log_range: int = 2_000
    start_block: int | None = None
    workers: int = 1
    poll_interval_s: float = 2.0
    clock: Callable[[], float] = time.time
    checkpoint: Callable[[str], None] = lambda point: None


def assemble(around: Surroundings) -> Watcher:
    """A watcher, tied to its database.

    Raises `ChainError`, `StoreError`, and `ConfigurationError` for another deployment's database.
    """
    deployment = around.deployment
    contracts = Contracts(gateway=around.gateway, deployment=deployment)
    store = JobStore(database=around.database, clock=around.clock)
    store.claim(chain_id=deployment.chain_id, oracle=deployment.oracle)
    models = {bytes(model.model_id): model for model in around.models}
    if around.traces is None and any(model.profile is not Profile.SIGNED for model in around.models):
        raise ConfigurationError("models in profiles exact and bounded need a place for traces")
    sender = _sender(around)
    inference = Inference(
        engine=around.engine,
        models=models,
        guards=around.guards,
        fetch=around.fetch,
        max_output_bytes=contracts.max_output_bytes(),
        traces=around.traces,
        fetched=PayloadStore(database=around.database, clock=around.clock).find,
    )
    return Watcher(
        gateway=around.gateway,
        intake=_intake(around, contracts, store),
        steps=_steps(around, contracts, store, sender, models),
        store=store,
        sender=sender,
        inference=inference,
        retention=_retention(around, contracts, store),
        defence=_defence(around, contracts, store, sender, inference),
        log=around.log,
        workers=around.workers,
        poll_interval_s=around.poll_interval_s,
        checkpoint=around.checkpoint,
        clock=around.clock,
    )


def _steps(
    around: Surroundings, contracts: Contracts, store: JobStore, sender: Sender, models: Mapping[bytes, ServedModel]
) -> Steps:
    return Steps(
        contracts=contracts,
        store=store,
        sender=sender,
        result_signer=around.result_signer,
        operator=around.operator,
        models=models,
        guards=around.guards,
        confirmations=around.confirmations,
        log=around.log,
        clock=around.clock,
        checkpoint=around.checkpoint,
        traces=around.traces,
        payloads=PayloadStore(database=around.database, clock=around.clock),
    )


def _sender(around: Surroundings) -> Sender:
    chain_id = around.deployment.chain_id
    return Sender(
        gateway=around.gateway,
        signer=around.transaction_signer,
        store=SqlTransactionStore(database=around.database, chain_id=chain_id, clock=around.clock),
        chain_id=chain_id,
        confirmations=around.confirmations,
        fees=around.fees,
        clock=around.clock,
        checkpoint=around.checkpoint,
    )


def _retention(around: Surroundings, contracts: Contracts, store: JobStore) -> Retention | None:
    if around.traces is None:
        return None
    tail_s = around.deployment.parameters.get("tailSeconds", DEFAULT_TAIL_S)
    return Retention(
        traces=around.traces,
        store=store,
        contracts=contracts,
        operator=around.operator,
        keep_s=tail_s if around.keep_traces_s is None else around.keep_traces_s,
        confirmations=around.confirmations,
        log=around.log,
        clock=around.clock,
        contested=DefenceStore(database=around.database, clock=around.clock).contested,
        payloads=PayloadStore(database=around.database, clock=around.clock),
    )


def _defence(
    around: Surroundings, contracts: Contracts, store: JobStore, sender: Sender, inference: Inference
) -> Defender | None:
    if around.traces is None:
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
            result_signer=around.result_signer,
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
        max_range=around.max_log_range,
    )
    return Intake(follower=follower, contracts=contracts, store=store, log=around.log, checkpoint=around.checkpoint)
