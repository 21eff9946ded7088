"""What goes wrong between us and a node, translated once into `sworn.errors`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
import requests
from web3.exceptions import BadResponseFormat, Web3Exception, Web3RPCError

from sworn.abi import contract_error
from sworn.errors import (
    BlockUnavailable,
    ChainError,
    ConfigurationError,
    FundsTooLow,
    LogRangeRefused,
    NonceTooLow,
    RateLimited,
    SwornError,
    TransactionKnown,
    TransactionRejected,
    TransactionUnderpriced,
    TransientChainError,
)

#: Everything that web3 and its HTTP clients raise while a request is made.
VENDOR_ERRORS: tuple[type[Exception], ...] = (
    Web3Exception,
    aiohttp.ClientError,
    requests.RequestException,
    TimeoutError,
    OSError,
    # An answer that is not JSON: a proxy's error page.
    ValueError,
)

#: The JSON-RPC codes that say "later": limits of the provider, internal errors, header not yet available.
TRANSIENT_CODES = frozenset({-32005, -32016, -32097, -32603, 429})
#: The code of an error inside the node.
INTERNAL_ERROR_CODE = -32603
#: The code of a reverted execution.
REVERT_CODE = 3

# Nodes give a refused transaction the code -32000 and nothing but text. These are the texts of geth, erigon, reth,
# nethermind, besu, anvil and py-evm, lower case, most specific first.
REJECTIONS: tuple[tuple[str, type[TransactionRejected]], ...] = (
    ("replacement transaction underpriced", TransactionUnderpriced),
    ("replacementnotallowed", TransactionUnderpriced),
    ("underpriced", TransactionUnderpriced),
    ("feetoolow", TransactionUnderpriced),
    ("fee cap less than", TransactionUnderpriced),
    ("max fee per gas less than block base fee", TransactionUnderpriced),
    ("lower than block's base fee", TransactionUnderpriced),
    ("gas price below configured minimum", TransactionUnderpriced),
    ("already known", TransactionKnown),
    ("alreadyknown", TransactionKnown),
    ("already imported", TransactionKnown),
    ("known transaction", TransactionKnown),
    ("nonce too low", NonceTooLow),
    ("nonce is too low", NonceTooLow),
    ("oldnonce", NonceTooLow),
    ("insufficient funds", FundsTooLow),
    ("insufficientfunds", FundsTooLow),
    ("upfront cost exceeds", FundsTooLow),
    ("cannot afford", FundsTooLow),
    ("not have enough balance", FundsTooLow),
    ("lack of funds", FundsTooLow),
)
# The texts with which nodes say that a call failed without giving the revert's data.
DATALESS_REVERTS: tuple[str, ...] = (
    "execution reverted",
    "evm error",
    "out of gas",
    "invalid opcode",
    "stack underflow",
    "stack overflow",
    "vm execution error",
)
# The texts with which nodes say that they do not have a block.
ABSENT_BLOCK_TEXTS: tuple[str, ...] = (
    "header not found",
    "block not found",
    "unknown block",
    "header for hash not found",
    "beyond current head",
)
# The texts and codes with which providers ask for fewer requests.
LIMIT_TEXTS: tuple[str, ...] = (
    "rate limit",
    "ratelimit",
    "too many requests",
    "compute units per second",
    "requests per second",
    "request count exceeded",
)
LIMIT_CODES = frozenset({429, -32097})
# The texts with which nodes say "later" under the code -32000.
TRANSIENT_TEXTS: tuple[str, ...] = (
    "missing trie node",
    "transaction indexing is in progress",
    "request timed out",
    "txpool is full",
)


def translated(error: Exception, *, method: str, node: str) -> SwornError:
    """The sworn error for a vendor's; ``node`` is the masked URL."""
    if isinstance(error, Web3RPCError):
        return rpc_error(_error_object(error), method=method)
    status = http_status(error)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(f"{method} at {node}: HTTP {status}", retry_after_s=_retry_after(error))
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        said = f"HTTP {status}" if status else type(error).__name__
        kind = ChainError if _is_ours(error) else TransientChainError
        return kind(f"{method} at {node}: {said}")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        return ConfigurationError(f"{node} refuses us (HTTP {status}): check the URL and its key")
    return ChainError(f"{method} at {node}: HTTP {status}")


