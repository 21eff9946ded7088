"""`sworn config`: the settings of the daemons."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sworn.cli.command import OUTPUT, command
from sworn.cli.places import VARIABLES
from sworn.cli.session import Session
from sworn.cli.variables import unused_variables
from sworn.errors import ConfigurationError

if TYPE_CHECKING:
    from sworn.watcher.challenger.settings import ChallengerSettings
    from sworn.watcher.settings import WatcherSettings

FilesArgument = Annotated[
    list[Path] | None, typer.Argument(metavar="FILE", envvar=VARIABLES["config"], help="Settings; later files win.")
]


def register(app: typer.Typer) -> None:
    """Adds `config`."""
    group = typer.Typer(name="config", help="Settings of the daemons.", no_args_is_help=True)
    command(group, "init", options=OUTPUT)(_init)
    command(group, "validate", options=OUTPUT)(_validate)
    command(group, "dump", options=OUTPUT)(_dump)
    app.add_typer(group)


def _init(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path("sworn.toml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrites a file that is there.")] = False,
) -> None:
    """Writes a settings file to start from, with every key explained."""
    path = file.expanduser()
    if path.exists() and not force:
        raise ConfigurationError(f"{file} exists: give another name, or --force")
    try:
        path.write_text(template(), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {file}: {error.strerror}") from error
    session.output.result({"file": path}, f"wrote {path}; edit it, then run: sworn config validate {path}")


def _validate(session: Session, file: FilesArgument = None) -> None:
    """Checks settings without using them: files, of a watcher or a challenger, then SWORN_… environment variables."""
    settings = _read(session, file)
    # Only now is it known that the watcher is installed.
    from sworn.watcher.settings import WatcherSettings

    facts: dict[str, Any] = {"valid": True, "daemon": "challenger"}
    if isinstance(settings, WatcherSettings):
        facts |= {"daemon": "watcher", "models": len(settings.models)}
    session.output.result(facts, f"the settings of a {facts['daemon']} are usable")


def _dump(session: Session, file: FilesArgument = None) -> None:
    """Shows the effective settings, defaults included and secrets masked."""
    settings = _read(session, file)
    # Only now is it known that the watcher is installed.
    from sworn.watcher.challenger.settings import dump_challenger_settings
    from sworn.watcher.settings import WatcherSettings, dump_settings

    values = dump_settings(settings) if isinstance(settings, WatcherSettings) else dump_challenger_settings(settings)
    session.output.result(values, _toml(values))


def _read(session: Session, file: list[Path] | None) -> WatcherSettings | ChallengerSettings:
    """The settings; says which variables are none. Raises `ConfigurationError`."""
    from sworn.cli import compose

    settings = compose.settings(tuple(file or ()))
    for variable, reason in unused_variables(session.options, type(settings)).items():
        session.output.note(f"{variable} is ignored: {reason}")
    return settings


def template() -> str:
    """The settings file that `sworn config init` writes."""
    return (files("sworn.cli") / "settings_template.toml").read_text(encoding="utf-8")


def _toml(values: dict[str, Any]) -> str:
    """Plain settings as TOML: tables of values, and lists of tables."""
    plain = {key: value for key, value in values.items() if not _is_table(value)}
    lines = [f"{key} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in values.items():
        tables = value if isinstance(value, list) else [value]
        if _is_table(value):
            heading = f"[[{key}]]" if isinstance(value, list) else f"[{key}]"
            for table in tables:
                lines += ["", heading, *(f"{name} = {_toml_value(item)}" for name, item in table.items())]
    return "\n".join(lines)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{_toml_value(str(name))} = {_toml_value(item)}" for name, item in value.items()) + " }"
        )
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)
