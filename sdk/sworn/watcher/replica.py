"""What one process may do among others on the same database.

Every replica runs models, for jobs that it has leased; one of them leads: it follows the chain and sends transactions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import Connection, delete, select, update
from structlog.typing import FilteringBoundLogger

from sworn.errors import ConfigurationError, StoreError
from sworn.watcher.store.database import Database, database_time, insert_once
from sworn.watcher.store.leadership import PATIENCE_S, lead_by, locks_of
from sworn.watcher.store.tables import JOBS, LEADERS, REPLICAS

#: Seconds for which a job is a replica's own unless it renews that; a dead one's jobs are free after them.
LEASE_S: Final = 15.0
#: Seconds between two signs of life in the table of replicas.
_SIGN_S: Final = 5.0
#: Replicas that can have one name on one database.
_NAMESAKES: Final = 16
_MAX_NAME: Final = 60
#: Seconds without a sign of life after which a replica counts no longer.
_GONE_S: Final = 600.0
#: Seconds for which a leader that cannot work leaves its place to others, and until it does so again.
YIELD_S, YIELD_AGAIN_S = 15.0, 75.0
#: Seconds without one after which a replica is not there to take the lead.
_PRESENT_S: Final = 4 * _SIGN_S


class ReplicaRole(Protocol):
    """A process among those that share the database."""

    @property
    def holder(self) -> str:
        """Its name, under which it leases jobs."""
        ...

    @property
    def lease_s(self) -> float:
        """For how long a lease holds unless it is renewed."""
        ...

    @property
    def led(self) -> bool:
        """Whether it led when it was asked last; for onlookers, from any thread."""
        ...

    def leads(self) -> bool:
        """Whether it follows the chain and sends transactions now; takes over where nobody does. Raises `StoreError`.

        To be called once a turn, whether it leads or not: silence costs the lead.
        """
        ...

    def fence(self, connection: Connection) -> None:
        """Raises `LeadershipLost` in a transaction of somebody who does not lead."""
        ...

    def release(self) -> None:
        """Gives up the lead and all leases, so that others go on at once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """A `ReplicaRole` for the only process on its database: it leads always."""

    holder: str = ""
    lease_s: float = 60.0
    led: bool = True

    def leads(self) -> bool:
        return True

    def fence(self, connection: Connection) -> None:
        """Nothing to refuse."""

    def release(self) -> None:
        """Nothing to give up."""


ALONE: Final = Alone()


