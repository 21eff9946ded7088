from __future__ import annotations

import pytest
from tests.support.accounts import Account
from tests.support.artifacts import Reverted, decode_revert
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain, Contract
from tests.support.scene import FEE_WEI, INPUT, STAKE_WEI, Scene
from tests.support.system import System

from sworn.codec.structs import request_params_to_abi
from sworn.types import Assurance, CallbackKind, FailureCode, Request, Status

_REVERT, _WASTE_GAS, _RETURN_BOMB = 1, 2, 3
_CALLBACK_GAS = 500_000
#: What the EVM itself takes on the way into the consumer, before `gasleft()` is read there.
_ENTRY_GAS = 3_000


@pytest.mark.parametrize("behaviour", [_REVERT, _WASTE_GAS, _RETURN_BOMB])
def test_callback_of_hostile_consumer_fails_alone(
    scene: Scene, puppet: Contract, operator: Account, stranger: Account, behaviour: int
) -> None:
    """Reverting, burning all gas or returning a bomb costs the consumer its callback, and nobody anything else."""
    puppet.send("behave", behaviour, by=stranger)
    request = scene.ask(via=puppet, callback_gas=_CALLBACK_GAS)

    receipt = scene.complete(request)

    assert_emitted(receipt, "CallbackFailed", request_id=scene.id_of(request), kind=CallbackKind.FINAL)
    assert receipt.gas_used < _CALLBACK_GAS + 100_000
    assert scene.account_of(operator) == (True, STAKE_WEI, 0, FEE_WEI)


@pytest.mark.parametrize("behaviour", [_REVERT, _WASTE_GAS, _RETURN_BOMB])
def test_callback_of_hostile_consumer_does_not_stop_proposal(
    scene: Scene, puppet: Contract, stranger: Account, behaviour: int
) -> None:
    """A provisional callback that fails leaves the proposal standing."""
    puppet.send("behave", behaviour, by=stranger)
    request = scene.ask(via=puppet, assurance=Assurance.PROVISIONAL)

    receipt = scene.propose(request)

    assert_emitted(receipt, "CallbackFailed", kind=CallbackKind.PROVISIONAL)
    state = scene.state_of(request)
    assert (state.status, state.pending) == (Status.PROPOSED, CallbackKind.PROVISIONAL)


def test_callback_gets_exactly_gas_that_was_asked_for(scene: Scene, puppet: Contract) -> None:
    """No less, and no more for a consumer to waste."""
    receipt = scene.complete(scene.ask(via=puppet, callback_gas=_CALLBACK_GAS))

    gas_left = assert_emitted(receipt, "ResultReceived").arguments["gasLeft"]
    assert _CALLBACK_GAS - _ENTRY_GAS < gas_left < _CALLBACK_GAS


def test_callback_at_gas_limit_gets_it_within_transaction_cap(scene: Scene, puppet: Contract) -> None:
    """The largest callback fits a transaction below the cap of EIP-7825."""
    receipt = scene.complete(scene.ask(via=puppet, callback_gas=2_000_000))

    assert assert_emitted(receipt, "ResultReceived").arguments["gasLeft"] > 2_000_000 - _ENTRY_GAS


