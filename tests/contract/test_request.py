from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain, Contract
from tests.support.scene import FEE_WEI, INPUT, Scene
from tests.support.system import PARAMETERS, System

from sworn.codec.structs import request_params_to_abi, request_to_abi
from sworn.types import ZERO_ADDRESS, Assurance, Status

_LIFETIME_S = PARAMETERS["maxLifetimeSeconds"]


def test_request_from_account_emits_whole_preimage(scene: Scene, operator: Account) -> None:
    """The event carries everything that later calls need, and the input itself."""
    request = scene.make_request()

    receipt = scene.send_request(request)

    assert receipt.returned == scene.id_of(request)
    event = assert_emitted(
        receipt,
        "InferenceRequested",
        request_id=scene.id_of(request),
        model_id=request.model_id,
        operator=operator,
        input=INPUT,
    )
    assert event.arguments["request"] == request_to_abi(request)
    assert len(receipt.events) == 1


def test_request_made_starts_without_result(scene: Scene, chain: Chain, system: System) -> None:
    """A fresh request waits, and the oracle holds its fee."""
    before = chain.balance(system.oracle)

    request = scene.ask()

    state = scene.state_of(request)
    assert (state.status, state.round, state.extension_s, state.proposed_at) == (Status.REQUESTED, 0, 0, 0)
    assert chain.balance(system.oracle) == before + FEE_WEI


def test_request_from_contract_names_contract_as_requester(scene: Scene, puppet: Contract) -> None:
    """The callback target is whoever called the oracle, and nobody can choose another."""
    request = scene.make_request(requester=puppet.address)

    receipt = scene.send_request(request, via=puppet)

    assert_emitted(receipt, "InferenceRequested", request_id=scene.id_of(request))


def test_request_without_fee_is_accepted(scene: Scene) -> None:
    """Free requests exist; nobody has to answer them."""
    request = scene.ask(fee_wei=0)

    assert scene.state_of(request).status is Status.REQUESTED


def test_request_for_unregistered_model_is_accepted(scene: Scene) -> None:
    """Requests are cheap because nothing is looked up; an unknown model just finds no operator."""
    request = scene.ask(model_id=b"\x99" * 32)

    assert scene.state_of(request).status is Status.REQUESTED


def test_request_by_reference_takes_any_bytes(scene: Scene, chain: Chain) -> None:
    """An input given by its URI is only passed on."""
    payload = b"\x00ipfs://input"

    receipt = scene.send_request(scene.make_request(), payload=payload)

    assert_emitted(receipt, "InferenceRequested", input=payload)


def test_request_repeated_reverts(scene: Scene) -> None:
    """Equal in every field means the same id."""
    request = scene.ask()

    with reverts("RequestExists", request_id=scene.id_of(request)):
        scene.send_request(request)


def test_request_repeated_with_other_salt_is_another(scene: Scene) -> None:
    """The salt tells otherwise equal requests apart."""
    request = scene.ask()
    other = replace(request, salt=b"\x01" * 32)

    scene.send_request(other)

    assert scene.id_of(other) != scene.id_of(request)


def test_request_repeated_after_finalization_reverts(scene: Scene) -> None:
    """A finished request leaves a tombstone: its id never lives again."""
    request = scene.ask()
    scene.complete(request)

    with reverts("RequestExists", request_id=scene.id_of(request)):
        scene.send_request(request)


def test_request_repeated_after_failure_reverts(scene: Scene) -> None:
    """A failed request leaves a tombstone too."""
    request = scene.ask()
    scene.fail(request)

    with reverts("RequestExists", request_id=scene.id_of(request)):
        scene.send_request(request)


def test_request_repeated_in_last_second_after_expiry_reverts(scene: Scene, chain: Chain) -> None:
    """An expired request's deadline has passed, so even its own terms refuse it."""
    request = scene.ask(deadline=chain.now + 10)
    scene.expire(request)

    with reverts("DeadlineOutOfRange", deadline=request.deadline, earliest=chain.now):
        scene.send_request(request)


def test_request_without_refund_address_reverts(scene: Scene) -> None:
    """Refunds must have somewhere to go."""
    with reverts("RefundAddressInvalid"):
        scene.ask(refund_to=ZERO_ADDRESS)


