from __future__ import annotations

from typing import Any

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, assert_silent, reverts
from tests.support.chain import Chain, Contract, TransactionReceipt
from tests.support.scene import INPUT, Scene

from sworn.codec.structs import request_params_to_abi
from sworn.types import ZERO_ADDRESS, ZERO_HASH, Assurance, CallbackKind, FailureCode, Request, Status

NOTES = ("ResultNoted", "ProvisionalNoted", "RefutationNoted", "FailureNoted")


@pytest.fixture
def consumer(chain: Chain, scene: Scene, deployer: Account) -> Contract:
    """A contract that notes what reaches the hooks of `InferenceConsumer`."""
    return chain.deploy("NotingConsumer", scene.system.oracle, by=deployer)


def ask_through(consumer: Contract, scene: Scene, **changes: Any) -> tuple[Request, TransactionReceipt]:
    """A request that a consumer has made."""
    request = scene.make_request(requester=consumer.address, **changes)
    arguments = (request_params_to_abi(request), INPUT)
    receipt = consumer.send("ask", *arguments, by=scene.cast.requester, value_wei=request.fee_wei)
    return request, receipt


def test_request_through_consumer_pays_fee(consumer: Contract, scene: Scene) -> None:
    """The consumer becomes the requester, its ether the fee, and it learns the request's id."""
    request, receipt = ask_through(consumer, scene)

    assert receipt.returned == scene.id_of(request)
    assert_emitted(receipt, "InferenceRequested", request_id=scene.id_of(request))
    assert scene.state_of(request).status is Status.REQUESTED
    assert scene.chain.balance(scene.system.oracle) == request.fee_wei


def test_final_result_reaches_result_hook(consumer: Contract, scene: Scene) -> None:
    """With assurance final only the final result is told, with the request's salt."""
    request, _ = ask_through(consumer, scene)

    assert_silent(scene.propose(request), *NOTES)
    scene.close_window(request)
    receipt = scene.finalize(request)

    output = scene.make_answer().output
    assert_emitted(receipt, "ResultNoted", request_id=scene.id_of(request), salt=request.salt, output=output)
    assert_silent(receipt, "CallbackFailed", *NOTES[1:])


def test_provisional_result_reaches_both_hooks(consumer: Contract, scene: Scene) -> None:
    """With assurance provisional the result is told twice, each time to its own hook."""
    request, _ = ask_through(consumer, scene, assurance=Assurance.PROVISIONAL)
    answer = scene.make_answer()

    proposed = scene.propose(request)
    scene.close_window(request)
    finalized = scene.finalize(request)

    told = {"request_id": scene.id_of(request), "salt": request.salt, "output": answer.output}
    assert_emitted(proposed, "ProvisionalNoted", result_id=scene.digest_of(request, answer), round=0, **told)
    assert_silent(proposed, "ResultNoted", "CallbackFailed")
    assert_emitted(finalized, "ResultNoted", **told)
    assert_silent(finalized, "ProvisionalNoted", "CallbackFailed")


@pytest.mark.parametrize("named", [True, False], ids=["named", "open"])
def test_refutation_reaches_refutation_hook(consumer: Contract, scene: Scene, named: bool) -> None:
    """A provisional result that is refuted is told to the refutation hook, and whether others may still answer."""
    operator = scene.cast.operator.address if named else ZERO_ADDRESS
    request, _ = ask_through(consumer, scene, assurance=Assurance.PROVISIONAL, operator=operator)
    scene.propose(request)

    receipt = scene.convict_over(request, scene.make_answer(), scene.make_answer(2.0))

    assert_emitted(receipt, "RefutationNoted", salt=request.salt, round=1, reopened=not named)
    assert_silent(receipt, "CallbackFailed", "ResultNoted", "ProvisionalNoted", "FailureNoted")


@pytest.mark.parametrize("code", list(FailureCode), ids=lambda code: code.name.lower())
def test_failure_reaches_failure_hook(consumer: Contract, scene: Scene, code: FailureCode) -> None:
    """The named operator's failure is told with its code."""
    request, _ = ask_through(consumer, scene)

    receipt = scene.fail(request, code)

    assert_emitted(receipt, "FailureNoted", request_id=scene.id_of(request), salt=request.salt, code=code)
    assert_silent(receipt, "CallbackFailed", *NOTES[:3])


@pytest.mark.parametrize("contract", ["NotingConsumer", "PlainConsumer"])
def test_callbacks_by_anyone_else_revert(
    chain: Chain, scene: Scene, deployer: Account, stranger: Account, contract: str
) -> None:
    """Nobody but the oracle is believed, not even the consumer itself or its deployer."""
    consumer = chain.deploy(contract, scene.system.oracle, by=deployer)
    calls = {
        "onInferenceResult": (ZERO_HASH, ZERO_HASH, ZERO_HASH, 0, True, b""),
        "onInferenceRefuted": (ZERO_HASH, ZERO_HASH, 1, False),
        "onInferenceFailed": (ZERO_HASH, ZERO_HASH, FailureCode.BAD_INPUT),
    }
    for function, arguments in calls.items():
        for caller in (stranger, deployer, consumer, scene.system.dispute_game):
            with reverts("CallerNotOracle", caller=caller):
                consumer.call(function, *arguments, by=caller)
        consumer.call(function, *arguments, by=scene.system.oracle)


def test_consumer_without_optional_hooks_accepts_all(chain: Chain, scene: Scene, deployer: Account) -> None:
    """A consumer that writes only the result hook gets every other notice without failing."""
    consumer = chain.deploy("PlainConsumer", scene.system.oracle, by=deployer)
    request, _ = ask_through(consumer, scene, assurance=Assurance.PROVISIONAL, operator=ZERO_ADDRESS)
    failed, _ = ask_through(consumer, scene)

    receipts = [
        scene.fail(failed),
        scene.propose(request),
        scene.convict_over(request, scene.make_answer(), scene.make_answer(2.0)),
        scene.propose(request, answer := scene.make_answer(operator=scene.cast.rival)),
    ]
    scene.close_window(request)
    final = scene.finalize(request, answer)

    for receipt in [*receipts, final]:
        assert_silent(receipt, "CallbackFailed")
    assert_emitted(final, "ResultNoted", salt=request.salt, output=answer.output)
    assert scene.state_of(request).pending is CallbackKind.NONE
