"""What an operator does through the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.client_world import ETHER, PRICE_WEI, STAKE_WEI, World, open_world

from sworn import abi
from sworn.errors import (
    ArtifactUnavailable,
    ConfigurationError,
    ContractRevert,
    FundsTooLow,
    QuoteError,
)
from sworn.testing.local_chain import ChainKind


@pytest.fixture(scope="module")
def stage() -> Iterator[World]:
    """A deployment with one operator."""
    with open_world(ChainKind.EMBEDDED) as world:
        world.enrol()
        yield world


@pytest.fixture
def world(stage: World) -> Iterator[World]:
    """The stage for one test."""
    mark = stage.chain.snapshot()
    yield stage
    stage.chain.revert(mark)


def test_operator_stake_and_unbonding_show_in_the_account(world: World) -> None:
    """Stake added, unbonded, kept back and taken out is what the account says."""
    facade = world.client(1).operator
    facade.add_stake(5)
    assert facade.account().stake_wei == STAKE_WEI + 5 == facade.account().free_wei
    facade.unbond(10)
    account = facade.account()
    assert (account.unbonding_wei, account.locked_wei, account.not_after) == (10, 10, None)
    with pytest.raises(ContractRevert) as caught:
        facade.withdraw_stake()
    assert type(caught.value) is abi.REVERTS["UnbondingNotReleased"]
    world.chain.advance(account.release_at - world.chain.gateway.block("latest").timestamp)
    heir = world.chain.signers[8].address
    before = world.chain.gateway.balance(heir)
    facade.withdraw_stake(to=heir)
    assert world.chain.gateway.balance(heir) == before + 10
    assert world.client(None).operator.account(world.operator).stake_wei == STAKE_WEI - 5


def test_operator_leaving_is_not_quoted_beyond_its_signers(world: World) -> None:
    """Whoever takes all stake out is no longer offered to requesters."""
    facade = world.client(1).operator
    facade.unbond()
    assert facade.account().not_after is not None
    with pytest.raises(QuoteError):
        world.client().estimate_fee(model=world.artifact)
    facade.cancel_unbonding()
    assert world.client().estimate_fee(model=world.artifact).operator == world.operator


def test_operator_signers_are_authorised_and_revoked(world: World) -> None:
    """A key's authority starts without end and ends after the longest lifetime."""
    facade, key = world.client(1).operator, world.chain.signers[6].address
    assert facade.signer_not_after(key) == 0
    facade.authorize_signer(key)
    forever = facade.signer_not_after(key)
    facade.revoke_signer(key)
    assert 0 < facade.signer_not_after(key) < forever


def test_operator_earnings_follow_a_final_result(world: World) -> None:
    """The fee of a final result can be withdrawn by its operator."""
    handle = world.request()
    world.propose(handle.request)
    world.chain.advance(handle.request.window_s + 1)
    handle.finalize()
    facade = world.client(1).operator
    assert facade.account().earned_wei == PRICE_WEI
    facade.withdraw_earnings()
    assert facade.account().earned_wei == 0


def test_operator_registering_twice_raises_the_contract_error(world: World) -> None:
    """A refused call costs nothing and says why by its type."""
    with pytest.raises(ContractRevert) as caught:
        world.client(1).operator.register(stake_wei=1)
    assert type(caught.value) is abi.REVERTS["OperatorAlreadyRegistered"]
    assert caught.value.arguments["operator"] == world.operator


def test_operator_without_funds_raises_funds_too_low(world: World) -> None:
    """Money that is not there is its own error."""
    with pytest.raises(FundsTooLow):
        world.client(1).operator.add_stake(10**9 * ETHER)


def test_register_model_again_sends_nothing_new(world: World) -> None:
    """Registering is idempotent, and a mirror is published once."""
    client = world.client()
    client.register_model(world.artifact, uris=["https://example.org/a"])
    nonce = world.chain.gateway.nonce(client.address)
    client.register_model(world.artifact, uris=["https://example.org/a"])
    assert world.chain.gateway.nonce(client.address) == nonce
    with pytest.raises(ConfigurationError):
        client.register_model(world.model_id)


def test_schema_of_an_unknown_model_is_a_typed_error(world: World) -> None:
    """An id that is not registered, and one whose artifact cannot be had."""
    with pytest.raises(ContractRevert) as caught:
        world.client().schema(bytes([7]) * 32)
    assert type(caught.value) is abi.REVERTS["ModelUnknown"]
    with pytest.raises(ArtifactUnavailable):
        world.client(artifacts=None).schema(world.model_id)
    assert world.client().schema(world.artifact) == world.schema
