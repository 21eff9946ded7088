"""Watcher processes that are killed, choked and given wrong clocks, and started again."""

from __future__ import annotations

import json
import random
import resource
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.accounts import funded_account
from tests.support.watched import ROOT
from tests.support.watcher_world import RESULT_KEY, TRANSACTION_ACCOUNT, WatcherWorld

from sworn.chain.deployment_files import save_deployment
from sworn.types import Profile
from sworn.watcher.store.pruning import PRUNE_INTERVAL_S

_STOP_S = 60.0
#: Below the ports that machines give to outgoing connections: one that was free stays free.
_PORTS = range(20_000, 32_000)


def _free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


@dataclass(slots=True, kw_only=True)
class Crew:
    """Replicas of one watcher, in one folder, on one database."""

    world: WatcherWorld
    folder: Path
    database_url: str
    urls: tuple[str, ...]
    #: Where a replica has nodes of its own, by number.
    own_urls: dict[int, tuple[str, ...]] = field(default_factory=dict)
    size: int = 1
    #: Seconds of silence after which the lead of one passes to another.
    patience_s: float = 3.0
    #: Seconds after which rows of the database go; None = never.
    keep_rows_s: int | None = None
    #: Seconds between two looks for them.
    prune_interval_s: float = PRUNE_INTERVAL_S
    #: What is promised: signed = no bits, and an engine that gives others every time; exact = one that does not.
    profile: Profile = Profile.SIGNED
    kills: int = 0
    #: Exits that nobody asked for.
    crashes: list[int] = field(default_factory=list)
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _killed: set[int] = field(default_factory=set)
    _ports: dict[int, int] = field(default_factory=dict)

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

    def addresses(self) -> list[str]:
        """Where those that run show their health and metrics."""
        running = [number for number, process in self._processes.items() if process.poll() is None]
        return [f"http://127.0.0.1:{self._ports[number]}" for number in running]

    def hurry(self) -> None:
        """Has all of them look at everything now."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGUSR1)

    def log(self) -> str:
        """What all of them said."""
        return (self.folder / "log").read_text()

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        deployment = save_deployment(self.world.deployment, self.folder / "deployment.json")
        orders = {
            "name": f"replica-{number}",
            "urls": self.own_urls.get(number, self.urls),
            "metrics_port": self._ports.setdefault(number, _free_port()),
            "patience_s": self.patience_s,
            "keep_rows_s": self.keep_rows_s,
            "prune_interval_s": self.prune_interval_s,
            "profile": self.profile.value,
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
