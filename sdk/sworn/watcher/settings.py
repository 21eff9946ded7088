"""Settings of the watcher: TOML files, then ``SWORN_…`` environment variables, then explicit overrides; the last wins.

Nested keys are joined by two underscores: ``SWORN_CHAIN__POLL_INTERVAL_S=2``. Unknown keys are errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sworn.types import Address
from sworn.watcher.settings_artifacts import Artifacts, ArtifactSettings
from sworn.watcher.settings_endpoints import NodeSettings
from sworn.watcher.settings_engines import EngineSettings as EngineSettings
from sworn.watcher.settings_engines import ModelRunSettings
from sworn.watcher.settings_files import given_settings, layered_settings
from sworn.watcher.settings_guards import GuardSettings as GuardSettings
from sworn.watcher.settings_keys import KeySettings
from sworn.watcher.settings_observe import MetricsSettings
from sworn.watcher.settings_replicas import ReplicaSettings, RetentionSettings
from sworn.watcher.settings_service import BatchingSettings, ServiceSettings
from sworn.watcher.settings_traces import TraceServerSettings, TraceSettings
from sworn.watcher.settings_values import MASK as MASK
from sworn.watcher.settings_values import AddressText as AddressText
from sworn.watcher.settings_values import Amount as Amount
from sworn.watcher.settings_values import HashText as HashText
from sworn.watcher.settings_values import mask_url as mask_url

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _checked_database_url(value: SecretStr) -> SecretStr:
    try:
        make_url(value.get_secret_value())
    except (ArgumentError, ValueError):
        # The vendor's message quotes the URL, and with it a password.
        raise ValueError("expected a database URL such as sqlite:///watcher.db") from None
    return value


DatabaseUrl = Annotated[SecretStr, AfterValidator(_checked_database_url)]


def database_file(value: SecretStr) -> Path | None:
    """The file that an SQLite database is; None for any other database."""
    url = make_url(value.get_secret_value())
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if is_file else None


class LogFormat(Enum):
    """How logs are written."""

    #: One JSON object per line.
    JSON = "json"
    #: Aligned columns, for people.
    CONSOLE = "console"


class ChainSettings(NodeSettings):
    """Which chain, and how to follow it."""

    #: The node must serve exactly this chain.
    chain_id: Annotated[int, Field(gt=0, lt=2**63)]
    #: Deployment file; None = `CHAIN_ID.json` in $SWORN_DEPLOYMENTS, in ~/.sworn/deployments or in the package.
    deployment: Path | None = None
    #: Blocks above one before it counts as settled.
    confirmations: Annotated[int, Field(ge=0, le=1000)] = 2
    poll_interval_s: Annotated[float, Field(gt=0, le=3600)] = 2.0
    #: First block to follow; None = the deployment's.
    start_block: Annotated[int, Field(ge=0)] | None = None
    #: Most that a transaction offers per gas; over it, ordinary transactions wait.
    max_fee_cap_wei: Amount = 500 * 10**9
    #: The same for answers in disputes, where being late costs a bond.
    urgent_fee_cap_wei: Amount = 5_000 * 10**9
    #: Most that the gas limit of one transaction may cost at the fee that it offers, urgent or not. Over it batches are
    #: divided, a single one waits for lower fees. Stay below what your nodes refuse (geth: --rpc.txfeecap, 1 ether).
    max_cost_wei: Annotated[Amount, Field(ge=10**15)] = 9 * 10**17
    #: Least and most of the tip per gas that the node suggests; a stuck transaction's is raised beyond, up to the cap.
    min_tip_wei: Amount = 0
    max_tip_wei: Amount = 50 * 10**9
    #: Seconds after which a transaction that is not mined is sent again with higher fees.
    bump_after_s: Annotated[float, Field(gt=0)] = 60.0


class ProfileName(Enum):
    """What a model's results promise."""

    #: The same bits on every machine; anyone can run it again.
    EXACT = "exact"
    #: Within a stated bound of the exact value; the trace of each run is kept.
    BOUNDED = "bounded"
    #: No arithmetic promise: by signature only. For models that cannot be compiled.
    SIGNED = "signed"


