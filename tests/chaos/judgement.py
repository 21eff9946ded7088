"""What must be true after a storm: of the chain, of the database, and of what was signed."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import select
from tests.chaos.asked import Asked
from tests.chaos.books import Books, judged
from tests.chaos.crew import Crew
from tests.chaos.scrape import scrape

from sworn.chain.transactions import TransactionStatus
from sworn.types import Status
from sworn.watcher.jobs import Job, JobStatus
from sworn.watcher.store.census import Census
from sworn.watcher.store.database import open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.tables import TRANSACTIONS

#: Seconds until what is looked at every so often has been looked at.
SETTLE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Compares requests with what became of them."""

    asked: Asked
    folder: Path
    database_url: str
    books: Books

    def summary(self) -> str:
        """In one line, for people."""
        return f"{dict(self.asked.statuses())}"

    def check(self) -> None:
        """Raises `AssertionError` for the first thing that was lost or doubled."""
        self._check_requests()
        self._check_oaths()
        self._check_nonces()
        self._check_bonds()
        self._check_jobs()
        self._check_costs()

    def check_metrics(self, crew: Crew) -> None:
        """Raises `AssertionError` unless what every replica shows is so, soon after everything has come to rest.

        And unless a wrong value of any sample would have been noticed.
        """
        deadline = time.monotonic() + SETTLE_S
        while True:
            crew.hurry()
            time.sleep(1.0)
            truth = self.books.truth()
            scrapes = [scrape(address) for address in crew.addresses()]
            found = self.books.discrepancies(scrapes, truth)
            if not found:
                break
            assert time.monotonic() < deadline, "\n".join(found)
        assert len(scrapes) == crew.size
        for sample in judged(scrapes[0]):
            wrong = scrapes[0].with_changed(sample, scrapes[0].samples[sample] * 2 + 1)
            assert self.books.discrepancies([wrong, *scrapes[1:]], truth), f"a wrong {sample} goes unnoticed"

    def _check_costs(self) -> None:
        """The database knows what each transaction has cost, to the wei."""
        gateway = self.asked.world.chain.gateway
        database = open_database(self.database_url)
        try:
            query = select(TRANSACTIONS.c.transaction_hash, TRANSACTIONS.c.cost_wei)
            with database.transaction() as connection:
                rows = connection.execute(query.where(TRANSACTIONS.c.transaction_hash.is_not(None))).all()
        finally:
            database.close()
        for row in rows:
            receipt = gateway.receipt(bytes(row.transaction_hash))
            assert receipt is not None
            assert row.cost_wei == receipt.gas_used * receipt.effective_gas_price

    def _check_requests(self) -> None:
        """Each is answered and paid once, or ended with a signed failure, or refunded for lateness: nothing else."""
        asked = self.asked
        for name in ("ResultProposed", "ResultFinalized", "RequestFailed", "RequestExpired"):
            assert set(asked.events(name).values()) <= {1}, name
        finalized, failed = set(asked.events("ResultFinalized")), set(asked.events("RequestFailed"))
        expired = set(asked.events("RequestExpired"))
        assert finalized | failed | expired == set(asked.requests)
        assert not finalized & failed
        assert not expired & (finalized | failed)
        assert finalized <= set(asked.requests) - asked.bad
        # Whoever left time enough has an answer: storms pass.
        assert expired <= asked.late
        assert failed <= asked.bad

    def _check_oaths(self) -> None:
        """One digest was signed for each request that was ever answered, by whichever process at whatever time."""
        signed = Counter(set((self.folder / "digests").read_text().split()))
        proposed = len(self.asked.events("ResultProposed")) + len(self.asked.events("RequestFailed"))
        unused = self.asked.late | self.asked.bad
        assert proposed <= len(signed) <= proposed + len(unused)

    def _check_nonces(self) -> None:
        """Every nonce of the key has one transaction of ours, and none waits."""
        world = self.asked.world
        address = world.transaction_signer.address
        latest = world.chain.gateway.nonce(address)
        assert world.chain.gateway.nonce(address, block="pending") == latest
        database = open_database(self.database_url)
        try:
            with database.transaction() as connection:
                rows = connection.execute(select(TRANSACTIONS.c.nonce, TRANSACTIONS.c.status)).all()
            discrepancies = Census(database=database).discrepancies(address)
        finally:
            database.close()
        # INVARIANT: the books that operators are shown add up.
        assert discrepancies == []
        used = sorted(row.nonce for row in rows if row.nonce is not None)
        assert used == list(range(latest - len(used), latest))
        assert {row.status for row in rows if row.nonce is not None} <= {
            TransactionStatus.CONFIRMED.value,
            TransactionStatus.ABANDONED.value,
        }

    def _check_bonds(self) -> None:
        """The stake is whole and free, and every fee of an answer is earned."""
        world = self.asked.world
        account = world.contracts.account_of(world.operator.address)
        finalized = self.asked.events("ResultFinalized")
        earned = sum(self.asked.requests[identity].fee_wei for identity in finalized)
        assert account.locked_wei == 0
        assert world.contracts.free_stake_of(world.operator.address) == account.stake_wei
        assert account.earned_wei == earned

    def _check_jobs(self) -> None:
        """The database says of each request what the chain says."""
        jobs = {job.request_id: job for job in self._jobs()}
        asked = self.asked
        # What was over when it was first seen makes no job.
        assert set(asked.requests) - set(jobs) <= set(asked.events("RequestExpired"))
        expected = {Status.FINALIZED: {JobStatus.FINALIZED}, Status.FAILED: {JobStatus.FAILED}}
        # One that a reorganisation took away and brought back too late stays an orphan: it makes no new job.
        late = {JobStatus.EXPIRED, JobStatus.IGNORED, JobStatus.ORPHANED}
        for identity in jobs:
            status = asked.world.contracts.state_of(identity).status
            assert jobs[identity].status in expected.get(status, late), jobs[identity]

    def _jobs(self) -> list[Job]:
        database = open_database(self.database_url)
        try:
            return JobStore(database=database).jobs()
        finally:
            database.close()
