"""Puts a `Defender` together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from sworn.chain.follower import Follower
from sworn.chain.transactions import TransactionSender
from sworn.dispute.case import Clocks
from sworn.dispute.moves import Moves
from sworn.dispute.queries import Queries
from sworn.engine.protocol import Exhibitor
from sworn.types import Address
from sworn.watcher.contracts import Contracts
from sworn.watcher.defence.alarms import Alarms
from sworn.watcher.defence.answers import Answers
from sworn.watcher.defence.docket import Docket
from sworn.watcher.defence.evidence import Evidence
from sworn.watcher.defence.funds import Funds
from sworn.watcher.defence.intake import DisputeIntake
from sworn.watcher.defence.readiness import Readiness
from sworn.watcher.defence.service import Defender
from sworn.watcher.defence.store import DefenceStore
from sworn.watcher.inference import Inference
from sworn.watcher.quarantine import Quarantine
from sworn.watcher.signing import ResultSigners
from sworn.watcher.store.database import Database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.traces import TraceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class DefenceParts:
    """What a defence shares with the watcher that it belongs to."""

    contracts: Contracts
    jobs: JobStore
    database: Database
    sender: TransactionSender
    result_signers: ResultSigners
    operator: Address
    traces: TraceStore
    inference: Inference
    exhibitor: Exhibitor | None
    follower: Follower
    confirmations: int
    max_log_range: int
    workers: int
    poll_interval_s: float
    log: FilteringBoundLogger
    clock: Callable[[], float]
    checkpoint: Callable[[str], None]
    #: Where models go whose results cannot be defended.
    quarantine: Quarantine


def put_together(parts: DefenceParts) -> Defender:
    """The defence. Raises `ConfigurationError` for a deployment without disputes."""
    clocks = Clocks.of(parts.contracts.deployment.parameters)
    store = DefenceStore(database=parts.database, clock=parts.clock)
    evidence = Evidence(
        traces=parts.traces,
        inference=parts.inference,
        clocks=clocks,
        checkpoint=parts.checkpoint,
        exhibitor=parts.exhibitor,
    )
    return Defender(
        intake=_intake(parts, store),
        answers=_answers(parts, store, evidence, clocks),
        evidence=evidence,
        store=store,
        alarms=Alarms(parts.log),
        funds=Funds(gateway=parts.contracts.gateway, sender=parts.sender.address, log=parts.log),
        readiness=Readiness(
            jobs=parts.jobs,
            operator=parts.operator,
            models=parts.inference.models,
            traces=parts.traces,
            fetched=parts.inference.fetched,
            log=parts.log,
        ),
        log=parts.log,
        workers=parts.workers,
        poll_interval_s=parts.poll_interval_s,
        clock=parts.clock,
        checkpoint=parts.checkpoint,
    )


def _intake(parts: DefenceParts, store: DefenceStore) -> DisputeIntake:
    return DisputeIntake(
        follower=parts.follower,
        queries=Queries(parts.contracts.deployment),
        store=store,
        operator=parts.operator,
        log=parts.log,
        checkpoint=parts.checkpoint,
    )


def _answers(parts: DefenceParts, store: DefenceStore, evidence: Evidence, clocks: Clocks) -> Answers:
    deployment = parts.contracts.deployment
    docket = Docket(
        contracts=parts.contracts,
        store=parts.jobs,
        operator=parts.operator,
        max_log_range=parts.max_log_range,
        log=parts.log,
    )
    return Answers(
        contracts=parts.contracts,
        queries=Queries(deployment),
        moves=Moves(deployment),
        clocks=clocks,
        docket=docket,
        evidence=evidence,
        store=store,
        sender=parts.sender,
        result_signers=parts.result_signers,
        quarantine=parts.quarantine,
        operator=parts.operator,
        confirmations=parts.confirmations,
        log=parts.log,
        checkpoint=parts.checkpoint,
    )
