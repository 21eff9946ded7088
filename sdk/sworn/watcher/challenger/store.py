"""Claims, the requests that they answer, and the challenger's secret."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import decode as abi_decode
from sqlalchemy import Connection, delete, func, insert, select, update

from sworn.chain.follower import BlockId
from sworn.codec.structs import REQUEST_ABI, abi_encode, request_from_abi, request_to_abi
from sworn.types import Address, ModelId, Request, RequestId, ResultId
from sworn.watcher.challenger.claims import Claim, ClaimStatus
from sworn.watcher.store.database import Database, insert_once
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.tables import ASKED, BLOCKS, CLAIMS, SECRETS

#: Name of the stream of requests and proposals in the store.
PROPOSALS: Final = "proposals"
_OPEN: Final = tuple(status.value for status in ClaimStatus if not status.terminal)
#: Ends that a chain reorganisation can undo.
_SETTLED: Final = tuple(
    status.value
    for status in ClaimStatus
    if status.terminal and status not in (ClaimStatus.ORPHANED, ClaimStatus.PARKED)
)
#: Ends that a person may have begun anew: what was checked to the end, or is too late, stays as it is.
REVIVABLE: Final = frozenset({ClaimStatus.PARKED, ClaimStatus.SKIPPED, ClaimStatus.OBSERVED})
#: "false" stands before "seen".
_URGENT: Final = (CLAIMS.c.status, CLAIMS.c.retry_at, CLAIMS.c.block_number, CLAIMS.c.result_id)
#: How wrong the stored times may be when windows close.
_SLACK_S: Final = 900
_FRESH: Final[Mapping[str, Any]] = {"due_at": 0, "retry_at": 0.0, "attempts": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, as logged."""

    request_id: RequestId
    request: Request
    input: bytes
    block_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimStore:
    """The challenger's durable memory. Every method is one transaction. All raise `StoreError`."""

    database: Database
    clock: Callable[[], float] = time.time

    def claim_database(self, *, chain_id: int, oracle: Address) -> None:
        """Ties the database to a deployment; raises `ConfigurationError` when it belongs to another one."""
        JobStore(database=self.database, clock=self.clock).claim(chain_id=chain_id, oracle=oracle)

    def secret(self, name: str, make: Callable[[], bytes]) -> bytes:
        """32 bytes that stay the same once they have been made."""
        with self.database.transaction() as connection:
            query = select(SECRETS.c.value).where(SECRETS.c.name == name)
            if connection.execute(query).scalar() is None:
                insert_once(connection, SECRETS, {"name": name, "value": make()})
            return bytes(connection.execute(query).scalar_one())

    def history(self) -> tuple[BlockId, ...]:
        """The blocks followed up to, oldest first."""
        with self.database.transaction() as connection:
            rows = connection.execute(select(BLOCKS).where(BLOCKS.c.stream == PROPOSALS).order_by(BLOCKS.c.number))
            return tuple(BlockId(number=row.number, hash=row.hash) for row in rows)

    def advance(
        self, *, history: Sequence[BlockId], asked: Sequence[Asked], seen: Sequence[Claim], rewound_to: int | None
    ) -> None:
        """Stores a step of the follower whole: what a rewind voids, what the logs say, and the new cursor."""
        with self.database.transaction() as connection:
            if rewound_to is not None:
                self._rewind(connection, rewound_to)
            for request in asked:
                connection.execute(delete(ASKED).where(ASKED.c.request_id == request.request_id))
                connection.execute(insert(ASKED).values(_asked_row(request)))
            for claim in seen:
                self._see(connection, claim)
            connection.execute(delete(BLOCKS).where(BLOCKS.c.stream == PROPOSALS))
            if history:
                rows = [{"stream": PROPOSALS, "number": block.number, "hash": block.hash} for block in history]
                connection.execute(insert(BLOCKS), rows)

    def asked(self, request_id: RequestId) -> Asked | None:
        """One request."""
        with self.database.transaction() as connection:
            row = connection.execute(select(ASKED).where(ASKED.c.request_id == request_id)).mappings().first()
            return None if row is None else _asked(row)

    def claim(self, result_id: ResultId) -> Claim | None:
        """One claim."""
        found = self._claims(CLAIMS.c.result_id == result_id)
        return found[0] if found else None

    def claims(self) -> list[Claim]:
        """Every claim, in chain order."""
        return self._claims()

    def listed(self, statuses: Collection[ClaimStatus], *, limit: int) -> list[Claim]:
        """Claims of some statuses, the newest first."""
        wanted = CLAIMS.c.status.in_([status.value for status in statuses])
        return self._claims(wanted, limit=limit, order=(CLAIMS.c.block_number.desc(), CLAIMS.c.result_id))

    def open_claims(self) -> list[Claim]:
        """Every claim that has not ended."""
        return self._claims(CLAIMS.c.status.in_(_OPEN))

    def due(self, *, block_timestamp: int, limit: int) -> list[Claim]:
        """Claims under challenge whose times have come, those first that have waited longest."""
        mine = CLAIMS.c.status == ClaimStatus.FALSE.value
        return self._claims(mine, CLAIMS.c.due_at <= block_timestamp, CLAIMS.c.retry_at <= self.clock(), limit=limit)

    def unchecked(
        self,
        *,
        block_timestamp: int,
        limit: int,
        without: Collection[ResultId] = (),
        operators: Collection[Address] = (),
        models: Collection[ModelId] = (),
    ) -> list[Claim]:
        """Claims that can be checked now, those first whose windows close next; none of these operators and models.

        What is too late for sure comes last: after an outage there may be thousands of them.
        """
        chosen = [CLAIMS.c.status == ClaimStatus.SEEN.value, CLAIMS.c.retry_at <= self.clock()]
        chosen += [CLAIMS.c.result_id.not_in(without), CLAIMS.c.operator.not_in(operators)]
        chosen.append(CLAIMS.c.model_id.is_(None) | CLAIMS.c.model_id.not_in(models))
        # INVARIANT: how often a check has failed changes nothing: who makes the first one fail would gain by it.
        order = (CLAIMS.c.closes_at, CLAIMS.c.block_number, CLAIMS.c.result_id)
        late = CLAIMS.c.closes_at.between(1, block_timestamp - _SLACK_S)
        found = self._claims(*chosen, ~late, limit=limit, order=order)
        return found or self._claims(*chosen, late, limit=limit, order=order)

    def counts(self) -> dict[ClaimStatus, int]:
        """How many claims there are of each status; those of which there is none are left out."""
        query = select(CLAIMS.c.status, func.count()).group_by(CLAIMS.c.status)
        with self.database.transaction() as connection:
            return {ClaimStatus(status): count for status, count in connection.execute(query)}

    def exposure_wei(self, *, without: ResultId) -> int:
        """What all open disputes but one put at risk."""
        query = select(CLAIMS.c.exposure_wei).where(CLAIMS.c.status.in_(_OPEN), CLAIMS.c.result_id != without)
        with self.database.transaction() as connection:
            return sum(connection.execute(query).scalars())

    def save(self, claim: Claim) -> None:
        """Stores a claim's progress."""
        with self.database.transaction() as connection:
            values = _progress(claim) | {"updated_at": self.clock()}
            connection.execute(update(CLAIMS).where(CLAIMS.c.result_id == claim.result_id).values(values))

    def revive(self, result_id: ResultId) -> Claim | None:
        """Has a claim that was given up begin anew; None, and nothing happens, where there is none of that kind."""
        mine = (CLAIMS.c.result_id == result_id) & CLAIMS.c.status.in_([status.value for status in REVIVABLE])
        values = {**_FRESH, "status": ClaimStatus.SEEN.value, "reason": "", "settled_block": None, "overruns": 0}
        with self.database.transaction() as connection:
            changed = connection.execute(update(CLAIMS).where(mine).values(values | {"updated_at": self.clock()}))
        return self.claim(result_id) if changed.rowcount else None

    def _claims(self, *conditions: Any, limit: int | None = None, order: Sequence[Any] = _URGENT) -> list[Claim]:
        query = (
            select(CLAIMS, ASKED.c.request, ASKED.c.input)
            .join(ASKED, ASKED.c.request_id == CLAIMS.c.request_id)
            .where(*conditions)
            .order_by(*order)
            .limit(limit)
        )
        with self.database.transaction() as connection:
            return [_claim(row) for row in connection.execute(query).mappings()]

    def _rewind(self, connection: Connection, number: int) -> None:
        """Orphans the claims of void blocks and opens again those whose end lay in them."""
        now = {"updated_at": self.clock()}
        orphaned = {"status": ClaimStatus.ORPHANED.value, "reason": "its block left the chain", "exposure_wei": 0}
        connection.execute(update(CLAIMS).where(CLAIMS.c.block_number > number).values(orphaned | now))
        reopened = {**_FRESH, "status": ClaimStatus.SEEN.value, "reason": "", "settled_block": None}
        ended = (CLAIMS.c.block_number <= number, CLAIMS.c.status.in_(_SETTLED), CLAIMS.c.settled_block > number)
        connection.execute(update(CLAIMS).where(*ended).values(reopened | now))
        # A clock that was waited for may have to be waited for again.
        connection.execute(update(CLAIMS).where(CLAIMS.c.status.in_(_OPEN)).values(_FRESH))

    def _see(self, connection: Connection, claim: Claim) -> None:
        known = connection.execute(select(CLAIMS.c.status).where(CLAIMS.c.result_id == claim.result_id)).scalar()
        now = {"updated_at": self.clock()}
        if known is None:
            connection.execute(insert(CLAIMS).values(_row(claim) | {"created_at": self.clock()} | now))
        elif known == ClaimStatus.ORPHANED.value:
            connection.execute(update(CLAIMS).where(CLAIMS.c.result_id == claim.result_id).values(_row(claim) | now))


