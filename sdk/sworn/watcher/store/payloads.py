"""Inputs that were fetched, for as long as a result that answers them may have to be defended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, select

from sworn.watcher.defence.records import DefenceStatus
from sworn.watcher.store.database import Database, insert_once
from sworn.watcher.store.tables import DEFENCES, JOBS, PAYLOADS, SIGNED_DIGESTS

_OPEN = tuple(status.value for status in DefenceStatus if not status.terminal)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadStore:
    """Payloads by their root. Every method is one transaction. All raise `StoreError`."""

    database: Database
    clock: Callable[[], float] = time.time

    def keep(self, input_root: bytes, payload: bytes) -> None:
        """Stores a payload; the same one again is fine."""
        with self.database.transaction() as connection:
            insert_once(
                connection, PAYLOADS, {"input_root": input_root, "payload": payload, "created_at": self.clock()}
            )

    def find(self, input_root: bytes) -> bytes | None:
        """The payload with a root."""
        with self.database.transaction() as connection:
            found = connection.execute(select(PAYLOADS.c.payload).where(PAYLOADS.c.input_root == input_root)).scalar()
            return None if found is None else bytes(found)

    def drop(self, *, ended_before: int) -> int:
        """Removes payloads for which no window ends later (unix seconds) and no result is contested; how many."""
        contested = (
            select(SIGNED_DIGESTS.c.request_id)
            .join(DEFENCES, DEFENCES.c.result_id == SIGNED_DIGESTS.c.digest)
            .where(DEFENCES.c.status.in_(_OPEN))
        )
        needed = select(JOBS.c.input_root).where(
            (JOBS.c.deadline + JOBS.c.window_s >= ended_before) | JOBS.c.request_id.in_(contested)
        )
        with self.database.transaction() as connection:
            return connection.execute(delete(PAYLOADS).where(PAYLOADS.c.input_root.not_in(needed))).rowcount
