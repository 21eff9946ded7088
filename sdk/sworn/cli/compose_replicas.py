"""Puts together what makes a daemon one of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn import __version__
from sworn.cli.places import HOME
from sworn.errors import StoreError
from sworn.types import Address, Deployment, Profile
from sworn.watcher.policy import ServedModel
from sworn.watcher.replica import Replica
from sworn.watcher.settings import WatcherSettings
from sworn.watcher.settings_replicas import ReplicaSettings
from sworn.watcher.store.database import Database
from sworn.watcher.store.leadership import subjects_of
from sworn.watcher.supervision import Pulse
from sworn.watcher.traces import FileTraceStore

#: Seconds of nothing but failing turns after which a leader offers the lead to other replicas.
UNFIT_S: Final = 30.0


@contextmanager
def replica(
    settings: ReplicaSettings,
    *,
    role: str,
    database: Database,
    deployment: Deployment,
    senders: Sequence[Address],
    log: FilteringBoundLogger,
    pulse: Pulse,
) -> Iterator[Replica]:
    """A process among those that share the database. Raises `StoreError`, `ConfigurationError`."""
    subjects = subjects_of(chain_id=deployment.chain_id, role=role, oracle=deployment.oracle, senders=senders)
    made = Replica(
        database=database,
        name=settings.named,
        subjects=subjects,
        log=log,
        lease_s=settings.lease_s,
        patience_s=settings.takeover_s,
        version=__version__,
        fit=lambda: pulse.unfit_s < UNFIT_S,
    )
    log.info("replica_named", replica=made.holder)
    try:
        yield made
    finally:
        try:
            made.close()
        except StoreError as error:
            # What it held passes to others by itself.
            log.warning("replica_not_closed", reason=str(error))


def traces(values: WatcherSettings, models: Sequence[ServedModel], role: Replica) -> FileTraceStore | None:
    """Where a replica keeps traces; None where no model has any. Raises `TraceError`, `ConfigurationError`."""
    profiles = {model.profile for model in models}
    if profiles <= {Profile.SIGNED}:
        return None
    folder = values.trace_folder or HOME.expanduser() / "traces"
    store = FileTraceStore(folder, max_total_bytes=values.traces.max_total_bytes, replica=role.holder)
    role.keep_traces_in(store.identity(), shared=Profile.BOUNDED in profiles)
    return store
