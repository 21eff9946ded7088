"""Who signs: transactions and 32-byte digests, by a key that never shows itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32

from sworn.errors import SignerError
from sworn.types import Address


class Signer(Protocol):
    """One secp256k1 key, wherever it lives."""

    @property
    def address(self) -> Address:
        """The key's address, checksummed."""
        ...

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """Raw signed transaction from JSON-RPC style fields (``chainId``, ``nonce``, ``gas``, ``maxFeePerGas`` …).

        Raises `SignerError` when the fields do not make a transaction.
        """
        ...

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes ``r | s | v`` over a 32-byte digest, low s, v 27 or 28; the same digest gives the same bytes.

        Raises `SignerError` when the digest is not 32 bytes.
        """
        ...


class LocalSigner:
    """A `Signer` whose key is in this process."""

    __slots__ = ("_account",)

    def __init__(self, account: LocalAccount) -> None:
        self._account = account

    @classmethod
    def from_key(cls, private_key: bytes | str) -> LocalSigner:
        """From 32 bytes or their hex form. Raises `SignerError` when that is no key."""
        try:
            return cls(Account.from_key(private_key))
        except (ValueError, TypeError):
            # The vendor's message may quote the key: it is not chained.
            raise SignerError("not a private key: expected 32 bytes or 64 hex digits") from None

    @property
    def address(self) -> Address:
        return Address(self._account.address)

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        try:
            return bytes(self._account.sign_transaction(dict(transaction)).raw_transaction)
        except (ValueError, TypeError) as error:
            raise SignerError(f"not a transaction: {error}") from error

    def sign_digest(self, digest: bytes) -> bytes:
        if len(digest) != 32:
            raise SignerError(f"a digest has 32 bytes, not {len(digest)}")
        return bytes(self._account.unsafe_sign_hash(Hash32(digest)).signature)

    def __repr__(self) -> str:
        return f"LocalSigner({self.address})"
