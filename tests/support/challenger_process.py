"""A challenger in a process of its own, for tests that kill it: ``python -m tests.support.challenger_process FILE``."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from threading import Event

from tests.support.challenger_world import EVERYTHING
from tests.support.watcher_process import kill_once

from sworn.chain.deployment_files import load_deployment
from sworn.chain.sender import FeePolicy
from sworn.chain.signer import LocalSigner
from sworn.chain.web3_gateway import connect_gateway
from sworn.engine.program_engine import ProgramEngine
from sworn.storage import CachedArtifactStore
from sworn.verification.assembly import assemble
from sworn.watcher.challenger.assembly import ChallengerSurroundings, assemble_challenger
from sworn.watcher.logs import make_logger
from sworn.watcher.store.database import open_database
from sworn.watcher.store.migration import upgrade


def main(orders_file: str) -> None:
    """Watches until SIGTERM."""
    orders = json.loads(Path(orders_file).read_text())
    folder = Path(orders_file).parent
    stop = Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    database = open_database(f"sqlite:///{folder}/challenger.db")
    upgrade(database)
    artifacts = CachedArtifactStore(folder / "artifacts")
    artifacts.put(Path(orders["artifact"]).read_bytes())
    with ProgramEngine() as engine:
        around = ChallengerSurroundings(
            gateway=connect_gateway(orders["url"]),
            deployment=load_deployment(Path(orders["deployment"])),
            signer=LocalSigner.from_key(orders["key"]),
            engine=engine,
            compile_model=assemble,
            artifacts=artifacts,
            database=database,
            scrutiny=EVERYTHING,
            fetch=lambda uri, max_bytes: b"",
            folder=folder / "traces",
            log=make_logger(sys.stderr, level="debug"),
            fees=FeePolicy(bump_after_s=3600),
            poll_interval_s=0.05,
            checkpoint=kill_once(orders["kill_at"], folder / "killed"),
        )
        assemble_challenger(around).run(stop)


if __name__ == "__main__":
    main(sys.argv[1])
