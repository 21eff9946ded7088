"""Settings about being watched: where health and metrics can be read, and what counts as late, old or low."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from sworn.watcher.looks import Thresholds
from sworn.watcher.settings_files import layered_settings

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class MetricsSettings(BaseModel):
    """Where /healthz, /readyz, /status and /metrics can be read over HTTP; off without this table."""

    model_config = _STRICT

    #: They name accounts and amounts: keep them from the public.
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)]
    #: Seconds between two looks at the database.
    refresh_s: Annotated[float, Field(ge=0.1, le=300)] = 5.0
    #: Seconds after which work that nothing holds up counts as overdue, and a transaction as stuck.
    overdue_after_s: Annotated[float, Field(ge=1)] = 300.0
    #: A newest block older than this means that the node does not follow its chain.
    max_head_age_s: Annotated[float, Field(ge=1)] = 120.0
    #: A sender with less than this wants a look; a higher guards.min_balance_wei counts instead.
    min_balance_wei: Annotated[int, Field(ge=0, lt=2**256)] = 50_000_000_000_000_000

    def thresholds(
        self, *, min_time_left_s: float = 0.0, min_balance_wei: int = 0, pause_balance_wei: int = 0
    ) -> Thresholds:
        """As they are looked at."""
        return Thresholds(
            overdue_after_s=self.overdue_after_s,
            max_head_age_s=self.max_head_age_s,
            min_time_left_s=min_time_left_s,
            min_balance_wei=max(self.min_balance_wei, min_balance_wei),
            pause_balance_wei=pause_balance_wei,
        )


class ProbeSettings(BaseSettings):
    """Where a daemon serves its health; whatever else a watcher's or a challenger's file says is left out."""

    model_config = SettingsConfigDict(
        env_prefix="SWORN_", env_nested_delimiter="__", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    metrics: MetricsSettings | None = None


def load_probe_settings(files: Sequence[Path]) -> ProbeSettings:
    """Settings from TOML files, then the environment. Raises `ConfigurationError` that lists every problem."""
    return layered_settings(ProbeSettings, files, {})
