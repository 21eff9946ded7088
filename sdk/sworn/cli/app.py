"""The command tree, and the way in."""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from types import TracebackType

import typer
from typer import rich_utils
from typer.exceptions import Abort, TyperException

from sworn.cli import (
    challenging,
    claims,
    configuration,
    database,
    demo,
    deploying,
    disputing,
    doctor,
    health,
    jobs,
    keys,
    models,
    operators,
    requesting,
    verifying,
    watching,
)
from sworn.cli.command import command, defaults_callback
from sworn.cli.exit_codes import ExitCode
from sworn.cli.session import Session
from sworn.cli.versions import version_facts
from sworn.masking import masked_text


def build() -> typer.Typer:
    """The `sworn` command with all that is below it."""
    app = typer.Typer(
        name="sworn",
        help="AI inference under oath for smart contracts: request, watch, verify.",
        epilog="Exit codes: " + ", ".join(f"{code.value} {code.name.lower()}" for code in ExitCode) + ".",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(defaults_callback)
    for module in (
        demo,
        requesting,
        verifying,
        disputing,
        deploying,
        models,
        operators,
        watching,
        challenging,
        keys,
        configuration,
        database,
        doctor,
        health,
        jobs,
        claims,
    ):
        module.register(app)
    command(app, "version")(_version)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit status. Unexpected exceptions keep their traceback.

    Without ``arguments`` the process's own are run, and tracebacks that end it are shown with their URLs masked.
    """
    if arguments is None:
        threading.excepthook = _tell_thread
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = build()(args=given, prog_name="sworn", standalone_mode=False)
    except TyperException as error:
        _tell_usage(error, as_json="--json" in given)
        return int(ExitCode.USAGE)
    except Abort:
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not complain about it when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILED)
    finally:
        if arguments is None:
            # Not before: the command tree puts its own hook in place when it is called.
            sys.excepthook = _tell_unexpected
    return code if isinstance(code, int) else int(ExitCode.OK)


def _tell_unexpected(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """Python's own words: vendors' messages quote URLs, and standard error is kept in journals."""
    sys.stderr.write(masked_text("".join(traceback.format_exception(kind, error, trace))))


def _tell_thread(end: threading.ExceptHookArgs) -> None:
    if end.exc_type is not SystemExit:
        _tell_unexpected(end.exc_type, end.exc_value, end.exc_traceback)


def _tell_usage(error: TyperException, *, as_json: bool) -> None:
    if as_json:
        document = {
            "type": type(error).__name__,
            "message": error.format_message(),
            "hint": "",
            "exit_code": int(ExitCode.USAGE),
        }
        sys.stdout.write(json.dumps({"error": document}, indent=2) + "\n")
        return
    # typer raises nothing but usage errors of this kind; their class is private to it.
    rich_utils.rich_format_error(error)  # type: ignore[arg-type]


def _version(session: Session) -> None:
    """The versions of sworn and of what it stands on."""
    session.output.result(version_facts())
