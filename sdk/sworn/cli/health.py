"""`sworn health`: asks a running daemon how it is; for probes of containers, and for people."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from sworn.cli.command import OUTPUT, command
from sworn.cli.doctor_findings import Finding, Verdict, findings_table
from sworn.cli.exit_codes import ExitCode
from sworn.cli.places import VARIABLES
from sworn.cli.session import Session
from sworn.errors import ConfigurationError

_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 1 << 20


def register(app: typer.Typer) -> None:
    """Adds `health`."""
    command(app, "health", options=OUTPUT)(_health)


def _health(
    session: Session,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where it serves its health; by default as in --config.")
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            "-c",
            envvar=VARIABLES["config"],
            metavar="FILE",
            help="Settings of `sworn watch` or `sworn challenge`: its table [metrics] says where.",
        ),
    ] = None,
    alive: Annotated[bool, typer.Option("--alive", help="Only whether its loop turns.")] = False,
) -> None:
    """Asks a running watcher or challenger whether it does its work: the parts of /readyz.

    Ends with 1 when it does not, and with 4 when nobody answers.
    """
    where = url or _configured(config or [])
    if urlsplit(where).scheme not in ("http", "https"):
        raise ConfigurationError(f"{where} is not an http(s) URL")
    page = where.rstrip("/") + ("/healthz" if alive else "/readyz")
    try:
        body = _ask(page)
    except OSError as error:
        message = f"nobody answers at {page}: {getattr(error, 'reason', error)}"
        hint = "Check that the daemon runs, and its table [metrics]."
        session.output.error(kind="Unreachable", message=message, exit_code=int(ExitCode.CHAIN), hint=hint)
        raise typer.Exit(int(ExitCode.CHAIN)) from None
    is_well = bool(body.get("alive" if alive else "ready"))
    session.output.result(body, None if alive else findings_table(_findings(body)))
    if not is_well:
        raise typer.Exit(int(ExitCode.FAILED))


def _configured(files: Sequence[Path]) -> str:
    try:
        from sworn.watcher.settings_observe import load_probe_settings
    except ImportError as error:
        raise ConfigurationError("settings need the node extra: give --url, or install 'sworn-oracle[node]'") from error
    metrics = load_probe_settings(files).metrics
    if metrics is None:
        raise ConfigurationError("no table [metrics] says where: give --url, or --config with one")
    host = "127.0.0.1" if metrics.host in ("0.0.0.0", "::") else metrics.host  # noqa: S104
    return f"http://[{host}]:{metrics.port}" if ":" in host else f"http://{host}:{metrics.port}"


def _ask(url: str) -> dict[str, Any]:
    """The JSON of a page, whatever its status. Raises `OSError` where nobody answers."""
    # A probe runs every few seconds: it does without the libraries that take a second to load.
    request = urllib.request.Request(url)  # noqa: S310 -- the scheme is checked
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            content = answer.read(_MAX_BYTES)
    except urllib.error.HTTPError as error:
        content = error.read(_MAX_BYTES)
    try:
        body = json.loads(content)
    except ValueError as error:
        raise ConfigurationError(f"what answers at {url} is no sworn daemon") from error
    if not isinstance(body, dict):
        raise ConfigurationError(f"what answers at {url} is no sworn daemon")
    return body


def _findings(body: dict[str, Any]) -> list[Finding]:
    """The parts, as `sworn doctor` shows what it finds."""
    return [
        Finding(
            check=name,
            verdict=Verdict(part["standing"]),
            detail=part["detail"],
            advice=part.get("advice", ""),
        )
        for name, part in body.get("components", {}).items()
    ]
