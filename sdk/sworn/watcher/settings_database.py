"""What of a daemon's settings is about its database alone: for commands that need nothing else of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from sworn.watcher.settings import DatabaseUrl
from sworn.watcher.settings_files import layered_settings
from sworn.watcher.settings_replicas import RetentionSettings


class DatabaseSettings(BaseSettings):
    """Where the database is, and what it forgets; whatever else a watcher's or a challenger's file says is left out."""

    model_config = SettingsConfigDict(
        env_prefix="SWORN_", env_nested_delimiter="__", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: DatabaseUrl
    retention: RetentionSettings = RetentionSettings()


def load_database_settings(files: Sequence[Path]) -> DatabaseSettings:
    """Settings from TOML files, then the environment. Raises `ConfigurationError` that lists every problem."""
    return layered_settings(DatabaseSettings, files, {})
