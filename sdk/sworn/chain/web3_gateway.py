# Generated from chain/web3_gateway_async.py by scripts/generate_sync.py; do not edit.
"""A chain behind web3: plain JSON-RPC through its request manager."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from web3 import Web3
from web3.exceptions import Web3RPCError
from web3.types import RPCEndpoint

from sworn.chain.gateway import Block, BlockRef, Call, Fees, Log, Receipt, Topic
from sworn.chain.web3_gateway_batches import BatchRefused, BatchSize, batch_results, refuses_batches
from sworn.chain.web3_gateway_errors import VENDOR_ERRORS, safe_cause, translated
from sworn.chain.web3_gateway_providers import (
    W3,
    ask_batch,
    close_provider,
    http_provider,
    takes_batches,
)
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
from sworn.errors import BlockUnavailable, ChainError, TransientChainError
from sworn.types import Address

_Item = TypeVar("_Item")


def connect_gateway(url: str, *, timeout_s: float = 30.0) -> Web3Gateway:
    """A gateway to a node at an http or https URL.

    Connects lazily: an unreachable node shows at the first call. Raises `ConfigurationError` for another scheme.
    """
    return Web3Gateway(Web3(http_provider(url, timeout_s=timeout_s), middleware=[]), url=url)


class Web3Gateway:
    """Implements `sworn.chain.gateway.Gateway`.

    Uses no middleware: no retries (they are the caller's business), no off-chain lookups, no checks of block headers
    that only some chains pass.
    """

    def __init__(self, w3: W3, *, url: str) -> None:
        self._w3 = w3
        self._url = url
        self._node = masked_url(url) if url else "the in-process chain"
        self._batches = BatchSize() if takes_batches(w3.provider) else BatchSize(most=1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._node})"

    @property
    def batch_size(self) -> int:
        """How many requests the node has shown to take at once."""
        return self._batches.current

    def chain_id(self) -> int:
        """The chain's id."""
        return self._ask(quantity, "eth_chainId")

    def block(self, ref: BlockRef) -> Block:
        """The header of a block. Raises `BlockUnavailable` when the node does not have it (yet)."""
        found = self._ask(_block, "eth_getBlockByNumber", block_ref(ref), False)
        if found is None:
            raise BlockUnavailable(f"{self._node} does not have block {ref}")
        return found

    def logs(
        self, *, addresses: Sequence[Address], topics: Sequence[Topic], from_block: int, to_block: int
    ) -> list[Log]:
        """Events in a closed block range, in chain order."""
        params = log_params(addresses=addresses, topics=topics, from_block=from_block, to_block=to_block)
        return self._ask(parse_logs, "eth_getLogs", params)

    def call(self, call: Call, *, block: BlockRef = "latest") -> bytes:
        """Return data of a simulated call. Raises `ContractRevert`, typed and with the raw revert ``data``."""
        return self._ask(_octets, "eth_call", call_params(call), block_ref(block))

    def estimate_gas(self, call: Call) -> int:
        """Gas that a transaction would use. Raises `ContractRevert` when it would revert, `FundsTooLow`."""
        return self._ask(quantity, "eth_estimateGas", call_params(call))

    def calls(self, calls: Sequence[Call], *, block: BlockRef = "latest") -> list[bytes | ChainError]:
        """Return data of simulated calls, made together; an error stands in the place of its result."""
        ref = block_ref(block)
        return self._many("eth_call", [(call_params(call), ref) for call in calls], _octets)

    def estimates(self, calls: Sequence[Call]) -> list[int | ChainError]:
        """Gas of several transactions, each as if it were the next one; an error stands in the place of its result."""
        return self._many("eth_estimateGas", [(call_params(call),) for call in calls], quantity)

    def nonce(self, address: Address, *, block: BlockRef = "latest") -> int:
        """Number of transactions sent; with "pending", those in the node's pool included."""
        return self._ask(quantity, "eth_getTransactionCount", address, block_ref(block))

    def balance(self, address: Address, *, block: BlockRef = "latest") -> int:
        """Wei that an account has."""
        return self._ask(quantity, "eth_getBalance", address, block_ref(block))

    def code(self, address: Address, *, block: BlockRef = "latest") -> bytes:
        """Runtime code; empty when there is no contract."""
        return self._ask(_octets, "eth_getCode", address, block_ref(block))

    def fees(self) -> Fees:
        """What the next block costs, in wei per gas."""
        tip = self._ask(quantity, "eth_maxPriorityFeePerGas")
        return Fees(base_fee=(self.block("latest")).base_fee, tip=tip)

    def send_raw(self, raw: bytes) -> bytes:
        """Broadcasts a signed transaction, once, and returns its hash. Raises `TransactionRejected` subclasses."""
        return self._ask(_octets, "eth_sendRawTransaction", hexed(raw))

    def send_raws(self, raws: Sequence[bytes]) -> list[bytes | ChainError]:
        """Broadcasts signed transactions in their order; an error stands in the place of its hash."""
        return self._many("eth_sendRawTransaction", [(hexed(raw),) for raw in raws], _octets)

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """The receipt, or None while the transaction is not mined."""
        return self._ask(_receipt, "eth_getTransactionReceipt", hexed(transaction_hash))

    def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]:
        """Receipts, or None for transactions that are not mined. Raises when one of them cannot be read."""
        asked = [(hexed(item),) for item in hashes]
        found = self._many("eth_getTransactionReceipt", asked, _receipt)
        for transaction_hash, receipt in zip(hashes, found, strict=True):
            if isinstance(receipt, ChainError):
                raise receipt
            if receipt is not None and receipt.transaction_hash != transaction_hash:
                raise TransientChainError(f"{self._node} answered with the receipt of another transaction")
        return [receipt for receipt in found if not isinstance(receipt, ChainError)]

    def is_pending(self, transaction_hash: bytes) -> bool:
        """Whether the node knows the transaction, mined or not."""
        return self._ask(_present, "eth_getTransactionByHash", hexed(transaction_hash))

    def close(self) -> None:
        """Closes the connections to the node."""
        close_provider(self._w3.provider)

    def _many(
        self, method: str, many: Sequence[Sequence[Any]], parse: Callable[[Any], _Item]
    ) -> list[_Item | ChainError]:
        """The results of many requests, in batches as large as the node takes.

        When the node fails on the way, what it did not answer has that failure in its place; when it answers nothing
        at all, the failure is raised.
        """
        answers: list[Any] = []
        while len(answers) < len(many):
            count = self._batches.take(many, len(answers))
            chunk = many[len(answers) : len(answers) + count]
            try:
                answers.extend(self._batch(method, chunk) if count > 1 else [self._one(method, chunk[0])])
            except BatchRefused:
                self._batches.refused(count)
            except ChainError as error:
                if not answers:
                    raise
                answers.extend([error] * (len(many) - len(answers)))
        return [self._parsed(answer, parse, method) for answer in answers]

    def _one(self, method: str, params: Sequence[Any]) -> Any:
        try:
            return self._rpc(method, *params)
        except ChainError as error:
            # What the node answered is about this request alone; what comes from the way to it is about all of them.
            if isinstance(error.__cause__, Web3RPCError):
                return error
            raise

    def _batch(self, method: str, many: Sequence[Sequence[Any]]) -> list[Any]:
        requests = [(RPCEndpoint(method), list(params)) for params in many]
        try:
            answered = ask_batch(self._w3.provider, requests)
        except (AttributeError, TypeError, KeyError) as error:
            raise TransientChainError(f"{method} at {self._node}: a malformed answer to a batch") from error
        except VENDOR_ERRORS as error:
            if refuses_batches(error):
                raise BatchRefused from None
            raise translated(error, method=method, node=self._node) from safe_cause(error, url=self._url)
        return batch_results(answered, count=len(many), method=method, node=self._node)

    def _parsed(self, answer: Any, parse: Callable[[Any], _Item], method: str) -> _Item | ChainError:
        if isinstance(answer, ChainError):
            return answer
        try:
            return parse(answer)
        except (AttributeError, KeyError, TypeError, ValueError):
            return TransientChainError(f"{method} at {self._node}: a malformed answer")

    def _ask(self, parse: Callable[[Any], _Item], method: str, *params: Any) -> _Item:
        parsed = self._parsed(self._rpc(method, *params), parse, method)
        if isinstance(parsed, ChainError):
            raise parsed
        return parsed

    def _rpc(self, method: str, *params: Any) -> Any:
        try:
            return self._w3.manager.request_blocking(RPCEndpoint(method), list(params))
        except VENDOR_ERRORS as error:
            raise translated(error, method=method, node=self._node) from safe_cause(error, url=self._url)


def _receipt(found: Any) -> Receipt | None:
    return None if found is None else parse_receipt(found)


def _block(found: Any) -> Block | None:
    return None if found is None else parse_block(found)


def _present(found: Any) -> bool:
    return found is not None


def _octets(found: Any) -> bytes:
    # No data is "0x"; null is an answer that got lost.
    if found is None:
        raise TypeError("null is no data")
    return octets(found)
