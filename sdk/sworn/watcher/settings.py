"""Settings of the watcher: TOML files, then ``SWORN_…`` environment variables, then explicit overrides; the last wins.

Nested keys are joined by two underscores: ``SWORN_CHAIN__POLL_INTERVAL_S=2``. Unknown keys are errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sworn.engine.protocol import RunLimits
from sworn.types import Address
from sworn.watcher.policy import Guards
from sworn.watcher.settings_files import given_settings, layered_settings
from sworn.watcher.settings_traces import TraceServerSettings, TraceSettings

MASK = "***"
_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _checked_address(value: str) -> str:
    if not is_hex_address(value):
        raise ValueError("not an address")
    if value not in (value.lower(), value.upper()) and not is_checksum_address(value):
        raise ValueError("the address has a wrong checksum: one of its digits is mistyped")
    return to_checksum_address(value)


def _checked_hash(value: str) -> str:
    digits = value.removeprefix("0x")
    if len(digits) != 64 or not set(digits.lower()) <= set("0123456789abcdef"):
        raise ValueError("expected 32 bytes as 64 hex digits")
    return "0x" + digits.lower()


def _checked_rpc_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an http(s) URL")
    return value


def _checked_database_url(value: SecretStr) -> SecretStr:
    try:
        make_url(value.get_secret_value())
    except (ArgumentError, ValueError):
        # The vendor's message quotes the URL, and with it a password.
        raise ValueError("expected a database URL such as sqlite:///watcher.db") from None
    return value


AddressText = Annotated[str, AfterValidator(_checked_address)]
HashText = Annotated[str, AfterValidator(_checked_hash)]
RpcUrl = Annotated[SecretStr, AfterValidator(_checked_rpc_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_checked_database_url)]
#: Wei amounts are integers of up to 256 bits.
Amount = Annotated[int, Field(ge=0, lt=2**256)]


class LogFormat(Enum):
    """How logs are written."""

    #: One JSON object per line.
    JSON = "json"
    #: Aligned columns, for people.
    CONSOLE = "console"


class ChainSettings(BaseModel):
    """Which chain, and how to follow it."""

    model_config = _STRICT

    #: JSON-RPC endpoint; secret, as providers put keys into it.
    rpc_url: RpcUrl
    #: The node must serve exactly this chain.
    chain_id: Annotated[int, Field(gt=0, lt=2**63)]
    #: Deployment file; None = the one that ships with sworn for this chain.
    deployment: Path | None = None
    #: Blocks above one before it counts as settled.
    confirmations: Annotated[int, Field(ge=0, le=1000)] = 2
    poll_interval_s: Annotated[float, Field(gt=0, le=3600)] = 2.0
    #: Largest block range of one log query.
    max_log_range: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    #: First block to follow; None = the deployment's.
    start_block: Annotated[int, Field(ge=0)] | None = None
    max_fee_cap_wei: Amount = 500 * 10**9
    #: The same for answers in disputes, where being late costs a bond.
    urgent_fee_cap_wei: Amount = 5_000 * 10**9
    #: Seconds after which a transaction that is not mined is sent again with higher fees.
    bump_after_s: Annotated[float, Field(gt=0)] = 60.0


class KeySettings(BaseModel):
    """Which keys sign what."""

    model_config = _STRICT

    #: Keystore file of the key that sends and pays for transactions.
    transaction_key: Path
    #: Keystore file of the key that signs results; None = the transaction key.
    result_key: Path | None = None
    #: Files whose first line is the password; None = asked for by the command line.
    password_file: Path | None = None
    result_password_file: Path | None = None


class ProfileName(Enum):
    """What a model's results promise."""

    #: The same bits on every machine; anyone can run it again.
    EXACT = "exact"
    #: Within a stated bound of the exact value; the trace of each run is kept.
    BOUNDED = "bounded"
    #: No arithmetic promise: by signature only. For models that cannot be compiled.
    SIGNED = "signed"


