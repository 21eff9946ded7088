"""Disputes over our own results and their demands, as the logs tell of them, in step with a cursor."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, insert, select, update

from sworn.chain.follower import BlockId
from sworn.errors import DigestConflict
from sworn.types import Address, Part, RequestId, ResultId, Target
from sworn.watcher.defence.records import Defence, DefenceStatus, OpenDemand
from sworn.watcher.store.database import Database
from sworn.watcher.store.tables import BLOCKS, DEFENCES, DEMANDS, JOBS, SIGNED_DIGESTS

#: Name of the stream of dispute logs in the store.
DISPUTES = "disputes"
_OPEN = tuple(status.value for status in DefenceStatus if not status.terminal)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a range of logs says about disputes over our results, in chain order."""

    opened: tuple[Defence, ...] = ()
    demanded: tuple[OpenDemand, ...] = ()
    #: Ids of demands that have been answered, and in which block.
    answered: tuple[tuple[bytes, int], ...] = ()
    #: Disputes in which anything happened.
    touched: frozenset[ResultId] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefenceStore:
    """Durable memory of disputes. Every method is one transaction. All raise `StoreError`."""

    database: Database
    clock: Callable[[], float] = time.time

    def history(self) -> tuple[BlockId, ...]:
        """The blocks followed up to, oldest first."""
        with self.database.transaction() as connection:
            rows = connection.execute(select(BLOCKS).where(BLOCKS.c.stream == DISPUTES).order_by(BLOCKS.c.number))
            return tuple(BlockId(number=row.number, hash=row.hash) for row in rows)

    def advance(self, *, history: Sequence[BlockId], news: News, rewound_to: int | None = None) -> None:
        """Stores a step of the follower whole: what a rewind voids, what the logs say, and the new cursor."""
        with self.database.transaction() as connection:
            if rewound_to is not None:
                self._rewind(connection, rewound_to)
            for defence in news.opened:
                self._open(connection, defence)
            for demand in news.demanded:
                connection.execute(delete(DEMANDS).where(DEMANDS.c.demand_id == demand.demand_id))
                connection.execute(insert(DEMANDS).values(_demand_row(demand)))
            for demand_id, block in news.answered:
                answered = update(DEMANDS).where(DEMANDS.c.demand_id == demand_id)
                connection.execute(answered.values(answered_block=block))
            for result_id in news.touched:
                touched = update(DEFENCES).where(DEFENCES.c.result_id == result_id)
                connection.execute(touched.values(_FRESH | self._now()))
                # A window that was waited for is no window any more, or is over at once.
                ours = select(SIGNED_DIGESTS.c.request_id).where(SIGNED_DIGESTS.c.digest == result_id)
                connection.execute(update(JOBS).where(JOBS.c.request_id.in_(ours)).values(due_at=0))
            connection.execute(delete(BLOCKS).where(BLOCKS.c.stream == DISPUTES))
            if history:
                rows = [{"stream": DISPUTES, "number": block.number, "hash": block.hash} for block in history]
                connection.execute(insert(BLOCKS), rows)

    def known(self) -> frozenset[ResultId]:
        """Every dispute over a result of ours."""
        with self.database.transaction() as connection:
            return frozenset(ResultId(row.result_id) for row in connection.execute(select(DEFENCES.c.result_id)))

    def defence(self, result_id: ResultId) -> Defence | None:
        """One dispute."""
        found = self._defences(select(DEFENCES).where(DEFENCES.c.result_id == result_id))
        return found[0] if found else None

    def all(self) -> list[Defence]:
        """Every dispute, oldest first."""
        return self._defences(select(DEFENCES).order_by(DEFENCES.c.block_number, DEFENCES.c.result_id))

    def open(self) -> list[Defence]:
        """Those that have not ended."""
        return self._defences(select(DEFENCES).where(DEFENCES.c.status.in_(_OPEN)))

    def due(self, *, block_timestamp: int) -> list[Defence]:
        """Open ones whose times have come."""
        times = (DEFENCES.c.due_at <= block_timestamp, DEFENCES.c.retry_at <= self.clock())
        return self._defences(select(DEFENCES).where(DEFENCES.c.status.in_(_OPEN), *times))

    def save(self, defence: Defence) -> None:
        """Stores a dispute's progress, all but what is sworn in it."""
        values = _progress(defence) | self._now()
        with self.database.transaction() as connection:
            connection.execute(update(DEFENCES).where(DEFENCES.c.result_id == defence.result_id).values(values))

    def swear(self, result_id: ResultId, trace_root: bytes) -> None:
        """Journals the trace of a result before it is signed; the same one again is fine.

        Raises `DigestConflict` when another one was journalled: it must not be signed.
        """
        with self.database.transaction() as connection:
            row = select(DEFENCES.c.trace_root).where(DEFENCES.c.result_id == result_id)
            # Two replicas that both believe that they lead wait for each other here.
            known = connection.execute(row.with_for_update()).scalar()
            # INVARIANT: one result is never sworn to with two different traces.
            if known not in (None, trace_root):
                raise DigestConflict(f"another trace is journalled for the result 0x{result_id.hex()}")
            sworn = update(DEFENCES).where(DEFENCES.c.result_id == result_id)
            connection.execute(sworn.values(trace_root=trace_root))

    def demands(self, result_id: ResultId | None = None) -> list[OpenDemand]:
        """What has not been answered in a dispute, or in all that have not ended, most urgent first."""
        query = select(DEMANDS).join(DEFENCES, DEFENCES.c.result_id == DEMANDS.c.result_id)
        query = query.where(DEMANDS.c.answered_block.is_(None), DEFENCES.c.status.in_(_OPEN))
        if result_id is not None:
            query = query.where(DEMANDS.c.result_id == result_id)
        with self.database.transaction() as connection:
            rows = connection.execute(query.order_by(DEMANDS.c.due_at, DEMANDS.c.demand_id)).mappings()
            return [_demand(row) for row in rows]

    def contested(self) -> frozenset[RequestId]:
        """Requests whose result of ours is under challenge."""
        query = select(SIGNED_DIGESTS.c.request_id).join(DEFENCES, DEFENCES.c.result_id == SIGNED_DIGESTS.c.digest)
        with self.database.transaction() as connection:
            rows = connection.execute(query.where(DEFENCES.c.status.in_(_OPEN)))
            return frozenset(RequestId(row.request_id) for row in rows)

    def _open(self, connection: Connection, defence: Defence) -> None:
        known = connection.execute(
            select(DEFENCES.c.result_id).where(DEFENCES.c.result_id == defence.result_id)
        ).first()
        if known is None:
            values = {"result_id": defence.result_id, "block_number": defence.block_number, "trace_root": None}
            values |= _progress(defence) | self._now()
            connection.execute(insert(DEFENCES).values(values | {"created_at": self.clock()}))
            return
        # Opened again in another block: what has been sworn in it stays sworn.
        again = update(DEFENCES).where(DEFENCES.c.result_id == defence.result_id)
        connection.execute(again.values(block_number=defence.block_number, **_progress(defence), **self._now()))

    def _rewind(self, connection: Connection, number: int) -> None:
        """Forgets what void blocks said; what has been sworn in a dispute stays sworn."""
        connection.execute(delete(DEMANDS).where(DEMANDS.c.block_number > number))
        answered = update(DEMANDS).where(DEMANDS.c.answered_block > number)
        connection.execute(answered.values(answered_block=None))
        settled = update(DEFENCES).where(DEFENCES.c.settled_block > number)
        connection.execute(settled.values(status=DefenceStatus.OPEN.value, settled_block=None))
        orphaned = {"status": DefenceStatus.ORPHANED.value, "reason": "its block left the chain"}
        connection.execute(update(DEFENCES).where(DEFENCES.c.block_number > number).values(orphaned))
        connection.execute(update(DEFENCES).values(_FRESH | self._now()))

    def _defences(self, query: Select[Any]) -> list[Defence]:
        with self.database.transaction() as connection:
            return [_defence(row) for row in connection.execute(query).mappings()]

    def _now(self) -> dict[str, Any]:
        return {"updated_at": self.clock()}


