"""Ties the parts of a challenger together; what they stand on is given."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.follower import Finality, LogFollower
from sworn.chain.gateway import Gateway
from sworn.chain.heads import POLLING, Wakeup
from sworn.chain.rotation import RotatingSender
from sworn.chain.sender import FeePolicy, Sender
from sworn.chain.signer import SecretSource, Signer
from sworn.chain.transactions import TransactionSender
from sworn.dispute.case import Clocks
from sworn.dispute.moves import Moves
from sworn.dispute.trace_source import TraceServer
from sworn.engine.protocol import Engine, RunLimits
from sworn.storage.protocol import ArtifactStore
from sworn.types import ZERO_ADDRESS, Address, Deployment, InputShapes, ModelId
from sworn.watcher.challenger.checking import Checker
from sworn.watcher.challenger.claims import Scrutiny
from sworn.watcher.challenger.evidence_folder import EvidenceFolder
from sworn.watcher.challenger.intake import ClaimIntake, proposal_topics
from sworn.watcher.challenger.litigation import Litigation
from sworn.watcher.challenger.models import Compile, ModelShelf
from sworn.watcher.challenger.reading import Reader, Witness
from sworn.watcher.challenger.searching import Searches
from sworn.watcher.challenger.service import Challenger
from sworn.watcher.challenger.shapes import LearntShapes
from sworn.watcher.challenger.store import ClaimStore
from sworn.watcher.contracts import Contracts
from sworn.watcher.inference import InputFetcher
from sworn.watcher.published import PublishedModels
from sworn.watcher.replica import ALONE, ReplicaRole
from sworn.watcher.retention import RowRetention
from sworn.watcher.store.database import Database
from sworn.watcher.store.payloads import PayloadStore
from sworn.watcher.store.pruning import PRUNE_INTERVAL_S, Pruner
from sworn.watcher.store.transactions import SqlTransactionStore
from sworn.watcher.telemetry import NO_TELEMETRY, Telemetry

_PURPOSE: Final = "challenger"
#: What is signed for the secret: no transaction and no statement of ours has such a preimage.
_SECRET_PREIMAGE: Final = b"\x19sworn challenger secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengerSurroundings:
    """What a challenger stands on."""

    gateway: Gateway
    #: A second node, asked before a bond is put at risk.
    witness: Gateway | None = None
    deployment: Deployment
    #: None observes.
    signer: Signer | None
    #: Keys that sent before; what they have under way is seen through.
    retiring_signers: Sequence[Signer] = ()
    #: Makes the secret from which salts follow; None = the key does, or chance.
    make_secret: Callable[[], bytes] | None = None
    engine: Engine
    compile_model: Compile
    artifacts: ArtifactStore
    database: Database
    scrutiny: Scrutiny
    fetch: InputFetcher
    input_hosts: frozenset[str] = frozenset()
    max_input_bytes: int = 1 << 20
    sources: Mapping[Address, TraceServer] = field(default_factory=dict)
    input_shapes: Mapping[ModelId, InputShapes] = field(default_factory=dict)
    #: Where traces are kept while their claims are looked at.
    folder: Path
    tolerance: float = 1e-3
    #: Whether what is farther away counts as false without a proof; see `Checker.accuse_by_distance`.
    accuse_by_distance: bool = False
    limits: RunLimits = field(default_factory=RunLimits)
    log: FilteringBoundLogger
    fees: FeePolicy = field(default_factory=FeePolicy)
    confirmations: int = 0
    #: When a block is settled enough for its proposals to be checked.
    finality: Finality = Finality.CONFIRMATIONS
    #: Says when there is a new block.
    wakeup: Wakeup = POLLING
    max_log_range: int = 2_000
    start_block: int | None = None
    workers: int = 1
    poll_interval_s: float = 2.0
    clock: Callable[[], float] = time.time
    checkpoint: Callable[[str], None] = lambda point: None
    #: Who hears of what the challenger does.
    telemetry: Telemetry = NO_TELEMETRY
    #: This process among those that share the database; one that does not lead waits.
    role: ReplicaRole = ALONE
    #: Seconds after which what is over is removed from the database; None = never.
    keep_rows_s: int | None = None
    #: Seconds between two looks for it.
    prune_interval_s: float = PRUNE_INTERVAL_S


def assemble_challenger(around: ChallengerSurroundings) -> Challenger:
    """A challenger, tied to its database.

    Raises `StoreError`, `SignerError`, and `ConfigurationError` for another deployment's database, a deployment without
    disputes, or a folder that cannot be used.
    """
    contracts = Contracts(gateway=around.gateway, deployment=around.deployment)
    store = ClaimStore(database=around.database, clock=around.clock)
    store.claim_database(chain_id=around.deployment.chain_id, oracle=around.deployment.oracle)
    account = ZERO_ADDRESS if around.signer is None else around.signer.address
    reader = Reader(contracts=contracts, account=account, max_log_range=around.max_log_range)
    sender = None if around.signer is None else _sender(around, around.signer)
    checker = _checker(around, contracts)
    checker.sweep(store.open_claims())
    return Challenger(
        gateway=around.gateway,
        intake=_intake(around, contracts, store),
        reader=reader,
        litigation=_litigation(around, reader, store, sender),
        checker=checker,
        searches=Searches(checker=checker),
        store=store,
        sender=sender,
        log=around.log,
        workers=around.workers,
        poll_interval_s=around.poll_interval_s,
        wakeup=around.wakeup,
        checkpoint=around.checkpoint,
        clock=around.clock,
        telemetry=around.telemetry,
        role=around.role,
        rows=_rows(around),
    )


def secret_of(signer: Signer | None) -> bytes:
    """32 bytes that only the holder of a key can make, and where the key allows it again after losing all else."""
    if signer is None:
        return os.urandom(32)
    # A signer that draws its nonces makes no secret twice: then the database alone keeps it.
    return signer.secret(_SECRET_PREIMAGE) if isinstance(signer, SecretSource) else os.urandom(32)


def _rows(around: ChallengerSurroundings) -> RowRetention | None:
    if around.keep_rows_s is None:
        return None
    leading = around.database.fenced(around.role.fence)
    pruner = Pruner(database=leading, keep_s=around.keep_rows_s)
    return RowRetention(pruner=pruner, log=around.log, every_s=around.prune_interval_s)


def _litigation(
    around: ChallengerSurroundings, reader: Reader, store: ClaimStore, sender: TransactionSender | None
) -> Litigation:
    witness = None
    if around.witness is not None:
        contracts = Contracts(gateway=around.witness, deployment=around.deployment)
        theirs = Reader(contracts=contracts, account=reader.account, max_log_range=around.max_log_range)
        witness = Witness(ours=reader, theirs=theirs)
    return Litigation(
        reader=reader,
        witness=witness,
        store=store,
        sender=sender,
        moves=Moves(around.deployment),
        clocks=Clocks.of(around.deployment.parameters),
        scrutiny=replace(around.scrutiny, input_hosts=around.input_hosts),
        secret=store.secret(_PURPOSE, around.make_secret or (lambda: secret_of(around.signer))),
        log=around.log,
        clock=around.clock,
        checkpoint=around.checkpoint,
    )


def _checker(around: ChallengerSurroundings, contracts: Contracts) -> Checker:
    shelf = ModelShelf(
        records=PublishedModels(contracts=contracts, max_log_range=around.max_log_range),
        artifacts=around.artifacts,
        engine=around.engine,
        compile_model=around.compile_model,
        limits=around.limits,
        input_shapes=around.input_shapes,
        learnt=LearntShapes(around.folder),
    )
    return Checker(
        shelf=shelf,
        engine=around.engine,
        fetch=around.fetch,
        input_hosts=around.input_hosts,
        max_input_bytes=around.max_input_bytes,
        payloads=PayloadStore(database=around.database, clock=around.clock),
        sources=around.sources,
        folder=EvidenceFolder(around.folder),
        tolerance=around.tolerance,
        accuse_by_distance=around.accuse_by_distance,
    )


def _sender(around: ChallengerSurroundings, signer: Signer) -> TransactionSender:
    current = _sender_of(around, signer)
    if not around.retiring_signers:
        return current
    return RotatingSender(current=current, retiring=[_sender_of(around, each) for each in around.retiring_signers])


def _sender_of(around: ChallengerSurroundings, signer: Signer) -> Sender:
    chain_id = around.deployment.chain_id
    return Sender(
        gateway=around.gateway,
        signer=signer,
        store=SqlTransactionStore(
            database=around.database.fenced(around.role.fence), chain_id=chain_id, clock=around.clock
        ),
        chain_id=chain_id,
        confirmations=around.confirmations,
        fees=around.fees,
        clock=around.clock,
        checkpoint=around.checkpoint,
        telemetry=around.telemetry,
    )


def _intake(around: ChallengerSurroundings, contracts: Contracts, store: ClaimStore) -> ClaimIntake:
    follower = LogFollower(
        gateway=around.gateway,
        addresses=(around.deployment.oracle,),
        topics=proposal_topics(),
        start_block=around.deployment.block if around.start_block is None else around.start_block,
        # The claim store notices reorganisations itself: proposals are followed up to the newest block.
        confirmations=0,
        finality=around.finality,
        max_range=around.max_log_range,
    )
    return ClaimIntake(
        follower=follower,
        contracts=contracts,
        store=store,
        max_log_range=around.max_log_range,
        log=around.log,
        checkpoint=around.checkpoint,
        telemetry=around.telemetry,
    )
