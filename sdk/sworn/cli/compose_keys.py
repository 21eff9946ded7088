"""Opens the keys that settings name, wherever they live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sworn.chain.kms_signer import KmsSigner
from sworn.chain.remote_signer import RemoteSigner, SignerAccess
from sworn.chain.resting_signer import RestingSigner
from sworn.chain.signer import Signer
from sworn.cli import compose
from sworn.cli.output import Output
from sworn.types import Address
from sworn.watcher.settings_keys import KeySource, KeystoreKey, RemoteKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Who pays for transactions and who signs results, the preferred ones first."""

    transactions: tuple[Signer, ...]
    results: tuple[Signer, ...]

    @property
    def transaction(self) -> Signer:
        """The key that sends."""
        return self.transactions[0]

    @property
    def result(self) -> Signer:
        """The key that signs results, once it is authorised."""
        return self.results[0]


def opened_keys(transactions: Sequence[KeySource], results: Sequence[KeySource], output: Output) -> Keys:
    """All keys; results are signed by those that send when no others are named.

    Raises `SignerError`, `ConfigurationError`.
    """
    sending = tuple(opened(source, output) for source in transactions)
    return Keys(transactions=sending, results=tuple(opened(source, output) for source in results) or sending)


def opened(source: KeySource, output: Output) -> Signer:
    """One key, checked to be there. Raises `SignerError`, `SignerUnavailable`, `ConfigurationError`."""
    if isinstance(source, KeystoreKey):
        return compose.unlocked(output, source.file, source.password_file)
    if isinstance(source, RemoteKey):
        access = SignerAccess(
            url=source.url.get_secret_value(),
            ca_file=source.ca_file,
            certificate_file=source.certificate_file,
            certificate_key_file=source.certificate_key_file,
            token_file=source.token_file,
            timeout_s=source.timeout_s,
        )
        remote = RemoteSigner(access=access, address=Address(source.address))
        with output.busy("asking the remote signer"):
            remote.check()
        return RestingSigner(remote)
    endpoint = source.endpoint_url
    with output.busy("asking AWS KMS"):
        key = KmsSigner.connect(
            source.key_id,
            region=source.region,
            endpoint_url=None if endpoint is None else endpoint.get_secret_value(),
            expected=None if source.address is None else Address(source.address),
            timeout_s=source.timeout_s,
        )
    return RestingSigner(key)
