from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.databases import KINDS, opened

from sworn.chain.follower import BlockId
from sworn.errors import DigestConflict
from sworn.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Assurance,
    ModelId,
    Part,
    Request,
    RequestId,
    ResultId,
    Target,
)
from sworn.watcher.defence.records import Defence, DefenceStatus, OpenDemand
from sworn.watcher.defence.store import DefenceStore, News
from sworn.watcher.jobs import Job, Oath
from sworn.watcher.store.database import Database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.payloads import PayloadStore

OPERATOR = Address("0x" + "11" * 20)
FIRST, SECOND = ResultId(b"\x01" * 32), ResultId(b"\x02" * 32)
ROOT = b"\x0a" * 32


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    with opened(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def store(database: Database) -> DefenceStore:
    """The disputes in it."""
    return DefenceStore(database=database, clock=lambda: 1000.0)


def blocks(*numbers: int) -> tuple[BlockId, ...]:
    """A cursor's history."""
    return tuple(BlockId(number=number, hash=number.to_bytes(32)) for number in numbers)


def demand(number: int, *, due_at: int, block: int, result_id: ResultId = FIRST) -> OpenDemand:
    """A demand with a number for its id."""
    return OpenDemand(
        demand_id=number.to_bytes(32),
        result_id=result_id,
        challenger=ZERO_ADDRESS,
        target=Target(part=Part.CHUNKS, value=2**32 - 1, index=2**32 - 1),
        due_at=due_at,
        block_number=block,
    )


def job(request_id: RequestId, *, deadline: int = 100) -> Job:
    """A request whose input is named by its id."""
    request = Request(
        model_id=ModelId(b"\x05" * 32),
        input_root=request_id,
        requester=ZERO_ADDRESS,
        operator=OPERATOR,
        refund_to=ZERO_ADDRESS,
        fee_wei=1,
        value_at_risk_wei=0,
        callback_gas=0,
        window_s=10,
        deadline=deadline,
        assurance=Assurance.FINAL,
        salt=bytes(32),
    )
    return Job(
        request_id=request_id,
        request=request,
        input=b"",
        block_number=1,
        block_hash=bytes(32),
        transaction_hash=bytes(32),
    )


def oath(request_id: RequestId, digest: bytes) -> Oath:
    """What was sworn for a request."""
    return Oath(
        request_id=request_id,
        operator=OPERATOR,
        digest=digest,
        output_root=bytes(32),
        trace_root=ZERO_HASH,
        output=b"",
        signature=b"s" * 65,
    )


def test_demands_are_remembered_whole_and_most_urgent_first(store: DefenceStore) -> None:
    """What is answered, or in a dispute that is over, is owed no more."""
    made = (demand(1, due_at=30, block=5), demand(2, due_at=20, block=5), demand(3, due_at=10, block=6))
    opened = (Defence(result_id=FIRST, block_number=4),)
    store.advance(history=blocks(6), news=News(opened=opened, demanded=made))
    assert store.demands(FIRST) == [made[2], made[1], made[0]]
    store.advance(history=blocks(7), news=News(answered=((made[2].demand_id, 7),)))
    assert store.demands() == [made[1], made[0]]
    store.save(replace(opened[0], status=DefenceStatus.UPHELD, settled_block=8))
    assert store.demands() == [] and store.open() == []


def test_rewind_undoes_what_its_blocks_said_and_nothing_else(store: DefenceStore) -> None:
    """Disputes are orphaned, demands forgotten, answers taken back, ends undone."""
    opened = (Defence(result_id=FIRST, block_number=4), Defence(result_id=SECOND, block_number=8))
    kept, gone = demand(1, due_at=30, block=5), demand(2, due_at=20, block=9)
    news = News(opened=opened, demanded=(kept, gone), answered=((kept.demand_id, 9),))
    store.advance(history=blocks(5, 9), news=news)
    store.save(replace(opened[0], status=DefenceStatus.UPHELD, settled_block=9, due_at=99, retry_at=5000.0))
    store.advance(history=blocks(5), news=News(), rewound_to=5)
    first, second = store.all()
    assert (first.status, first.settled_block, first.due_at, first.retry_at) == (DefenceStatus.OPEN, None, 0, 0.0)
    assert second.status is DefenceStatus.ORPHANED
    assert store.demands() == [kept]
    assert store.history() == blocks(5)


def test_dispute_opened_again_keeps_what_was_sworn_in_it(store: DefenceStore) -> None:
    """One result never gets a second trace, in whatever block it is challenged."""
    store.advance(history=blocks(4), news=News(opened=(Defence(result_id=FIRST, block_number=4),)))
    store.swear(FIRST, ROOT)
    store.advance(history=(), news=News(), rewound_to=3)
    store.advance(history=blocks(6), news=News(opened=(Defence(result_id=FIRST, block_number=6),)))
    (again,) = store.all()
    assert (again.status, again.block_number, again.trace_root) == (DefenceStatus.OPEN, 6, ROOT)
    store.swear(FIRST, ROOT)
    with pytest.raises(DigestConflict):
        store.swear(FIRST, b"\x0b" * 32)


def test_anything_that_happens_in_a_dispute_wakes_it(store: DefenceStore) -> None:
    """Waiting for a time ends with the next event."""
    opened = Defence(result_id=FIRST, block_number=4)
    store.advance(history=blocks(4), news=News(opened=(opened,)))
    store.save(replace(opened, due_at=99, retry_at=5000.0))
    assert store.due(block_timestamp=98) == []
    store.advance(history=blocks(5), news=News(touched=frozenset({FIRST})))
    assert [each.result_id for each in store.due(block_timestamp=98)] == [FIRST]


def test_contested_requests_are_those_with_an_open_dispute(database: Database, store: DefenceStore) -> None:
    """By the result that was sworn for them."""
    jobs = JobStore(database=database)
    for request_id, digest in ((RequestId(b"\x21" * 32), FIRST), (RequestId(b"\x22" * 32), SECOND)):
        assert jobs.restore(job(request_id), oath(request_id, digest))
    opened = tuple(Defence(result_id=each, block_number=4) for each in (FIRST, SECOND))
    store.advance(history=blocks(4), news=News(opened=opened))
    store.save(replace(opened[1], status=DefenceStatus.REFUTED, settled_block=5))
    assert store.contested() == {b"\x21" * 32}


def test_journal_takes_what_stands_on_chain_but_never_a_second_result(database: Database) -> None:
    """What was restored is found by its id; another result for the same request is refused."""
    jobs, request_id = JobStore(database=database), RequestId(b"\x21" * 32)
    assert jobs.restore(job(request_id), oath(request_id, FIRST)) and jobs.restore(
        job(request_id), oath(request_id, FIRST)
    )
    assert jobs.sworn(FIRST, OPERATOR) == oath(request_id, FIRST)
    assert jobs.sworn(FIRST, ZERO_ADDRESS) is None and jobs.sworn(SECOND, OPERATOR) is None
    assert not jobs.restore(job(request_id), oath(request_id, SECOND))
    assert jobs.sworn(FIRST, OPERATOR) == oath(request_id, FIRST)


def test_fetched_inputs_are_kept_while_a_result_may_need_them(database: Database, store: DefenceStore) -> None:
    """Until the last window has closed, and beyond it while there is a dispute."""
    jobs, payloads = JobStore(database=database), PayloadStore(database=database)
    ids = [RequestId(bytes([number]) * 32) for number in (0x21, 0x22, 0x23)]
    for request_id, digest, deadline in zip(ids, (FIRST, SECOND, b"\x03" * 32), (100, 100, 900), strict=True):
        jobs.restore(job(request_id, deadline=deadline), oath(request_id, digest))
        payloads.keep(request_id, request_id[:5])
        payloads.keep(request_id, request_id[:5])
    store.advance(history=blocks(4), news=News(opened=(Defence(result_id=FIRST, block_number=4),)))
    assert sum(payloads.drop(ended_before=110)) == 0
    assert sum(payloads.drop(ended_before=111)) == 1
    assert [payloads.find(request_id) for request_id in ids] == [ids[0][:5], None, ids[2][:5]]
