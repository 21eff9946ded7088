"""A watcher in a process of its own, for storms: ``python -m tests.chaos.replica FILE``.

In profile signed its answers differ from run to run. Every digest that it signs is written down first, so that a second
answer to one request cannot go unnoticed. Its clock is the machine's plus what a file says.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

from structlog.typing import FilteringBoundLogger
from tests.chaos.endpoints import bystander_over, gateway_over
from tests.support.watcher_process import UnsteadyEngine, WitnessedSigner
from tests.support.watcher_world import ETHER, ReciprocalEngine, served_reciprocal

from sworn.chain.deployment_files import load_deployment
from sworn.chain.sender import FeePolicy
from sworn.chain.signer import LocalSigner
from sworn.cli.compose_observe import Listeners, listeners, watched
from sworn.types import Address, Deployment, Profile
from sworn.watcher.assembly import Surroundings, assemble
from sworn.watcher.contracts import Contracts
from sworn.watcher.logs import make_logger
from sworn.watcher.policy import Guards
from sworn.watcher.readings import Watched
from sworn.watcher.replica import Replica
from sworn.watcher.settings_observe import MetricsSettings
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.leadership import subjects_of
from sworn.watcher.store.migration import upgrade
from sworn.watcher.supervision import Pulse
from sworn.watcher.traces import FileTraceStore

#: Seconds between two turns.
POLL_S: Final = 0.1
#: Seconds of failing turns after which a leader offers the lead.
UNFIT_S: Final = 3.0


def skewed(file: Path) -> Callable[[], float]:
    """The machine's clock, plus as many seconds as stand in a file."""

    def clock() -> float:
        try:
            return time.time() + float(file.read_text())
        except (FileNotFoundError, ValueError):
            # It is being written.
            return time.time()

    return clock


def role_of(
    orders: dict[str, Any], database: Database, deployment: Deployment, log: FilteringBoundLogger, pulse: Pulse
) -> Replica:
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
        patience_s=orders["patience_s"],
        fit=lambda: pulse.unfit_s < UNFIT_S,
    )


def surroundings_of(
    orders: dict[str, Any], folder: Path, database: Database, log: FilteringBoundLogger, heard: Listeners
) -> Surroundings:
    """What the orders say."""
    deployment = load_deployment(Path(orders["deployment"]))
    profile = Profile(orders["profile"])
    return Surroundings(
        gateway=gateway_over(orders["urls"], heard.telemetry),
        deployment=deployment,
        operator=Address(orders["operator"]),
        transaction_signer=LocalSigner.from_key(orders["transaction_key"]),
        result_signer=WitnessedSigner(LocalSigner.from_key(orders["result_key"]), folder / "digests"),
        models=[served_reciprocal(profile)],
        guards=Guards(min_profit_wei=-ETHER),
        engine=UnsteadyEngine() if profile is Profile.SIGNED else ReciprocalEngine(),
        traces=FileTraceStore(folder / "traces", max_total_bytes=1 << 30),
        database=database,
        fetch=lambda uri, max_bytes: b"",
        log=log,
        fees=FeePolicy(bump_after_s=2, urgent_bump_after_s=1),
        confirmations=3,
        poll_interval_s=POLL_S,
        clock=skewed(folder / "skew"),
        role=role_of(orders, database, deployment, log, heard.pulse),
        keep_rows_s=orders["keep_rows_s"],
        prune_interval_s=orders["prune_interval_s"],
        telemetry=heard.telemetry,
        checkpoint=heard.pulse.reached,
    )


def watched_of(orders: dict[str, Any], around: Surroundings, folder: Path) -> Watched:
    """What there is to look at, as the watcher's own command puts it together."""
    return Watched(
        contracts=Contracts(gateway=bystander_over(orders["urls"]), deployment=around.deployment),
        database=around.database,
        operator=around.operator,
        leads=lambda: around.role.led,
        senders=[around.transaction_signer.address],
        # Not the witnessed one: what a probe has signed is nobody's answer.
        result_signers=[LocalSigner.from_key(orders["result_key"])],
        models=around.models,
        trace_folder=folder / "traces",
        max_trace_bytes=1 << 30,
    )


def main(orders_file: str) -> None:
    """Serves until SIGTERM; looks at itself at once on SIGUSR1."""
    orders = json.loads(Path(orders_file).read_text())
    folder = Path(orders_file).parent
    stop, hurry = Event(), Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    signal.signal(signal.SIGUSR1, lambda number, frame: hurry.set())
    database = open_database(orders["database_url"])
    upgrade(database)
    log = make_logger(sys.stderr)
    metrics = MetricsSettings(port=orders["metrics_port"], refresh_s=0.5)
    heard = listeners(metrics, poll_interval_s=POLL_S)
    around = surroundings_of(orders, folder, database, log, heard)
    with watched(metrics, watched_of(orders, around, folder), heard, log) as observer:

        def look_when_asked() -> None:
            while hurry.wait():
                hurry.clear()
                observer.look()

        Thread(target=look_when_asked, name="looking", daemon=True).start()
        assemble(around).run(stop)


if __name__ == "__main__":
    main(sys.argv[1])
