"""Declares commands: adds the common options, makes the `Session`, turns errors into exit codes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

from sworn.cli.exit_codes import exit_code_for
from sworn.cli.places import VARIABLES
from sworn.cli.session import CommonOptions, Session
from sworn.errors import SwornError

_OUTPUT = "Output"
_CHAIN = "Chain"
_KEY = "Key"

_Parameter = tuple[Any, Any]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=_OUTPUT)]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=_OUTPUT)]
_OUTPUT_OPTIONS: Final[Mapping[str, _Parameter]] = MappingProxyType(
    {"as_json": (JsonOption, False), "debug": (DebugOption, False)}
)
_CHAIN_OPTIONS: Final[Mapping[str, _Parameter]] = MappingProxyType(
    {
        "rpc": (
            Annotated[
                str | None,
                typer.Option(
                    "--rpc",
                    "-r",
                    envvar=VARIABLES["rpc"],
                    show_envvar=True,
                    metavar="URL",
                    help="JSON-RPC endpoint.",
                    rich_help_panel=_CHAIN,
                ),
            ],
            None,
        ),
        "deployment": (
            Annotated[
                Path | None,
                typer.Option(
                    envvar=VARIABLES["deployment"],
                    metavar="FILE",
                    rich_help_panel=_CHAIN,
                    help="Deployment file; by default the one known for the chain.",
                ),
            ],
            None,
        ),
        "timeout": (
            Annotated[
                float,
                typer.Option(
                    min=1.0, metavar="SECONDS", help="Longest wait for a transaction.", rich_help_panel=_CHAIN
                ),
            ],
            120.0,
        ),
        "config": (
            Annotated[
                list[Path] | None,
                typer.Option(
                    "--config",
                    "-c",
                    envvar=VARIABLES["config"],
                    metavar="FILE",
                    rich_help_panel=_CHAIN,
                    help="Settings of a daemon; later files win. Chain and key are taken from there: flags count "
                    "before them, variables such as SWORN_RPC after them.",
                ),
            ],
            None,
        ),
    }
)
_KEY_OPTIONS: Final[Mapping[str, _Parameter]] = MappingProxyType(
    {
        "keystore": (
            Annotated[
                Path | None,
                typer.Option(
                    envvar=VARIABLES["keystore"],
                    metavar="FILE",
                    help="Key file that signs.",
                    rich_help_panel=_KEY,
                ),
            ],
            None,
        ),
        "password_file": (
            Annotated[
                Path | None,
                typer.Option(
                    envvar=VARIABLES["password_file"],
                    metavar="FILE",
                    rich_help_panel=_KEY,
                    help="File whose first line is the key's password; asked for otherwise.",
                ),
            ],
            None,
        ),
        "key_env": (
            Annotated[
                str | None,
                typer.Option(
                    metavar="NAME",
                    rich_help_panel=_KEY,
                    help="Environment variable that holds a private key, for tests; by default SWORN_PRIVATE_KEY.",
                ),
            ],
            None,
        ),
    }
)

#: Groups of common options that a command may take.
OUTPUT: Final = _OUTPUT_OPTIONS
CHAIN: Final[Mapping[str, _Parameter]] = MappingProxyType({**_CHAIN_OPTIONS, **_OUTPUT_OPTIONS})
SIGNING: Final[Mapping[str, _Parameter]] = MappingProxyType({**_KEY_OPTIONS, **_CHAIN_OPTIONS, **_OUTPUT_OPTIONS})

_Function = Callable[..., None]


def command(
    app: typer.Typer, name: str, *, options: Mapping[str, _Parameter] = OUTPUT
) -> Callable[[_Function], _Function]:
    """Registers a function whose first parameter is the `Session` and whose others are the command's own options."""

    def register(function: _Function) -> _Function:
        wrapper = _with_session(function, options)
        app.command(name, no_args_is_help=False)(wrapper)
        return function

    return register


def defaults_callback(context: typer.Context, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """--json and --debug before the command's name count as well."""
    context.obj = CommonOptions(as_json=as_json, debug=debug)


def _with_session(function: _Function, options: Mapping[str, _Parameter]) -> _Function:
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]

    def wrapper(context: typer.Context, **values: Any) -> None:
        session = Session(_common(context, {name: values.pop(name) for name in options}))
        try:
            function(session, **values)
        except SwornError as error:
            if session.options.debug:
                raise
            code, hint = exit_code_for(error)
            session.output.error(kind=type(error).__name__, message=str(error), exit_code=int(code), hint=hint)
            raise typer.Exit(int(code)) from None

    first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [first, *(item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own), *extra]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {item.name: item.annotation for item in parameters}
    wrapper.__doc__ = function.__doc__
    wrapper.__name__ = function.__name__
    return wrapper


def _common(context: typer.Context, values: dict[str, Any]) -> CommonOptions:
    before = context.obj if isinstance(context.obj, CommonOptions) else CommonOptions()
    if "config" in values:
        values["config"] = tuple(values["config"] or ())
    values["by_variable"] = frozenset(name for name in VARIABLES if _is_from_environment(context, name))
    values["as_json"] = values["as_json"] or before.as_json
    values["debug"] = values["debug"] or before.debug
    return replace(before, **values)


def _is_from_environment(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    # The enum's class is private to typer.
    return source is not None and source.name == "ENVIRONMENT"