class ModelSettings(ModelRunSettings):
    """One model that is served, and on which terms."""

    model_config = _STRICT

    #: The .onnx file; its id is computed from it.
    artifact: Path | None = None
    #: The id that the artifact must have; alone, the artifact comes from the cache or a published mirror.
    model_id: HashText | None = None
    #: None = exact, or for a model_id alone the profile under which it is registered.
    profile: ProfileName | None = None
    #: Shapes of inputs whose dimensions the file leaves open; part of the id.
    input_shapes: dict[str, tuple[Annotated[int, Field(ge=0, lt=2**32)], ...]] = Field(default_factory=dict)
    #: Smallest fee that is accepted.
    price_wei: Amount = 0
    #: Added to it for each byte of the input.
    price_per_byte_wei: Amount = 0
    max_value_at_risk_wei: Amount = 0
    max_window_s: Annotated[int, Field(gt=0, lt=2**32)] = 7 * 24 * 3600
    max_callback_gas: Annotated[int, Field(ge=0, lt=2**32)] = 500_000

    @model_validator(mode="after")
    def _named(self) -> ModelSettings:
        if self.artifact is None and self.model_id is None:
            raise ValueError("a model needs an artifact path, a model_id, or both")
        return self


class LogSettings(BaseModel):
    """How logs are written."""

    model_config = _STRICT

    format: LogFormat = LogFormat.JSON
    level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"


class WatcherSettings(BaseSettings):
    """Everything that `sworn watch` needs to know."""

    model_config = SettingsConfigDict(
        env_prefix="SWORN_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    chain: ChainSettings
    keys: KeySettings
    models: Annotated[tuple[ModelSettings, ...], Field(min_length=1)]
    #: Owner address under which the operator is registered; None = the transaction key's.
    operator: AddressText | None = None
    #: Where jobs, oaths and transactions are kept: `sqlite:///watcher.db`, or `postgresql://…`.
    database_url: DatabaseUrl
    #: Where model files are cached and fetched from; a path alone is the cache's folder.
    artifacts: Artifacts = ArtifactSettings()
    guards: GuardSettings = GuardSettings()
    engine: EngineSettings = EngineSettings()
    batching: BatchingSettings = BatchingSettings()
    service: ServiceSettings = ServiceSettings()
    traces: TraceSettings = TraceSettings()
    replica: ReplicaSettings = ReplicaSettings()
    retention: RetentionSettings = RetentionSettings()
    #: None = no traces are served.
    trace_server: TraceServerSettings | None = None
    #: None = neither health nor metrics are served.
    metrics: MetricsSettings | None = None
    log: LogSettings = LogSettings()

    @property
    def operator_address(self) -> Address | None:
        """The configured operator, typed."""
        return None if self.operator is None else Address(self.operator)

    @property
    def database_file(self) -> Path | None:
        """The file that an SQLite database is; None for any other database."""
        return database_file(self.database_url)

    @property
    def trace_folder(self) -> Path | None:
        """Where traces are kept: as configured, else beside an SQLite database; None where there is neither."""
        if self.traces.folder is not None:
            return self.traces.folder.expanduser()
        return None if self.database_file is None else self.database_file.parent / "traces"


def load_settings(files: Sequence[Path] = (), *, overrides: Mapping[str, Any] | None = None) -> WatcherSettings:
    """Settings from TOML files (later ones win), then the process's environment, then nested ``overrides``.

    Relative paths in a file count from that file's directory. Raises `ConfigurationError` that lists every problem.
    """
    return layered_settings(WatcherSettings, files, overrides or {})


def validate_settings(values: Mapping[str, Any]) -> WatcherSettings:
    """Settings from a nested mapping alone. Raises `ConfigurationError` that lists every problem."""
    return given_settings(WatcherSettings, values)


def dump_settings(settings: WatcherSettings) -> dict[str, Any]:
    """The effective settings as plain values, secrets masked: what `sworn config dump` prints."""
    values = settings.model_dump(mode="json", exclude_none=True)
    url = make_url(settings.database_url.get_secret_value())
    values["database_url"] = url.set(query={}).render_as_string(hide_password=True)
    return values
