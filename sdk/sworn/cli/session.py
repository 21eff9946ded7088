"""One run of the command: its common options, and the objects made from them when they are first needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sworn.cli.output import Output
from sworn.cli.places import HOME
from sworn.errors import ConfigurationError

if TYPE_CHECKING:
    from sworn.chain.gateway import Gateway
    from sworn.chain.signer import Signer
    from sworn.chain.transactor import Transactor
    from sworn.cli.compose_keys import Keys
    from sworn.client import Client
    from sworn.storage import CachedArtifactStore
    from sworn.types import Deployment
    from sworn.watcher.settings import WatcherSettings


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


class Session:
    """What a command works with. Everything is opened when it is asked for."""

    def __init__(self, options: CommonOptions) -> None:
        self.options = options
        self.output = Output(as_json=options.as_json)

    @cached_property
    def settings(self) -> WatcherSettings | None:
        """The settings in --config; None when there is none."""
        from sworn.cli import compose

        return compose.settings(self.options.config) if self.options.config else None

    @property
    def required_settings(self) -> WatcherSettings:
        """The settings in --config. Raises `ConfigurationError` when there is none."""
        if self.settings is None:
            raise ConfigurationError("no settings are named: give --config FILE")
        return self.settings

    @cached_property
    def watcher_keys(self) -> Keys:
        """The keys in --config. Raises `ConfigurationError`, `SignerError`."""
        from sworn.cli import compose_watcher

        return compose_watcher.unlock_keys(self.required_settings, self.output)

    @cached_property
    def gateway(self) -> Gateway:
        """The chain. Raises `ConfigurationError` when none is named."""
        from sworn.cli import compose

        url = self.options.rpc
        if url is None and self.settings is not None:
            url = self.settings.chain.endpoints[0].url.get_secret_value()
        if url is None:
            raise ConfigurationError("no chain is named: give --rpc URL, set SWORN_RPC, or give --config FILE")
        return compose.gateway(url, timeout_s=min(self.options.timeout, 30.0))

    @cached_property
    def deployment(self) -> Deployment:
        """The contracts, checked to be there. Raises `DeploymentUnknown`."""
        from sworn.cli import compose

        named = self.options.deployment
        if named is None and self.settings is not None:
            named = self.settings.chain.deployment
        with self.output.busy("reading the deployment"):
            return compose.deployment(self.gateway, named)

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
        if options.keystore is None and options.key_env is None and options.config:
            return self.watcher_keys.transaction
        return compose.signer(
            self.output, keystore=options.keystore, password_file=options.password_file, key_env=options.key_env
        )

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
