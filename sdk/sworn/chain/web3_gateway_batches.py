"""JSON-RPC batches: how many requests travel together, and what comes back of them.

Nodes differ in how many requests they take at once, and some take no batches at all. None says so in advance: what was
refused is asked again in smaller batches, in the end one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from sworn.chain.web3_gateway_errors import http_status, rpc_error
from sworn.errors import TransientChainError

#: Most requests of one batch; geth takes 1,000, hosted nodes between 20 and 1,000.
MOST_REQUESTS: Final = 100
#: Most characters of one batch's parameters; nodes refuse bodies of 1 to 5 MB.
MOST_CHARACTERS: Final = 900_000
#: Seconds until larger batches are tried again: a node behind the same URL may have been exchanged.
FORGET_S: Final = 600.0

#: Invalid request, unknown method, unreadable: how nodes without batches answer one.
_REFUSALS: Final = frozenset({-32600, -32601, -32603, -32700})
#: geth's code for what no longer fits into the answer.
_TOO_LARGE: Final = -32003
_REFUSING_STATUSES: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.NOT_IMPLEMENTED,
    }
)


class BatchRefused(Exception):
    """The node did not take so many requests at once; never leaves the gateway."""


class BatchSize:
    """How many requests a node has shown to take at once."""

    def __init__(self, *, most: int = MOST_REQUESTS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._current = most
        self._clock = clock
        self._refused_at = 0.0

    @property
    def current(self) -> int:
        """How many requests are sent at once."""
        return self._current

    def take(self, many: Sequence[Sequence[Any]], start: int) -> int:
        """How many of ``many`` requests, from ``start`` on, to send in the next batch; at least one."""
        if self._current < self._most and self._clock() - self._refused_at > FORGET_S:
            self._current = self._most
        characters = 0
        for count, params in enumerate(many[start : start + self._current]):
            characters += sum(_length(item) for item in params)
            if count and characters > MOST_CHARACTERS:
                return count
        return min(self._current, len(many) - start)

    def refused(self, count: int) -> None:
        """Notes that a batch of so many was refused."""
        self._refused_at = self._clock()
        self._current = max(1, count // 4)


def refuses_batches(error: Exception) -> bool:
    """Whether an HTTP error is how a node refuses a batch."""
    return http_status(error) in _REFUSING_STATUSES


def batch_results(answered: Any, *, count: int, method: str, node: str) -> list[Any]:
    """The results of a batch of ``count`` requests, in their order; an error stands in the place of its result.

    Raises `BatchRefused`, and `TransientChainError` when answers are missing or cannot be told apart.
    """
    if isinstance(answered, Mapping):
        raise _refusal(answered, method=method)
    by_id: dict[int, Mapping[str, Any]] = {}
    for answer in answered if isinstance(answered, list) else ():
        error = _error(answer)
        if error.get("code") == _TOO_LARGE and "too large" in str(error.get("message")):
            raise BatchRefused
        number = answer.get("id") if isinstance(answer, Mapping) else None
        if isinstance(number, int):
            by_id.setdefault(number, answer)
        elif error.get("code") in _REFUSALS:
            raise BatchRefused
    if len(by_id) != count:
        if any(_error(answer).get("code") in _REFUSALS for answer in by_id.values()):
            raise BatchRefused
        raise TransientChainError(f"{method} at {node}: {len(by_id)} of {count} answers came back")
    # Ids rise within a batch; answers may come in any order, and twice.
    return [_result(by_id[number], method=method, node=node) for number in sorted(by_id)]


def _refusal(answered: Mapping[str, Any], *, method: str) -> Exception:
    error = rpc_error(_error(answered), method=method)
    if isinstance(error, TransientChainError) and _error(answered).get("code") not in _REFUSALS:
        return error
    return BatchRefused()


def _result(answer: Mapping[str, Any], *, method: str, node: str) -> Any:
    if answer.get("error") is not None:
        return rpc_error(_error(answer), method=method)
    if "result" not in answer:
        return TransientChainError(f"{method} at {node}: an answer without a result")
    return answer["result"]


def _error(answer: Any) -> Mapping[str, Any]:
    found = answer.get("error") if isinstance(answer, Mapping) else None
    if found is None:
        return {}
    return found if isinstance(found, Mapping) else {"message": str(found)}


def _length(item: Any) -> int:
    if isinstance(item, Mapping):
        return sum(len(value) for value in item.values() if isinstance(value, str))
    return len(item) if isinstance(item, str) else 8