class Replica:
    """Implements `ReplicaRole` by locks in the database, which end with the process."""

    def __init__(
        self,
        *,
        database: Database,
        name: str,
        subjects: Sequence[str],
        log: FilteringBoundLogger,
        lease_s: float = LEASE_S,
        patience_s: float = PATIENCE_S,
        version: str = "",
        fit: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes a name, with a number where a living process has it, and leads nothing yet.

        ``fit`` says whether this process does a leader's work; one that cannot, because its node is gone for example,
        offers the lead to the others. ``subjects`` come from `sworn.watcher.store.leadership.subjects_of`. Raises
        `StoreError`, `ConfigurationError`.
        """
        self._database = database
        self._log = log
        self._clock = clock
        self._fit = fit
        self._trace_folder: str | None = None
        self._lease_s = lease_s
        self._version = version
        self._name = self._take_name(name[:_MAX_NAME])
        self._leadership = lead_by(database, subjects, holder=self._name, patience_s=patience_s)
        self._led = False
        self._yield_until = self._yield_again = 0.0
        self._sign_at = 0.0
        self._register()

    @property
    def holder(self) -> str:
        return self._name

    @property
    def lease_s(self) -> float:
        return self._lease_s

    @property
    def led(self) -> bool:
        return self._led

    @property
    def epoch(self) -> int:
        """The number of this process's takeover; 0 while another one leads."""
        return self._leadership.epoch

    def leads(self) -> bool:
        try:
            leads = not self._yields() and self._leadership.acquire()
        except StoreError:
            self._tell(leads=False)
            raise
        self._tell(leads=leads)
        self._sign()
        return leads

    def fence(self, connection: Connection) -> None:
        self._leadership.check(connection)

    def _yields(self) -> bool:
        """Leaves the lead to others for a moment, when this process cannot do its work. Raises `StoreError`.

        Only for a moment: what cannot be done here may be a part of the work, and nobody may want the lead.
        """
        if self._fit():
            return False
        now = self._clock()
        if self._led and now >= self._yield_again and self.others(within_s=_PRESENT_S):
            self._yield_until, self._yield_again = now + YIELD_S, now + YIELD_AGAIN_S
            self._leadership.release()
            self._log.warning("leadership_offered", replica=self._name)
        return now < self._yield_until

    def release(self) -> None:
        """Gives up lead and leases; the name stays until the process ends, or `close`. Raises `StoreError`."""
        self._leadership.release()
        self._tell(leads=False)
        free = {"leased_by": "", "lease_until": 0.0}
        with self._database.transaction() as connection:
            connection.execute(update(JOBS).where(JOBS.c.leased_by == self._name).values(free))
            connection.execute(delete(REPLICAS).where(REPLICAS.c.name == self._name))
        self._sign_at = 0.0

    def close(self) -> None:
        """Gives up the name as well. Raises `StoreError`."""
        self.release()
        self._locks.drop()

    def others(self, *, within_s: float = _GONE_S) -> dict[str, str | None]:
        """Replicas that have shown themselves lately, without this one, and their trace folders."""
        query = select(REPLICAS.c.name, REPLICAS.c.trace_folder).where(
            REPLICAS.c.name != self._name, REPLICAS.c.seen_at > database_time() - within_s
        )
        with self._database.transaction() as connection:
            return {row.name: row.trace_folder for row in connection.execute(query)}

    def keep_traces_in(self, folder: str, *, shared: bool) -> None:
        """Shows what this replica's trace folder calls itself.

        With ``shared``, raises `ConfigurationError` where another replica keeps its traces elsewhere: the leader could
        not defend what the others have sworn in profile bounded.
        """
        self._trace_folder = folder
        self._register()
        elsewhere = [name for name, theirs in self.others().items() if theirs not in (None, folder)]
        if shared and elsewhere:
            raise ConfigurationError(
                f"the replica {elsewhere[0]} keeps its traces in another folder: give all replicas one shared folder "
                "as traces.folder, or the leader cannot defend results in profile bounded"
            )

    def _take_name(self, name: str) -> str:
        for number in range(1, _NAMESAKES + 1):
            numbered = name if number == 1 else f"{name}-{number}"
            self._locks = locks_of(self._database, [f"replica:{numbered}"])
            if self._locks.take():
                return numbered
        raise ConfigurationError(f"{_NAMESAKES} replicas are called {name}: give each its own replica.name")

    def _register(self) -> None:
        """Shows this replica; jobs that a dead process of its name had leased are free."""
        row = {"version": self._version, "trace_folder": self._trace_folder, "seen_at": database_time()}
        free = {"leased_by": "", "lease_until": 0.0}
        with self._database.transaction() as connection:
            connection.execute(update(JOBS).where(JOBS.c.leased_by == self._name).values(free))
            fresh = {"name": self._name, "started_at": database_time(), **row}
            if not insert_once(connection, REPLICAS, fresh):
                again = update(REPLICAS).where(REPLICAS.c.name == self._name)
                connection.execute(again.values(started_at=database_time(), **row))
            connection.execute(delete(REPLICAS).where(REPLICAS.c.seen_at < database_time() - 10 * _GONE_S))

    def _sign(self) -> None:
        if self._clock() < self._sign_at:
            return
        self._sign_at = self._clock() + _SIGN_S
        # A restart of the database took the name away.
        self._locks.take()
        with self._database.transaction() as connection:
            mine = update(REPLICAS).where(REPLICAS.c.name == self._name)
            if connection.execute(mine.values(seen_at=database_time())).rowcount:
                return
        self._register()

    def _tell(self, *, leads: bool) -> None:
        if leads is self._led:
            return
        self._led = leads
        if leads:
            self._log.info("leadership_taken", replica=self._name, epoch=self._leadership.epoch)
        else:
            self._log.warning("leadership_given_up", replica=self._name)


def census(database: Database) -> dict[str, list[dict[str, Any]]]:
    """The replicas of a database and who leads in what, for people. Raises `StoreError`."""
    now = database_time()
    replicas = select(REPLICAS.c.name, REPLICAS.c.version, (now - REPLICAS.c.seen_at).label("silent_s"))
    leaders = select(LEADERS.c.subject, LEADERS.c.holder, LEADERS.c.epoch, (now - LEADERS.c.since).label("for_s"))
    with database.transaction() as connection:
        return {
            "replicas": [_rounded(row) for row in connection.execute(replicas.order_by(REPLICAS.c.name)).mappings()],
            "leaders": [_rounded(row) for row in connection.execute(leaders.order_by(LEADERS.c.subject)).mappings()],
        }


def _rounded(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {key: round(value, 1) if isinstance(value, float) else value for key, value in row.items()}
