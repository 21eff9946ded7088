"""Who signs: transactions and sworn statements, by a key that never shows itself.

Signatures need not be deterministic: whatever signs in hardware draws its own nonces. Nothing may rely on getting the
same bytes twice; what is signed is stored with its signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keys.datatypes import PrivateKey

from sworn.codec.statements import Statement
from sworn.codec.trees import keccak
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

        Raises `SignerError` when the fields do not make a transaction, or when a remote signer made something else of
        them, and `SignerUnavailable` when it did not answer. Nothing has been broadcast then.
        """
        ...

    def sign_statement(self, statement: Statement) -> bytes:
        """65 bytes ``r | s | v`` over the statement's digest, low s, v 27 or 28. Raises as `sign_transaction` does."""
        ...


@runtime_checkable
class SecretSource(Protocol):
    """A signer whose key also makes secrets: 32 bytes per text, the same each time."""

    def secret(self, text: bytes) -> bytes:
        """Nobody without the key can make it, and it tells nothing about the key."""
        ...


class LocalSigner:
    """A `Signer` whose key is in this process."""

    __slots__ = ("_account", "_address", "_sign")

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self._address = Address(account.address)
        # Signing by the account would read the key anew each time, which takes longer than signing.
        self._sign = _signing(bytes(account.key))

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
        return self._address

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        try:
            return bytes(self._account.sign_transaction(dict(transaction)).raw_transaction)
        except (ValueError, TypeError) as error:
            raise SignerError(f"not a transaction: {error}") from error

    def sign_statement(self, statement: Statement) -> bytes:
        return self.sign_digest(statement.digest)

    def secret(self, text: bytes) -> bytes:
        # The signature is deterministic (RFC 6979), and its hash does not show it.
        return keccak(self.sign_digest(keccak(text)))

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes over any 32-byte digest, the same each time. Raises `SignerError` for another length."""
        if len(digest) != 32:
            raise SignerError(f"a digest has 32 bytes, not {len(digest)}")
        signature = self._sign(digest)
        return signature[:64] + bytes([signature[64] + 27])

    def __repr__(self) -> str:
        return f"LocalSigner({self.address})"


def _signing(key: bytes) -> Callable[[bytes], bytes]:
    """Makes r | s | v, v 0 or 1, low s, deterministic (RFC 6979), of digests."""
    try:
        # The operator's node has it. It keeps the key ready; eth-keys would prepare it for every signature, which takes
        # twice as long.
        from coincurve import PrivateKey as NativeKey
    except ImportError:
        plain = PrivateKey(key)
        return lambda digest: bytes(plain.sign_msg_hash(digest).to_bytes())
    native = NativeKey(key)
    return lambda digest: native.sign_recoverable(digest, hasher=None)