def test_callback_under_too_little_gas_reverts_transaction(scene: Scene, puppet: Contract) -> None:
    """A relayer that sends too little cannot make a good callback fail: nothing happens at all."""
    request = scene.ask(via=puppet, callback_gas=_CALLBACK_GAS)
    scene.propose(request)
    scene.close_window(request)

    with reverts("GasTooLowForCallback", required=_CALLBACK_GAS * 64 // 63 + 20_000):
        scene.finalize(request, gas=_CALLBACK_GAS + 60_000)
    assert scene.state_of(request).status is Status.PROPOSED


def test_callback_under_least_sufficient_gas_succeeds(scene: Scene, chain: Chain, puppet: Contract) -> None:
    """Whatever the relayer sends, the callback either gets its whole gas or the transaction reverts."""
    request = scene.ask(via=puppet, callback_gas=_CALLBACK_GAS)
    scene.propose(request)
    scene.close_window(request)
    too_little, enough = _CALLBACK_GAS, _CALLBACK_GAS + 200_000
    while enough - too_little > 1:
        middle = (too_little + enough) // 2
        if _would_succeed(scene, request, gas=middle):
            enough = middle
        else:
            too_little = middle

    receipt = scene.finalize(request, gas=enough)

    gas_left = assert_emitted(receipt, "ResultReceived").arguments["gasLeft"]
    assert gas_left > _CALLBACK_GAS - _ENTRY_GAS


def test_callback_that_wastes_least_sufficient_gas_still_is_recorded(
    scene: Scene, puppet: Contract, stranger: Account
) -> None:
    """What is held back from the callback pays for recording its failure."""
    puppet.send("behave", _WASTE_GAS, by=stranger)
    request = scene.ask(via=puppet, callback_gas=_CALLBACK_GAS)
    scene.propose(request)
    scene.close_window(request)
    gas = _CALLBACK_GAS + 40_000
    while not _would_succeed(scene, request, gas=gas):
        gas += 200

    receipt = scene.finalize(request, gas=gas)

    assert_emitted(receipt, "CallbackFailed", kind=CallbackKind.FINAL)


def test_callback_may_make_next_request(scene: Scene, system: System, puppet: Contract, stranger: Account) -> None:
    """A consumer may ask its next question from inside the answer to the last."""
    following = scene.make_request(requester=puppet.address, fee_wei=0)
    data = system.oracle.encode("request", request_params_to_abi(following), INPUT)
    puppet.send("actOn", system.oracle, data, by=stranger)

    receipt = scene.complete(scene.ask(via=puppet))

    assert_emitted(receipt, "InferenceRequested", request_id=scene.id_of(following))
    assert scene.state_of(following).status is Status.REQUESTED


@pytest.mark.parametrize("function", ["propose", "finalize", "fail", "retryCallback", "withdrawFor"])
def test_callback_cannot_reenter_oracle(
    scene: Scene, system: System, puppet: Contract, operator: Account, stranger: Account, function: str
) -> None:
    """Inside a callback everything but a request and an expiry is closed, for any request."""
    other, answer = scene.ask(), scene.make_answer()
    arguments: dict[str, tuple[object, ...]] = {
        "propose": (other, answer, scene.sign_result(other, answer)),
        "finalize": (other, answer),
        "fail": (other, operator, 0, scene.sign_failure(other, FailureCode.BAD_INPUT)),
        "retryCallback": (other, answer),
        "withdrawFor": (operator,),
    }
    puppet.send("actOn", system.oracle, system.oracle.encode(function, *arguments[function]), by=stranger)

    scene.complete(scene.ask(via=puppet))

    assert puppet.call("actSucceeded") is False
    assert decode_revert(puppet.call("actReturned")).name == "ReentrancyGuardReentrantCall"


def test_callback_may_expire_other_request(
    scene: Scene, chain: Chain, system: System, puppet: Contract, stranger: Account
) -> None:
    """An expiry touches only its own request, and credits instead of sending."""
    other, request = scene.ask(deadline=chain.now + 100), scene.ask(via=puppet)
    puppet.send("actOn", system.oracle, system.oracle.encode("expire", other), by=stranger)

    scene.complete(request)

    assert scene.state_of(other).status is Status.EXPIRED


def test_callback_cannot_expire_its_own_request(
    scene: Scene, system: System, puppet: Contract, stranger: Account
) -> None:
    """The request that calls back has left the state in which it could expire."""
    request = scene.ask(via=puppet)
    puppet.send("actOn", system.oracle, system.oracle.encode("expire", request), by=stranger)

    scene.complete(request)

    assert puppet.call("actSucceeded") is False
    assert scene.state_of(request).status is Status.FINALIZED


def test_callback_cannot_convict_while_oracle_runs(
    scene: Scene, system: System, puppet: Contract, stranger: Account
) -> None:
    """A proof brought from inside a callback has to wait for the next transaction."""
    request = scene.ask(via=puppet, assurance=Assurance.PROVISIONAL)
    first, second = scene.make_answer(1.0), scene.make_answer(2.0)
    statements = (scene.swear(request, first), request, scene.swear(request, second), request)
    data = system.dispute_game.encode("proveEquivocation", *statements)
    puppet.send("actOn", system.dispute_game, data, by=stranger)

    scene.propose(request, first)

    assert puppet.call("actSucceeded") is False
    assert scene.state_of(request).status is Status.PROPOSED


def test_callback_to_account_without_code_succeeds(scene: Scene) -> None:
    """An account that asks needs no callback; calling it does no harm."""
    receipt = scene.complete(scene.ask(callback_gas=100_000))

    assert [event.name for event in receipt.events] == ["ResultFinalized"]


def test_callback_failed_while_provisional_is_replaced_by_final_one(
    scene: Scene, puppet: Contract, stranger: Account
) -> None:
    """Only the current callback counts: a final result makes a provisional one that failed moot."""
    puppet.send("behave", _REVERT, by=stranger)
    request = scene.ask(via=puppet, assurance=Assurance.PROVISIONAL)
    scene.propose(request)
    puppet.send("behave", 0, by=stranger)
    scene.close_window(request)

    receipt = scene.finalize(request)

    assert_emitted(receipt, "ResultReceived", is_final=True)
    assert scene.state_of(request).pending is CallbackKind.NONE


def _would_succeed(scene: Scene, request: Request, *, gas: int) -> bool:
    try:
        scene.system.oracle.call("finalize", request, scene.make_answer(), gas=gas)
    except Reverted:
        return False
    return True
