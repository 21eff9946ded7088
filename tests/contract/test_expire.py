from __future__ import annotations

from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain, Contract
from tests.support.scene import FEE_WEI, Scene

from sworn.types import Status


def test_expire_after_deadline_refunds_fee(scene: Scene, requester: Account) -> None:
    """Nobody answered: the whole fee comes back as a credit."""
    request = scene.ask()

    receipt = scene.expire(request)

    assert_emitted(receipt, "RequestExpired", request_id=scene.id_of(request))
    assert scene.state_of(request).status is Status.EXPIRED
    assert scene.credit_of(requester) == FEE_WEI


def test_expire_in_last_second_reverts(scene: Scene, chain: Chain, stranger: Account) -> None:
    """The deadline's second still belongs to the operator."""
    request = scene.ask()
    chain.travel(to=request.deadline)

    with reverts("DeadlineNotPassed", request_id=scene.id_of(request), deadline=request.deadline):
        scene.system.oracle.send("expire", request, by=stranger)


def test_expire_one_second_after_deadline_succeeds(scene: Scene, chain: Chain, stranger: Account) -> None:
    """There is no second in which a request can neither be answered nor expired."""
    request = scene.ask()
    chain.travel(to=request.deadline + 1)

    scene.system.oracle.send("expire", request, by=stranger)

    assert scene.state_of(request).status is Status.EXPIRED


def test_expire_twice_reverts(scene: Scene, requester: Account) -> None:
    """A fee is refunded once."""
    request = scene.ask()
    scene.expire(request)

    with reverts("StatusUnexpected", actual=Status.EXPIRED, expected=Status.REQUESTED):
        scene.expire(request)
    assert scene.credit_of(requester) == FEE_WEI


def test_expire_proposed_request_reverts(scene: Scene) -> None:
    """An answered request runs to its end, however late."""
    request = scene.ask()
    scene.propose(request)

    with reverts("StatusUnexpected", actual=Status.PROPOSED, expected=Status.REQUESTED):
        scene.expire(request)


def test_expire_unknown_request_reverts(scene: Scene, chain: Chain) -> None:
    """A made-up request has no fee to refund."""
    request = scene.make_request()

    with reverts("StatusUnexpected", actual=Status.NONE, expected=Status.REQUESTED):
        scene.expire(request)


def test_expire_credits_refund_address_and_not_requester(scene: Scene, requester: Account, challenger: Account) -> None:
    """A consumer that cannot take ether names somebody else."""
    scene.expire(scene.ask(refund_to=challenger.address))

    assert scene.credit_of(challenger) == FEE_WEI
    assert scene.credit_of(requester) == 0


def test_expire_reopened_request_keeps_to_extended_deadline(
    scene: Scene, chain: Chain, stranger: Account, requester: Account
) -> None:
    """Time spent on a refuted result is given back to those who still may answer."""
    request, lie = scene.ask_anyone(), scene.make_answer(1.0)
    scene.propose(request, lie)
    chain.travel(to=chain.now + 300)
    scene.convict_over(request, lie, scene.make_answer(2.0))
    extended = request.deadline + scene.state_of(request).extension_s
    chain.travel(to=extended)

    with reverts("DeadlineNotPassed", request_id=scene.id_of(request), deadline=extended):
        scene.system.oracle.send("expire", request, by=stranger)
    scene.expire(request)
    assert scene.credit_of(requester) == FEE_WEI


def test_expire_does_not_call_consumer(scene: Scene, puppet: Contract) -> None:
    """An expiry tells by its event only: it costs whoever expires as little as possible."""
    receipt = scene.expire(scene.ask(via=puppet))

    assert [event.name for event in receipt.events] == ["RequestExpired"]