def rpc_error(error: Mapping[str, Any], *, method: str) -> SwornError:
    """The sworn error for a JSON-RPC error object."""
    code, message = error.get("code"), str(error.get("message", ""))
    text = message.lower()
    if method == "eth_sendRawTransaction":
        return _rejection(text, message) or _later(code, text, method, message) or TransactionRejected(message)
    data = revert_data(error.get("data"))
    if data is not None:
        return contract_error(data)
    if method == "eth_estimateGas" and (rejection := _rejection(text, message)):
        return rejection
    if code == REVERT_CODE or any(phrase in text for phrase in DATALESS_REVERTS):
        return contract_error(b"") if text in ("", "execution reverted") else _named_revert(message)
    if method == "eth_getLogs":
        return _refused_range(code, text, message)
    return _later(code, text, method, message) or ChainError(f"{method}: {message}")


def revert_data(value: Any) -> bytes | None:
    """Revert data from the ``data`` of an error object: hex (most nodes), prefixed hex, or an object around it."""
    if isinstance(value, Mapping):
        return next((found for item in value.values() if (found := revert_data(item)) is not None), None)
    if not isinstance(value, str):
        return None
    text = value.removeprefix("Reverted ")
    if not text.startswith("0x"):
        return None
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        return None


def safe_cause(error: Exception, *, url: str) -> Exception | None:
    """The error as a cause that may be shown.

    SAFETY: HTTP clients put the URL, which may hold an API key, into their messages; such a cause is dropped.
    """
    return error if isinstance(error, Web3RPCError) or not url else None


def _named_revert(message: str) -> SwornError:
    revert = contract_error(b"")
    return type(revert)(message)


def _rejection(text: str, message: str) -> TransactionRejected | None:
    return next((kind(message) for phrase, kind in REJECTIONS if phrase in text), None)


def _refused_range(code: Any, text: str, message: str) -> SwornError:
    # Providers name a range or a result that is too large by a dozen codes and more texts, the code for "later" among
    # them. What they say clearly is taken as said; anything else may be cured by a smaller range.
    if any(phrase in text for phrase in TRANSIENT_TEXTS) or code == INTERNAL_ERROR_CODE:
        return TransientChainError(f"eth_getLogs: {message}")
    return _limit_or_absence(code, text, "eth_getLogs", message) or LogRangeRefused(f"eth_getLogs: {message}")


def _limit_or_absence(code: Any, text: str, method: str, message: str) -> TransientChainError | None:
    if code in LIMIT_CODES or any(phrase in text for phrase in LIMIT_TEXTS):
        return RateLimited(f"{method}: {message}")
    if any(phrase in text for phrase in ABSENT_BLOCK_TEXTS):
        return BlockUnavailable(f"{method}: {message}")
    return None


def _later(code: Any, text: str, method: str, message: str) -> TransientChainError | None:
    found = _limit_or_absence(code, text, method, message)
    if found is not None:
        return found
    if code in TRANSIENT_CODES or any(phrase in text for phrase in TRANSIENT_TEXTS):
        return TransientChainError(f"{method}: {message}")
    return None


def _error_object(error: Web3RPCError) -> Mapping[str, Any]:
    response: Mapping[str, Any] = error.rpc_response or {}
    found = response.get("error")
    return found if isinstance(found, Mapping) else {"message": str(found or error)}


def _retry_after(error: Exception) -> float | None:
    """Seconds for which a node wants to be left alone, by the header ``Retry-After`` (RFC 9110: seconds or a date)."""
    headers: Mapping[str, str] = {}
    if isinstance(error, aiohttp.ClientResponseError):
        headers = error.headers or {}
    elif isinstance(error, requests.HTTPError) and error.response is not None:
        headers = error.response.headers
    text = headers.get("Retry-After", "").strip()
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else _seconds_until(text)
    except (ValueError, TypeError):
        return None


def _seconds_until(date: str) -> float | None:
    if not date:
        return None
    return max((parsedate_to_datetime(date) - datetime.now(tz=UTC)).total_seconds(), 0.0)


def http_status(error: Exception) -> int | None:
    """The status with which a node refused a request, if the error has one."""
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code
    return None


def _is_ours(error: Exception) -> bool:
    """Whether web3 itself refused, before or after the request: trying again would change nothing."""
    return isinstance(error, Web3Exception) and not isinstance(error, BadResponseFormat)
