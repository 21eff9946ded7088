"""The journal of sworn results inside a transaction: found, checked against what was sworn before, written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Table, bindparam, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from sworn.errors import DigestConflict
from sworn.types import Address, RequestId
from sworn.watcher.jobs import Oath
from sworn.watcher.store.rows import oath_of, oath_row
from sworn.watcher.store.tables import JOBS, SIGNED_DIGESTS, STATEMENTS

#: Values in one statement; SQLite and PostgreSQL take some 32,000.
CHUNK: Final = 5_000

_Item = TypeVar("_Item")
#: What a model is asked: its id and the root of its input.
_Statement = tuple[bytes, bytes]


def chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """The items, as many at a time as one statement takes."""
    rest = list(items)
    for start in range(0, len(rest), CHUNK):
        yield rest[start : start + CHUNK]


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows, those left out whose key is there; rows that others are inserting are waited for."""
    if rows:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))


def find(connection: Connection, request_ids: Iterable[RequestId], operator: Address) -> dict[RequestId, Oath]:
    """Those that there are."""
    found: dict[RequestId, Oath] = {}
    for some in chunks(request_ids):
        query = select(SIGNED_DIGESTS).where(
            SIGNED_DIGESTS.c.request_id.in_(some), SIGNED_DIGESTS.c.operator == operator
        )
        found |= {RequestId(row.request_id): oath_of(row) for row in connection.execute(query)}
    return found


def write(connection: Connection, oaths: Iterable[Oath], *, now: float) -> None:
    """Journals oaths; those are left out for whose request there is one."""
    # In one order everywhere, so that two replicas never wait for each other.
    rows = [oath_row(oath, now=now) for oath in sorted(oaths, key=lambda oath: oath.request_id)]
    insert_new(connection, SIGNED_DIGESTS, rows)


def swear(
    connection: Connection, oaths: Sequence[Oath], *, bound: frozenset[RequestId], now: float
) -> list[DigestConflict | None]:
    """Journals oaths of one operator, but those that contradict the journal; a conflict in the place of each of these.

    ``bound`` are the requests whose models promise bits.
    """
    if not oaths:
        return []
    operator = Address(oaths[0].operator)
    ids = [oath.request_id for oath in oaths]
    sworn = find(connection, ids, operator)
    agreed = [oath for oath in oaths if sworn.get(oath.request_id, oath).digest == oath.digest]
    asked = _asked(connection, [oath.request_id for oath in agreed if oath.request_id in bound])
    answers = _hold(connection, [(asked[oath.request_id], oath) for oath in agreed if oath.request_id in asked])
    agreeing = [
        oath for oath in agreed if oath.request_id not in asked or answers[asked[oath.request_id]] == oath.output_root
    ]
    write(connection, (oath for oath in agreeing if oath.request_id not in sworn), now=now)
    # INVARIANT: what counts is what the journal says now: its key takes one result per request, whoever was first.
    journalled = find(connection, ids, operator)
    return [_conflict(oath, journalled.get(oath.request_id)) for oath in oaths]


def sign(connection: Connection, oaths: Iterable[Oath]) -> None:
    """Completes journalled digests by their signatures."""
    rows = [
        {"of": oath.request_id, "by": oath.operator, "over": oath.digest, "signature": oath.signature} for oath in oaths
    ]
    if rows:
        connection.execute(
            update(SIGNED_DIGESTS).where(
                SIGNED_DIGESTS.c.request_id == bindparam("of"),
                SIGNED_DIGESTS.c.operator == bindparam("by"),
                SIGNED_DIGESTS.c.digest == bindparam("over"),
            ),
            rows,
        )


def _conflict(oath: Oath, journalled: Oath | None) -> DigestConflict | None:
    # INVARIANT: one operator never signs two different results for one request.
    if journalled is not None and journalled.digest != oath.digest:
        return DigestConflict(f"another result is journalled for request 0x{oath.request_id.hex()}")
    # INVARIANT: where bits are promised, one operator never signs two outputs of one input; that alone convicts it.
    if journalled is None:
        return DigestConflict(
            f"another output is journalled for the same model and input as request 0x{oath.request_id.hex()} has"
        )
    return None


def _asked(connection: Connection, request_ids: Iterable[RequestId]) -> dict[RequestId, _Statement]:
    asked: dict[RequestId, _Statement] = {}
    for some in chunks(request_ids):
        query = select(JOBS.c.request_id, JOBS.c.model_id, JOBS.c.input_root).where(JOBS.c.request_id.in_(some))
        asked |= {RequestId(row.request_id): (row.model_id, row.input_root) for row in connection.execute(query)}
    return asked


def _hold(connection: Connection, stated: Sequence[tuple[_Statement, Oath]]) -> dict[_Statement, bytes]:
    """The outputs that count for some models and inputs: the stated ones, where there was none before."""
    rows = [
        {"operator": oath.operator, "model_id": model, "input_root": asked, "output_root": oath.output_root}
        for (model, asked), oath in sorted(stated, key=lambda each: each[0])
    ]
    insert_new(connection, STATEMENTS, rows)
    answers: dict[_Statement, bytes] = {}
    for some in chunks(sorted({statement for statement, _ in stated})):
        query = select(STATEMENTS).where(
            STATEMENTS.c.operator == stated[0][1].operator,
            tuple_(STATEMENTS.c.model_id, STATEMENTS.c.input_root).in_(some),
        )
        answers |= {(row.model_id, row.input_root): row.output_root for row in connection.execute(query)}
    return answers
