"""`sworn watch`: the operator's daemon."""

from __future__ import annotations

import gc
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import partial
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sworn.cli.command import SIGNING, command
from sworn.cli.session import Session
from sworn.cli.variables import log_unused, passed_over, unused_variables
from sworn.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

    from sworn.watcher.settings import WatcherSettings
    from sworn.watcher.store.jobs import JobStore


# Not by the parts of the URL: with a slash in it, a password is none of them.
_PASSWORD: Final = re.compile(r"://[^@]*:[^@]+@|[?&]password=")
#: New objects after which the cycle collector looks at them; Python's own 700 are few where logs come by the thousand.
_COLLECTED_AFTER: Final = 20_000


DATABASE_HELP: Final = "Overrides database_url; a relative path counts from the current folder."


class LogLevels(Enum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormats(Enum):
    """How it is logged."""

    JSON = "json"
    CONSOLE = "console"


def register(app: typer.Typer) -> None:
    """Adds `watch`."""
    command(app, "watch", options=SIGNING)(_watch)


def _watch(
    session: Session,
    once: Annotated[bool, typer.Option("--once", help="Ends when nothing more can be done at once.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Signs and sends nothing: says what it would do with recent requests.")
    ] = False,
    request: Annotated[
        str | None, typer.Option(metavar="ID", help="Runs one request, past or open, in a dry run, and ends.")
    ] = None,
    database: Annotated[str | None, typer.Option(metavar="URL", help=DATABASE_HELP)] = None,
    log_level: Annotated[LogLevels | None, typer.Option(help="Overrides log.level.")] = None,
    log_format: Annotated[LogFormats | None, typer.Option(help="Overrides log.format.")] = None,
) -> None:
    """Answers requests for the configured models: runs them, signs results, proposes and finalizes.

    Settings come from --config files, then SWORN_TABLE__KEY variables, then flags; `sworn config init` writes a file to
    start from. SWORN_RPC and its like count only for what those leave open. Paths in a file count from its folder,
    others from the current one. Logs go to stderr. SIGTERM and Ctrl-C end it after the step under way; nothing is lost
    or done twice by any other end, either. SIGHUP reads the table `guards` again, and nothing else.
    """
    try:
        from sworn.cli import compose_watcher
        from sworn.watcher.settings import WatcherSettings
    except ImportError as error:
        raise ConfigurationError("the watcher needs the node extra: pip install 'sworn-oracle[node]'") from error

    forbid_core_dumps()
    overrides = daemon_overrides(
        session, WatcherSettings, database=database, log_level=log_level, log_format=log_format
    )
    values = compose_watcher.settings(session.options.config, overrides)
    log_unused(unused_variables(session.options, WatcherSettings), values.log)
    if request is not None or dry_run:
        _rehearse(session, values, request, once=once)
        return
    if once:
        # Over before anybody could look; and a daemon beside it may have the port.
        values = values.model_copy(update={"metrics": None})
    read = partial(compose_watcher.settings, session.options.config, overrides)
    with reload_signal() as asked:
        adapt = partial(compose_watcher.reloading, values=values, read=read, asked=asked)
        with compose_watcher.watcher(values, session.output, adapt=adapt) as watcher:
            with rare_collections(), stopping() as stop:
                watcher.run(stop, once=once)
            session.output.result({"jobs": _jobs(watcher.store)})


def _rehearse(session: Session, values: WatcherSettings, request: str | None, *, once: bool) -> None:
    from sworn.cli.compose_rehearsal import rehearsal, rehearse_one
    from sworn.client.identities import request_id_of

    with rehearsal(values, session.output) as watcher:
        if request is not None:
            session.output.result(rehearse_one(watcher, request_id_of(request)))
            return
        with stopping() as stop:
            watcher.run(stop, once=once)
        session.output.result({"dry_run": True, "jobs": _jobs(watcher.store)})


def daemon_overrides(
    session: Session,
    kind: type[BaseSettings],
    *,
    database: str | None,
    log_level: LogLevels | None,
    log_format: LogFormats | None,
) -> dict[str, Any]:
    """What the command line says on top of a settings file. Raises `ConfigurationError` for a key from elsewhere."""
    options = session.options.without(passed_over(session.options, kind))
    if options.key_env is not None:
        raise ConfigurationError("a daemon's keys are key files: give --keystore, or keys.transaction_key in a file")
    check_argument(database)
    given: dict[str, dict[str, Any]] = {
        # One node that is named here stands for all that a file names.
        "chain": {
            "rpc_url": options.rpc,
            "rpc_urls": None if options.rpc is None else [],
            "deployment": options.deployment,
        },
        "keys": {"transaction_key": options.keystore, "password_file": options.password_file},
        "log": {
            "level": None if log_level is None else log_level.value,
            "format": None if log_format is None else log_format.value,
        },
    }
    nested: dict[str, Any] = {
        section: chosen
        for section, values in given.items()
        if (chosen := {name: value for name, value in values.items() if value is not None})
    }
    return nested | ({} if database is None else {"database_url": database})


def check_argument(database: str | None) -> None:
    """Raises `ConfigurationError` for a password that everybody on this machine can read while the process runs."""
    if database is not None and _PASSWORD.search(database):
        raise ConfigurationError(
            "arguments can be read by everybody on this machine, and this database URL has a password: "
            "set database_url in a file, or SWORN_DATABASE_URL"
        )


def forbid_core_dumps() -> None:
    """SAFETY: a process that holds keys leaves no copy of its memory behind when it crashes."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextmanager
def rare_collections() -> Iterator[None]:
    """Has the cycle collector leave alone what is there already, and look at the rest rarely.

    Code, schemas and models stay as long as the process; going through them again and again, whenever many logs or jobs
    are read, takes a third of the processor time.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def stopping() -> Iterator[Event]:
    """An event that SIGTERM and SIGINT set; a second one of them ends the process at once."""
    stop = Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)

    before = {name: signal.signal(name, ask) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@contextmanager
def reload_signal() -> Iterator[Event]:
    """An event that SIGHUP sets; without it, SIGHUP would end the process."""
    asked = Event()
    before = signal.signal(signal.SIGHUP, lambda number, frame: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGHUP, before)


def _jobs(store: JobStore) -> dict[str, int]:
    return {status.value: count for status, count in store.counts().items()}
