"""The part of a `Watcher` that works on jobs, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sworn.chain.transactions import TransactionSender
from sworn.watcher.contracts import Contracts
from sworn.watcher.inference import Inference
from sworn.watcher.looking import Looker
from sworn.watcher.policy import Guards, ServedModel
from sworn.watcher.running import Admission, Runs
from sworn.watcher.signing import ResultSigners
from sworn.watcher.steps import Steps
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.payloads import PayloadStore
from sworn.watcher.submissions import Submissions
from sworn.watcher.swearing import Swearing

if TYPE_CHECKING:
    from sworn.watcher.assembly import Surroundings

#: Polls between two looks at a request that cannot be answered for now.
REFUSAL_POLLS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class JobParts:
    """What works on jobs is made of this."""

    around: Surroundings
    contracts: Contracts
    store: JobStore
    sender: TransactionSender
    signers: ResultSigners
    models: Mapping[bytes, ServedModel]
    #: What is not answered, as it is now: settings may be read again.
    guards: Callable[[], Guards]


def steps_of(parts: JobParts) -> Steps:
    """Everything that is done with jobs, except running models."""
    around = parts.around
    swearing = Swearing(
        contracts=parts.contracts,
        store=parts.store,
        signers=parts.signers,
        operator=around.operator,
        models=parts.models,
        checkpoint=around.checkpoint,
        traces=around.traces,
        payloads=PayloadStore(database=around.database, clock=around.clock),
    )
    submissions = Submissions(
        contracts=parts.contracts,
        # Whoever has lost the lead in the meantime must not overwrite what carries a job.
        store=JobStore(database=around.leading, clock=around.clock),
        sender=parts.sender,
        prepare=swearing.prepare,
        batching=around.batching,
        log=around.log,
        clock=around.clock,
    )
    looker = Looker(
        contracts=parts.contracts, store=parts.store, operator=around.operator, confirmations=around.confirmations
    )
    return Steps(
        looker=looker,
        swearing=swearing,
        submissions=submissions,
        store=parts.store,
        operator=around.operator,
        guards=parts.guards,
        holder=around.role.holder,
        log=around.log,
        clock=around.clock,
        checkpoint=around.checkpoint,
        give_up_before_s=around.give_up_before_s,
        telemetry=around.telemetry,
        rehearsal=around.rehearsal,
    )


def runs_of(parts: JobParts, *, steps: Steps, admission: Admission, inference: Inference) -> Runs:
    """What keeps the engine busy."""
    around = parts.around
    return Runs(
        inference=inference,
        contracts=parts.contracts,
        steps=steps,
        store=parts.store,
        admission=admission,
        operator=around.operator,
        models=parts.models,
        log=around.log,
        checkpoint=around.checkpoint,
        role=around.role,
        queue=around.queue,
        least=16 * around.workers,
        traces=around.traces,
        refusal_wait_s=REFUSAL_POLLS * around.poll_interval_s,
        telemetry=around.telemetry,
    )
