from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain, Contract, TransactionReceipt
from tests.support.scene import BOND_WEI, Scene
from tests.support.system import System

from sworn.types import ZERO_ADDRESS, Answer, Assurance, Request, Status


def test_propose_many_fresh_requests_proposes_all(scene: Scene, operator: Account) -> None:
    """A batch does what its single calls would."""
    requests = [scene.ask() for _ in range(3)]

    receipt = _propose_many(scene, requests)

    assert receipt.returned == 3
    assert [event.name for event in receipt.events] == ["ResultProposed"] * 3
    assert {scene.state_of(request).status for request in requests} == {Status.PROPOSED}
    assert scene.account_of(operator).locked_wei == 3 * BOND_WEI


def test_propose_many_nothing_proposes_nothing(scene: Scene) -> None:
    """An empty batch is no error."""
    assert _propose_many(scene, []).returned == 0


def test_propose_many_with_stale_requests_skips_them(scene: Scene, chain: Chain) -> None:
    """Somebody else's earlier relay, an expiry, a passed deadline or a made-up request do not spoil a batch."""
    proposed, expired = scene.ask(), scene.ask(deadline=chain.now + 5)
    scene.propose(proposed)
    scene.expire(expired)
    late, unknown, fresh = scene.ask(deadline=chain.now + 1), scene.make_request(), scene.ask()
    chain.travel(to=late.deadline + 1)

    receipt = _propose_many(scene, [proposed, expired, late, unknown, fresh])

    assert receipt.returned == 1
    assert_emitted(receipt, "ResultProposed", request_id=scene.id_of(fresh))
    assert scene.state_of(late).status is Status.REQUESTED


def test_propose_many_with_one_request_twice_skips_second(scene: Scene, operator: Account) -> None:
    """A duplicate inside a batch locks one bond, not two."""
    request = scene.ask()

    assert _propose_many(scene, [request, request]).returned == 1
    assert scene.account_of(operator).locked_wei == BOND_WEI


def test_propose_many_with_bad_signature_reverts(scene: Scene, stranger: Account) -> None:
    """A wrong signature is the relayer's own mistake and not a matter of timing."""
    requests, answer = [scene.ask(), scene.ask()], scene.make_answer()
    signatures = [scene.sign_result(requests[0], answer), scene.sign_result(requests[1], answer, signer=stranger)]

    with reverts("SignerNotAuthorized", signer=stranger, not_after=0):
        scene.system.oracle.send("proposeMany", requests, [answer, answer], signatures, by=stranger)


def test_propose_many_with_lists_of_different_length_reverts(system: System, scene: Scene, stranger: Account) -> None:
    """Every request needs its answer and its signature."""
    request, answer = scene.ask(), scene.make_answer()
    signature = scene.sign_result(request, answer)

    lists: list[tuple[list[Any], ...]] = [
        ([request], [], [signature]),
        ([request], [answer], []),
        ([], [answer], [signature]),
    ]
    for arguments in lists:
        with reverts("BatchLengthMismatch"):
            system.oracle.send("proposeMany", *arguments, by=stranger)


def test_propose_many_by_several_operators_locks_each_ones_bond(
    scene: Scene, operator: Account, rival: Account
) -> None:
    """A relayer may batch results of different operators."""
    requests = [scene.ask(), scene.ask(operator=ZERO_ADDRESS)]

    _propose_many(scene, requests, [scene.make_answer(), scene.make_answer(operator=rival)])

    assert scene.account_of(operator).locked_wei == BOND_WEI
    assert scene.account_of(rival).locked_wei == BOND_WEI


def test_propose_many_with_reverting_consumer_proposes_the_rest(
    scene: Scene, puppet: Contract, stranger: Account
) -> None:
    """A hostile consumer harms only itself."""
    puppet.send("behave", 1, by=stranger)
    hostile, other = scene.ask(via=puppet, assurance=Assurance.PROVISIONAL), scene.ask()

    receipt = _propose_many(scene, [hostile, other])

    assert receipt.returned == 2
    assert_emitted(receipt, "CallbackFailed", request_id=scene.id_of(hostile))


def test_propose_many_beyond_stake_reverts(scene: Scene, operator: Account) -> None:
    """A batch cannot lock more than there is."""
    big = scene.make_request().value_at_risk_wei * 60
    requests = [scene.ask(value_at_risk_wei=big) for _ in range(2)]

    with reverts("FreeStakeTooLow", operator=operator):
        _propose_many(scene, requests)


def test_propose_many_with_answer_of_other_operator_reverts(scene: Scene, rival: Account) -> None:
    """Named requests stay named inside a batch."""
    request = scene.ask()
    answer = replace(scene.make_answer(), operator=rival.address)

    with reverts("OperatorNotNamed", operator=rival):
        _propose_many(scene, [request], [answer])


def _propose_many(scene: Scene, requests: list[Request], answers: list[Answer] | None = None) -> TransactionReceipt:
    answers = answers or [scene.make_answer() for _ in requests]
    signatures = [scene.sign_result(*pair) for pair in zip(requests, answers, strict=True)]
    return scene.system.oracle.send("proposeMany", requests, answers, signatures, by=scene.cast.stranger)
