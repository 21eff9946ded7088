"""Signatures that were made elsewhere: put into the one accepted form, and believed only when they recover to the key.

Nothing that a remote signer returns is used as it came. A signature is recovered over the digest that was computed
here; a transaction is put together here from the fields that were asked for and the signature that was returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from eth_account.typed_transactions.dynamic_fee_transaction import DynamicFeeTransaction
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError
from hexbytes import HexBytes
from rlp.exceptions import RLPException

from sworn.errors import SignerError
from sworn.types import Address

#: Order n of secp256k1.
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_DYNAMIC_FEE: Final = 2
#: Fields of a transaction in the order in which differences are told.
_FIELDS: Final = (
    "chainId",
    "nonce",
    "to",
    "value",
    "data",
    "gas",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "accessList",
)


def canonical_signature(r: int, s: int, *, digest: bytes, address: Address) -> bytes:
    """``r | s | v`` of the key behind ``address`` over ``digest``: low s, v 27 or 28.

    Raises `SignerError` when these numbers are no signature of that key over that digest.
    """
    if not (0 < r < _ORDER and 0 < s < _ORDER):
        raise SignerError("the signer returned numbers that are no signature")
    # INVARIANT: the contracts and the chain take the lower of the two forms only.
    s = min(s, _ORDER - s)
    for parity in (0, 1):
        # INVARIANT: a signature is used only when it recovers here, over our digest, to the key that we meant.
        if _recovered(r, s, parity, digest) == address:
            return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + parity])
    raise SignerError(f"the signer returned a signature that is not {address}'s over what it was asked to sign")


def _recovered(r: int, s: int, parity: int, digest: bytes) -> str | None:
    try:
        return Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(digest).to_checksum_address()
    except (BadSignature, ValidationError):
        return None


def split_signature(signature: bytes) -> tuple[int, int]:
    """The numbers r and s of 65 bytes. Raises `SignerError`."""
    if len(signature) != 65:
        raise SignerError(f"the signer returned a signature of {len(signature)} bytes, not 65")
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")


def transaction_digest(fields: Mapping[str, Any]) -> bytes:
    """What the sender of a transaction signs, 32 bytes. Raises `SignerError` for fields that make none of type 2."""
    return _transaction(fields).hash()


def signed_transaction(fields: Mapping[str, Any], signature: bytes) -> bytes:
    """The raw transaction of ``fields`` with a canonical signature over its digest. Raises `SignerError`."""
    r, s = split_signature(signature)
    dictionary = _transaction(fields).dictionary | {"v": signature[64] - 27, "r": r, "s": s}
    return bytes([_DYNAMIC_FEE]) + DynamicFeeTransaction(dictionary).payload()


def signature_in(raw: bytes, fields: Mapping[str, Any]) -> tuple[int, int]:
    """The numbers r and s of a raw transaction that states exactly ``fields``.

    Raises `SignerError` that names what differs.
    """
    wanted = _transaction(fields).dictionary
    try:
        returned = DynamicFeeTransaction.from_bytes(HexBytes(raw)).dictionary
    except (RLPException, ValidationError, ValueError, TypeError, KeyError) as error:
        raise SignerError(f"the signer returned what is no transaction of type 2 ({type(error).__name__})") from None
    differing = [name for name in _FIELDS if _plain(wanted.get(name)) != _plain(returned.get(name))]
    if differing:
        # INVARIANT: a transaction in which anything was changed goes nowhere, although its sender signed it.
        raise SignerError(f"the signer returned another transaction than asked for: it changed {', '.join(differing)}")
    return int(returned["r"]), int(returned["s"])


def _transaction(fields: Mapping[str, Any]) -> DynamicFeeTransaction:
    if fields.get("type") != _DYNAMIC_FEE:
        raise SignerError("only transactions of type 2 are signed remotely")
    try:
        return DynamicFeeTransaction.from_dict(dict(fields))
    except (ValueError, TypeError, KeyError) as error:
        raise SignerError(f"not a transaction: {type(error).__name__}") from error


def _plain(value: Any) -> Any:
    """Addresses and data in one form, whatever form a decoder gave them."""
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