_FRESH: Final[dict[str, Any]] = {"due_at": 0, "retry_at": 0.0, "attempts": 0}


def _progress(defence: Defence) -> dict[str, Any]:
    return {
        "status": defence.status.value,
        "reason": defence.reason,
        "attempts": defence.attempts,
        "retry_at": defence.retry_at,
        "due_at": defence.due_at,
        "opened_at": defence.opened_at,
        "answer_by": defence.answer_by,
        "settled_block": defence.settled_block,
    }


def _defence(row: Mapping[Any, Any]) -> Defence:
    return Defence(
        result_id=ResultId(row["result_id"]),
        block_number=row["block_number"],
        status=DefenceStatus(row["status"]),
        reason=row["reason"],
        attempts=row["attempts"],
        retry_at=row["retry_at"],
        due_at=row["due_at"],
        opened_at=row["opened_at"],
        answer_by=row["answer_by"],
        trace_root=row["trace_root"],
        settled_block=row["settled_block"],
    )


def _demand_row(demand: OpenDemand) -> dict[str, Any]:
    return {
        "demand_id": demand.demand_id,
        "result_id": demand.result_id,
        "challenger": demand.challenger,
        "part": int(demand.target.part),
        "value": demand.target.value,
        "level": demand.target.level,
        "place": demand.target.index,
        "due_at": demand.due_at,
        "block_number": demand.block_number,
        "answered_block": None,
    }


def _demand(row: Mapping[Any, Any]) -> OpenDemand:
    target = Target(part=Part(row["part"]), value=row["value"], level=row["level"], index=row["place"])
    return OpenDemand(
        demand_id=row["demand_id"],
        result_id=ResultId(row["result_id"]),
        challenger=Address(row["challenger"]),
        target=target,
        due_at=row["due_at"],
        block_number=row["block_number"],
    )
