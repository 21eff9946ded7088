"""One of several watchers on one database: ``python -m tests.support.replica_process FILE``."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from structlog.typing import FilteringBoundLogger
from tests.support.watcher_process import UnsteadyEngine, WitnessedSigner
from tests.support.watcher_world import ETHER, served_reciprocal

from sworn.chain.deployment_files import load_deployment
from sworn.chain.sender import FeePolicy
from sworn.chain.signer import LocalSigner
from sworn.chain.web3_gateway import connect_gateway
from sworn.types import Address
from sworn.watcher.assembly import Surroundings, assemble
from sworn.watcher.logs import make_logger
from sworn.watcher.policy import Guards
from sworn.watcher.replica import Replica
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.leadership import subjects_of
from sworn.watcher.store.migration import upgrade
from sworn.watcher.traces import FileTraceStore


def fate(orders: dict[str, Any], folder: Path) -> Callable[[str], None]:
    """A checkpoint that kills this process at the n-th one it passes, or stops it once at one that it is told.

    Being stopped, like a machine that is put to sleep, is noticed by nobody inside of it.
    """
    passed = 0

    def checkpoint(reached: str) -> None:
        nonlocal passed
        passed += 1
        if passed == orders["die_after"]:
            os.kill(os.getpid(), signal.SIGKILL)
        marker = folder / "stopped"
        if reached == orders["stop_at"] and not marker.exists():
            marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGSTOP)

    return checkpoint


def replica_of(orders: dict[str, Any], database: Database, log: FilteringBoundLogger) -> Replica:
    """What this process is among the others."""
    deployment = load_deployment(Path(orders["deployment"]))
    sender = LocalSigner.from_key(orders["transaction_key"]).address
    return Replica(
        database=database,
        name=orders["name"],
        subjects=subjects_of(chain_id=deployment.chain_id, role="watcher", oracle=deployment.oracle, senders=[sender]),
        log=log,
        lease_s=orders["lease_s"],
        patience_s=orders["patience_s"],
    )


def main(orders_file: str) -> None:
    """Serves until SIGTERM."""
    orders = json.loads(Path(orders_file).read_text())
    folder = Path(orders_file).parent
    stop = Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    database = open_database(orders["database"])
    upgrade(database, more=[Path(each) for each in orders["migrations"]])
    log = make_logger(sys.stderr)
    role = replica_of(orders, database, log)
    engine = UnsteadyEngine()
    engine.on_run = lambda: time.sleep(orders["run_s"])
    surroundings = Surroundings(
        gateway=connect_gateway(orders["url"]),
        deployment=load_deployment(Path(orders["deployment"])),
        operator=Address(orders["operator"]),
        transaction_signer=LocalSigner.from_key(orders["transaction_key"]),
        result_signer=WitnessedSigner(LocalSigner.from_key(orders["result_key"]), folder / "digests"),
        models=[served_reciprocal()],
        guards=Guards(min_profit_wei=-ETHER),
        engine=engine,
        traces=FileTraceStore(folder / "traces", max_total_bytes=1 << 30, replica=role.holder),
        database=database,
        fetch=lambda uri, max_bytes: b"",
        log=log,
        fees=FeePolicy(bump_after_s=3600),
        confirmations=orders["confirmations"],
        workers=2,
        poll_interval_s=0.1,
        checkpoint=fate(orders, folder),
        role=role,
    )
    assemble(surroundings).run(stop)
    role.close()
    database.close()


if __name__ == "__main__":
    main(sys.argv[1])
