"""A watcher that defends its results, in a process of its own: ``python -m tests.support.defence_process FILE``."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from threading import Event

from tests.support.defence_world import FaithfulEngine
from tests.support.watcher_process import WitnessedSigner, kill_once
from tests.support.watcher_world import ETHER, served_reciprocal

from sworn.chain.deployment_files import load_deployment
from sworn.chain.sender import FeePolicy
from sworn.chain.signer import LocalSigner
from sworn.chain.web3_gateway import connect_gateway
from sworn.types import Address, Profile
from sworn.watcher.assembly import Surroundings, assemble
from sworn.watcher.logs import make_logger
from sworn.watcher.policy import Guards
from sworn.watcher.store.database import open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.traces import FileTraceStore


def main(orders_file: str) -> None:
    """Serves and defends until SIGTERM."""
    orders = json.loads(Path(orders_file).read_text())
    folder = Path(orders_file).parent
    stop = Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    database = open_database(f"sqlite:///{folder}/watcher.db")
    upgrade(database)
    engine = FaithfulEngine()
    surroundings = Surroundings(
        gateway=connect_gateway(orders["url"]),
        deployment=load_deployment(Path(orders["deployment"])),
        operator=Address(orders["operator"]),
        transaction_signer=LocalSigner.from_key(orders["transaction_key"]),
        result_signer=WitnessedSigner(LocalSigner.from_key(orders["result_key"]), folder / "digests"),
        models=[served_reciprocal(Profile(orders["profile"]))],
        guards=Guards(min_profit_wei=-ETHER),
        engine=engine,
        exhibitor=engine,
        traces=FileTraceStore(folder / "traces", max_total_bytes=1 << 30),
        database=database,
        fetch=lambda uri, max_bytes: b"",
        log=make_logger(sys.stderr),
        fees=FeePolicy(bump_after_s=3600, urgent_bump_after_s=3600),
        confirmations=orders["confirmations"],
        poll_interval_s=0.05,
        checkpoint=kill_once(orders["kill_at"], folder / "killed"),
    )
    assemble(surroundings).run(stop)


if __name__ == "__main__":
    main(sys.argv[1])
