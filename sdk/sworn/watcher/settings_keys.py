"""Settings of keys: where each lives. Passwords and tokens are in files of their own, never in settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sworn.watcher.settings_values import AddressText, SecretUrl

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class KeystoreKey(BaseModel):
    """A key in an encrypted file."""

    model_config = _STRICT

    kind: Literal["keystore"]
    file: Path
    #: File whose first line is the password; None = asked for by the command line.
    password_file: Path | None = None


class RemoteKey(BaseModel):
    """A key in a web3signer (eth1 mode), or in what speaks like one."""

    model_config = _STRICT

    kind: Literal["web3signer"]
    #: Secret, as credentials may be in it.
    url: SecretUrl
    #: Whose key is meant; every signature must recover to it.
    address: AddressText
    #: Certificate authorities that are believed; None = the usual ones.
    ca_file: Path | None = None
    #: What we show of ourselves.
    certificate_file: Path | None = None
    certificate_key_file: Path | None = None
    #: File whose first line is a bearer token.
    token_file: Path | None = None
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0


class KmsKey(BaseModel):
    """A key in AWS KMS, of the spec ECC_SECG_P256K1; credentials are those that the AWS SDK finds."""

    model_config = _STRICT

    kind: Literal["kms"]
    #: Id, ARN or alias.
    key_id: Annotated[str, Field(min_length=1)]
    region: str | None = None
    #: For private endpoints.
    endpoint_url: SecretUrl | None = None
    #: If given, the key must have it.
    address: AddressText | None = None
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0


KeySource = Annotated[KeystoreKey | RemoteKey | KmsKey, Field(discriminator="kind")]
#: Keys of one purpose, the preferred one first; the others are on their way out.
KeySources = KeySource | Annotated[tuple[KeySource, ...], Field(min_length=1)]


class KeySettings(BaseModel):
    """Which keys sign what."""

    model_config = _STRICT

    #: The key that sends and pays for transactions. In a list, the first one sends, and what the others have sent is
    #: seen through.
    transaction: KeySources | None = None
    #: The key that signs results; None = the transaction key. In a list, the first one that is authorised signs.
    result: KeySources | None = None
    #: Short forms: keystore files, and files whose first line is the password; None = asked for.
    transaction_key: Path | None = None
    result_key: Path | None = None
    password_file: Path | None = None
    result_password_file: Path | None = None
    #: Days before the end of a result key's authority from which on it is warned of.
    expiry_warning_days: Annotated[float, Field(ge=0, le=3650)] = 7.0

    @model_validator(mode="after")
    def _unambiguous(self) -> KeySettings:
        if (self.transaction is None) == (self.transaction_key is None):
            raise ValueError("name one transaction key: keys.transaction or keys.transaction_key")
        if self.result is not None and self.result_key is not None:
            raise ValueError("name one result key: keys.result or keys.result_key")
        if self.result_key is None and self.result_password_file is not None:
            raise ValueError("keys.result_password_file belongs to keys.result_key, which is not given")
        return self

    @property
    def transaction_sources(self) -> tuple[KeySource, ...]:
        """Keys that send, the preferred one first."""
        return transaction_sources(self.transaction, self.transaction_key, self.password_file)

    @property
    def result_sources(self) -> tuple[KeySource, ...]:
        """Keys that sign results, the preferred one first; empty = those that send."""
        if self.result is not None:
            return _all(self.result)
        if self.result_key is None:
            return ()
        password_file = self.result_password_file or self.password_file
        return (KeystoreKey(kind="keystore", file=self.result_key, password_file=password_file),)


def transaction_sources(
    named: KeySources | None, key_file: Path | None, password_file: Path | None
) -> tuple[KeySource, ...]:
    """The long form, or the short one; empty for neither."""
    if named is not None:
        return _all(named)
    return () if key_file is None else (KeystoreKey(kind="keystore", file=key_file, password_file=password_file),)


def _all(named: KeySources) -> tuple[KeySource, ...]:
    return named if isinstance(named, tuple) else (named,)
