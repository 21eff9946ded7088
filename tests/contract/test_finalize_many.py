from __future__ import annotations

from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Contract, TransactionReceipt
from tests.support.scene import FEE_WEI, STAKE_WEI, Scene
from tests.support.system import System

from sworn.types import Request, Status


def test_finalize_many_due_results_finalizes_all(scene: Scene, operator: Account) -> None:
    """A batch does what its single calls would."""
    requests = _proposed(scene, 3)

    receipt = _finalize_many(scene, requests)

    assert receipt.returned == 3
    assert [event.name for event in receipt.events] == ["ResultFinalized"] * 3
    assert scene.account_of(operator) == (True, STAKE_WEI, 0, 3 * FEE_WEI)


def test_finalize_many_nothing_finalizes_nothing(scene: Scene) -> None:
    """An empty batch is no error."""
    assert _finalize_many(scene, []).returned == 0


def test_finalize_many_with_results_not_due_skips_them(scene: Scene) -> None:
    """Finalized, waiting, open and unknown ones do not spoil a batch."""
    finalized, due = _proposed(scene, 2)
    scene.finalize(finalized)
    waiting, unknown, young = scene.ask(), scene.make_request(), scene.ask()
    scene.propose(young)

    receipt = _finalize_many(scene, [finalized, waiting, unknown, young, due])

    assert receipt.returned == 1
    assert_emitted(receipt, "ResultFinalized", request_id=scene.id_of(due))
    assert scene.state_of(young).status is Status.PROPOSED


def test_finalize_many_with_wrong_answer_skips_it(scene: Scene) -> None:
    """An answer that has been replaced since is stale, too."""
    requests = _proposed(scene, 2)
    answers = [scene.make_answer(2.0), scene.make_answer(1.0)]

    receipt = scene.system.oracle.send("finalizeMany", requests, answers, by=scene.cast.stranger)

    assert receipt.returned == 1
    assert scene.state_of(requests[0]).status is Status.PROPOSED


def test_finalize_many_with_one_request_twice_pays_once(scene: Scene, operator: Account) -> None:
    """A duplicate inside a batch is stale."""
    (request,) = _proposed(scene, 1)

    assert _finalize_many(scene, [request, request]).returned == 1
    assert scene.account_of(operator).earned_wei == FEE_WEI


def test_finalize_many_with_lists_of_different_length_reverts(system: System, scene: Scene, stranger: Account) -> None:
    """Every request needs its answer."""
    with reverts("BatchLengthMismatch"):
        system.oracle.send("finalizeMany", [scene.make_request()], [], by=stranger)


def test_finalize_many_with_failing_consumer_finalizes_the_rest(
    scene: Scene, puppet: Contract, stranger: Account
) -> None:
    """A hostile consumer harms only itself."""
    puppet.send("behave", 2, by=stranger)
    hostile, other = scene.ask(via=puppet), scene.ask()
    for request in (hostile, other):
        scene.propose(request)
    scene.close_window(other)

    receipt = _finalize_many(scene, [hostile, other])

    assert receipt.returned == 2
    assert_emitted(receipt, "CallbackFailed", request_id=scene.id_of(hostile))


def _proposed(scene: Scene, number: int) -> list[Request]:
    requests = [scene.ask() for _ in range(number)]
    for request in requests:
        scene.propose(request)
    scene.close_window(requests[-1])
    return requests


def _finalize_many(scene: Scene, requests: list[Request]) -> TransactionReceipt:
    answers = [scene.make_answer() for _ in requests]
    return scene.system.oracle.send("finalizeMany", requests, answers, by=scene.cast.stranger)
