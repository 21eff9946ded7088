"""`sworn operator quarantine`: what the watcher leaves alone, and how a person ends that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sworn.cli.command import CHAIN, command
from sworn.cli.output import facts, moment
from sworn.cli.session import Session
from sworn.errors import ConfigurationError

if TYPE_CHECKING:
    from sworn.watcher.store.quarantine import QuarantineStore

_KINDS = {20: "requester", 32: "model", 64: "model and input"}


def register(group: typer.Typer) -> None:
    """Adds `quarantine` to `operator`."""
    quarantine = typer.Typer(
        name="quarantine", help="Models, inputs and requesters that the watcher leaves alone.", no_args_is_help=True
    )
    command(quarantine, "list", options=CHAIN)(_list)
    command(quarantine, "clear", options=CHAIN)(_clear)
    group.add_typer(quarantine)


def _list(session: Session) -> None:
    """Lists what is left alone or has crashed, the newest first."""
    with _store(session) as store:
        now = store.clock()
        found: list[dict[str, Any]] = [
            {
                "subject": suspect.subject,
                "kind": _KINDS.get(len(suspect.subject), "unknown"),
                "left_alone": suspect.holds(now),
                "until": suspect.until,
                "crashes": suspect.crashes,
                "reason": suspect.reason,
            }
            for suspect in store.suspects()
        ]
    human = facts({"0x" + item["subject"].hex(): _told(item) for item in found}) if found else "nothing is left alone"
    session.output.result(found, human)


def _clear(
    session: Session,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="As the list shows it (0x…).")],
) -> None:
    """Serves something again. Find out first why it was left alone: its bonds are yours."""
    try:
        wanted = bytes.fromhex(subject.removeprefix("0x"))
    except ValueError:
        wanted = b""
    if len(wanted) not in _KINDS:
        raise ConfigurationError(f"{subject!r} is none of the subjects that `sworn operator quarantine list` shows")
    with _store(session) as store:
        if not store.clear(wanted):
            raise ConfigurationError(f"{subject} is not in quarantine")
    session.output.result({"cleared": wanted})


@contextmanager
def _store(session: Session) -> Iterator[QuarantineStore]:
    """The watcher's database. Raises `ConfigurationError`, `StoreError`."""
    from sworn.watcher.store.database import open_database
    from sworn.watcher.store.migration import require_current
    from sworn.watcher.store.quarantine import QuarantineStore

    database = open_database(session.required_settings.database_url.get_secret_value())
    try:
        require_current(database)
        yield QuarantineStore(database=database)
    finally:
        database.close()


def _told(item: dict[str, Any]) -> str:
    until = "until it is cleared" if item["until"] is None else f"until {moment(int(item['until']))}"
    state = until if item["left_alone"] else "served"
    return f"{item['kind']}, {state}, {item['crashes']} crashes: {item['reason']}"
