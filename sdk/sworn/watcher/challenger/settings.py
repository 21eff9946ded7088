"""Settings of the challenger: TOML files, then ``SWORN_…`` environment variables, then explicit overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url

from sworn.engine.protocol import RunLimits
from sworn.types import Address, InputShapes, ModelId
from sworn.watcher.challenger.claims import Scrutiny
from sworn.watcher.settings import (
    AddressText,
    Amount,
    ChainSettings,
    DatabaseUrl,
    EngineSettings,
    HashText,
    LogSettings,
    database_file,
)
from sworn.watcher.settings_artifacts import Artifacts, ArtifactSettings
from sworn.watcher.settings_files import given_settings, layered_settings
from sworn.watcher.settings_keys import KeySource, KeySources, transaction_sources
from sworn.watcher.settings_observe import MetricsSettings
from sworn.watcher.settings_replicas import ReplicaSettings, RetentionSettings
from sworn.watcher.settings_values import SecretUrl, url_parts

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _checked_server(value: str) -> str:
    parts = url_parts(value, "http", "https")
    if parts is None or "@" in parts.netloc or parts.query:
        raise ValueError("expected an http(s) URL without credentials")
    return value.rstrip("/")


ServerUrl = Annotated[str, AfterValidator(_checked_server)]
Shape = tuple[Annotated[int, Field(ge=0, lt=2**32)], ...]


class ChallengerKeys(BaseModel):
    """Which key sends transactions and posts bonds."""

    model_config = _STRICT

    #: None observes. In a list, the first one sends, and what the others have sent is seen through.
    transaction: KeySources | None = None
    #: Short form: a keystore file, and the file whose first line is its password; None = asked for.
    transaction_key: Path | None = None
    password_file: Path | None = None
    #: File with 32 bytes as hex from which salts follow, made when it is missing. For keys whose signatures differ each
    #: time; without it their salts are in the database alone.
    secret_file: Path | None = None

    @model_validator(mode="after")
    def _unambiguous(self) -> ChallengerKeys:
        if self.transaction is not None and self.transaction_key is not None:
            raise ValueError("name one transaction key: keys.transaction or keys.transaction_key")
        return self

    @property
    def transaction_sources(self) -> tuple[KeySource, ...]:
        """Keys that send, the preferred one first; empty = none."""
        return transaction_sources(self.transaction, self.transaction_key, self.password_file)

    @property
    def result_sources(self) -> tuple[KeySource, ...]:
        """None: a challenger signs no results."""
        return ()


class ChallengeSettings(BaseModel):
    """Which results are checked, and what is put at risk against false ones."""

    model_config = _STRICT

    #: Of all results, chosen by a secret hash.
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    #: Empty = everybody.
    allow_operators: tuple[AddressText, ...] = ()
    deny_operators: tuple[AddressText, ...] = ()
    allow_requesters: tuple[AddressText, ...] = ()
    deny_requesters: tuple[AddressText, ...] = ()
    allow_models: tuple[HashText, ...] = ()
    deny_models: tuple[HashText, ...] = ()
    #: Bonds of all disputes together, with all that they may spend on demands.
    max_exposure_wei: Amount = 10**18
    #: What one dispute may spend on demands.
    max_demands_wei: Amount = 10**17
    #: What a conviction must earn beyond its gas; negative accepts losses.
    min_profit_wei: Annotated[int, Field(gt=-(2**256), lt=2**256)] = 0
    #: A second node, of another provider, that must say the same before a bond is posted; secret.
    witness_rpc_url: SecretUrl | None = None
    #: Operators' trace servers; without one, what is needed is demanded on chain.
    trace_servers: dict[AddressText, ServerUrl] = {}
    #: Whether trace servers, mirrors and inputs may lie in private networks.
    private_hosts: bool = False
    #: Hosts from which inputs given by reference are fetched; empty = such results are not checked.
    input_hosts: tuple[str, ...] = ()
    max_input_bytes: Annotated[int, Field(ge=1, le=64 << 20)] = 1 << 20
    #: Of one operator's trace.
    max_trace_bytes: Annotated[int, Field(ge=1 << 10)] = 1 << 30
    #: How far a result in profile bounded may be from our own run, while its operator's trace is not at hand.
    tolerance: Annotated[float, Field(ge=0, le=1)] = 1e-3
    #: Whether a result in profile bounded that is farther away, and that nothing else decides, counts as false. Risky:
    #: whoever makes a model in which honest runs lie far apart can take the challenger's bonds.
    accuse_by_distance: bool = False
    #: Shapes of inputs whose files leave dimensions open, by model and input; others are taken from the input itself.
    input_shapes: dict[HashText, dict[str, Shape]] = {}
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    memory_bytes: Annotated[int, Field(ge=64 << 20)] = 2 << 30
    #: Where traces are kept meanwhile; None = beside an SQLite database, else below the home directory.
    folder: Path | None = None

    @property
    def scrutiny(self) -> Scrutiny:
        """As the challenger takes them."""
        return Scrutiny(
            share=self.sample,
            allow_operators=frozenset(map(Address, self.allow_operators)),
            deny_operators=frozenset(map(Address, self.deny_operators)),
            allow_requesters=frozenset(map(Address, self.allow_requesters)),
            deny_requesters=frozenset(map(Address, self.deny_requesters)),
            allow_models=frozenset(map(_model, self.allow_models)),
            deny_models=frozenset(map(_model, self.deny_models)),
            max_exposure_wei=self.max_exposure_wei,
            max_demands_wei=self.max_demands_wei,
            min_profit_wei=self.min_profit_wei,
        )

    @property
    def limits(self) -> RunLimits:
        """What one run may use."""
        return RunLimits(timeout_s=self.timeout_s, memory_bytes=self.memory_bytes)

    @property
    def shapes(self) -> Mapping[ModelId, InputShapes]:
        """Input shapes by model."""
        return {_model(text): shapes for text, shapes in self.input_shapes.items()}


class ChallengerSettings(BaseSettings):
    """Everything that `sworn challenge` needs to know."""

    model_config = SettingsConfigDict(
        env_prefix="SWORN_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    chain: ChainSettings
    keys: ChallengerKeys = ChallengerKeys()
    #: Where claims and transactions are kept: `sqlite:///challenger.db`, or `postgresql://…`.
    database_url: DatabaseUrl
    #: Where model files are cached and fetched from; a path alone is the cache's folder.
    artifacts: Artifacts = ArtifactSettings()
    challenge: ChallengeSettings = ChallengeSettings()
    engine: EngineSettings = EngineSettings()
    replica: ReplicaSettings = ReplicaSettings()
    retention: RetentionSettings = RetentionSettings()
    #: None = neither health nor metrics are served.
    metrics: MetricsSettings | None = None
    log: LogSettings = LogSettings()

    @property
    def database_file(self) -> Path | None:
        """The file that an SQLite database is; None for any other database."""
        return database_file(self.database_url)

    @property
    def folder(self) -> Path | None:
        """Where traces are kept: as configured, else beside an SQLite database; None where there is neither."""
        if self.challenge.folder is not None:
            return self.challenge.folder.expanduser()
        return None if self.database_file is None else self.database_file.parent / "challenges"


def load_challenger_settings(
    files: Sequence[Path] = (), *, overrides: Mapping[str, Any] | None = None
) -> ChallengerSettings:
    """Settings from TOML files (later ones win), then the process's environment, then nested ``overrides``.

    Relative paths in a file count from that file's directory. Raises `ConfigurationError` that lists every problem.
    """
    return layered_settings(ChallengerSettings, files, overrides or {})


def validate_challenger_settings(values: Mapping[str, Any]) -> ChallengerSettings:
    """Settings from a nested mapping alone. Raises `ConfigurationError` that lists every problem."""
    return given_settings(ChallengerSettings, values)


def dump_challenger_settings(settings: ChallengerSettings) -> dict[str, Any]:
    """The effective settings as plain values, secrets masked."""
    values = settings.model_dump(mode="json", exclude_none=True)
    url = make_url(settings.database_url.get_secret_value())
    values["database_url"] = url.set(query={}).render_as_string(hide_password=True)
    return values


def _model(text: str) -> ModelId:
    return ModelId(bytes.fromhex(text.removeprefix("0x")))
