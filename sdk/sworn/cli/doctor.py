"""`sworn doctor`: what works here and what does not, each with what to do about it."""

from __future__ import annotations

import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import typer

from sworn.cli import doctor_chain
from sworn.cli.command import SIGNING, command
from sworn.cli.doctor_findings import Checks, Finding, bad, failure, findings_table, good, plain_findings, poor
from sworn.cli.exit_codes import ExitCode
from sworn.cli.session import Session
from sworn.cli.versions import NODE_PACKAGES, PACKAGES, TESTER_PACKAGES, WEB_PACKAGES, installed
from sworn.errors import SwornError

if TYPE_CHECKING:
    from sworn.engine.protocol import Engine, ModelSource

_MIN_PYTHON: Final = (3, 11)
_MODEL: Final = "diabetes_progression"


def register(app: typer.Typer) -> None:
    """Adds `doctor`."""
    command(app, "doctor", options=SIGNING)(_doctor)


def _doctor(
    session: Session,
    skip_engine: Annotated[bool, typer.Option("--skip-engine", help="Does not run a model.")] = False,
) -> None:
    """Checks this machine, and with --rpc or --config also chain, keys, operator, models and database.

    Ends with 1 when a check fails. Nothing is changed anywhere.
    """
    findings: list[Finding] = []
    for name, check in _checks(session, skip_engine=skip_engine):
        with session.output.busy(name):
            findings += _outcome(name, check)
    document = plain_findings(findings)
    session.output.result(document, findings_table(findings))
    if not document["ok"]:
        raise typer.Exit(int(ExitCode.FAILED))


def _checks(session: Session, *, skip_engine: bool) -> Checks:
    yield "python", _python
    yield "packages", _packages
    yield "optional tools", _tools
    if not skip_engine:
        yield "engine", _engine
    if session.options.config:
        yield "settings", lambda: doctor_chain.settings(session)
        if not doctor_chain.has_settings(session):
            # Everything else would say the same once more.
            return
    if session.options.rpc is not None or session.options.config:
        yield from doctor_chain.checks(session)


def _outcome(name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return check()
    except SwornError as error:
        return [failure(name, error)]


def _python() -> list[Finding]:
    version = platform.python_version()
    if sys.version_info < _MIN_PYTHON:
        return [bad("python", version, "Install Python 3.11 or newer.")]
    return [good("python", f"{version} on {platform.system()}")]


def _packages() -> list[Finding]:
    return [
        _package_group("packages", PACKAGES, bad, "pip install sworn-oracle"),
        _package_group("packages of watch", NODE_PACKAGES, poor, "pip install 'sworn-oracle[node]'"),
        _package_group("packages of metrics", WEB_PACKAGES, poor, "pip install 'sworn-oracle[web]'"),
        _package_group("packages of demo", TESTER_PACKAGES, poor, "pip install 'sworn-oracle[tester]'"),
    ]


def _package_group(
    check: str, names: tuple[str, ...], verdict: Callable[[str, str, str], Finding], advice: str
) -> Finding:
    missing = [name for name in names if installed(name) is None]
    if missing:
        return verdict(check, f"missing: {', '.join(missing)}", advice)
    return good(check, ", ".join(f"{name} {installed(name)}" for name in names))


def _tools() -> list[Finding]:
    found = [name for name in ("node", "solc", "anvil") if shutil.which(name)]
    return [good("optional tools", (", ".join(found) or "none of node, solc, anvil") + " on PATH")]


def _engine() -> list[Finding]:
    """Runs a bundled model on a row whose answer is known, in every profile."""
    from sworn.engine.protocol import ModelSource
    from sworn.engine.serving import ServingEngine
    from sworn.testing.models import load_model
    from sworn.types import Profile

    with ServingEngine() as engine:
        return [
            _engine_run(engine, ModelSource(artifact=load_model(_MODEL), profile=profile))
            for profile in (Profile.EXACT, Profile.BOUNDED, Profile.SIGNED)
        ]


def _engine_run(engine: Engine, source: ModelSource) -> Finding:
    from sworn.engine.protocol import RunLimits
    from sworn.testing.models import example_rows

    row, name = example_rows(_MODEL)[0], source.profile.name.lower()
    begun = time.monotonic()
    model = engine.identify(source, limits=RunLimits())
    with TemporaryDirectory(prefix="sworn-") as folder:
        outputs = engine.run(model, row.inputs, limits=RunLimits(), trace_file=Path(folder) / "trace").outputs
    took_s = time.monotonic() - begun
    (output, expected), *_ = row.outputs.items()
    if not np.allclose(outputs[output], expected, atol=1e-3):
        detail = f"{_MODEL} gives {outputs[output].ravel()[0]}, expected {expected.ravel()[0]}"
        return bad(f"engine, {name}", detail, "Reinstall numpy and onnxruntime.")
    return good(f"engine, {name}", f"ran {_MODEL} in {took_s:.2f} s, with the expected result")
