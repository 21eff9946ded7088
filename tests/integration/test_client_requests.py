"""Requests through the client, against the real contracts."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from eth_account import Account
from tests.support.client_world import PRICE_WEI, World, open_world

import sworn
from sworn import abi
from sworn.chain.deployment_files import save_deployment
from sworn.client import Client
from sworn.client.verification import proposal_from
from sworn.errors import (
    ChainError,
    ConfigurationError,
    ContractRevert,
    FundsTooLow,
    QuoteError,
    RequestExpired,
    RequestFailed,
    RequestTimeout,
    RequestUnknown,
    ShapeMismatch,
)
from sworn.testing.local_chain import ChainKind
from sworn.types import ZERO_ADDRESS, FailureCode, Status


@pytest.fixture(scope="module", params=[ChainKind.EMBEDDED, pytest.param(ChainKind.ANVIL, marks=pytest.mark.anvil)])
def stage(request: pytest.FixtureRequest) -> Iterator[World]:
    """A deployment with one operator."""
    with open_world(request.param) as world:
        world.enrol()
        yield world


@pytest.fixture
def world(stage: World) -> Iterator[World]:
    """The stage for one test."""
    mark = stage.chain.snapshot()
    yield stage
    stage.chain.revert(mark)


def test_request_answered_and_finalized_returns_verified_outputs(world: World) -> None:
    """From arrays to arrays: request, proposal, window, final result, each step visible."""
    handle = world.request()
    with pytest.raises(RequestTimeout):
        handle.wait(timeout=0, until="proposed")
    world.propose(handle.request)
    proposed = handle.wait(timeout=5, until="proposed")
    assert not proposed.final and proposed.status is Status.PROPOSED and proposed.final_transaction is None
    with pytest.raises(RequestTimeout):
        handle.wait(timeout=0)
    with pytest.raises(ContractRevert) as caught:
        handle.finalize()
    assert type(caught.value) is abi.REVERTS["WindowOpen"]
    world.chain.advance(handle.request.window_s + 1)
    receipt = handle.finalize()
    final = handle.wait(timeout=5)
    assert final.final and final.final_transaction == receipt.transaction_hash
    for name, array in world.row.outputs.items():
        np.testing.assert_array_equal(final[name], array)
        assert final[name].dtype == array.dtype
    assert final.operator == world.operator and final.signer == world.signer.address
    assert final.request_transaction == handle.transaction_hash and final.result_id == proposed.result_id


async def test_async_client_request_does_the_same(world: World) -> None:
    """The coroutine form makes, follows and reports a request like the blocking one."""
    async with world.async_client() as client:
        handle = await client.request(model=world.artifact, inputs=world.row.inputs)
        world.propose(handle.request)
        result = await handle.wait(timeout=5, until="proposed")
        assert not result.final and (await handle.status()).status is Status.PROPOSED
        names = [getattr(event, "name", None) async for event in client.events(follow=False)]
    assert names[-2:] == ["InferenceRequested", "ResultProposed"]


def test_request_terms_are_what_was_asked_for(world: World) -> None:
    """Every option arrives in the preimage, and the fee is the operator's price."""
    deadline = datetime.fromtimestamp(world.chain.gateway.block("latest").timestamp, UTC) + timedelta(hours=2)
    handle = world.request(
        assurance="provisional",
        window=120,
        deadline=deadline,
        callback=90_000,
        value_at_risk=7,
        salt=b"\x07" * 32,
        refund_to=world.operator,
    )
    request = handle.request
    assert (request.window_s, request.deadline, request.callback_gas) == (120, int(deadline.timestamp()), 90_000)
    assert (request.operator, request.refund_to, request.fee_wei) == (world.operator, world.operator, PRICE_WEI)
    assert (request.assurance.name, request.value_at_risk_wei, request.salt) == ("PROVISIONAL", 7, b"\x07" * 32)
    again = world.client(None).handle(handle.request_id)
    assert again.request == request and again.transaction_hash == handle.transaction_hash


