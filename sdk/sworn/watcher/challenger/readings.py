"""What a challenger is looked at for: its database, its checks, its disputes, its chain."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sworn.chain.gateway import Gateway
from sworn.types import Address
from sworn.watcher.challenger.claims import ClaimStatus
from sworn.watcher.challenger.store import PROPOSALS
from sworn.watcher.looks import (
    Thresholds,
    balance_look,
    counted,
    ether,
    head_look,
    nonce_figures,
    tables_look,
    transactions_look,
)
from sworn.watcher.observer import CHAIN_PATIENCE_S, Source
from sworn.watcher.status import Component, Figure, Reading, broken, doubtful, fine
from sworn.watcher.store.census import Census, Contests, read_only, release, require_writable
from sworn.watcher.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedChallenger:
    """What there is of a challenger to look at."""

    #: One that the loop does not use.
    gateway: Gateway
    database: Database
    #: None where claims are only observed.
    sender: Address | None
    max_exposure_wei: int
    thresholds: Thresholds = field(default_factory=Thresholds)
    clock: Callable[[], float] = time.time


class ChallengerReadings:
    """Makes the sources that an `Observer` looks at."""

    def __init__(self, watched: WatchedChallenger) -> None:
        self._of = watched
        self._read = read_only(watched.database)
        self._census = Census(database=self._read)

    def sources(self, *, refresh_s: float) -> tuple[Source, ...]:
        """Every source, with the period in which it is looked at."""
        database = "Check the database server, or the room on its disk: see the runbook 'Database full'."
        node = "Check the node, or use another endpoint: see the runbook 'RPC behind'."
        return (
            Source(name="database", every_s=refresh_s, read=self.database, advice=database, counts=True),
            Source(
                name="tables",
                every_s=max(refresh_s, 60.0),
                read=tables_look(self._census),
                advice=database,
                counts=True,
            ),
            Source(
                name="rpc",
                every_s=max(refresh_s, 10.0),
                read=self.chain,
                advice=node,
                patience_s=CHAIN_PATIENCE_S,
            ),
        )

    def close(self) -> None:
        """Closes the connections of its own; idempotent."""
        release(self._read, self._of.database)

    def database(self) -> Reading:
        """Writes, then counts. Raises `StoreError`."""
        require_writable(self._of.database)
        now, thresholds = self._of.clock(), self._of.thresholds
        claims, contests = self._census.claims(), self._census.contests()
        late = self._census.waiting_claims(before=now - thresholds.overdue_after_s)
        exposure_wei = self._census.exposure_wei()
        transactions, pending = transactions_look(self._census, now=now, thresholds=thresholds)
        states = {"open": contests.open, "won": contests.won, "lost": contests.lost}
        figures = (
            *counted("sworn_claims", "status", {each.value: count for each, count in claims.items()}),
            *counted("sworn_challenges", "state", states),
            *counted("sworn_overdue_jobs", "kind", {"untouched": late}),
            *pending,
            Figure(name="sworn_exposure_wei", value=exposure_wei),
        )
        work = work_look(claims[ClaimStatus.PARKED], late)
        disputes = disputes_look(contests, exposure_wei, self._of.max_exposure_wei)
        return Reading(components=(fine("database", "written to"), work, disputes, transactions), figures=figures)

    def chain(self) -> Reading:
        """Asks the chain. Raises `ChainError`, and `StoreError` for the cursor."""
        of, thresholds = self._of, self._of.thresholds
        cursor = self._census.cursor(PROPOSALS)
        _, rpc, figures = head_look(of.gateway, cursor=cursor, now=of.clock(), thresholds=thresholds)
        if of.sender is None:
            return Reading(components=(rpc,), figures=tuple(figures))
        funds, balance = balance_look(of.gateway, (of.sender,), thresholds)
        nonces = nonce_figures(self._census, (of.sender,))
        return Reading(components=(rpc, funds), figures=(*figures, *balance, *nonces))


def work_look(parked: int, late: int) -> Component:
    """Whether results are checked in time."""
    if late:
        advice = "Raise engine.workers or lower challenge.sample: results whose windows close are not checked."
        return broken("work", f"{late} result(s) wait to be checked for long", advice)
    if parked:
        return doubtful("work", f"{parked} claim(s) are parked", "See the runbook 'Parked jobs'.")
    return fine("work", "nothing waits for long")


def disputes_look(contests: Contests, exposure_wei: int, max_exposure_wei: int) -> Component:
    """How disputes stand, and what is at risk in them."""
    detail = f"{contests.open} open, {contests.won} won, {contests.lost} lost; {ether(exposure_wei)} at risk"
    if 10 * exposure_wei >= 9 * max_exposure_wei > 0:
        return doubtful("disputes", detail, "Raise challenge.max_exposure_wei, or false results go unchallenged.")
    return fine("disputes", detail)