@pytest.mark.parametrize("window_s", [60, PARAMETERS["maxWindowSeconds"]])
def test_request_with_window_at_limit_is_accepted(scene: Scene, window_s: int) -> None:
    """Both ends of the range belong to it."""
    assert scene.state_of(scene.ask(window_s=window_s)).status is Status.REQUESTED


@pytest.mark.parametrize("window_s", [0, 59, PARAMETERS["maxWindowSeconds"] + 1])
def test_request_with_window_out_of_range_reverts(scene: Scene, window_s: int) -> None:
    """A second outside the range is too much."""
    with reverts("WindowOutOfRange", window_seconds=window_s, minimum=60, maximum=PARAMETERS["maxWindowSeconds"]):
        scene.ask(window_s=window_s)


@pytest.mark.parametrize("lead_s", [0, _LIFETIME_S])
def test_request_with_deadline_at_limit_is_accepted(scene: Scene, chain: Chain, lead_s: int) -> None:
    """The deadline may be this very second, or one lifetime away."""
    assert scene.state_of(scene.ask(deadline=chain.now + lead_s)).status is Status.REQUESTED


@pytest.mark.parametrize("lead_s", [-1, _LIFETIME_S + 1])
def test_request_with_deadline_out_of_range_reverts(scene: Scene, chain: Chain, lead_s: int) -> None:
    """A deadline in the past, or beyond what any signer may promise, is refused."""
    now = chain.now
    with reverts("DeadlineOutOfRange", deadline=now + lead_s, earliest=now, latest=now + _LIFETIME_S):
        scene.ask(deadline=now + lead_s)


def test_request_with_callback_gas_at_limit_is_accepted(scene: Scene) -> None:
    """The limit itself can be asked for."""
    assert scene.state_of(scene.ask(callback_gas=2_000_000)).status is Status.REQUESTED


def test_request_with_too_much_callback_gas_reverts(scene: Scene) -> None:
    """More could not be guaranteed within one transaction."""
    with reverts("CallbackGasTooHigh", callback_gas=2_000_001, maximum=2_000_000):
        scene.ask(callback_gas=2_000_001)


def test_request_with_largest_input_is_accepted(scene: Scene) -> None:
    """The limit itself fits."""
    request = scene.make_request()

    scene.send_request(request, payload=b"\x01" * PARAMETERS["maxInputBytes"])

    assert scene.state_of(request).status is Status.REQUESTED


@pytest.mark.parametrize("size", [0, PARAMETERS["maxInputBytes"] + 1])
def test_request_with_empty_or_oversized_input_reverts(scene: Scene, size: int) -> None:
    """Inputs have at least a byte and at most the limit."""
    with reverts("InputSizeInvalid", length=size, maximum=PARAMETERS["maxInputBytes"]):
        scene.send_request(scene.make_request(), payload=b"\x01" * size)


def test_request_with_fee_beyond_80_bits_reverts(scene: Scene, system: System, requester: Account) -> None:
    """A fee has to fit an operator's packed earnings."""
    params = request_params_to_abi(scene.make_request())

    with reverts("FeeTooHigh", fee_wei=2**80):
        system.oracle.call("request", params, INPUT, by=requester, value_wei=2**80)


def test_request_ids_differ_in_every_field(scene: Scene, chain: Chain) -> None:
    """The id binds the content: no field can be swapped under an id for which somebody has signed."""
    request = scene.make_request()
    changes: dict[str, Any] = {
        "model_id": b"\x01" * 32,
        "input_root": b"\x02" * 32,
        "requester": ZERO_ADDRESS,
        "operator": ZERO_ADDRESS,
        "refund_to": ZERO_ADDRESS,
        "fee_wei": 1,
        "value_at_risk_wei": 1,
        "callback_gas": 1,
        "window_s": 61,
        "deadline": chain.now,
        "assurance": Assurance.PROVISIONAL,
        "salt": b"\x03" * 32,
    }

    ids = {scene.system.oracle.call("requestIdOf", replace(request, **{key: value})) for key, value in changes.items()}

    assert len(ids | {scene.id_of(request)}) == len(changes) + 1