class ModelSettings(BaseModel):
    """One model that is served, and on which terms."""

    model_config = _STRICT

    #: The .onnx file; its id is computed from it.
    artifact: Path | None = None
    #: The id that the artifact must have; alone, the artifact comes from the cache or a published mirror.
    model_id: HashText | None = None
    #: None = exact, or for a model_id alone the profile under which it is registered.
    profile: ProfileName | None = None
    #: Shapes of inputs whose dimensions the file leaves open; part of the id.
    input_shapes: dict[str, tuple[Annotated[int, Field(ge=0, lt=2**32)], ...]] = {}
    #: Smallest fee that is accepted.
    price_wei: Amount = 0
    max_value_at_risk_wei: Amount = 0
    max_window_s: Annotated[int, Field(gt=0, lt=2**32)] = 7 * 24 * 3600
    max_callback_gas: Annotated[int, Field(ge=0, lt=2**32)] = 500_000
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    memory_bytes: Annotated[int, Field(ge=64 << 20)] = 2 << 30

    @model_validator(mode="after")
    def _named(self) -> ModelSettings:
        if self.artifact is None and self.model_id is None:
            raise ValueError("a model needs an artifact path, a model_id, or both")
        return self

    @property
    def limits(self) -> RunLimits:
        """What one run may use."""
        return RunLimits(timeout_s=self.timeout_s, memory_bytes=self.memory_bytes)


class GuardSettings(BaseModel):
    """What is not answered although a model's terms would allow it."""

    model_config = _STRICT

    #: Fee minus estimated gas cost must reach this; negative accepts losses.
    min_profit_wei: Annotated[int, Field(gt=-(2**256), lt=2**256)] = 0
    max_input_bytes: Annotated[int, Field(ge=1, le=64 << 20)] = 1 << 20
    #: Seconds that must be left until the deadline.
    min_time_left_s: Annotated[int, Field(ge=0)] = 30
    #: Requesters that are served; empty = all.
    allow_requesters: tuple[AddressText, ...] = ()
    deny_requesters: tuple[AddressText, ...] = ()
    #: Hosts from which inputs given by reference are fetched; empty = such requests are not answered.
    input_hosts: tuple[str, ...] = ()
    #: Whether signed failures are sent; they cost gas and earn nothing.
    post_failures: bool = True

    @property
    def guards(self) -> Guards:
        """As the policy takes them."""
        return Guards(
            min_profit_wei=self.min_profit_wei,
            max_input_bytes=self.max_input_bytes,
            min_time_left_s=self.min_time_left_s,
            allow_requesters=frozenset(map(Address, self.allow_requesters)),
            deny_requesters=frozenset(map(Address, self.deny_requesters)),
            input_hosts=frozenset(host.lower() for host in self.input_hosts),
            post_failures=self.post_failures,
        )


class EngineSettings(BaseModel):
    """How models run."""

    model_config = _STRICT

    workers: Annotated[int, Field(ge=1, le=256)] = 1
    threads: Annotated[int, Field(ge=1, le=256)] = 1


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
    database_url: DatabaseUrl
    #: Where artifacts are cached; None = the user's cache directory.
    artifacts: Path | None = None
    guards: GuardSettings = GuardSettings()
    engine: EngineSettings = EngineSettings()
    traces: TraceSettings = TraceSettings()
    #: None = no traces are served.
    trace_server: TraceServerSettings | None = None
    log: LogSettings = LogSettings()

    @property
    def operator_address(self) -> Address | None:
        """The configured operator, typed."""
        return None if self.operator is None else Address(self.operator)

    @property
    def trace_folder(self) -> Path | None:
        """Where traces are kept: as configured, else beside an SQLite database; None where there is neither."""
        if self.traces.folder is not None:
            return self.traces.folder.expanduser()
        url = make_url(self.database_url.get_secret_value())
        is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
        return Path(str(url.database)).parent / "traces" if is_file else None


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
    values["chain"]["rpc_url"] = mask_url(settings.chain.rpc_url.get_secret_value())
    url = make_url(settings.database_url.get_secret_value())
    values["database_url"] = url.set(query={}).render_as_string(hide_password=True)
    return values


def mask_url(url: str) -> str:
    """Scheme, host and port of a URL; path, query and credentials, where keys hide, are masked."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        # Strangers choose URLs that end up in logs: one that is malformed must not stop the logging.
        return MASK
    hidden = parts.path.strip("/") or parts.query or parts.username or parts.password
    return f"{parts.scheme}://{parts.hostname or MASK}{port}" + (f"/{MASK}" if hidden else "")
