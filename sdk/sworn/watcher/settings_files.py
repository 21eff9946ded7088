"""Where settings come from: TOML files, the environment, what is given; and what is wrong with them, all at once."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sworn.errors import ConfigurationError
from sworn.watcher.settings_variables import malformed, said_by_variables

_Settings = TypeVar("_Settings", bound=BaseSettings)
_Sources = tuple[PydanticBaseSettingsSource, ...]
#: What to do where there is no file at all.
_BEGIN: Final = "\nno file is named: give --config FILE; `sworn config init` and `sworn challenge --init` write one"


def layered_settings(kind: type[_Settings], files: Sequence[Path], overrides: Mapping[str, Any]) -> _Settings:
    """Settings from TOML files (later ones win), then the environment, then ``overrides``.

    Relative paths in a file count from that file's directory. Raises `ConfigurationError` that lists every problem.
    """
    merged = said_by_files(files)

    def sources(cls: type[BaseSettings], settings_cls: type[BaseSettings], *args: Any, **kwargs: Any) -> _Sources:
        filed = InitSettingsSource(settings_cls, init_kwargs=merged)
        return (kwargs["init_settings"], kwargs["env_settings"], filed)

    return _build(_from(kind, sources), overrides, advice="" if files else _BEGIN)


def said_by_files(files: Sequence[Path]) -> dict[str, Any]:
    """What files say, later ones over earlier ones, unchecked. Raises `ConfigurationError` for one that is no TOML."""
    merged: dict[str, Any] = {}
    for file in files:
        merged = _merge(merged, _anchored(_read(file), file.resolve().parent))
    return merged


def said(kind: type[BaseSettings], files: Sequence[Path]) -> dict[str, Any]:
    """What files and the environment say, unchecked. Raises `ConfigurationError` where they cannot be read."""
    return _merge(said_by_files(files), said_by_variables(kind))


def given_settings(kind: type[_Settings], values: Mapping[str, Any]) -> _Settings:
    """Settings from a nested mapping alone. Raises `ConfigurationError` that lists every problem."""

    def sources(cls: type[BaseSettings], settings_cls: type[BaseSettings], *args: Any, **kwargs: Any) -> _Sources:
        return (kwargs["init_settings"],)

    return _build(_from(kind, sources), values)


def _from(kind: type[_Settings], sources: Callable[..., _Sources]) -> type[_Settings]:
    """The same settings, from other sources."""
    body = {"settings_customise_sources": classmethod(sources), "__module__": kind.__module__, "__doc__": kind.__doc__}
    return cast(type[_Settings], type(kind.__name__, (kind,), body))


def _build(kind: type[_Settings], values: Mapping[str, Any], *, advice: str = "") -> _Settings:
    try:
        return kind(**values)
    except SettingsError:
        raise malformed(kind) from None
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, item['loc'])) or 'settings'}: {_problem(item['type'], item['msg'])}"
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        # The vendor's error may quote values, secrets among them.
        raise ConfigurationError("the settings are not usable:\n  " + "\n  ".join(problems) + advice) from None


def _problem(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "missing"
    return message.removeprefix("Value error, ")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not TOML: {error}") from error


_KEY_FILES = ("file", "password_file", "ca_file", "certificate_file", "certificate_key_file", "token_file")
#: Keys that hold paths, by section; "" is the top level.
_PATHS: Mapping[str, tuple[str, ...]] = {
    "": ("artifacts",),
    "chain": ("deployment",),
    "keys": ("transaction_key", "result_key", "password_file", "result_password_file", "secret_file"),
    "keys.transaction": _KEY_FILES,
    "keys.result": _KEY_FILES,
    "models": ("artifact",),
    "models.endpoint": ("authorization_file", "ca_file"),
    "engine": ("cache_folder",),
    "artifacts": ("cache",),
    "traces": ("folder",),
    "challenge": ("folder",),
}


def _anchored(values: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Makes a file's relative paths relative to the file, not to wherever the watcher is started."""
    anchored: Any = values
    for section, keys in _PATHS.items():
        anchored = _anchored_at(anchored, section.split(".") if section else [], keys, directory)
    url = anchored.get("database_url")
    return {**anchored, "database_url": _anchored_database(url, directory)} if isinstance(url, str) else dict(anchored)


def _anchored_database(text: str, directory: Path) -> str:
    """The URL of a database whose file is looked for below the settings' folder.

    SAFETY: started from another folder, a watcher would find an empty journal, and could swear a second result for a
    request.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # What is wrong with it is said with everything else.
        return text
    file = url.database
    # Names that begin with "file:" are SQLite's own addresses, and none of a plain file.
    if url.get_backend_name() != "sqlite" or not file or file == ":memory:" or file.startswith("file:"):
        return text
    return url.set(database=str(directory / Path(file).expanduser())).render_as_string(hide_password=False)


def _anchored_at(values: Any, path: Sequence[str], keys: tuple[str, ...], directory: Path) -> Any:
    if isinstance(values, list):
        return [_anchored_at(item, path, keys, directory) for item in values]
    if not isinstance(values, Mapping):
        return values
    if not path:
        return {**values, **_anchor(values, keys, directory)}
    below = {name: _anchored_at(value, path[1:], keys, directory) for name, value in values.items() if name == path[0]}
    return {**values, **below}


def _anchor(section: Mapping[str, Any], keys: tuple[str, ...], directory: Path) -> dict[str, Any]:
    return {key: str(directory / Path(section[key]).expanduser()) for key in keys if isinstance(section.get(key), str)}


def _merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for key, value in upper.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged
