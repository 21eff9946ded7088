"""`sworn db`: the schema and the age of a daemon's database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sworn.cli.command import OUTPUT, command
from sworn.cli.places import VARIABLES
from sworn.cli.session import Session
from sworn.errors import ConfigurationError

if TYPE_CHECKING:
    from sworn.watcher.settings_database import DatabaseSettings
    from sworn.watcher.store.database import Database

FilesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        "-c",
        envvar=VARIABLES["config"],
        metavar="FILE",
        help="Settings of `sworn watch` or `sworn challenge`; SWORN_DATABASE_URL wins over their database_url, and its "
        "relative path counts from the current folder.",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds `db`."""
    group = typer.Typer(name="db", help="The database of a watcher or a challenger.", no_args_is_help=True)
    command(group, "upgrade", options=OUTPUT)(_upgrade)
    command(group, "current", options=OUTPUT)(_current)
    command(group, "prune", options=OUTPUT)(_prune)
    app.add_typer(group)


def _upgrade(session: Session, config: FilesOption = None) -> None:
    """Brings the schema up to this version; replicas of the release before go on working meanwhile.

    Does nothing where it is up to date, or newer. A daemon does the same when it starts.
    """
    with opened(config) as (database, _):
        from sworn.watcher.store import migration

        before = migration.current(database)
        migration.upgrade(database)
        after = migration.current(database)
    said = f"the schema is {after}" + ("" if before == after else f", it was {before or 'none'}")
    session.output.result({"before": before, "after": after}, said)


def _current(session: Session, config: FilesOption = None) -> None:
    """Shows the schema, the replicas that use the database, and which of them leads."""
    with opened(config) as (database, _):
        from sworn.watcher.replica import census
        from sworn.watcher.store import migration

        facts: dict[str, Any] = {"schema": migration.current(database), "needed": migration.latest()}
        migration.require_current(database)
        facts |= census(database)
    session.output.result(facts)


def _prune(session: Session, config: FilesOption = None) -> None:
    """Removes what is over and older than retention.keep_s, in small batches; a daemon that runs is not held up."""
    with opened(config) as (database, settings):
        from sworn.watcher.store import migration
        from sworn.watcher.store.pruning import Pruner

        migration.require_current(database)
        pruner = Pruner(database=database, keep_s=settings.retention.keep_s)
        removed = pruner.prune(now=int(time.time()))
    session.output.result({"removed": removed})


@contextmanager
def opened(config: list[Path] | None) -> Iterator[tuple[Database, DatabaseSettings]]:
    """The configured database and its settings. Raises `ConfigurationError`."""
    try:
        from sworn.watcher.settings_database import load_database_settings
        from sworn.watcher.store.database import open_database
    except ImportError as error:
        raise ConfigurationError("the watcher needs the node extra: pip install 'sworn-oracle[node]'") from error
    settings = load_database_settings(tuple(config or ()))
    database = open_database(settings.database_url.get_secret_value())
    try:
        yield database, settings
    finally:
        database.close()
