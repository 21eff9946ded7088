"""What of settings is said by environment variables, and which variables say nothing although they look like it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsError

from sworn.errors import ConfigurationError

PREFIX: Final = "SWORN_"
_SEPARATOR: Final = "__"


def said_by_variables(kind: type[BaseSettings]) -> dict[str, Any]:
    """The settings in the environment, nested. Raises `ConfigurationError` that names variables of another form."""
    try:
        return EnvSettingsSource(kind)()
    except SettingsError:
        raise malformed(kind) from None


def malformed(kind: type[BaseSettings]) -> ConfigurationError:
    """What to say of variables that cannot be read: the vendor names a table, and none of them."""
    names = sorted(name for name, value in _ours(kind).items() if not _readable(kind, {name.lower(): value}))
    return ConfigurationError(
        f"{' and '.join(names) or 'the environment'}: tables and lists are written as JSON; single keys of a table as "
        f"{PREFIX}CHAIN{_SEPARATOR}RPC_URL=https://…"
    )


def unknown_variables(kind: type[BaseSettings], *, known: Collection[str]) -> tuple[str, ...]:
    """Variables that begin as settings do, and name none; ``known`` are those with another use."""
    names = (name.upper() for name in os.environ if name.upper().startswith(PREFIX))
    return tuple(sorted(name for name in names if name not in known and not _is_setting(kind, name)))


def _is_setting(kind: type[BaseSettings], name: str) -> bool:
    if not name.startswith(PREFIX):
        return False
    # What comes after the separator is judged with everything else: an unknown key of a table is an error.
    return name.removeprefix(PREFIX).split(_SEPARATOR)[0].lower() in kind.model_fields


def _ours(kind: type[BaseSettings]) -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if _is_setting(kind, name.upper())}


def _readable(kind: type[BaseSettings], variables: Mapping[str, str]) -> bool:
    source = EnvSettingsSource(kind)
    source.env_vars = variables
    try:
        source()
    except SettingsError:
        return False
    return True
