"""Signatures by the thousand, of keys that everybody knows."""

from __future__ import annotations

from functools import cache
from typing import Final

from eth_keys.datatypes import PrivateKey

#: Order of the group of secp256k1.
_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_HASH: Final = b"\x01" * 32


def sign(key: bytes, digest: bytes) -> bytes:
    """A 65-byte signature r | s | v over a 32-byte digest, low s, v 27 or 28.

    The nonce is the same every time, which spares nearly all the work, and gives away a key that is published anyway.
    """
    secret = int.from_bytes(key)
    nonce, r, parity = _nonce(key)
    s = pow(nonce, -1, _ORDER) * (int.from_bytes(digest) + r * secret) % _ORDER
    if s > _ORDER // 2:
        s, parity = _ORDER - s, 1 - parity
    return r.to_bytes(32) + s.to_bytes(32) + bytes([27 + parity])


@cache
def _nonce(key: bytes) -> tuple[int, int, int]:
    """The nonce behind an ordinary signature: k = (z + r d) / s, with its point's r and parity."""
    signature = PrivateKey(key).sign_msg_hash(_HASH)
    nonce = pow(signature.s, -1, _ORDER) * (int.from_bytes(_HASH) + signature.r * int.from_bytes(key)) % _ORDER
    return nonce, signature.r, signature.v
