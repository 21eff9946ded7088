"""Externally owned accounts with the keys that Hardhat and Foundry publish; worthless anywhere but on test chains."""

from __future__ import annotations

from dataclasses import dataclass, field

from eth_account import Account as KeyAccount
from eth_keys.datatypes import PrivateKey

from sworn.types import Address

#: BIP-39 phrase behind the keys below, path m/44'/60'/0'/0/index; known to everybody.
MNEMONIC = "test test test test test test test test test test test junk"

_KEYS = (
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A key and its address; funded on every test chain."""

    address: Address
    key: bytes = field(repr=False)

    def sign(self, digest: bytes) -> bytes:
        """A 65-byte signature r | s | v over a 32-byte digest, low s, v 27 or 28."""
        signature = PrivateKey(self.key).sign_msg_hash(digest).to_bytes()
        return signature[:64] + bytes([signature[64] + 27])


def funded_account(index: int) -> Account:
    """One of the ten funded accounts."""
    key = bytes.fromhex(_KEYS[index])
    return Account(address=Address(KeyAccount.from_key(key).address), key=key)


def funded_accounts() -> tuple[Account, ...]:
    """All ten funded accounts."""
    return tuple(funded_account(index) for index in range(len(_KEYS)))
