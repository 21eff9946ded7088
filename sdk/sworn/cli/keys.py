"""`sworn keys`: encrypted key files."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from sworn.cli.command import OUTPUT, command
from sworn.cli.output import facts
from sworn.cli.places import HOME
from sworn.cli.session import Session
from sworn.errors import ConfigurationError, SignerError

DirectoryOption = Annotated[
    Path, typer.Option("--directory", "-d", envvar="SWORN_KEYS", metavar="DIR", help="Where key files are.")
]
PasswordOption = Annotated[
    Path | None,
    typer.Option(envvar="SWORN_PASSWORD_FILE", metavar="FILE", help="File whose first line is the password."),
]
_DIRECTORY: Final = HOME / "keys"
_MIN_PASSWORD: Final = 8


def register(app: typer.Typer) -> None:
    """Adds `keys`."""
    group = typer.Typer(name="keys", help="Encrypted key files (Web3 Secret Storage).", no_args_is_help=True)
    command(group, "new", options=OUTPUT)(_new)
    command(group, "import", options=OUTPUT)(_import)
    command(group, "list", options=OUTPUT)(_list)
    app.add_typer(group)


def _new(session: Session, directory: DirectoryOption = _DIRECTORY, password_file: PasswordOption = None) -> None:
    """Makes a new key and stores it encrypted."""
    from sworn.chain.keystore import create

    password = _chosen_password(password_file)
    with session.output.busy("encrypting"):
        made = create(directory.expanduser(), password)
    session.output.result({"address": made.address, "file": made.path})


def _import(
    session: Session,
    directory: DirectoryOption = _DIRECTORY,
    password_file: PasswordOption = None,
    key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable that holds the private key; else asked for."),
    ] = None,
) -> None:
    """Stores an existing private key encrypted. The key is never an argument: others could see it."""
    from sworn.chain.keystore import import_key

    private_key = _private_key(key_env)
    password = _chosen_password(password_file)
    with session.output.busy("encrypting"):
        made = import_key(directory.expanduser(), private_key, password)
    session.output.result({"address": made.address, "file": made.path})


def _list(session: Session, directory: DirectoryOption = _DIRECTORY) -> None:
    """Lists the key files in a directory."""
    from sworn.chain.keystore import list_keys

    found = list_keys(directory.expanduser())
    document = [{"address": key.address, "file": key.path} for key in found]
    human = facts({key.address: key.path for key in found}) if found else f"no key files in {directory}"
    session.output.result(document, human)


def _private_key(variable: str | None) -> str:
    if variable is not None:
        value = os.environ.get(variable, "").strip()
        if not value:
            raise ConfigurationError(f"the environment variable {variable} is not set")
        return value
    if not sys.stdin.isatty():
        raise SignerError("no private key: name a variable with --key-env, or run this on a terminal")
    return getpass.getpass("private key: ", stream=sys.stderr).strip()


def _chosen_password(file: Path | None) -> str:
    from sworn.cli.compose import password_from

    password = password_from(file, prompt="new password: ")
    if len(password) < _MIN_PASSWORD:
        raise SignerError(f"the password is too short: use at least {_MIN_PASSWORD} characters")
    if file is None and getpass.getpass("once more: ", stream=sys.stderr) != password:
        raise SignerError("the two passwords differ")
    return password
