"""A chain behind web3: plain JSON-RPC through its request manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from web3 import AsyncWeb3
from web3.types import RPCEndpoint

from sworn.chain.gateway import Block, BlockRef, Call, Fees, Log, Receipt, Topic
from sworn.chain.web3_gateway_errors import VENDOR_ERRORS, safe_cause, translated
from sworn.chain.web3_gateway_providers import AsyncW3, async_close_provider, async_http_provider
from sworn.chain.web3_gateway_wire import (
    block_ref,
    call_params,
    hexed,
    log_params,
    masked_url,
    octets,
    parse_block,
    parse_logs,
    parse_receipt,
    quantity,
)
from sworn.errors import TransientChainError
from sworn.types import Address


def async_connect_gateway(url: str, *, timeout_s: float = 30.0) -> AsyncWeb3Gateway:
    """A gateway to a node at an http or https URL.

    Connects lazily: an unreachable node shows at the first call. Raises `ConfigurationError` for another scheme.
    """
    return AsyncWeb3Gateway(AsyncWeb3(async_http_provider(url, timeout_s=timeout_s), middleware=[]), url=url)


class AsyncWeb3Gateway:
    """Implements `sworn.chain.gateway.AsyncGateway`.

    Uses no middleware: no retries (they are the caller's business), no off-chain lookups, no checks of block headers
    that only some chains pass.
    """

    def __init__(self, w3: AsyncW3, *, url: str) -> None:
        self._w3 = w3
        self._url = url
        self._node = masked_url(url) if url else "the in-process chain"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._node})"

    async def chain_id(self) -> int:
        """The chain's id."""
        return quantity(await self._rpc("eth_chainId"))

    async def block(self, ref: BlockRef) -> Block:
        """The header of a block. Raises `TransientChainError` when the node does not have it (yet)."""
        found = await self._rpc("eth_getBlockByNumber", block_ref(ref), False)
        if found is None:
            raise TransientChainError(f"{self._node} does not have block {ref}")
        return parse_block(found)

    async def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        """Events in a closed block range, in chain order."""
        params = log_params(addresses=addresses, topics=topics, from_block=from_block, to_block=to_block)
        return parse_logs(await self._rpc("eth_getLogs", params) or ())

    async def call(self, call: Call, *, block: BlockRef = "latest") -> bytes:
        """Return data of a simulated call. Raises `ContractRevert`, typed and with the raw revert ``data``."""
        return octets(await self._rpc("eth_call", call_params(call), block_ref(block)))

    async def estimate_gas(self, call: Call) -> int:
        """Gas that a transaction would use. Raises `ContractRevert` when it would revert, `FundsTooLow`."""
        return quantity(await self._rpc("eth_estimateGas", call_params(call)))

    async def nonce(self, address: Address, *, block: BlockRef = "latest") -> int:
        """Number of transactions sent; with "pending", those in the node's pool included."""
        return quantity(await self._rpc("eth_getTransactionCount", address, block_ref(block)))

    async def balance(self, address: Address, *, block: BlockRef = "latest") -> int:
        """Wei that an account has."""
        return quantity(await self._rpc("eth_getBalance", address, block_ref(block)))

    async def code(self, address: Address, *, block: BlockRef = "latest") -> bytes:
        """Runtime code; empty when there is no contract."""
        return octets(await self._rpc("eth_getCode", address, block_ref(block)))

    async def fees(self) -> Fees:
        """What the next block costs, in wei per gas."""
        tip = quantity(await self._rpc("eth_maxPriorityFeePerGas"))
        return Fees(base_fee=(await self.block("latest")).base_fee, tip=tip)

    async def send_raw(self, raw: bytes) -> bytes:
        """Broadcasts a signed transaction, once, and returns its hash. Raises `TransactionRejected` subclasses."""
        return octets(await self._rpc("eth_sendRawTransaction", hexed(raw)))

    async def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """The receipt, or None while the transaction is not mined."""
        found = await self._rpc("eth_getTransactionReceipt", hexed(transaction_hash))
        return None if found is None else parse_receipt(found)

    async def is_pending(self, transaction_hash: bytes) -> bool:
        """Whether the node knows the transaction, mined or not."""
        return await self._rpc("eth_getTransactionByHash", hexed(transaction_hash)) is not None

    async def close(self) -> None:
        """Closes the connections to the node."""
        await async_close_provider(self._w3.provider)

    async def _rpc(self, method: str, *params: Any) -> Any:
        try:
            return await self._w3.manager.coro_request(RPCEndpoint(method), list(params))
        except VENDOR_ERRORS as error:
            raise translated(error, method=method, node=self._node) from safe_cause(error, url=self._url)
