"""Inputs that were fetched, for as long as a result that answers them may have to be defended or disputed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from eth_abi.abi import decode as abi_decode
from sqlalchemy import Connection, delete, func, select

from sworn.codec.structs import REQUEST_ABI, request_from_abi
from sworn.watcher.challenger.claims import ClaimStatus
from sworn.watcher.defence.records import DefenceStatus
from sworn.watcher.store.database import Database, insert_once
from sworn.watcher.store.tables import ASKED, CLAIMS, DEFENCES, JOBS, PAYLOADS, SIGNED_DIGESTS

#: Payloads that one transaction looks at.
BATCH: Final = 200
_OPEN = tuple(status.value for status in DefenceStatus if not status.terminal)
_OPEN_CLAIMS = tuple(status.value for status in ClaimStatus if not status.terminal)


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

    def release(self, input_root: bytes) -> None:
        """Removes a payload, unless an open claim, or a job of any age, is about it."""
        with self.database.transaction() as connection:
            mine = PAYLOADS.c.input_root == input_root
            is_there = connection.execute(select(PAYLOADS.c.input_root).where(mine)).first() is not None
            if is_there and input_root not in _needed(connection, [input_root], 0):
                connection.execute(delete(PAYLOADS).where(mine))

    def drop(self, *, ended_before: int) -> Iterator[int]:
        """Removes payloads of which no window ends later (unix seconds), and no claim or dispute is open; how many.

        A few at a time, each few in a transaction of their own.
        """
        after, count = b"", BATCH
        while count == BATCH:
            with self.database.transaction() as connection:
                query = select(PAYLOADS.c.input_root).where(PAYLOADS.c.input_root > after)
                roots = list(connection.execute(query.order_by(PAYLOADS.c.input_root).limit(BATCH)).scalars())
                unneeded = set(roots) - _needed(connection, roots, ended_before) if roots else set()
                connection.execute(delete(PAYLOADS).where(PAYLOADS.c.input_root.in_(unneeded)))
            yield len(unneeded)
            after, count = (roots or [b""])[-1], len(roots)


def _needed(connection: Connection, roots: list[bytes], ended_before: int) -> set[bytes]:
    """Those of some inputs that a result may have to be defended or disputed with."""
    contested = (
        select(SIGNED_DIGESTS.c.request_id)
        .join(DEFENCES, DEFENCES.c.result_id == SIGNED_DIGESTS.c.digest)
        .where(DEFENCES.c.status.in_(_OPEN))
    )
    may_be = (JOBS.c.deadline + JOBS.c.window_s >= ended_before) | JOBS.c.request_id.in_(contested)
    needed = _claimed(connection) & set(roots)
    # Model by model, of which there are few: the index of jobs by input begins with them.
    model = b""
    while (
        found := connection.execute(select(func.min(JOBS.c.model_id)).where(JOBS.c.model_id > model)).scalar()
    ) is not None:
        model = bytes(found)
        query = select(JOBS.c.input_root).where(JOBS.c.model_id == model, JOBS.c.input_root.in_(roots), may_be)
        needed |= set(connection.execute(query.distinct()).scalars())
    return needed


def _claimed(connection: Connection) -> set[bytes]:
    """The inputs that open claims are about."""
    query = select(ASKED.c.request).join(CLAIMS, CLAIMS.c.request_id == ASKED.c.request_id)
    rows = connection.execute(query.where(CLAIMS.c.status.in_(_OPEN_CLAIMS)).distinct()).scalars()
    return {request_from_abi(abi_decode([REQUEST_ABI], encoded)[0]).input_root for encoded in rows}
