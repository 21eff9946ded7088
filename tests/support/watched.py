"""Starting, killing and judging watcher processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.accounts import funded_account
from tests.support.watcher_world import RESULT_KEY, TRANSACTION_ACCOUNT, WINDOW_S, WatcherWorld

from sworn.abi import interface
from sworn.chain.deployment_files import save_deployment
from sworn.codec.hashing import failure_digest
from sworn.types import Failure, FailureCode, RequestId, Status
from sworn.watcher.jobs import Job
from sworn.watcher.store.database import open_database
from sworn.watcher.store.jobs import JobStore

ROOT = Path(__file__).resolve().parents[2]
#: A machine that does much else besides starts Python in ten seconds, and these tests start it many times.
TIMEOUT_S = 180.0


@dataclass(slots=True, kw_only=True)
class Watched:
    """One watcher's folder, and the processes that worked in it one after the other."""

    world: WatcherWorld
    folder: Path
    kill_at: str | None = None
    confirmations: int = 0
    #: Results that may go on chain in one transaction.
    max_results: int = 1
    #: What runs as the watcher.
    module: str = "tests.support.watcher_process"
    starts: int = 0
    exits: list[int] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts a process."""
        deployment = save_deployment(self.world.deployment, self.folder / "deployment.json")
        orders = {
            "url": self.world.chain.url,
            "deployment": str(deployment),
            "operator": self.world.operator.address,
            "transaction_key": funded_account(TRANSACTION_ACCOUNT).key.hex(),
            "result_key": RESULT_KEY.hex(),
            "confirmations": self.confirmations,
            "max_results": self.max_results,
            "kill_at": self.kill_at,
            "profile": int(self.world.model.profile),
        }
        file = self.folder / "orders.json"
        file.write_text(json.dumps(orders))
        self.starts += 1
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module, str(file)], cwd=ROOT, stderr=log, stdout=log
            )

    def stop(self) -> int:
        """Ends the process by SIGTERM and returns its exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=TIMEOUT_S)
        self._process = None
        return code

    def keep_running(self) -> None:
        """Starts the watcher, again if it died."""
        if self._process is None or self._process.poll() is not None:
            if self._process is not None:
                self.exits.append(self._process.returncode)
            self.start()

    def kill(self) -> None:
        """Ends whatever runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def work_until(self, statuses: dict[RequestId, Status], *, at_rest: bool = True) -> None:
        """Restarts the watcher whenever it died, and lets time pass, until every request is where it should be.

        With ``at_rest`` also until every job has ended.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            self.keep_running()
            states = {request_id: self.world.contracts.state_of(request_id) for request_id in statuses}
            there = all(states[request_id].status is status for request_id, status in statuses.items())
            if there and (not at_rest or self.at_rest()):
                return
            if self._windows_wait(list(states.values())):
                self.world.chain.advance(WINDOW_S + 1)
            time.sleep(0.1)
        raise AssertionError(f"not done: {states}\n{(self.folder / 'log').read_text()[-6000:]}")

    def outlive(self) -> None:
        """Waits for the death that is ordered, which may come after all is done, and for the life after it."""
        deadline = time.monotonic() + TIMEOUT_S
        lives = self.folder / "lives"
        while not self.exits or len(lives.read_text()) < self.starts:
            assert time.monotonic() < deadline, "it did not die, or not come back"
            self.keep_running()
            time.sleep(0.1)

    def at_rest(self) -> bool:
        """Whether every job has ended."""
        return all(job.status.terminal for job in self.jobs())

    def jobs(self) -> list[Job]:
        """The job table."""
        database = open_database(f"sqlite:///{self.folder}/watcher.db")
        try:
            return JobStore(database=database).jobs()
        finally:
            database.close()

    def signed_digests(self) -> set[str]:
        """Every digest that any process signed with the result key."""
        file = self.folder / "digests"
        return set(file.read_text().split()) if file.exists() else set()

    def events(self, name: str) -> Counter[RequestId]:
        """How often the oracle emitted an event for each request."""
        return Counter(RequestId(event["requestId"]) for event in self._events(name))

    def allowed_digests(self, answered: Iterable[RequestId]) -> set[str]:
        """The one digest of each request that stands on chain: of its result, or of its failure."""
        proposed = {event["requestId"]: event["resultId"].hex() for event in self._events("ResultProposed")}
        failed = {
            event["requestId"]: failure_digest(
                Failure(
                    request_id=RequestId(event["requestId"]),
                    operator=self.world.operator.address,
                    code=FailureCode(event["code"]),
                ),
                self.world.domain,
            ).hex()
            for event in self._events("RequestFailed")
        }
        return {(proposed | failed)[request_id] for request_id in answered}

    def proposed_traces(self) -> set[tuple[str, str]]:
        """Request and trace root, as hex, of every result that is or was on chain."""
        return {(event["requestId"].hex(), event["traceRoot"].hex()) for event in self._events("ResultProposed")}

    def _events(self, name: str) -> list[dict[str, Any]]:
        oracle = interface("InferenceOracle")
        gateway = self.world.chain.gateway
        logs = gateway.logs(
            addresses=[self.world.deployment.oracle],
            topics=[oracle.topic(name)],
            from_block=self.world.deployment.block,
            to_block=gateway.block("latest").number,
        )
        return [dict(oracle.decode_log(log.topics, log.data).arguments) for log in logs]

    def _windows_wait(self, states: list[Any]) -> bool:
        """Whether nothing but time is missing: no request waits for its answer, some for their window."""
        waiting = [state.status for state in states]
        now = self.world.chain.gateway.block("latest").timestamp
        due = any(state.status is Status.PROPOSED and now > state.proposed_at + WINDOW_S for state in states)
        return Status.REQUESTED not in waiting and Status.PROPOSED in waiting and not due
