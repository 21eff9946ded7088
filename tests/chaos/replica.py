"""A watcher in a process of its own, for storms: ``python -m tests.chaos.replica FILE``.

Its answers differ from run to run and every digest that it signs is written down first, so that a second answer to one
request cannot go unnoticed. Its clock is the machine's plus what a file says.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from structlog.typing import FilteringBoundLogger
from tests.chaos.endpoints import gateway_over
from tests.support.watcher_process import UnsteadyEngine, WitnessedSigner
from tests.support.watcher_world import ETHER, served_reciprocal

from sworn.chain.deployment_files import load_deployment
from sworn.chain.sender import FeePolicy
from sworn.chain.signer import LocalSigner
from sworn.types import Address, Deployment, Profile
from sworn.watcher.assembly import Surroundings, assemble
from sworn.watcher.logs import make_logger
from sworn.watcher.policy import Guards
from sworn.watcher.replica import Replica
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.leadership import subjects_of
from sworn.watcher.store.migration import upgrade
from sworn.watcher.traces import FileTraceStore


def skewed(file: Path) -> Callable[[], float]:
    """The machine's clock, plus as many seconds as stand in a file."""

    def clock() -> float:
        try:
            return time.time() + float(file.read_text())
        except (FileNotFoundError, ValueError):
            # It is being written.
            return time.time()

    return clock


def role_of(orders: dict[str, Any], database: Database, deployment: Deployment, log: FilteringBoundLogger) -> Replica:
    """The process among those on its database; what it leaves behind is taken up within seconds."""
    sender = LocalSigner.from_key(orders["transaction_key"])
    return Replica(
        database=database,
        name=orders["name"],
        subjects=subjects_of(
            chain_id=deployment.chain_id, role="watcher", oracle=deployment.oracle, senders=[sender.address]
        ),
        log=log,
        lease_s=3.0,
        patience_s=3.0,
    )


def main(orders_file: str) -> None:
    """Serves until SIGTERM."""
    orders = json.loads(Path(orders_file).read_text())
    folder = Path(orders_file).parent
    stop = Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    database = open_database(orders["database_url"])
    upgrade(database)
    log = make_logger(sys.stderr)
    deployment = load_deployment(Path(orders["deployment"]))
    sender = LocalSigner.from_key(orders["transaction_key"])
    operator = Address(orders["operator"])
    role = role_of(orders, database, deployment, log)
    surroundings = Surroundings(
        gateway=gateway_over(orders["urls"]),
        deployment=deployment,
        operator=operator,
        transaction_signer=sender,
        result_signer=WitnessedSigner(LocalSigner.from_key(orders["result_key"]), folder / "digests"),
        models=[served_reciprocal(Profile.SIGNED)],
        guards=Guards(min_profit_wei=-ETHER),
        engine=UnsteadyEngine(),
        traces=FileTraceStore(folder / "traces", max_total_bytes=1 << 30),
        database=database,
        fetch=lambda uri, max_bytes: b"",
        log=log,
        fees=FeePolicy(bump_after_s=2, urgent_bump_after_s=1),
        confirmations=3,
        poll_interval_s=0.1,
        clock=skewed(folder / "skew"),
        role=role,
        keep_rows_s=orders["keep_rows_s"],
    )
    assemble(surroundings).run(stop)


if __name__ == "__main__":
    main(sys.argv[1])