def _asked_row(asked: Asked) -> dict[str, Any]:
    return {
        "request_id": asked.request_id,
        "request": abi_encode([REQUEST_ABI], [request_to_abi(asked.request)]),
        "input": asked.input,
        "block_number": asked.block_number,
    }


def _asked(row: Mapping[Any, Any]) -> Asked:
    return Asked(
        request_id=RequestId(row["request_id"]),
        request=_request(row["request"]),
        input=row["input"],
        block_number=row["block_number"],
    )


def _request(encoded: bytes) -> Request:
    (fields,) = abi_decode([REQUEST_ABI], encoded)
    return request_from_abi(fields)


def _row(claim: Claim) -> dict[str, Any]:
    return {
        "result_id": claim.result_id,
        "request_id": claim.request_id,
        "operator": claim.operator,
        "trace_root": claim.trace_root,
        "output": claim.output,
        "signature": claim.signature,
        "block_number": claim.block_number,
        "block_hash": claim.block_hash,
        "transaction_hash": claim.transaction_hash,
        "closes_at": claim.closes_at,
        "model_id": claim.request.model_id,
    } | _progress(claim)


def _progress(claim: Claim) -> dict[str, Any]:
    return {
        "status": claim.status.value,
        "reason": claim.reason,
        "attempts": claim.attempts,
        "retry_at": claim.retry_at,
        "due_at": claim.due_at,
        "exposure_wei": claim.exposure_wei,
        "settled_block": claim.settled_block,
        "overruns": claim.overruns,
    }


def _claim(row: Mapping[Any, Any]) -> Claim:
    return Claim(
        result_id=ResultId(row["result_id"]),
        request_id=RequestId(row["request_id"]),
        request=_request(row["request"]),
        input=row["input"],
        operator=Address(row["operator"]),
        trace_root=row["trace_root"],
        output=row["output"],
        signature=row["signature"],
        block_number=row["block_number"],
        block_hash=row["block_hash"],
        transaction_hash=row["transaction_hash"],
        status=ClaimStatus(row["status"]),
        reason=row["reason"],
        attempts=row["attempts"],
        retry_at=row["retry_at"],
        due_at=row["due_at"],
        exposure_wei=row["exposure_wei"],
        settled_block=row["settled_block"],
        closes_at=row["closes_at"],
        overruns=row["overruns"],
    )
