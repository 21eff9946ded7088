"""JSON-RPC values to and from `sworn.chain.gateway`'s records.

Nodes answer in hex strings; eth-tester answers the same methods in ints and prefixed strings. Both are read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final
from urllib.parse import urlsplit

from eth_utils.address import to_checksum_address

from sworn.chain.gateway import Block, BlockRef, Call, Log, Receipt, Topic
from sworn.types import Address

_PLACE: Final = attrgetter("block_number", "log_index")


def masked_url(url: str) -> str:
    """Scheme and host of a URL: paths, queries and user names of RPC URLs carry API keys."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        # The message quotes what is taken for the host or the port, and may be a part of a password.
        return "…"
    host = parts.hostname or "…"
    hidden = "/…" if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{host}{port}{hidden}"


def quantity(value: Any) -> int:
    """A JSON-RPC quantity."""
    return int(value, 16) if isinstance(value, str) else int(value)


def octets(value: Any) -> bytes:
    """JSON-RPC data; None (a pending block's hash) is empty."""
    if isinstance(value, str):
        return bytes.fromhex(value[2:] if value[:2] == "0x" else value)
    return b"" if value is None else bytes(value)


def hexed(value: bytes) -> str:
    """Bytes as JSON-RPC data."""
    return "0x" + value.hex()


def block_ref(ref: BlockRef) -> str:
    """A block parameter."""
    return hex(ref) if isinstance(ref, int) else ref


def call_params(call: Call) -> dict[str, Any]:
    """The transaction object of ``eth_call`` and ``eth_estimateGas``."""
    params: dict[str, Any] = {"data": hexed(call.data)}
    if call.to is not None:
        params["to"] = call.to
    if call.sender is not None:
        params["from"] = call.sender
    if call.value:
        params["value"] = hex(call.value)
    if call.gas is not None:
        params["gas"] = hex(call.gas)
    return params


def log_params(
    *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
) -> dict[str, Any]:
    """The filter object of ``eth_getLogs``."""
    return {
        "address": list(addresses),
        "topics": [_topic(topic) for topic in topics],
        "fromBlock": hex(from_block),
        "toBlock": hex(to_block),
    }


def parse_block(value: Mapping[str, Any]) -> Block:
    """A block header; chains without EIP-1559 have base fee 0."""
    return Block(
        number=quantity(value["number"] or 0),
        hash=octets(value["hash"]),
        parent_hash=octets(value["parentHash"]),
        timestamp=quantity(value["timestamp"]),
        base_fee=quantity(value.get("baseFeePerGas") or 0),
    )


def parse_logs(values: Sequence[Mapping[str, Any]]) -> list[Log]:
    """Logs in chain order; those that a node marks as removed by a reorg are dropped."""
    return sorted([_log(value) for value in values if not value.get("removed")], key=_PLACE)


def parse_receipt(value: Mapping[str, Any]) -> Receipt | None:
    """A receipt, or None for one that names no block yet."""
    if value["blockHash"] is None:
        return None
    created = value.get("contractAddress")
    return Receipt(
        transaction_hash=octets(value["transactionHash"]),
        block_number=quantity(value["blockNumber"]),
        block_hash=octets(value["blockHash"]),
        succeeded=quantity(value["status"]) == 1,
        gas_used=quantity(value["gasUsed"]),
        effective_gas_price=quantity(value.get("effectiveGasPrice") or 0),
        contract_address=_address(created) if created else None,
        logs=tuple(parse_logs(value["logs"])),
    )


def _topic(topic: Topic) -> str | list[str] | None:
    if topic is None:
        return None
    return hexed(topic) if isinstance(topic, bytes) else [hexed(option) for option in topic]


def _log(value: Mapping[str, Any]) -> Log:
    return Log(
        address=_address(value["address"]),
        topics=tuple([octets(topic) for topic in value["topics"]]),
        data=octets(value["data"]),
        block_number=quantity(value["blockNumber"]),
        block_hash=octets(value["blockHash"]),
        transaction_hash=octets(value["transactionHash"]),
        log_index=quantity(value["logIndex"]),
    )


# A checksum costs a hash, and the logs of a long range name a handful of contracts.
@lru_cache(maxsize=1024)
def _address(value: str) -> Address:
    return Address(to_checksum_address(value))
