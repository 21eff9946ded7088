"""Which environment variables count for a daemon, and what is said of those that do not."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sworn.cli.places import OTHER_VARIABLES, VARIABLES

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

    from sworn.cli.session import CommonOptions
    from sworn.watcher.settings import LogSettings

#: The settings that say the same as an option: their table, and their names in it.
_SETTINGS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "rpc": ("chain", ("rpc_url", "rpc_urls")),
        "deployment": ("chain", ("deployment",)),
        "keystore": ("keys", ("transaction_key", "transaction")),
        "password_file": ("keys", ("password_file",)),
    }
)

_UNKNOWN: Final = "no setting has this name; a table and its key are joined by two underscores: SWORN_CHAIN__CHAIN_ID"


def passed_over(options: CommonOptions, kind: type[BaseSettings]) -> frozenset[str]:
    """Options from variables whose settings are made elsewhere, in files or by variables of their own.

    SAFETY: SWORN_RPC and its like are for commands that people type. A daemon that is started where they are exported
    must not lose the endpoints that check each other, nor send with the owner's key. Raises `ConfigurationError`.
    """
    return frozenset(option for option, values in _rivals(options, kind) if values)


def unused_variables(options: CommonOptions, kind: type[BaseSettings]) -> dict[str, str]:
    """Variables that do not count although somebody may think so, and why. Raises `ConfigurationError`."""
    from sworn.watcher.settings_variables import unknown_variables

    known = OTHER_VARIABLES | {options.key_env or ""}
    unused = dict.fromkeys(unknown_variables(kind, known=known), _UNKNOWN)
    for option, values in _rivals(options, kind):
        if values and not any(same(options.variable(option), value) for value in values):
            unused[VARIABLES[option]] = f"the settings say otherwise; --{option.replace('_', '-')} would count"
    return unused


def log_unused(unused: Mapping[str, str], log: LogSettings) -> None:
    """Says so in a daemon's log."""
    from sworn.watcher.logs import make_logger

    logger = make_logger(sys.stderr, form=log.format, level=log.level)
    for variable, reason in unused.items():
        logger.warning("variable_ignored", variable=variable, reason=reason)


def same(one: str | Path, other: str | Path) -> bool:
    """Whether an option and a setting mean the same."""
    if isinstance(one, Path):
        return one.expanduser().resolve() == Path(other).expanduser().resolve()
    return one == other


def _rivals(options: CommonOptions, kind: type[BaseSettings]) -> Iterator[tuple[str, list[str]]]:
    """Each option that a variable gave, and what settings say instead of it."""
    from sworn.watcher.settings_files import said

    given = [option for option in _SETTINGS if options.variable(option) is not None]
    values = said(kind, options.config) if given else {}
    for option in given:
        table, names = _SETTINGS[option]
        section = values.get(table)
        section = section if isinstance(section, Mapping) else {}
        yield option, [text for name in names for text in _texts(section.get(name))]


def _texts(value: Any) -> list[str]:
    """The URLs or files that a setting names; something of every other setting that is made."""
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, Mapping):
        return [str(value.get("url") or value.get("file") or "")]
    return [] if value is None else [str(value)]
