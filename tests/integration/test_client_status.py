"""Why nothing happens, as the client tells it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_utils.crypto import keccak
from tests.support.artifacts import interface
from tests.support.client_world import ETHER, PRICE_WEI, World, open_world

from sworn import abi
from sworn.chain.deployment_files import CONTRACTS
from sworn.client import Cause, RequestHandle
from sworn.client.diagnosis import unknown_report
from sworn.codec.structs import request_params_to_abi
from sworn.errors import ContractRevert, RequestUnknown
from sworn.testing.local_chain import ChainKind
from sworn.types import Address, FailureCode, Profile, RequestId, Status

ACCEPT, REVERT, WASTE_GAS = 0, 1, 2


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


def test_status_viable_operator_waiting_says_for_how_long(world: World) -> None:
    """While everything is in order, the report counts the seconds."""
    handle = world.request(deadline=600)
    world.chain.advance(100)
    report = handle.status()
    assert (report.status, report.cause) == (Status.REQUESTED, Cause.WAITING)
    assert "waiting since 100 s" in report.reason and report.deadline == handle.request.deadline
    assert report.offers[0].operator == world.operator and report.offers[0].viable


def test_status_fee_below_the_price_names_both(world: World) -> None:
    """A fee that does not reach the named operator's price is the reason."""
    report = world.request(operator=world.operator, fee=5).status()
    assert report.cause is Cause.FEE_TOO_LOW
    assert str(PRICE_WEI) in report.reason and "5 wei" in report.reason


def test_status_open_request_reports_the_best_of_several_obstacles(world: World) -> None:
    """Nobody serves an open request: the report says what the cheapest operator objects to, and lists all."""
    world.enrol(key=4, price_wei=2 * PRICE_WEI)
    report = world.request(operator="any", fee=5).status()
    assert report.cause is Cause.FEE_TOO_LOW and "1 more" in report.reason
    assert [offer.operator for offer in report.offers] == [world.operator, world.chain.signers[4].address]


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"value_at_risk": ETHER // 5}, Cause.VALUE_AT_RISK_TOO_HIGH),
        ({"window": 3601}, Cause.WINDOW_TOO_LONG),
        ({"callback": 500_001}, Cause.CALLBACK_GAS_TOO_HIGH),
    ],
)
def test_status_terms_outside_the_offer_name_the_limit(world: World, options: dict[str, int], cause: Cause) -> None:
    """A request that the named operator's offer does not cover says so."""
    report = world.request(operator=world.operator, fee=PRICE_WEI, **options).status()
    assert report.cause is cause


def test_status_operator_without_means_is_the_reason(world: World) -> None:
    """Unregistered operators, withdrawn offers, unbonded stake: each has its own cause."""
    handle = world.request()
    facade = world.client(1).operator
    facade.unbond()
    assert handle.status().cause is Cause.FREE_STAKE_TOO_LOW
    facade.cancel_unbonding()
    facade.set_offer(
        world.model_id,
        active=False,
        price_wei=PRICE_WEI,
        max_value_at_risk_wei=ETHER,
        max_window_s=3600,
        max_callback_gas=0,
    )
    assert handle.status().cause is Cause.OFFER_INACTIVE
    nobody = world.chain.signers[7].address
    assert world.request(operator=nobody, fee=1).status().cause is Cause.OPERATOR_UNREGISTERED


def test_status_model_nobody_knows_is_the_reason(world: World) -> None:
    """A model that is not registered, and one that nobody offers, are different reasons."""
    client = world.client()
    unknown = RequestId(bytes([1]) * 32)
    handle = _ask_about(world, unknown)
    assert handle.status().cause is Cause.MODEL_UNREGISTERED
    registered = client._contracts.profile(world.model_id) is Profile.EXACT
    assert registered and handle.status().status is Status.REQUESTED


def test_status_failure_reports_of_others_are_shown(world: World) -> None:
    """A failure that does not end an open request still shows in its report."""
    handle = world.request(operator="any")
    world.fail(handle, FailureCode.LIMIT_EXCEEDED)
    report = handle.status()
    assert report.failure_reports == ((world.operator, FailureCode.LIMIT_EXCEEDED),)
    assert "LIMIT_EXCEEDED" in report.reason


def test_status_window_running_then_finalizable_then_final(world: World) -> None:
    """The report follows the challenge window to its end."""
    handle = world.request(window=300)
    world.propose(handle.request)
    report = handle.status()
    assert report.cause is Cause.WINDOW_RUNNING and "300 s" in report.reason
    assert report.window_closes_at == report.now + 300
    world.chain.advance(301)
    assert handle.status().cause is Cause.FINALIZABLE
    handle.finalize()
    assert (handle.status().cause, handle.status().status) == (Cause.FINAL, Status.FINALIZED)


