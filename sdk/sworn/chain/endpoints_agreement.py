"""Whom to believe when endpoints contradict each other: the majority, and otherwise nobody."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from sworn.chain.endpoints_heads import majority
from sworn.chain.endpoints_node import Endpoint, NoticeKind
from sworn.chain.gateway import Block, BlockRef, Gateway, Log, Receipt
from sworn.errors import ChainError, ConfigurationError, EndpointsDisagree

_Said = TypeVar("_Said")

#: Receipts that are looked at to find out whose logs have a gap.
_RECEIPTS: Final = 16


def block_or_none(endpoint: Endpoint, ref: BlockRef) -> Block | None:
    """A header, or None when the endpoint does not have it, or does not answer."""
    return answer_or_none(endpoint, lambda node: node.block(ref))


def answer_or_none(endpoint: Endpoint, ask: Callable[[Gateway], _Said]) -> _Said | None:
    """What an endpoint says; None when it fails, which is counted where it happens."""
    try:
        return ask(endpoint)
    except (ChainError, ConfigurationError):
        return None


def settle(what: str, said: Mapping[Endpoint, _Said], *, key: Callable[[_Said], Hashable]) -> list[Endpoint]:
    """The endpoints to believe about something; those that they outvote are banned.

    Raises `EndpointsDisagree` where no more than half say the same.
    """
    winners = majority(said, key=key)
    if winners is None:
        parties = "; ".join(f"{endpoint.name} says {_short(key(answer))}" for endpoint, answer in said.items())
        for endpoint in said:
            endpoint.tell(NoticeKind.DISAGREEMENT, f"{what}: {parties}")
        raise EndpointsDisagree(f"the endpoints disagree on {what}: {parties}")
    for endpoint in said:
        if endpoint not in winners:
            reason = f"others contradict what it says about {what}"
            endpoint.tell(NoticeKind.CONTRADICTED, reason)
            endpoint.ban(reason)
    return winners


def settle_logs(what: str, said: Mapping[Endpoint, Sequence[Log]]) -> list[Endpoint]:
    """The same for logs, where a gap can be shown: who left out what its own receipts hold has a gap in its index.

    Without this, one node whose index lags would bring two to a standstill. Those with a gap are banned.
    """
    for fullest in sorted(said, key=lambda endpoint: -len(said[endpoint])):
        left_out = {endpoint: _missing(said[fullest], said[endpoint]) for endpoint in said}
        whole = all(not _missing(said[endpoint], said[fullest]) for endpoint in said)
        if whole and all(_admits(endpoint, logs) for endpoint, logs in left_out.items()):
            for endpoint, logs in left_out.items():
                if logs:
                    endpoint.ban(f"it left out {len(logs)} of {what}, although it has their transactions")
            return [endpoint for endpoint in said if not left_out[endpoint]]
    return settle(what, said, key=tuple)


def _missing(whole: Sequence[Log], part: Sequence[Log]) -> list[Log]:
    known = set(part)
    return [log for log in whole if log not in known]


def _admits(endpoint: Endpoint, logs: Sequence[Log]) -> bool:
    """Whether the endpoint's own receipts hold logs that it left out. Some are looked at, for they cost a call each."""
    for log in logs[:_RECEIPTS]:
        receipt = answer_or_none(endpoint, partial(_receipt, log.transaction_hash))
        if receipt is None or log not in receipt.logs:
            return False
    return True


def _receipt(transaction_hash: bytes, node: Gateway) -> Receipt | None:
    return node.receipt(transaction_hash)


def _short(value: Hashable) -> str:
    if isinstance(value, bytes):
        return f"0x{value.hex()[:16]}…"
    return f"{len(value)} logs" if isinstance(value, tuple) else str(value)
