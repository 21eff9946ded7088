"""Puts objects together: gateway, deployment, keys, client, watcher."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sworn.chain.deployment import verify_deployment
from sworn.chain.deployment_files import load_deployment
from sworn.chain.gateway import Gateway
from sworn.chain.keystore import unlock
from sworn.chain.pacing import Pacing
from sworn.chain.signer import LocalSigner, Signer
from sworn.chain.transactor import Transactor
from sworn.chain.web3_gateway import connect_gateway
from sworn.cli.output import Output
from sworn.cli.places import PRIVATE_KEY_VARIABLE
from sworn.errors import ConfigurationError, SignerError
from sworn.types import Deployment

if TYPE_CHECKING:
    from sworn.client import Client
    from sworn.storage import ArtifactStore
    from sworn.watcher.challenger.settings import ChallengerSettings
    from sworn.watcher.settings import WatcherSettings

_POLL_S: Final = 0.5


def settings(files: Sequence[Path]) -> WatcherSettings | ChallengerSettings:
    """The settings in files, environment included: a challenger's where they have its table, else a watcher's.

    Raises `ConfigurationError`.
    """
    try:
        from sworn.watcher.challenger.settings import load_challenger_settings
        from sworn.watcher.settings import load_settings
        from sworn.watcher.settings_files import said_by_files
    except ImportError as error:
        raise ConfigurationError("settings need the node extra: pip install 'sworn-oracle[node]'") from error
    said = said_by_files(files)
    if "challenge" in said and "models" not in said:
        return load_challenger_settings(files)
    return load_settings(files)


def gateway(url: str, *, timeout_s: float) -> Gateway:
    """A node by URL. Raises `ConfigurationError`."""
    return connect_gateway(url, timeout_s=timeout_s)


def deployment(chain: Gateway, named: Path | None) -> Deployment:
    """The named deployment, or the one known for the chain; its contracts are there.

    Raises `DeploymentUnknown`, `ChainIdMismatch`, `ConfigurationError`, `TransientChainError`.
    """
    found = load_deployment(chain.chain_id() if named is None else named)
    verify_deployment(chain, found)
    return found


def require_chain(contracts: Deployment, chain_id: int) -> None:
    """Raises `ConfigurationError` where a node serves another chain than the one that settings name."""
    if contracts.chain_id != chain_id:
        raise ConfigurationError(f"chain.chain_id is {chain_id}, but the node serves chain {contracts.chain_id}")


def signer(output: Output, *, keystore: Path | None, password_file: Path | None, key_env: str | None) -> Signer | None:
    """The key that was named, or None.

    A keystore file comes first, then the variable ``key_env``, then ``SWORN_PRIVATE_KEY`` when it is set. Raises
    `SignerError`, `ConfigurationError`.
    """
    if keystore is not None and key_env is not None:
        raise ConfigurationError("name one key: --keystore or --key-env, not both")
    if keystore is not None:
        return unlocked(output, keystore, password_file)
    variable = key_env or PRIVATE_KEY_VARIABLE
    value = os.environ.get(variable, "").strip()
    if value:
        return LocalSigner.from_key(value)
    if key_env is not None:
        raise ConfigurationError(f"the environment variable {key_env} is not set")
    return None


def unlocked(output: Output, keystore: Path, password_file: Path | None) -> Signer:
    """The key in a keystore file; asks for the password on a terminal when there is no password file."""
    path = keystore.expanduser()
    with output.calm():
        password = password_from(password_file, prompt=f"password of {path.name}: ")
    with output.busy("unlocking the key"):
        return unlock(path, password)


def password_from(file: Path | None, *, prompt: str) -> str:
    """The first line of a file, or what is typed. Raises `SignerError` when there is neither."""
    if file is not None:
        try:
            return file.expanduser().read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise SignerError(f"cannot read the password file {file}: {type(error).__name__}") from error
    if not sys.stdin.isatty():
        raise SignerError("no password: give --password-file FILE, or run this on a terminal")
    return getpass.getpass(prompt, stream=sys.stderr)


def transactor(chain: Gateway, key: Signer, *, timeout_s: float) -> Transactor:
    """Sends single transactions."""
    return Transactor(gateway=chain, signer=key, chain_id=chain.chain_id(), pacing=_pacing(timeout_s))


def client(
    chain: Gateway,
    contracts: Deployment,
    key: Signer | None,
    *,
    artifacts: ArtifactStore,
    timeout_s: float,
    index: Path | None = None,
) -> Client:
    """The SDK's client; ``index`` is the folder in which it keeps what it has counted from events."""
    from sworn.client import Client

    return Client(
        gateway=chain,
        deployment=contracts,
        signer=key,
        artifacts=artifacts,
        pacing=_pacing(timeout_s),
        index=index,
    )


def _pacing(timeout_s: float) -> Pacing:
    return Pacing(poll_s=_POLL_S, transaction_timeout_s=timeout_s)
