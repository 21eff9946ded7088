"""Encrypted key files (Web3 Secret Storage, version 3), as every Ethereum client reads them."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_utils.address import is_hex_address, to_checksum_address

from sworn.chain.signer import LocalSigner
from sworn.errors import SignerError
from sworn.types import Address

#: A keystore file has under 1 KiB; anything far beyond that is something else.
MAX_FILE_BYTES = 64 << 10
#: scrypt needs 128 * n * r bytes: 1 GiB at most, four times what geth's strongest setting asks for.
MAX_SCRYPT_BYTES = 1 << 30
#: About ten seconds of pbkdf2 on an ordinary machine.
MAX_PBKDF2_ROUNDS = 10_000_000
#: The format uses 32 bytes.
MAX_DERIVED_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """One key file: where it is and whose key it holds."""

    path: Path
    address: Address


def create(directory: Path, password: str, *, entropy: Callable[[int], bytes] = secrets.token_bytes) -> KeyFile:
    """Makes a new key and stores it encrypted. Raises `SignerError` when the directory is unusable."""
    return import_key(directory, entropy(32), password)


def import_key(
    directory: Path, private_key: bytes | str, password: str, *, scrypt_rounds: int | None = None
) -> KeyFile:
    """Stores an existing key encrypted; ``scrypt_rounds`` (a power of two) below the default only for tests.

    Raises `SignerError` when it is no key, the password is empty, the key is here already or the directory is unusable.
    """
    if not password:
        raise SignerError("the password of a key file must not be empty")
    signer = LocalSigner.from_key(private_key)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SignerError(f"cannot create the key directory {directory}: {error}") from error
    for known in list_keys(directory):
        if known.address == signer.address:
            raise SignerError(f"the key of {signer.address} is here already: {known.path}")
    content = Account.encrypt(_key_bytes(private_key), password, kdf="scrypt", iterations=scrypt_rounds)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
    path = directory / f"UTC--{stamp}--{signer.address[2:].lower()}"
    _write_private(path, json.dumps(content).encode())
    return KeyFile(path=path, address=signer.address)


def list_keys(directory: Path) -> tuple[KeyFile, ...]:
    """Every readable key file of a directory, by name; other files are passed over. Raises `SignerError`."""
    if not directory.exists():
        return ()
    found = []
    try:
        paths = sorted(path for path in directory.iterdir() if path.is_file())
    except OSError as error:
        raise SignerError(f"cannot list the key directory {directory}: {error}") from error
    for path in paths:
        try:
            address = _address(_read(path))
        except SignerError:
            continue
        if address is not None:
            found.append(KeyFile(path=path, address=address))
    return tuple(found)


def unlock(path: Path, password: str) -> LocalSigner:
    """The signer inside a key file. Raises `SignerError` for a wrong password or a malformed file."""
    content = _read(path)
    stated = _address(content)
    _check_cost(path, content)
    try:
        signer = LocalSigner.from_key(bytes(Account.decrypt(content, password)))
    except (ValueError, KeyError, TypeError):
        # The cipher's authentication is the only thing left that can fail; the cause may quote secrets.
        raise SignerError(f"wrong password for {path}, or the file is damaged") from None
    if stated is not None and stated != signer.address:
        raise SignerError(f"{path} states {stated} but holds the key of {signer.address}")
    return signer


def kept_secret(path: Path, *, entropy: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """32 bytes from a file of 64 hex digits, which is made, for the owner alone, when it is missing.

    Raises `SignerError`; a file that is there is never replaced.
    """
    path = path.expanduser()
    if not path.exists():
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SignerError(f"cannot create the directory of {path}: {error.strerror}") from error
        _write_private(path, entropy(32).hex().encode() + b"\n")
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise SignerError(f"cannot read the secret file {path}: {error.strerror}") from error
    except ValueError:
        raise SignerError(f"{path} is no secret file: expected 64 hex digits") from None
    if len(secret) != 32:
        raise SignerError(f"{path} is no secret file: expected 64 hex digits")
    return secret


def _key_bytes(private_key: bytes | str) -> bytes:
    return bytes.fromhex(private_key.lower().removeprefix("0x")) if isinstance(private_key, str) else private_key


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SignerError(f"{path} is not a key file: too large")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise SignerError(f"cannot read the key file {path}: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise SignerError(f"{path} is not a key file: not JSON") from None
    if not isinstance(content, dict):
        raise SignerError(f"{path} is not a key file: not a JSON object")
    content = {str(name).lower(): value for name, value in content.items()}
    if content.get("version") != 3 or not isinstance(content.get("crypto"), dict):
        raise SignerError(f"{path} is not a key file of version 3")
    return content


def _address(content: dict[str, Any]) -> Address | None:
    text = content.get("address")
    if not isinstance(text, str) or not is_hex_address(text):
        return None
    return Address(to_checksum_address(text if text.startswith("0x") else "0x" + text))


def _check_cost(path: Path, content: dict[str, Any]) -> None:
    """Refuses key derivation parameters that would exhaust memory or never end."""
    crypto = content["crypto"]
    parameters = crypto.get("kdfparams")
    if not isinstance(parameters, dict):
        raise SignerError(f"{path} is not a key file: no key derivation parameters")
    numbers = {name: parameters.get(name, 1) for name in ("n", "r", "p", "c", "dklen")}
    if not all(isinstance(value, int) and value > 0 for value in numbers.values()):
        raise SignerError(f"{path} is not a key file: key derivation parameters are no numbers")
    dear = 128 * numbers["n"] * numbers["r"] > MAX_SCRYPT_BYTES or numbers["c"] > MAX_PBKDF2_ROUNDS
    if dear or numbers["p"] > 16 or numbers["dklen"] > MAX_DERIVED_BYTES:
        raise SignerError(f"{path} asks for an unreasonable key derivation")


def _write_private(path: Path, content: bytes) -> None:
    """Writes atomically, readable by the owner only."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".key-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SignerError(f"cannot write the key file {path}: {error}") from error
