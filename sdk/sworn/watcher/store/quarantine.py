"""What is left alone, in the database, so that every replica leaves it alone, after a restart as well."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update

from sworn.watcher.store.database import Database, insert_once
from sworn.watcher.store.tables import QUARANTINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A model, a model with an input, or a requester, and why it is left alone or may soon be."""

    #: 32 bytes, 64 bytes, or the 20 of an address.
    subject: bytes
    crashes: int
    barred: bool
    #: Unix seconds; None = until a person clears it.
    until: float | None
    reason: str
    updated_at: float

    def holds(self, now: float) -> bool:
        """Whether it is left alone now."""
        return self.barred and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineStore:
    """Every method is one transaction. All raise `StoreError`."""

    database: Database
    clock: Callable[[], float] = time.time

    def crash(self, subject: bytes, reason: str, *, limit: int, window_s: float, bar_s: float) -> Suspect:
        """Counts one crash; ``limit`` of them, none more than ``window_s`` after the last, bar it for ``bar_s``."""
        now = self.clock()
        table = QUARANTINE
        fresh = {"crashes": 0, "barred": 0, "until": None, "reason": reason, "created_at": now, "updated_at": now}
        with self.database.transaction() as connection:
            insert_once(connection, table, {"subject": subject, **fresh})
            # The row is locked by this update before it is read: two replicas count two crashes.
            connection.execute(update(table).where(table.c.subject == subject).values(crashes=table.c.crashes + 1))
            found = _suspect(connection.execute(select(table).where(table.c.subject == subject)).mappings().one())
            stale = not found.barred and not -window_s < now - found.updated_at < window_s
            crashes = 1 if stale else found.crashes
            changes: dict[str, Any] = {"crashes": crashes, "updated_at": now, "reason": reason}
            # INVARIANT: what a person has to clear is not turned into what passes by itself.
            if crashes >= limit and not (found.barred and found.until is None):
                changes |= {"barred": 1, "until": now + bar_s}
            connection.execute(update(table).where(table.c.subject == subject).values(**changes))
            return _suspect(connection.execute(select(table).where(table.c.subject == subject)).mappings().one())

    def bar(self, subject: bytes, reason: str, *, until: float | None = None) -> None:
        """Bars something at once; without ``until`` a person has to clear it."""
        now = self.clock()
        values = {"barred": 1, "until": until, "reason": reason, "updated_at": now}
        with self.database.transaction() as connection:
            insert_once(connection, QUARANTINE, {"subject": subject, "crashes": 0, "created_at": now, **values})
            connection.execute(update(QUARANTINE).where(QUARANTINE.c.subject == subject).values(**values))

    def clear(self, subject: bytes) -> bool:
        """Forgets something; whether it was known."""
        with self.database.transaction() as connection:
            return connection.execute(delete(QUARANTINE).where(QUARANTINE.c.subject == subject)).rowcount > 0

    def suspects(self) -> list[Suspect]:
        """Everything that is known, the newest first."""
        with self.database.transaction() as connection:
            rows = connection.execute(select(QUARANTINE).order_by(QUARANTINE.c.updated_at.desc())).mappings()
            return [_suspect(row) for row in rows]

    def sweep(self, *, older_s: float) -> int:
        """Forgets what is not barred any more and was last heard of so long ago; how many."""
        now = self.clock()
        is_over = (QUARANTINE.c.barred == 0) | (QUARANTINE.c.until < now)
        old = QUARANTINE.c.updated_at < now - older_s
        with self.database.transaction() as connection:
            return connection.execute(delete(QUARANTINE).where(is_over & old)).rowcount


def _suspect(row: Any) -> Suspect:
    return Suspect(
        subject=bytes(row["subject"]),
        crashes=row["crashes"],
        barred=bool(row["barred"]),
        until=row["until"],
        reason=row["reason"],
        updated_at=row["updated_at"],
    )
