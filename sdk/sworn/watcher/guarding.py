"""Puts the guards of a watcher together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from sworn.watcher.admission import Admission
from sworn.watcher.contracts import Contracts
from sworn.watcher.funds import Funds
from sworn.watcher.policy import ServedModel
from sworn.watcher.quarantine import Quarantine
from sworn.watcher.store.database import Database
from sworn.watcher.store.exposure import ExposureStore
from sworn.watcher.store.quarantine import QuarantineStore

if TYPE_CHECKING:
    from sworn.watcher.assembly import Surroundings


def quarantine_of(database: Database, log: FilteringBoundLogger, clock: Callable[[], float]) -> Quarantine:
    """What is left alone, over a database that all replicas write."""
    return Quarantine(store=QuarantineStore(database=database, clock=clock), log=log, clock=clock)


def admission_of(around: Surroundings, contracts: Contracts, models: Mapping[bytes, ServedModel]) -> Admission:
    """Decides which jobs are run."""
    sender = around.transaction_signer.address
    return Admission(
        contracts=contracts,
        operator=around.operator,
        sender=sender,
        models=models,
        guards=around.guards,
        quarantine=quarantine_of(around.database, around.log, around.clock),
        funds=Funds(sender=sender, log=around.log, clock=around.clock),
        exposure=ExposureStore(database=around.database),
        clock=around.clock,
    )
