"""What transactions have cost, in the database: to the wei, whoever sent them and whatever became of their rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete
from tests.support.databases import KINDS, opened
from tests.support.store_rows import SENDER, record

from sworn.chain.transactions import TransactionRecord, TransactionStatus
from sworn.errors import LeadershipLost
from sworn.watcher.store.census import Census
from sworn.watcher.store.database import Database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.tables import TRANSACTIONS
from sworn.watcher.store.transactions import SqlTransactionStore

#: More than a machine's integers hold.
DEAR_WEI = 2**70 + 1


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with the newest schema."""
    with opened(request.param, tmp_path) as database:
        yield database


def mined(number: int, cost_wei: int, status: TransactionStatus = TransactionStatus.MINED) -> TransactionRecord:
    """A transaction that has cost so much."""
    return replace(record(number, nonce=number, status=status), block_number=number, succeeded=True, cost_wei=cost_wei)


def paid(database: Database) -> int:
    """What the database says that proposals have cost."""
    return Census(database=database).gas_paid().get((SENDER, "propose"), 0)


def test_cost_is_counted_once_however_often_it_is_stored(database: Database) -> None:
    """A transaction is stored when it is mined, when it is deep, and again by whoever takes over in between."""
    store = SqlTransactionStore(database=database, chain_id=1)
    store.put_many([mined(1, DEAR_WEI), mined(2, 5)])
    SqlTransactionStore(database=database, chain_id=1).put(mined(1, DEAR_WEI, TransactionStatus.CONFIRMED))
    store.put(replace(mined(2, 5), note="again"))

    assert paid(database) == DEAR_WEI + 5
    kept = store.get(record(1, nonce=1).key)
    assert kept is not None
    assert kept.cost_wei == DEAR_WEI


def test_cost_of_what_left_its_block_is_not_counted_until_it_is_mined_again(database: Database) -> None:
    """A reorganisation gives the ether back, and the next block may ask another price."""
    store = SqlTransactionStore(database=database, chain_id=1)
    store.put(mined(1, 100))
    store.put(record(1, nonce=1))
    assert paid(database) == 0
    store.put(mined(1, 130))

    assert paid(database) == 130


def test_cost_of_an_attempt_that_reverted_stays_when_its_key_starts_anew(database: Database) -> None:
    """What was mined was paid for, although its row says something else by now."""
    store = SqlTransactionStore(database=database, chain_id=1)
    store.put(replace(mined(1, 100, TransactionStatus.CONFIRMED), succeeded=False))
    store.put(record(1, nonce=None, status=TransactionStatus.INTENDED))
    store.put(record(1, nonce=2))
    store.put(replace(mined(1, 70), nonce=2))

    assert paid(database) == 170


def test_cost_stays_when_its_row_goes(database: Database) -> None:
    """Rows go after some weeks; what an operator has paid does not."""
    store = SqlTransactionStore(database=database, chain_id=1)
    store.put(mined(1, 100, TransactionStatus.CONFIRMED))
    with database.transaction() as connection:
        connection.execute(delete(TRANSACTIONS))
    store.put(mined(2, 1))

    assert paid(database) == 101


def test_cost_is_not_counted_for_somebody_who_may_not_write(database: Database) -> None:
    """A leader that slept through a takeover would count what its successor has counted."""

    def refuse(connection: Connection) -> None:
        raise LeadershipLost("another replica leads")

    with pytest.raises(LeadershipLost):
        SqlTransactionStore(database=database, chain_id=1, fence=refuse).put(mined(1, 100))

    assert paid(database) == 0


def test_next_nonce_is_that_of_the_account_on_its_chain(database: Database) -> None:
    """A nonce of the chain over this one says that somebody else sends with the key."""
    JobStore(database=database).claim(chain_id=1, oracle=SENDER)
    census = Census(database=database)
    assert census.next_nonce(SENDER) is None
    SqlTransactionStore(database=database, chain_id=1).put_many([record(1, nonce=4), record(2, nonce=None)])

    assert census.next_nonce(SENDER) == 5
