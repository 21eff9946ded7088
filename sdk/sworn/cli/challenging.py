"""`sworn challenge`: the challenger's daemon."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sworn.cli.command import SIGNING, command
from sworn.cli.session import Session
from sworn.cli.variables import log_unused, unused_variables
from sworn.cli.watching import (
    DATABASE_HELP,
    LogFormats,
    LogLevels,
    daemon_overrides,
    forbid_core_dumps,
    rare_collections,
    stopping,
)
from sworn.errors import ConfigurationError

if TYPE_CHECKING:
    from sworn.watcher.challenger.store import ClaimStore


def register(app: typer.Typer) -> None:
    """Adds `challenge`."""
    command(app, "challenge", options=SIGNING)(_challenge)


def _challenge(
    session: Session,
    observe: Annotated[
        bool, typer.Option("--observe", help="Checks and reports; sends nothing, needs no key.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Ends when nothing more can be done at once.")] = False,
    init: Annotated[Path | None, typer.Option(metavar="FILE", help="Writes settings to start from, and ends.")] = None,
    database: Annotated[str | None, typer.Option(metavar="URL", help=DATABASE_HELP)] = None,
    log_level: Annotated[LogLevels | None, typer.Option(help="Overrides log.level.")] = None,
    log_format: Annotated[LogFormats | None, typer.Option(help="Overrides log.format.")] = None,
) -> None:
    """Runs other operators' results again, and takes false ones to court: opens, demands, proves, claims.

    Settings come from --config files, then SWORN_TABLE__KEY variables, then flags; --init writes a file to start from.
    SWORN_RPC and its like count only for what those leave open. Paths in a file count from its folder, others from the
    current one. Logs go to stderr. SIGTERM and Ctrl-C end it after the step under way; it takes up its disputes from
    what the chain says.
    """
    if init is not None:
        _write_template(session, init)
        return
    try:
        from sworn.cli import compose_challenger
        from sworn.watcher.challenger.settings import ChallengerSettings
    except ImportError as error:
        raise ConfigurationError("the challenger needs the node extra: pip install 'sworn-oracle[node]'") from error

    forbid_core_dumps()
    overrides = daemon_overrides(
        session, ChallengerSettings, database=database, log_level=log_level, log_format=log_format
    )
    values = compose_challenger.settings(session.options.config, overrides)
    log_unused(unused_variables(session.options, ChallengerSettings), values.log)
    if once:
        # Over before anybody could look; and a daemon beside it may have the port.
        values = values.model_copy(update={"metrics": None})
    with compose_challenger.challenger(values, session.output, observes=observe) as challenger:
        with rare_collections(), stopping() as stop:
            challenger.run(stop, once=once)
        session.output.result({"claims": _claims(challenger.store), "false": _false(challenger.store)})


def template() -> str:
    """The settings file that `sworn challenge --init` writes."""
    return (files("sworn.cli") / "challenger_template.toml").read_text(encoding="utf-8")


def _write_template(session: Session, file: Path) -> None:
    path = file.expanduser()
    if path.exists():
        raise ConfigurationError(f"{file} exists: give another name")
    try:
        path.write_text(template(), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {file}: {error.strerror}") from error
    session.output.result({"file": path}, f"wrote {path}; edit it, then run: sworn challenge --config {path}")


def _claims(store: ClaimStore) -> dict[str, int]:
    return {status.value: count for status, count in store.counts().items()}


def _false(store: ClaimStore) -> list[dict[str, Any]]:
    """Results that were found false, whatever became of them."""
    from sworn.watcher.challenger.claims import ClaimStatus

    told = (ClaimStatus.FALSE, ClaimStatus.OBSERVED, ClaimStatus.SETTLED)
    return [
        {
            "result_id": "0x" + claim.result_id.hex(),
            "operator": claim.operator,
            "status": claim.status.value,
            "reason": claim.reason,
        }
        for claim in store.claims()
        if claim.status in told
    ]
