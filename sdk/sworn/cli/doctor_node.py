"""The part of `sworn doctor` that looks at what a node has in hand: its work, its disputes, its books, its room."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sworn.cli.doctor_findings import Finding, bad, finding_of, good, poor
from sworn.cli.places import HOME
from sworn.cli.session import Session

if TYPE_CHECKING:
    from sworn.watcher.challenger.settings import ChallengerSettings
    from sworn.watcher.settings import WatcherSettings
    from sworn.watcher.store.census import Census
    from sworn.watcher.store.database import Database

_GIB: Final = 1 << 30
#: Less free room than this is worth a word.
_ROOM_BYTES: Final = 2 * _GIB


def findings(session: Session) -> list[Finding]:
    """Everything that can be said about the node's own memory; nothing is said where it has none yet."""
    values, challenger = session.node_settings, session.challenger_settings
    if challenger is None:
        traces = session.required_settings.trace_folder or HOME.expanduser() / "traces"
    else:
        traces = challenger.folder or HOME.expanduser() / "challenges"
    return [*_rooms(values, traces), *_in_hand(session), *_pages(values)]


def _rooms(values: WatcherSettings | ChallengerSettings, traces: Path) -> Iterator[Finding]:
    """Room where traces and the database are kept."""
    folders = {"room for traces": traces}
    if values.database_file is not None:
        folders["room for the database"] = values.database_file.parent
    for check, folder in folders.items():
        there = next((each for each in (folder, *folder.parents) if each.is_dir()), None)
        if there is None:
            continue
        free = shutil.disk_usage(there).free
        detail = f"{free / _GIB:.1f} GiB free in {folder}"
        if free < _ROOM_BYTES:
            yield poor(check, detail, "Give the disk more room: what cannot be stored is not answered.")
        else:
            yield good(check, detail)


def _in_hand(session: Session) -> Iterator[Finding]:
    """Work, disputes, transactions and books, from the database."""
    from sworn.watcher.store.census import read_only, release
    from sworn.watcher.store.database import open_database
    from sworn.watcher.store.migration import current, latest

    values = session.node_settings
    database = open_database(values.database_url.get_secret_value())
    try:
        file = database.engine.url.database
        if not database.is_postgresql and file and not Path(file).exists():
            return
        if current(database) != latest():
            return
        reading = read_only(database)
        try:
            challenger = session.challenger_settings
            yield from _counted(session, reading) if challenger is None else _claimed(challenger, reading)
        finally:
            release(reading, database)
    finally:
        database.close()


def _counted(session: Session, reading: Database) -> Iterator[Finding]:
    from sworn.watcher.looks import Thresholds, transactions_look
    from sworn.watcher.readings import defence_look, work_look
    from sworn.watcher.store.census import Census

    census, now = Census(database=reading), time.time()
    head = session.gateway.block("latest").timestamp
    limits = Thresholds(min_time_left_s=session.required_settings.guards.min_time_left_s)
    late = census.overdue(
        now=now, chain_now=head, after_s=limits.overdue_after_s, min_time_left_s=limits.min_time_left_s
    )
    yield finding_of(work_look(census.jobs(), late))
    disclose_s = session.deployment.parameters.get("discloseSeconds", 0)
    yield finding_of(defence_look(census, reading, disclose_s=disclose_s, now=int(max(now, head)))[0])
    yield finding_of(transactions_look(census, now=now, thresholds=limits)[0])
    yield _books(session, census)


def _claimed(values: ChallengerSettings, reading: Database) -> Iterator[Finding]:
    from sworn.watcher.challenger.claims import ClaimStatus
    from sworn.watcher.challenger.readings import disputes_look, work_look
    from sworn.watcher.looks import Thresholds, transactions_look
    from sworn.watcher.store.census import Census

    census, now, limits = Census(database=reading), time.time(), Thresholds()
    late = census.waiting_claims(before=now - limits.overdue_after_s)
    yield finding_of(work_look(census.claims()[ClaimStatus.PARKED], late))
    most_wei = values.challenge.max_exposure_wei
    yield finding_of(disputes_look(census.contests(), census.exposure_wei(), most_wei))
    yield finding_of(transactions_look(census, now=now, thresholds=limits)[0])


def _books(session: Session, census: Census) -> Finding:
    wrong = [text for key in session.node_keys.transactions for text in census.discrepancies(key.address)]
    if wrong:
        return bad("books", "; ".join(wrong), "Keep the database as it is and report this: it must not happen.")
    return good("books", "every answer has its oath, every nonce its transaction")


def _pages(values: WatcherSettings | ChallengerSettings) -> Iterator[Finding]:
    if values.metrics is None:
        advice = "Add a table [metrics] with a port, and have it scraped."
        yield poor("metrics", "health and metrics are not served", advice)
    else:
        yield good("metrics", f"served on {values.metrics.host}:{values.metrics.port} while it runs")
