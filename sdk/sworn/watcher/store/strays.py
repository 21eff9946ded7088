"""Transactions under way from accounts whose keys are not configured any more."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select

from sworn.chain.transactions import LIVE
from sworn.types import Address
from sworn.watcher.store.database import Database, unindexed
from sworn.watcher.store.tables import TRANSACTIONS

_LIVE = tuple(status.value for status in LIVE)


def stray_senders(database: Database, *, chain_id: int, known: Collection[Address]) -> dict[Address, int]:
    """How many transactions each account has under way, of those that are not ``known``. Raises `StoreError`."""
    table = TRANSACTIONS.c
    counted = (
        select(table.sender, func.count())
        .where(table.status.in_(_LIVE), unindexed(table.chain_id) == chain_id, table.sender.not_in(list(known)))
        .group_by(table.sender)
    )
    with database.transaction() as connection:
        return {Address(sender): count for sender, count in connection.execute(counted)}
