"""The web3 gateway over eth-tester and anvil, blocking and as coroutines."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_tester import EthereumTester
from eth_utils.crypto import keccak

from sworn import abi
from sworn.chain.gateway import Call, Receipt
from sworn.chain.signer import LocalSigner
from sworn.chain.transaction_terms import transaction_fields
from sworn.chain.web3_gateway import Web3Gateway, connect_gateway
from sworn.chain.web3_gateway_async import async_connect_gateway
from sworn.chain.web3_gateway_tester import async_gateway_over_tester, gateway_over_tester
from sworn.errors import (
    ChainError,
    ContractRevert,
    FundsTooLow,
    NonceTooLow,
    TransactionKnown,
    TransactionRejected,
    TransactionUnderpriced,
    TransientChainError,
)
from sworn.types import Address

ROOT = Path(__file__).resolve().parents[2]
POOR = Address("0x1212121212121212121212121212121212121212")
#: Reverts with its calldata.
ECHO_REVERT = "366000600037366000fd"
#: Emits its calldata under its first word as the topic.
EMITTER = "365f5f375f35365fa100"
TOPICS = [bytes([number]) * 32 for number in range(3)]


def _anvil() -> str | None:
    bundled = ROOT / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
    return shutil.which("anvil") or (str(bundled) if bundled.exists() else None)


@pytest.fixture(scope="module")
def anvil_url() -> Iterator[str]:
    """A running anvil."""
    binary = _anvil()
    if binary is None:
        pytest.skip("no anvil")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([binary, "--port", str(port), "--quiet", "--hardfork", "prague"]) as process:
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture(scope="module", params=["tester", pytest.param("anvil", marks=pytest.mark.anvil)])
def chain(request: pytest.FixtureRequest) -> tuple[Web3Gateway, LocalSigner]:
    """A chain to talk to and somebody with ether on it."""
    if request.param == "tester":
        tester = EthereumTester()
        key = tester.backend.account_keys[0].to_bytes()
        return gateway_over_tester(tester), LocalSigner.from_key(key)
    gateway = connect_gateway(request.getfixturevalue("anvil_url"))
    for _ in range(200):
        try:
            gateway.chain_id()
            break
        except TransientChainError:
            time.sleep(0.05)
    return gateway, LocalSigner.from_key("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")


def _tester_of(gateway: Web3Gateway) -> EthereumTester:
    return gateway._w3.provider.ethereum_tester  # type: ignore[attr-defined]


def _raw(chain: tuple[Web3Gateway, LocalSigner], call: Call, **changes: Any) -> bytes:
    gateway, signer = chain
    fields = transaction_fields(
        call,
        chain_id=gateway.chain_id(),
        nonce=gateway.nonce(signer.address),
        gas=200_000,
        max_fee_wei=3 * 10**9,
        tip_wei=10**9,
    )
    return signer.sign_transaction(fields | changes)


def _mined(chain: tuple[Web3Gateway, LocalSigner], raw: bytes) -> Receipt:
    return _receipt(chain[0], chain[0].send_raw(raw))


def _receipt(gateway: Web3Gateway, transaction_hash: bytes) -> Receipt:
    for _ in range(200):
        if (receipt := gateway.receipt(transaction_hash)) is not None:
            return receipt
        time.sleep(0.02)
    raise AssertionError("not mined")


def _deploy(chain: tuple[Web3Gateway, LocalSigner], runtime: str) -> Address:
    size = len(runtime) // 2
    init = bytes.fromhex(f"{0x5F + size:02x}{runtime}5f5260{size:02x}60{32 - size:02x}f3")
    receipt = _mined(chain, _raw(chain, Call(to=None, data=init)))
    assert receipt.succeeded and receipt.contract_address
    return receipt.contract_address


def test_gateway_headers_link_and_missing_block_is_transient(chain: tuple[Web3Gateway, LocalSigner]) -> None:
    """Each header names its parent; a block that is not there yet may come later."""
    gateway, _ = chain
    _deploy(chain, EMITTER)
    latest = gateway.block("latest")
    assert gateway.block(latest.number - 1).hash == latest.parent_hash
    assert gateway.block(latest.number) == latest
    assert latest.base_fee > 0 and latest.timestamp > 1_600_000_000
    with pytest.raises(TransientChainError):
        gateway.block(latest.number + 1000)


def test_gateway_account_views_follow_transactions(chain: tuple[Web3Gateway, LocalSigner]) -> None:
    """Nonce, balance and code are those of the chain."""
    gateway, signer = chain
    before = gateway.nonce(signer.address)
    contract = _deploy(chain, EMITTER)
    assert gateway.nonce(signer.address) == before + 1 == gateway.nonce(signer.address, block="pending")
    assert gateway.code(contract) == bytes.fromhex(EMITTER)
    assert gateway.code(POOR) == b""
    assert gateway.balance(POOR) == 0 < gateway.balance(signer.address)
    assert gateway.fees().base_fee == gateway.block("latest").base_fee


REVERTS = [
    (b"", ContractRevert, "reverted without a reason"),
    (keccak(text="Error(string)")[:4] + encode(["string"], ["no"]), ContractRevert, "reverted: no"),
    (keccak(text="Panic(uint256)")[:4] + encode(["uint256"], [0x99]), ContractRevert, "panic 0x99: unknown panic"),
    (keccak(text="Panic(uint256)")[:4] + encode(["uint256"], [1]), ContractRevert, "panic 0x01: assertion failed"),
    (keccak(text="OffchainLookup(address,string[],bytes,bytes4,bytes)")[:4] + bytes(9), ContractRevert, None),
    (keccak(text="CreditMissing(address)")[:4] + encode(["address"], [POOR]), "CreditMissing", None),
]


@pytest.mark.parametrize(("data", "kind", "message"), REVERTS)
def test_gateway_revert_is_typed_with_its_data(
    chain: tuple[Web3Gateway, LocalSigner], data: bytes, kind: type[ContractRevert] | str, message: str | None
) -> None:
    """Calls and estimates that revert raise the decoded error with the raw data, whatever the node makes of it."""
    gateway, signer = chain
    contract = _deploy(chain, ECHO_REVERT)
    expected = abi.REVERTS[kind] if isinstance(kind, str) else kind
    for ask in (gateway.call, gateway.estimate_gas):
        with pytest.raises(ContractRevert) as caught:
            ask(Call(to=contract, data=data, sender=signer.address))
        assert type(caught.value) is expected
        assert caught.value.data == data
        assert message is None or str(caught.value) == message


def test_gateway_call_sender_without_ether_is_served(chain: tuple[Web3Gateway, LocalSigner]) -> None:
    """A simulation costs nothing, so its sender needs nothing."""
    gateway, _ = chain
    contract = _deploy(chain, EMITTER)
    assert gateway.call(Call(to=contract, data=TOPICS[1], sender=POOR)) == b""
    assert gateway.call(Call(to=contract, data=TOPICS[1])) == b""
    assert gateway.estimate_gas(Call(to=contract, data=TOPICS[1], sender=POOR)) > 21_000


def test_gateway_call_out_of_gas_is_a_revert(chain: tuple[Web3Gateway, LocalSigner]) -> None:
    """A call that runs out of gas failed in the contract, not on the way to it."""
    gateway, signer = chain
    contract = _deploy(chain, EMITTER)
    with pytest.raises(ContractRevert):
        gateway.call(Call(to=contract, data=TOPICS[1], sender=signer.address, gas=22_300))


def test_gateway_logs_filter_by_address_and_topics_in_order(chain: tuple[Web3Gateway, LocalSigner]) -> None:
    """Logs come in chain order; a list of topics means any of them."""
    gateway, _ = chain
    contract, other = _deploy(chain, EMITTER), _deploy(chain, EMITTER)
    first = gateway.block("latest").number + 1
    for topic in TOPICS:
        _mined(chain, _raw(chain, Call(to=contract, data=topic + b"payload")))
    _mined(chain, _raw(chain, Call(to=other, data=TOPICS[0])))
    last = gateway.block("latest").number
    logs = gateway.logs(addresses=[contract], topics=[TOPICS[1:]], from_block=first, to_block=last)
    assert [log.topics for log in logs] == [(TOPICS[1],), (TOPICS[2],)]
    assert logs[0].data == TOPICS[1] + b"payload" and logs[0].address == contract
    assert logs[0].block_hash == gateway.block(logs[0].block_number).hash
    everything = gateway.logs(addresses=[contract, other], topics=[], from_block=first, to_block=last)
    assert [log.topics[0] for log in everything] == [*TOPICS, TOPICS[0]]
    assert gateway.logs(addresses=[contract], topics=[TOPICS[0]], from_block=last, to_block=last) == []


def test_gateway_receipt_tells_success_and_failure(chain: tuple[Web3Gateway, LocalSigner]) -> None:
    """A receipt is there once mined and says whether the transaction reverted."""
    gateway, _ = chain
    contract = _deploy(chain, ECHO_REVERT)
    receipt = _mined(chain, _raw(chain, Call(to=contract, data=b"")))
    assert not receipt.succeeded and receipt.contract_address is None
    assert receipt.gas_used > 21_000 and receipt.effective_gas_price > 0
    assert gateway.is_pending(receipt.transaction_hash)
    assert gateway.receipt(bytes(32)) is None
    assert not gateway.is_pending(b"\x01" * 32)


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"nonce": 0}, (NonceTooLow, TransactionKnown)),
        ({"value": 10**30}, (FundsTooLow,)),
        ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}, (TransactionUnderpriced,)),
        ({"gas": 100}, (TransactionRejected,)),
    ],
)
def test_gateway_refused_transaction_is_typed(
    chain: tuple[Web3Gateway, LocalSigner], changes: dict[str, int], kinds: tuple[type[TransactionRejected], ...]
) -> None:
    """What a node refuses has a type that says what to do about it."""
    _deploy(chain, EMITTER)
    with pytest.raises(TransactionRejected) as caught:
        chain[0].send_raw(_raw(chain, Call(to=POOR, data=b""), **changes))
    assert type(caught.value) in kinds


def test_gateway_garbage_transaction_is_rejected(chain: tuple[Web3Gateway, LocalSigner]) -> None:
    """Bytes that are no transaction are refused, typed."""
    with pytest.raises(TransactionRejected):
        chain[0].send_raw(b"\x02")


def test_gateway_batches_answer_as_single_requests_do(chain: tuple[Web3Gateway, LocalSigner]) -> None:
    """Whatever is asked together has the answers that it has alone, errors included, on every kind of chain."""
    gateway, signer = chain
    emitter, refuser = _deploy(chain, EMITTER), _deploy(chain, ECHO_REVERT)
    data = keccak(text="CreditMissing(address)")[:4] + encode(["address"], [POOR])
    good = Call(to=emitter, data=TOPICS[1], sender=signer.address)
    bad = replace(good, to=refuser, data=data)
    assert gateway.calls([good, good]) == [b"", b""]
    for ask in (gateway.calls, gateway.estimates):
        first, second, third = ask([good, bad, good])
        assert first == third == {gateway.calls: b"", gateway.estimates: gateway.estimate_gas(good)}[ask]
        assert isinstance(second, ContractRevert) and second.data == data
        assert type(second) is abi.REVERTS["CreditMissing"]
    raw, nonce = _raw(chain, good), gateway.nonce(signer.address)
    late = _raw(chain, good, nonce=nonce - 1)
    following = _raw(chain, good, nonce=nonce + 1)
    refused, sent, next_sent = gateway.send_raws([late, raw, following])
    assert isinstance(refused, NonceTooLow | TransactionKnown)
    assert (sent, next_sent) == (keccak(raw), keccak(following))
    receipts = [_receipt(gateway, keccak(item)) for item in (raw, following)]
    assert gateway.receipts([keccak(raw), keccak(following), bytes(32)]) == [*receipts, None]


async def test_async_gateway_answers_as_the_blocking_one(chain: tuple[Web3Gateway, LocalSigner]) -> None:
    """Both colours give equal records."""
    gateway, signer = chain
    url = gateway._url
    twin = async_connect_gateway(url) if url else async_gateway_over_tester(_tester_of(gateway))
    contract = _deploy(chain, EMITTER)
    sent = _mined(chain, _raw(chain, Call(to=contract, data=TOPICS[0]))).transaction_hash
    assert await twin.chain_id() == gateway.chain_id()
    assert await twin.block("latest") == gateway.block("latest")
    assert await twin.receipt(sent) == gateway.receipt(sent)
    assert await twin.nonce(signer.address) == gateway.nonce(signer.address)
    assert await twin.fees() == gateway.fees()
    with pytest.raises(ContractRevert):
        await twin.call(Call(to=_deploy(chain, ECHO_REVERT), data=b"", sender=signer.address))
    await twin.close()


def test_gateway_unreachable_node_is_transient_and_hides_the_url() -> None:
    """Neither repr nor error nor its traceback shows what an RPC URL may hold: a key."""
    url = "http://user:secret@127.0.0.1:9/v3/secret?key=secret"

    async def ask_async() -> None:
        gateway = async_connect_gateway(url, timeout_s=1)
        try:
            await gateway.chain_id()
        finally:
            await gateway.close()

    gateway = connect_gateway(url, timeout_s=1)
    assert "secret" not in repr(gateway)
    for ask in (gateway.chain_id, lambda: asyncio.run(ask_async())):
        with pytest.raises(ChainError) as caught:
            ask()
        assert type(caught.value) is TransientChainError
        assert "secret" not in str(caught.value) and caught.value.__cause__ is None