def test_status_after_the_deadline_leads_to_the_refund(world: World) -> None:
    """Expirable, expired with a credit, and withdrawn are told apart."""
    handle = world.request(deadline=60)
    world.chain.advance(70)
    report = handle.status()
    assert report.cause is Cause.EXPIRABLE and "expire" in report.next_step
    handle.expire()
    report = handle.status()
    assert report.cause is Cause.EXPIRED and str(PRICE_WEI) in report.next_step
    world.client().withdraw()
    assert "Nothing to do" in handle.status().next_step


def test_status_failed_request_names_the_code(world: World) -> None:
    """A signed failure is reported with its code."""
    handle = world.request()
    world.fail(handle, FailureCode.BAD_INPUT)
    report = handle.status()
    assert (report.cause, report.failure_code) == (Cause.FAILED, FailureCode.BAD_INPUT)


def test_status_callback_failed_carries_the_decoded_reason(world: World) -> None:
    """A callback that failed is simulated, and can be retried once the consumer behaves."""
    puppet = _puppet(world, behaviour=REVERT)
    handle = _ask_about(world, world.model_id, through=puppet, callback=100_000)
    world.propose(handle.request)
    world.chain.advance(handle.request.window_s + 1)
    handle.finalize()
    report = handle.status()
    assert (report.status, report.cause) == (Status.FINALIZED, Cause.CALLBACK_FAILED)
    assert report.callback_error is not None and report.callback_error.data == keccak(text="Unwilling()")[:4]
    with pytest.raises(ContractRevert) as caught:
        handle.retry_callback()
    assert type(caught.value) is abi.REVERTS["CallbackStillFailing"]
    _behave(world, puppet, ACCEPT)
    report = handle.status()
    assert report.cause is Cause.CALLBACK_FAILED and report.callback_error is None
    handle.retry_callback()
    assert handle.status().cause is Cause.FINAL


def test_status_failure_callback_out_of_gas_is_reported_and_retried(world: World) -> None:
    """A failure notice that the consumer could not take is explained like any other callback."""
    puppet = _puppet(world, behaviour=WASTE_GAS)
    handle = _ask_about(world, world.model_id, through=puppet, callback=50_000)
    world.fail(handle, FailureCode.TOO_LARGE)
    report = handle.status()
    assert report.cause is Cause.CALLBACK_FAILED and report.callback_error is not None
    _behave(world, puppet, ACCEPT)
    handle.retry_callback()
    assert handle.status().cause is Cause.FAILED


def test_status_reorged_request_says_so(world: World) -> None:
    """When a reorg removes the request, its handle knows, and waiting ends."""
    mark = world.chain.snapshot()
    handle = world.request()
    world.chain.revert(mark)
    report = handle.status()
    assert (report.status, report.cause, report.request) == (Status.NONE, Cause.REORGED, handle.request)
    with pytest.raises(RequestUnknown):
        handle.wait(timeout=5)


def test_status_unknown_id_is_a_report(world: World) -> None:
    """An id that the chain does not know is reported, not raised; one in the pool is pending."""
    report = world.client().status(bytes(32))
    assert report.cause is Cause.UNKNOWN and report.request is None
    pending = unknown_report(RequestId(bytes(32)), now=0, request=world.request().request, in_pool=True)
    assert pending.cause is Cause.PENDING


def _puppet(world: World, *, behaviour: int) -> Address:
    transactor = world.client()._signing._required()
    created = transactor.send(to=None, data=interface("Puppet").constructor()).contract_address
    assert created is not None
    _behave(world, created, behaviour)
    return created


def _behave(world: World, puppet: Address, behaviour: int) -> None:
    data = interface("Puppet").encode("behave", behaviour)
    world.client()._signing._required().send(to=puppet, data=data)


def _ask_about(world: World, model_id: bytes, *, through: Address | None = None, callback: int = 0) -> RequestHandle:
    """A request about any model id, made by the client's account or by a contract."""
    template = world.request(callback=callback, operator=world.operator, fee=PRICE_WEI).request
    params = list(request_params_to_abi(template))
    params[0], params[-1] = model_id, bytes([9]) * 32
    data = abi.interface(CONTRACTS["oracle"]).encode("request", tuple(params), b"\x01")
    transactor, target = world.client()._signing._required(), world.deployment.oracle
    if through is not None:
        data, target = interface("Puppet").encode("execute", target, data), through
    receipt = transactor.send(to=target, data=data, value_wei=PRICE_WEI)
    return world.client().handles_in(receipt.transaction_hash)[0]
