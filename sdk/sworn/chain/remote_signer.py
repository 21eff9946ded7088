"""A signer behind JSON-RPC: web3signer in its eth1 mode, or anything that speaks as it does.

Two methods are used, `eth_signTransaction` and `eth_signTypedData`; never one that sends, so that asking twice costs
nothing: of two signed forms of one transaction, only the one that was stored is ever broadcast. `eth_sign` would put a
prefix before a digest, and a signer that is shown a bare digest could not judge what it signs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import certifi
import requests
from urllib3.exceptions import HTTPError

from sworn.chain.signatures import (
    canonical_signature,
    signature_in,
    signed_transaction,
    split_signature,
    transaction_digest,
)
from sworn.codec.statements import Statement
from sworn.errors import ConfigurationError, SignerError, SignerUnavailable
from sworn.types import Address

#: A signed transaction of the largest calldata that a block takes is below this.
MAX_ANSWER_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 1 << 14
#: Statuses of a signer, or of what stands before it, that may pass.
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
#: JSON-RPC's internal error, which may pass.
_INTERNAL: Final = -32603
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerAccess:
    """How a remote signer is reached. Certificates and token are files, read when the signer is made."""

    url: str = field(repr=False)
    #: Certificate authorities that are believed; None = the usual ones.
    ca_file: Path | None = None
    #: What we show of ourselves, and its key.
    certificate_file: Path | None = None
    certificate_key_file: Path | None = None
    #: First line = bearer token.
    token_file: Path | None = None
    #: Seconds for one signature, attempts included.
    timeout_s: float = 10.0
    attempts: int = 3


class RemoteSigner:
    """A `Signer` that asks another process, and believes nothing that does not recover to its address."""

    def __init__(
        self,
        *,
        access: SignerAccess,
        address: Address,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._access = access
        self._address = address
        self._clock = clock
        self._sleep = sleep
        self._session = _session(access)

    @property
    def address(self) -> Address:
        return self._address

    def check(self) -> None:
        """Raises `SignerError` when the signer does not have the key, `SignerUnavailable` when it does not answer."""
        accounts = self._ask("eth_accounts", [])
        if not isinstance(accounts, list) or self._address.lower() not in [str(item).lower() for item in accounts]:
            raise SignerError(f"the remote signer has no key of {self._address}: load it there, or correct the address")

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        digest = transaction_digest(transaction)
        raw = _bytes(self._ask("eth_signTransaction", [_asked(transaction, self._address)]))
        r, s = signature_in(raw, transaction)
        signature = canonical_signature(r, s, digest=digest, address=self._address)
        return signed_transaction(transaction, signature)

    def sign_statement(self, statement: Statement) -> bytes:
        # Old releases take the statement as a JSON text only, new ones as a text or as an object.
        document = json.dumps(statement.typed_data, separators=(",", ":"))
        r, s = split_signature(_bytes(self._ask("eth_signTypedData", [self._address, document])))
        return canonical_signature(r, s, digest=statement.digest, address=self._address)

    def close(self) -> None:
        """Closes its connections."""
        self._session.close()

    def __repr__(self) -> str:
        return f"RemoteSigner({self._address})"

    def _ask(self, method: str, params: list[Any]) -> Any:
        deadline = self._clock() + self._access.timeout_s
        for attempt in range(1, self._access.attempts + 1):
            try:
                return self._ask_once(method, params, deadline)
            except SignerUnavailable:
                pause = 0.1 * 2.0**attempt
                if attempt == self._access.attempts or self._clock() + pause >= deadline:
                    raise
                self._sleep(pause)
        raise SignerUnavailable("the remote signer was not asked: allow one attempt at least")

    def _ask_once(self, method: str, params: list[Any], deadline: float) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        left = max(deadline - self._clock(), 0.001)
        try:
            with self._session.post(
                self._access.url, json=body, timeout=(min(left, 3.0), left), allow_redirects=False, stream=True
            ) as response:
                content = self._read(response, deadline)
                status = response.status_code
        except (requests.RequestException, HTTPError) as error:
            # SAFETY: the vendor's words quote the URL, which may hold credentials.
            raise SignerUnavailable(f"the remote signer did not answer ({type(error).__name__})") from None
        return _result(status, content)

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        content = bytearray()
        # Whatever has come, and no more: a signer that sends byte by byte meets the deadline as well.
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise SignerError("the remote signer's answer is too long")
            if self._clock() > deadline:
                raise SignerUnavailable(f"the remote signer took longer than {self._access.timeout_s:g} s")
        return bytes(content)


def _session(access: SignerAccess) -> requests.Session:
    """Raises `ConfigurationError` for a URL or files that cannot be used."""
    parts = urlsplit(access.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("the URL of a remote signer begins with http:// or https://")
    if access.token_file is not None and parts.username is not None:
        raise ConfigurationError("a remote signer gets one kind of credentials: a token file, or a user in the URL")
    secret = access.token_file is not None or parts.username is not None
    if secret and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigurationError("a remote signer gets no token or password over plain http: use https")
    session = requests.Session()
    # SAFETY: proxies and .netrc of the environment take no part in talking to a key.
    session.trust_env = False
    session.verify = str(_file(access.ca_file)) if access.ca_file else certifi.where()
    if access.certificate_file is not None:
        key = access.certificate_key_file or access.certificate_file
        session.cert = (str(_file(access.certificate_file)), str(_file(key)))
    if access.token_file is not None:
        session.headers["Authorization"] = f"Bearer {_token(access.token_file)}"
    return session


def _file(path: Path) -> Path:
    found = path.expanduser()
    if not found.is_file():
        raise ConfigurationError(f"there is no file {path}")
    return found


def _token(path: Path) -> str:
    try:
        token = _file(path).read_text(encoding="ascii").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the token file {path}: {type(error).__name__}") from None
    if not token or not token.isprintable():
        raise ConfigurationError(f"the token file {path} has no token in its first line")
    return token


def _result(status: int, content: bytes) -> Any:
    if status in _PASSING:
        raise SignerUnavailable(f"the remote signer answered with status {status}")
    if status in (401, 403):
        raise SignerError(f"the remote signer refuses us (status {status}): check certificate, token and allowlist")
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        if status != 200:
            raise SignerError(f"the remote signer answered with status {status}: check its URL") from None
        raise SignerUnavailable("the remote signer's answer is not JSON") from None
    error = answer.get("error") if isinstance(answer, dict) else None
    if error is not None:
        code = error.get("code") if isinstance(error, dict) else None
        # SAFETY: only the number is repeated; a text of theirs could echo what it was asked with.
        number = code if isinstance(code, int) else 0
        if number == _INTERNAL:
            raise SignerUnavailable(f"the remote signer failed (JSON-RPC error {number})")
        raise SignerError(f"the remote signer refuses to sign (JSON-RPC error {number}): its log says why")
    if not isinstance(answer, dict) or "result" not in answer:
        raise SignerUnavailable("the remote signer's answer is not one of JSON-RPC")
    return answer["result"]


def _bytes(value: Any) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError):
        raise SignerError("the remote signer's answer is no hexadecimal text") from None


def _asked(transaction: Mapping[str, Any], sender: Address) -> dict[str, str]:
    """Fields as JSON-RPC writes them; the chain is the signer's own setting, and checked in what it returns."""
    asked = {"from": sender, "data": "0x" + bytes(transaction.get("data", b"")).hex()}
    for name in ("nonce", "gas", "value", "maxFeePerGas", "maxPriorityFeePerGas", "chainId"):
        asked[name] = hex(transaction.get(name, 0))
    if transaction.get("to"):
        asked["to"] = str(transaction["to"])
    return asked