def test_request_any_operator_leaves_the_request_open(world: World) -> None:
    """An open request names nobody and still pays the cheapest price."""
    handle = world.request(operator="any")
    assert handle.request.operator == ZERO_ADDRESS and handle.request.fee_wei == PRICE_WEI
    world.propose(handle.request)
    assert handle.wait(timeout=5, until="proposed").operator == world.operator


def test_request_by_registered_id_fetches_the_schema(world: World) -> None:
    """A bare id is enough when the artifact can be had; its mirrors are passed to the store."""
    world.client().register_model(world.artifact, uris=["https://example.org/m.onnx"])
    handle = world.client().request(model="0x" + world.model_id.hex(), inputs=world.row.inputs)
    assert handle.request.model_id == world.model_id
    assert world.store.uris == ("https://example.org/m.onnx",)
    record = world.client().model(world.model_id)
    assert record.uris == world.store.uris and record.model_id == world.model_id


def test_request_inputs_outside_the_schema_raise_before_sending(world: World) -> None:
    """Nothing is paid for an input that the model cannot take."""
    before = world.chain.gateway.nonce(world.client().address)
    wrong = {name: array[..., :1] for name, array in world.row.inputs.items()}
    with pytest.raises(ShapeMismatch):
        world.client().request(model=world.artifact, inputs=wrong)
    assert world.chain.gateway.nonce(world.client().address) == before


def test_request_fee_limit_below_every_price_raises_quote_error(world: World) -> None:
    """The reasons of every operator are in the error."""
    with pytest.raises(QuoteError) as caught:
        world.request(max_fee=PRICE_WEI - 1)
    assert world.operator in str(caught.value) and str(PRICE_WEI) in str(caught.value)
    with pytest.raises(QuoteError):
        world.request(operator=world.chain.signers[5].address)
    with pytest.raises(QuoteError):
        world.request(value_at_risk=10**19)


