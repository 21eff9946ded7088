"""Several watcher processes on one PostgreSQL, killed, stopped and started anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select
from tests.support.accounts import funded_account
from tests.support.watched import ROOT, Watched
from tests.support.watcher_world import RESULT_KEY, TRANSACTION_ACCOUNT, WINDOW_S, WatcherWorld

from sworn.chain.deployment_files import save_deployment
from sworn.types import RequestId, Status
from sworn.watcher.jobs import Job, JobStatus
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.tables import LEADERS, TRANSACTIONS

#: Longest time until everything is answered, on a machine that does other things as well.
PATIENCE_S = 240.0


@dataclass(slots=True, kw_only=True)
class Replicated:
    """One database, one folder, and processes by name."""

    world: WatcherWorld
    folder: Path
    url: str
    lease_s: float = 2.0
    patience_s: float = 5.0
    run_s: float = 0.05
    confirmations: int = 0
    migrations: dict[str, list[str]] = field(default_factory=dict)
    exits: list[int] = field(default_factory=list)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _database: Database | None = None

    def start(self, name: str, *, die_after: int | None = None, stop_at: str | None = None) -> None:
        """Starts a replica; it dies at the n-th checkpoint that it passes, or stops itself at one."""
        orders = {
            "url": self.world.chain.url,
            "database": self.url,
            "deployment": str(save_deployment(self.world.deployment, self.folder / "deployment.json")),
            "operator": self.world.operator.address,
            "transaction_key": funded_account(TRANSACTION_ACCOUNT).key.hex(),
            "result_key": RESULT_KEY.hex(),
            "confirmations": self.confirmations,
            "name": name,
            "lease_s": self.lease_s,
            "patience_s": self.patience_s,
            "run_s": self.run_s,
            "die_after": die_after,
            "stop_at": stop_at,
            "migrations": self.migrations.get(name, []),
        }
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(orders))
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "tests.support.replica_process", str(file)], cwd=ROOT, stderr=log, stdout=log
            )

    def revive(self, name: str, *, die_after: int | None = None) -> bool:
        """Starts a replica again if it is dead; whether it was."""
        process = self._processes[name]
        if process.poll() is None:
            return False
        self.exits.append(process.returncode)
        self.start(name, die_after=die_after)
        return True

    def kill(self, name: str) -> None:
        """Ends a process without warning."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def wake(self, name: str) -> None:
        """Lets a process that was stopped go on."""
        os.kill(self._processes[name].pid, signal.SIGCONT)

    def stop(self, name: str) -> int:
        """Ends a process by SIGTERM and returns its exit code."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=60)

    def close(self) -> None:
        """Ends whatever runs."""
        for name in list(self._processes):
            self.kill(name)
        if self._database is not None:
            self._database.close()

    @property
    def database(self) -> Database:
        """The database, to look at."""
        if self._database is None:
            self._database = open_database(self.url)
        return self._database

    def leader(self) -> tuple[str, int]:
        """Who took the lead last, and how often anybody did."""
        with self.database.transaction() as connection:
            row = connection.execute(select(LEADERS.c.holder, LEADERS.c.epoch).limit(1)).first()
            return ("", 0) if row is None else (row.holder, row.epoch)

    def jobs(self) -> list[Job]:
        """The job table."""
        return JobStore(database=self.database).jobs()

    def nonces(self) -> tuple[int, int]:
        """How many nonces were given out, and the highest."""
        with self.database.transaction() as connection:
            nonce = TRANSACTIONS.c.nonce
            count, highest = connection.execute(select(func.count(nonce), func.max(nonce))).one()
            return count, highest

    def until(self, done: Callable[[], bool], *, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Waits until something is so. Raises `AssertionError` with what the replicas said."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError(f"not done: {[job.status for job in self.jobs()]}\n{self.said()}")
            meanwhile()
            # A job that was moved is looked at again in the next block: a chain has one now and then.
            self.world.chain.mine()
            time.sleep(0.3)

    def answered(self, ids: Iterable[RequestId], *, at_rest: bool = True) -> bool:
        """Whether requests are final and, with ``at_rest``, all jobs have ended; lets time pass where it is missing."""
        contracts = self.world.contracts
        states = [contracts.state_of(request_id) for request_id in ids]
        if all(state.status is Status.FINALIZED for state in states):
            return not at_rest or all(job.status is JobStatus.FINALIZED for job in self.jobs())
        now = self.world.chain.gateway.block("latest").timestamp
        waiting = [state for state in states if state.status is Status.PROPOSED]
        if len(waiting) + sum(state.status is Status.FINALIZED for state in states) == len(states) and all(
            now <= state.proposed_at + WINDOW_S for state in waiting
        ):
            self.world.chain.advance(WINDOW_S + 1)
        return False

    def said(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {file.name}\n{file.read_text()[-5000:]}" for file in sorted(self.folder.glob("*.log")))

    def watched(self) -> Watched:
        """What can be seen on chain and in the folder, as with one watcher."""
        return Watched(world=self.world, folder=self.folder)


def names(count: int) -> Sequence[str]:
    """So many names."""
    return [f"replica-{number}" for number in range(count)]
