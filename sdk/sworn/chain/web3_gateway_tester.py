"""eth-tester behind web3, made to answer errors as a node does.

eth-tester raises Python exceptions where a node answers a JSON-RPC error, turns revert data into text, and refuses
calls from senders without ether. This module is the only place that knows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from eth.exceptions import VMError
from eth.vm.spoof import SpoofTransaction
from eth_tester import EthereumTester
from eth_tester.exceptions import BlockNotFound, TransactionFailed
from eth_tester.exceptions import ValidationError as TesterValidationError
from eth_utils.address import to_canonical_address
from eth_utils.exceptions import ValidationError as VmValidationError
from rlp.exceptions import RLPException
from web3 import AsyncWeb3, Web3
from web3.providers.eth_tester import AsyncEthereumTesterProvider, EthereumTesterProvider
from web3.types import RPCEndpoint, RPCResponse

from sworn.chain.web3_gateway import Web3Gateway
from sworn.chain.web3_gateway_async import AsyncWeb3Gateway
from sworn.chain.web3_gateway_errors import REVERT_CODE
from sworn.chain.web3_gateway_wire import quantity

_INVALID_CODE = -32000
_Endpoint = Callable[[RPCEndpoint, Any], RPCResponse]


def gateway_over_tester(tester: EthereumTester, *, lock: threading.RLock | None = None) -> Web3Gateway:
    """A gateway to an in-process chain; threads that share the chain share the lock."""
    provider = _TesterProvider(tester, lock=lock or threading.RLock())
    return Web3Gateway(Web3(provider, middleware=[]), url="")


def async_gateway_over_tester(tester: EthereumTester, *, lock: threading.RLock | None = None) -> AsyncWeb3Gateway:
    """The same as coroutines; each blocks its loop while the chain works."""
    provider = _AsyncTesterProvider(tester, lock=lock or threading.RLock())
    return AsyncWeb3Gateway(AsyncWeb3(provider, middleware=[]), url="")


class _TesterProvider(EthereumTesterProvider):
    def __init__(self, tester: EthereumTester, *, lock: threading.RLock) -> None:
        super().__init__(tester)
        self._lock = lock

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        with self._lock:
            return _answer(self.ethereum_tester, super().make_request, method, params)


class _AsyncTesterProvider(AsyncEthereumTesterProvider):
    def __init__(self, tester: EthereumTester, *, lock: threading.RLock) -> None:
        super().__init__()
        self.ethereum_tester = tester
        self._blocking = EthereumTesterProvider(tester)
        self._lock = lock

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        with self._lock:
            return _answer(self.ethereum_tester, self._blocking.make_request, method, params)


def _answer(tester: EthereumTester, endpoint: _Endpoint, method: RPCEndpoint, params: Any) -> RPCResponse:
    try:
        if method == "eth_call":
            return _response(result=_call(tester, params[0], params[1]))
        if method == "eth_estimateGas":
            # Without a price, a sender without ether may estimate, as on a node.
            params = [{**params[0], "gas_price": 0}, *params[1:]]
        return endpoint(method, params)
    except TransactionFailed as error:
        return _response(error=_reverted(_vm_error(error)))
    except (VmValidationError, TesterValidationError, RLPException) as error:
        return _response(error={"code": _INVALID_CODE, "message": _rejection_text(error)})
    except BlockNotFound as error:
        return _response(error={"code": _INVALID_CODE, "message": f"block not found: {error}"})


def _call(tester: EthereumTester, params: Mapping[str, Any], ref: Any) -> bytes:
    chain = tester.backend.chain
    number = tester.get_block_by_number(ref)["number"] if ref != "pending" else None
    header = chain.get_canonical_block_header_by_number(number) if number is not None else chain.get_block().header
    state = chain.get_vm(at_header=header).state
    sender = to_canonical_address(params["from"])
    unsigned = chain.create_unsigned_transaction(
        nonce=state.get_nonce(sender),
        gas_price=header.base_fee_per_gas,
        gas=quantity(params.get("gas", header.gas_limit)),
        to=to_canonical_address(params["to"]) if params.get("to") else b"",
        value=quantity(params.get("value", 0)),
        data=bytes.fromhex(params.get("data", "0x")[2:]),
    )
    snapshot = state.snapshot()
    state.set_balance(sender, state.get_balance(sender) + unsigned.gas * unsigned.gas_price)
    try:
        computation = state.apply_transaction(SpoofTransaction(unsigned, from_=sender))
    finally:
        state.revert(snapshot)
    if computation.is_error:
        raise TransactionFailed(computation.error)
    return bytes(computation.output)


def _vm_error(error: TransactionFailed) -> Exception:
    cause = error.args[0] if error.args else error
    # web3 re-raises with the data as text; the machine's own error is its context.
    if not isinstance(cause, VMError) and isinstance(error.__context__, TransactionFailed):
        return _vm_error(error.__context__)
    return cause if isinstance(cause, Exception) else error


def _reverted(error: Exception) -> dict[str, Any]:
    data = error.args[0] if error.args and isinstance(error.args[0], bytes) else None
    if data is None:
        return {"code": REVERT_CODE, "message": f"vm execution error: {error}"}
    return {"code": REVERT_CODE, "message": "execution reverted", "data": "0x" + data.hex()}


def _rejection_text(error: Exception) -> str:
    # py-evm has one text for a nonce that is too low and for one that is too high; only the first is `NonceTooLow`.
    text = str(error)
    words = text.replace(",", "").split()
    if text.startswith("Invalid transaction nonce") and int(words[-1]) < int(words[words.index("Expected") + 1]):
        return f"nonce too low: {text}"
    return text


def _response(*, result: Any = None, error: dict[str, Any] | None = None) -> RPCResponse:
    envelope: dict[str, Any] = {"jsonrpc": "2.0", "id": 0}
    envelope |= {"error": error} if error is not None else {"result": result}
    return envelope  # type: ignore[return-value]