def test_estimate_fee_cheaper_rival_is_preferred(world: World) -> None:
    """The cheapest viable operator is quoted, with its bond and the gas."""
    world.enrol(key=4, price_wei=PRICE_WEI // 2)
    quote = world.client().estimate_fee(model=world.artifact, value_at_risk=10**17)
    assert quote.operator == world.chain.signers[4].address and quote.fee_wei == PRICE_WEI // 2
    assert quote.bond_wei == 2 * 10**17 and quote.gas_estimate_wei > 10**12
    assert [offer.viable for offer in quote.offers] == [True, True]
    named = world.client().estimate_fee(model=world.artifact, operator=world.operator)
    assert named.operator == world.operator and named.fee_wei == PRICE_WEI


def test_request_unanswered_expires_and_is_refunded(world: World) -> None:
    """After the deadline anyone may expire it; the refund is credited and can be withdrawn."""
    client = world.client()
    handle = world.request(deadline=60)
    with pytest.raises(ContractRevert) as caught:
        handle.expire()
    assert type(caught.value) is abi.REVERTS["DeadlineNotPassed"]
    world.chain.advance(62)
    world.client(5).expire(handle.request_id)
    with pytest.raises(RequestExpired):
        handle.wait(timeout=5)
    assert client.credit() == PRICE_WEI
    world.client(5).withdraw(client.address)
    assert client.credit() == 0


def test_request_failed_by_its_operator_raises_request_failed(world: World) -> None:
    """A signed failure ends the waiting with its code."""
    handle = world.request()
    world.fail(handle, FailureCode.UNSUPPORTED)
    with pytest.raises(RequestFailed) as caught:
        handle.wait(timeout=5)
    assert "UNSUPPORTED" in str(caught.value)


def test_read_only_client_sending_raises_configuration_error(world: World) -> None:
    """Without an account everything can be read and nothing sent."""
    client = world.client(None)
    assert client.status(world.request().request_id).status is Status.REQUESTED
    with pytest.raises(ConfigurationError):
        client.register_model(world.artifact, uris=["https://example.org/x"])


def test_handle_of_unknown_request_raises_request_unknown(world: World) -> None:
    """An id that nobody has requested is an error when a handle is wanted, and a report when its status is."""
    with pytest.raises(RequestUnknown):
        world.client().handle(bytes(32))
    with pytest.raises(ConfigurationError):
        world.client().handle("0x12")


def test_proposal_tampered_by_the_node_raises_chain_error(world: World) -> None:
    """A node that shows another output than the one that was signed is found out."""
    handle = world.request()
    world.propose(handle.request)
    client = world.client()
    (log,) = client._contracts.logs("oracle", "ResultProposed", handle.request_id)
    good = proposal_from(log, handle.request, world.deployment)
    forged = log.data.replace(good.answer.output[-4:], b"\x00\x00\x00\x01")
    with pytest.raises(ChainError):
        proposal_from(dataclasses.replace(log, data=forged), handle.request, world.deployment)
    other = dataclasses.replace(handle.request, salt=bytes(32))
    with pytest.raises(ChainError):
        proposal_from(log, other, world.deployment)


def test_handles_in_transaction_finds_the_requests_that_it_made(world: World) -> None:
    """A transaction through any contract leads to its requests."""
    handle = world.request()
    found = world.client(None).handles_in(handle.transaction_hash)
    assert [each.request_id for each in found] == [handle.request_id]


async def test_connect_over_http_gives_both_colours(world: World, tmp_path: Path) -> None:
    """`sworn.connect` needs a URL, a key and a deployment file, and nothing else."""
    if world.chain.url is None:
        pytest.skip("the embedded chain has no URL")
    file = save_deployment(world.deployment, tmp_path)
    key = Account.create().key.hex()
    client = sworn.connect(world.chain.url, account=key, deployment=file, artifacts=world.store)
    async with await sworn.connect_async(world.chain.url, deployment=file, artifacts=world.store) as reader:
        assert (await reader.schema(world.artifact)) == client.schema(world.artifact)
        assert await reader.credit(client.address) == client.credit() == 0
    with pytest.raises(FundsTooLow):
        client.request(model=world.artifact, inputs=world.row.inputs)


def test_requests_from_several_threads_get_their_own_nonces(world: World) -> None:
    """A blocking client may be shared by threads."""
    client = world.client()
    with ThreadPoolExecutor(4) as pool:
        asks = [pool.submit(client.request, model=world.artifact, inputs=world.row.inputs) for _ in range(8)]
        handles = [ask.result() for ask in asks]
    assert {handle.status().status for handle in handles} == {Status.REQUESTED}


async def test_async_requests_at_the_same_time_get_their_own_nonces(world: World) -> None:
    """Concurrent calls of one client never replace each other's transactions."""
    async with world.async_client() as client:
        asks = (client.request(model=world.artifact, inputs=world.row.inputs) for _ in range(4))
        handles = await asyncio.gather(*asks)
        assert len({handle.request_id for handle in handles}) == 4
        reports = [await handle.status() for handle in handles]
    assert {report.status for report in reports} == {Status.REQUESTED}


def test_client_open_finds_and_verifies_the_deployment(world: World) -> None:
    """A client refuses a deployment that is not there."""
    client = Client.open(world.chain.gateway, deployment=world.deployment, account=world.chain.signers[3])
    assert client.address == world.chain.signers[3].address
    with pytest.raises(ConfigurationError):
        Client.open(world.chain.gateway, deployment="/nowhere/1.json")
    empty = dataclasses.replace(world.deployment, oracle=ZERO_ADDRESS)
    with pytest.raises(ConfigurationError):
        Client.open(world.chain.gateway, deployment=empty)
    with pytest.raises(ChainError):
        Client.open(world.chain.gateway, deployment=dataclasses.replace(world.deployment, chain_id=5))
