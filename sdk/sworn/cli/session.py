"""One run of the command: its common options, and the objects made from them when they are first needed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sworn.cli.output import Output
from sworn.cli.places import HOME, VARIABLES
from sworn.cli.variables import same
from sworn.errors import ConfigurationError

if TYPE_CHECKING:
    from sworn.chain.gateway import Gateway
    from sworn.chain.signer import Signer
    from sworn.chain.transactor import Transactor
    from sworn.cli.compose_keys import Keys
    from sworn.client import Client
    from sworn.storage import CachedArtifactStore
    from sworn.types import Deployment
    from sworn.watcher.challenger.settings import ChallengerSettings
    from sworn.watcher.settings import WatcherSettings
    from sworn.watcher.settings_keys import KeySource


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """Options that many commands share."""

    as_json: bool = False
    debug: bool = False
    rpc: str | None = None
    deployment: Path | None = None
    timeout: float = 120.0
    keystore: Path | None = None
    password_file: Path | None = None
    key_env: str | None = None
    config: tuple[Path, ...] = ()
    #: Which of them are not from the command line, but from a variable.
    by_variable: frozenset[str] = frozenset()

    def flag(self, name: str) -> Any:
        """An option as the command line gives it; None where it does not."""
        return None if name in self.by_variable else getattr(self, name)

    def without(self, names: Collection[str]) -> CommonOptions:
        """The same options, but for those of these names."""
        none: dict[str, Any] = dict.fromkeys(names)
        return replace(self, **none)

    def variable(self, name: str) -> Any:
        """An option as its variable gives it; None where the command line gives it, or nothing does."""
        return getattr(self, name) if name in self.by_variable else None


class Session:
    """What a command works with. Everything is opened when it is asked for."""

    def __init__(self, options: CommonOptions) -> None:
        self.options = options
        self.output = Output(as_json=options.as_json)

    @cached_property
    def settings(self) -> WatcherSettings | ChallengerSettings | None:
        """The settings in --config, of a watcher or a challenger; None when there is none."""
        from sworn.cli import compose

        return compose.settings(self.options.config) if self.options.config else None

    @property
    def node_settings(self) -> WatcherSettings | ChallengerSettings:
        """The settings in --config, of either kind. Raises `ConfigurationError` when there is none."""
        if self.settings is None:
            raise ConfigurationError("no settings are named: give --config FILE")
        return self.settings

    @property
    def required_settings(self) -> WatcherSettings:
        """The watcher's settings in --config. Raises `ConfigurationError` for others, and when there are none."""
        from sworn.watcher.settings import WatcherSettings

        found = self.node_settings
        if not isinstance(found, WatcherSettings):
            raise ConfigurationError("these are the settings of a challenger: this needs those of a watcher")
        return found

    @property
    def challenger_settings(self) -> ChallengerSettings | None:
        """The settings in --config where they are a challenger's; else None. Raises `ConfigurationError`."""
        if self.settings is None:
            return None
        from sworn.watcher.challenger.settings import ChallengerSettings

        return self.settings if isinstance(self.settings, ChallengerSettings) else None

    @cached_property
    def node_keys(self) -> Keys:
        """The keys in --config; a challenger that observes has none. Raises `ConfigurationError`, `SignerError`."""
        from sworn.cli.compose_keys import opened_keys

        return opened_keys(self._key_sources, self.node_settings.keys.result_sources, self.output)

    @property
    def _key_sources(self) -> tuple[KeySource, ...]:
        return self.node_settings.keys.transaction_sources

    @cached_property
    def gateway(self) -> Gateway:
        """The chain. Raises `ConfigurationError` when none is named."""
        from sworn.cli import compose

        timeout_s = min(self.options.timeout, 30.0)
        url = self.options.flag("rpc")
        if url is None and self.settings is not None:
            self._pass_over("rpc", [each.url.get_secret_value() for each in self.settings.chain.endpoints])
            from sworn.cli.compose_endpoints import answering

            return answering(self.settings.chain, timeout_s=timeout_s)
        url = self.options.rpc
        if url is None:
            raise ConfigurationError("no chain is named: give --rpc URL, set SWORN_RPC, or give --config FILE")
        return compose.gateway(url, timeout_s=timeout_s)

    @cached_property
    def deployment(self) -> Deployment:
        """The contracts, checked to be there. Raises `DeploymentUnknown`."""
        from sworn.cli import compose

        named = self.options.flag("deployment")
        if named is None and self.settings is not None and self.settings.chain.deployment is not None:
            named = self.settings.chain.deployment
            self._pass_over("deployment", [named])
        named = named or self.options.deployment
        with self.output.busy("reading the deployment"):
            found = compose.deployment(self.gateway, named)
        if self.settings is not None and self.options.flag("rpc") is None:
            compose.require_chain(found, self.settings.chain.chain_id)
        return found

    @cached_property
    def signer(self) -> Signer:
        """The key that signs transactions. Raises `ConfigurationError` when none is named, `SignerError`."""
        signer = self.optional_signer
        if signer is None:
            raise ConfigurationError(
                "this needs a key: give --keystore FILE (see `sworn keys new`), or name an environment variable that "
                "holds a private key with --key-env"
            )
        return signer

    @cached_property
    def optional_signer(self) -> Signer | None:
        """The key, or None when none is named."""
        from sworn.cli import compose

        options = self.options
        named = options.flag("keystore") is not None or options.key_env is not None
        if not named and self.settings is not None and self._key_sources:
            self._pass_over("keystore", [getattr(source, "file", None) for source in self._key_sources])
            return self.node_keys.transaction
        return compose.signer(
            self.output, keystore=options.keystore, password_file=options.password_file, key_env=options.key_env
        )

    def _pass_over(self, option: str, used: list[Any]) -> None:
        """Says that a variable does not count.

        SAFETY: an export that was forgotten must not lead a command that names its settings to another chain, or have
        it sign with another key.
        """
        value = self.options.variable(option)
        if value is not None and not any(same(value, each) for each in used if each is not None):
            self.output.note(f"{VARIABLES[option]} is not used: --config says otherwise; a flag would count")

    @cached_property
    def transactor(self) -> Transactor:
        """Sends transactions with the key."""
        from sworn.cli import compose

        return compose.transactor(self.gateway, self.signer, timeout_s=self.options.timeout)

    def connect(self, *, signing: bool = False) -> None:
        """Opens chain, contracts and key before anything else happens, so that a password is asked for on a calm line.

        With ``signing`` a key must be named.
        """
        _ = self.signer if signing else self.optional_signer
        _ = self.deployment

    def operator_of(self, named: str | None) -> str:
        """An operator: as named, else as the settings say, else the account of the key; opens chain and contracts.

        Raises `ConfigurationError` where none of them says.
        """
        is_watcher = self.settings is not None and self.challenger_settings is None
        who = named or (self.required_settings.operator_address if is_watcher else None)
        self.connect(signing=who is None)
        return who or self.signer.address

    @cached_property
    def client(self) -> Client:
        """The SDK's client; with the key when one is named."""
        return self._client(self.optional_signer)

    @cached_property
    def reader(self) -> Client:
        """The same without the key, which is not asked for."""
        return self._client(None)

    def _client(self, key: Signer | None) -> Client:
        from sworn.cli import compose

        return compose.client(
            self.gateway,
            self.deployment,
            key,
            artifacts=self.artifacts,
            timeout_s=self.options.timeout,
            index=HOME / "index",
        )

    @cached_property
    def artifacts(self) -> CachedArtifactStore:
        """Model files: as the settings say, else cached below the home directory. Raises `ConfigurationError`."""
        from sworn.cli.compose_artifacts import artifact_store

        return artifact_store(None if self.settings is None else self.settings.artifacts)
