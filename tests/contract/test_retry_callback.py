from __future__ import annotations

from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Contract, TransactionReceipt
from tests.support.scene import Scene

from sworn.types import Assurance, CallbackKind, FailureCode, Request

_ACCEPT, _REVERT = 0, 1
_GAS = 1_000_000


def test_retry_of_final_callback_delivers_result(scene: Scene, puppet: Contract, stranger: Account) -> None:
    """A consumer that recovers gets its answer after all, from whoever retries."""
    request = _failed_final(scene, puppet)
    puppet.send("behave", _ACCEPT, by=stranger)

    receipt = _retry(scene, request)

    assert_emitted(receipt, "CallbackRetried", request_id=scene.id_of(request), kind=CallbackKind.FINAL)
    assert_emitted(receipt, "ResultReceived", is_final=True, output=scene.make_answer().output)
    assert scene.state_of(request).pending is CallbackKind.NONE


def test_retry_gives_more_gas_than_was_asked_for(scene: Scene, puppet: Contract, stranger: Account) -> None:
    """Who retries pays for the gas, so a callback that needed more can get it."""
    request = _failed_final(scene, puppet)
    puppet.send("behave", _ACCEPT, by=stranger)

    receipt = _retry(scene, request, gas=3_000_000)

    assert assert_emitted(receipt, "ResultReceived").arguments["gasLeft"] > 2_500_000


def test_retry_twice_reverts(scene: Scene, puppet: Contract, stranger: Account) -> None:
    """A callback succeeds once."""
    request = _failed_final(scene, puppet)
    puppet.send("behave", _ACCEPT, by=stranger)
    _retry(scene, request)

    with reverts("CallbackNotPending", request_id=scene.id_of(request)):
        _retry(scene, request)


def test_retry_without_failure_reverts(scene: Scene, puppet: Contract) -> None:
    """A callback that succeeded is not repeated."""
    request = scene.ask(via=puppet)
    scene.complete(request)

    with reverts("CallbackNotPending", request_id=scene.id_of(request)):
        _retry(scene, request)


def test_retry_of_unknown_request_reverts(scene: Scene) -> None:
    """A made-up request has no callback."""
    with reverts("CallbackNotPending"):
        _retry(scene, scene.make_request())


def test_retry_that_fails_again_changes_nothing(scene: Scene, puppet: Contract) -> None:
    """It can still be retried later."""
    request = _failed_final(scene, puppet)

    with reverts("CallbackStillFailing", request_id=scene.id_of(request)):
        _retry(scene, request)
    assert scene.state_of(request).pending is CallbackKind.FINAL


def test_retry_with_other_output_reverts(scene: Scene, puppet: Contract, stranger: Account) -> None:
    """The retrier cannot change the answer."""
    request = _failed_final(scene, puppet)
    puppet.send("behave", _ACCEPT, by=stranger)

    with reverts("ResultMismatch", request_id=scene.id_of(request)):
        scene.system.oracle.send("retryCallback", request, scene.make_answer(2.0), by=stranger)


def test_retry_with_less_gas_than_asked_for_reverts(scene: Scene, puppet: Contract, stranger: Account) -> None:
    """A retry cannot be weaker than the callback that was paid for."""
    request = _failed_final(scene, puppet)
    puppet.send("behave", _ACCEPT, by=stranger)

    with reverts("GasTooLowForCallback"):
        _retry(scene, request, gas=request.callback_gas + 50_000)


def test_retry_of_provisional_callback_delivers_result(scene: Scene, puppet: Contract, stranger: Account) -> None:
    """As long as the result is in its window, the notice is a provisional one."""
    puppet.send("behave", _REVERT, by=stranger)
    request = scene.ask(via=puppet, assurance=Assurance.PROVISIONAL)
    scene.propose(request)
    puppet.send("behave", _ACCEPT, by=stranger)

    receipt = _retry(scene, request)

    assert_emitted(receipt, "CallbackRetried", kind=CallbackKind.PROVISIONAL)
    assert_emitted(receipt, "ResultReceived", is_final=False)


def test_retry_of_failure_notice_delivers_code(scene: Scene, puppet: Contract, stranger: Account) -> None:
    """The code is kept in the slot; no answer is needed."""
    puppet.send("behave", _REVERT, by=stranger)
    request = scene.ask(via=puppet)
    scene.fail(request, FailureCode.LIMIT_EXCEEDED)
    puppet.send("behave", _ACCEPT, by=stranger)

    receipt = _retry(scene, request)

    assert_emitted(receipt, "CallbackRetried", kind=CallbackKind.FAILED)
    assert_emitted(receipt, "FailureReceived", salt=request.salt, code=FailureCode.LIMIT_EXCEEDED)


def test_retry_of_refutation_notice_of_ended_request_says_so(scene: Scene, puppet: Contract, stranger: Account) -> None:
    """A named operator's refuted result ends the request."""
    request = _failed_refutation(scene, puppet)
    puppet.send("behave", _ACCEPT, by=stranger)

    receipt = _retry(scene, request)

    assert_emitted(receipt, "CallbackRetried", kind=CallbackKind.REFUTED)
    assert_emitted(receipt, "RefutationReceived", round=1, reopened=False)


def test_retry_of_refutation_notice_of_open_request_says_so(scene: Scene, puppet: Contract, stranger: Account) -> None:
    """While others may still answer, the notice says that the request is open again."""
    request = _failed_refutation(scene, puppet, open_request=True)
    puppet.send("behave", _ACCEPT, by=stranger)

    receipt = _retry(scene, request)

    assert_emitted(receipt, "RefutationReceived", round=1, reopened=True)


def test_retry_of_refutation_notice_after_new_proposal_is_moot(
    scene: Scene, puppet: Contract, rival: Account, stranger: Account
) -> None:
    """Only the current round's callback can be repeated."""
    request = _failed_refutation(scene, puppet, open_request=True)
    puppet.send("behave", _ACCEPT, by=stranger)
    answer = scene.make_answer(3.0, operator=rival)

    receipt = scene.propose(request, answer)

    assert_emitted(receipt, "ResultReceived", round=1, is_final=False)
    with reverts("CallbackNotPending"):
        _retry(scene, request)


def test_retry_cannot_reenter(scene: Scene, puppet: Contract, stranger: Account) -> None:
    """A callback that retries itself does not get a second delivery."""
    request = _failed_final(scene, puppet)
    oracle = scene.system.oracle
    puppet.send("actOn", oracle, oracle.encode("retryCallback", request, scene.make_answer()), by=stranger)

    receipt = _retry(scene, request)

    assert_emitted(receipt, "ResultReceived")
    assert puppet.call("actSucceeded") is False


def _failed_final(scene: Scene, puppet: Contract) -> Request:
    puppet.send("behave", _REVERT, by=scene.cast.stranger)
    request = scene.ask(via=puppet)
    scene.complete(request)
    return request


def _failed_refutation(scene: Scene, puppet: Contract, *, open_request: bool = False) -> Request:
    ask = scene.ask_anyone if open_request else scene.ask
    request = ask(via=puppet, assurance=Assurance.PROVISIONAL)
    scene.propose(request, scene.make_answer(1.0))
    puppet.send("behave", _REVERT, by=scene.cast.stranger)
    scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))
    assert scene.state_of(request).pending is CallbackKind.REFUTED
    return request


def _retry(scene: Scene, request: Request, *, gas: int = _GAS) -> TransactionReceipt:
    return scene.system.oracle.send("retryCallback", request, scene.make_answer(), by=scene.cast.stranger, gas=gas)
