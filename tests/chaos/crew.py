"""Watcher processes that are killed, choked and given wrong clocks, and started again."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.accounts import funded_account
from tests.support.watched import ROOT
from tests.support.watcher_world import RESULT_KEY, TRANSACTION_ACCOUNT, WatcherWorld

from sworn.chain.deployment_files import save_deployment

_STOP_S = 60.0


@dataclass(slots=True, kw_only=True)
class Crew:
    """Replicas of one watcher, in one folder, on one database."""

    world: WatcherWorld
    folder: Path
    database_url: str
    urls: tuple[str, ...]
    size: int = 1
    #: Seconds after which rows of the database go; None = never.
    keep_rows_s: int | None = None
    kills: int = 0
    #: Exits that nobody asked for.
    crashes: list[int] = field(default_factory=list)
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _killed: set[int] = field(default_factory=set)

    def keep_running(self) -> None:
        """Starts whoever does not run."""
        for number in range(self.size):
            process = self._processes.get(number)
            if process is None or process.poll() is not None:
                if process is not None and number not in self._killed:
                    self.crashes.append(process.returncode)
                self._killed.discard(number)
                self._processes[number] = self._start(number)

    def kill(self, number: int) -> None:
        """Ends a replica without warning."""
        process = self._processes[number]
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            self._killed.add(number)
            self.kills += 1

    def pause(self, number: int, *, paused: bool) -> None:
        """Stops a replica's time, or lets it go on."""
        self._processes[number].send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def choke(self, *, choked: bool) -> None:
        """Lets no file grow, as a full disk would, or lets them grow again."""
        for process in self._processes.values():
            if process.poll() is None:
                _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096 if choked else hard, hard))

    def skew(self, seconds: float) -> None:
        """Sets every replica's clock to so many seconds from the machine's."""
        (self.folder / "skew").write_text(f"{seconds}")

    def stop(self) -> list[int]:
        """Ends all by SIGTERM; their exit codes."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(timeout=_STOP_S) for process in self._processes.values()]
        self._processes.clear()
        return codes

    def end(self) -> None:
        """Ends whatever runs, at once."""
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        self._processes.clear()

    def pids(self) -> list[int]:
        """Processes that run."""
        return [process.pid for process in self._processes.values() if process.poll() is None]

    def log(self) -> str:
        """What all of them said."""
        return (self.folder / "log").read_text()

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        deployment = save_deployment(self.world.deployment, self.folder / "deployment.json")
        orders = {
            "name": f"replica-{number}",
            "urls": self.urls,
            "keep_rows_s": self.keep_rows_s,
            "database_url": self.database_url,
            "deployment": str(deployment),
            "operator": self.world.operator.address,
            "transaction_key": funded_account(TRANSACTION_ACCOUNT).key.hex(),
            "result_key": RESULT_KEY.hex(),
        }
        file = self.folder / f"orders-{number}.json"
        file.write_text(json.dumps(orders))
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.replica", str(file)], cwd=ROOT, stderr=log, stdout=log
            )
