from __future__ import annotations

from dataclasses import replace

from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, assert_silent, reverts
from tests.support.chain import Chain, Contract
from tests.support.scene import BOND_WEI, FEE_WEI, STAKE_WEI, WINDOW_S, Scene

from sworn.types import CallbackKind, Status


def test_finalize_after_window_pays_operator_and_frees_bond(scene: Scene, operator: Account) -> None:
    """Nobody refuted the result in time: it stands."""
    request, answer = scene.ask(), scene.make_answer()

    receipt = scene.complete(request, answer)

    assert_emitted(
        receipt,
        "ResultFinalized",
        request_id=scene.id_of(request),
        operator=operator,
        result_id=scene.digest_of(request, answer),
    )
    assert scene.state_of(request).status is Status.FINALIZED
    assert scene.account_of(operator) == (True, STAKE_WEI, 0, FEE_WEI)


def test_finalize_calls_consumer_with_final_result(scene: Scene, puppet: Contract) -> None:
    """The consumer gets the output, and what it needs to know what it was for."""
    request, answer = scene.ask(via=puppet), scene.make_answer()

    receipt = scene.complete(request, answer)

    assert_emitted(
        receipt,
        "ResultReceived",
        request_id=scene.id_of(request),
        salt=request.salt,
        result_id=scene.digest_of(request, answer),
        round=0,
        is_final=True,
        output=answer.output,
    )


def test_finalize_without_callback_gas_calls_nobody(scene: Scene, puppet: Contract) -> None:
    """No gas asked for, no callback."""
    receipt = scene.complete(scene.ask(via=puppet, callback_gas=0))

    assert_silent(receipt, "ResultReceived", "CallbackFailed")


def test_finalize_in_windows_last_second_reverts(scene: Scene, chain: Chain) -> None:
    """The window's last second still belongs to who wants to refute."""
    request = scene.ask()
    proposed_at = scene.propose(request).timestamp
    chain.travel(to=proposed_at + WINDOW_S)

    with reverts("WindowOpen", request_id=scene.id_of(request), closes_at=proposed_at + WINDOW_S):
        scene.finalize(request)


def test_finalize_one_second_after_window_succeeds(scene: Scene, chain: Chain) -> None:
    """The next second is the first in which a result can be final."""
    request = scene.ask()
    proposed_at = scene.propose(request).timestamp
    chain.travel(to=proposed_at + WINDOW_S + 1)

    scene.finalize(request)

    assert scene.state_of(request).status is Status.FINALIZED


def test_finalize_without_proposal_reverts(scene: Scene) -> None:
    """There is nothing to finalize yet."""
    request = scene.ask()

    with reverts("StatusUnexpected", actual=Status.REQUESTED, expected=Status.PROPOSED):
        scene.finalize(request)


def test_finalize_twice_reverts(scene: Scene) -> None:
    """An operator is paid once."""
    request = scene.ask()
    scene.complete(request)

    with reverts("StatusUnexpected", actual=Status.FINALIZED, expected=Status.PROPOSED):
        scene.finalize(request)


def test_finalize_with_other_output_reverts(scene: Scene) -> None:
    """The relayer cannot put another output into the callback."""
    request = scene.ask()
    scene.propose(request)
    scene.close_window(request)
    other = scene.make_answer(2.0)

    with reverts(
        "ResultMismatch",
        request_id=scene.id_of(request),
        result_id=scene.digest_of(request, other),
        proposed_tag=scene.digest_of(request, scene.make_answer())[:20],
    ):
        scene.finalize(request, other)


def test_finalize_with_other_operator_reverts(scene: Scene, rival: Account) -> None:
    """Nobody else can take the fee."""
    request = scene.ask_anyone()
    scene.propose(request)
    scene.close_window(request)

    with reverts("ResultMismatch"):
        scene.finalize(request, replace(scene.make_answer(), operator=rival.address))


def test_finalize_long_after_deadline_succeeds(scene: Scene, chain: Chain) -> None:
    """The deadline limits proposals only."""
    request = scene.ask()
    scene.propose(request)
    chain.travel(to=request.deadline + 10_000_000)

    scene.finalize(request)

    assert scene.state_of(request).status is Status.FINALIZED


def test_finalize_emits_one_state_change(scene: Scene) -> None:
    """One event per state change: replaying the logs rebuilds the state."""
    receipt = scene.complete(scene.ask())

    assert [event.name for event in receipt.events] == ["ResultFinalized"]


def test_finalize_with_failing_consumer_still_pays_operator(
    scene: Scene, puppet: Contract, operator: Account, stranger: Account
) -> None:
    """Whatever the consumer does, the operator has earned its fee."""
    puppet.send("behave", 1, by=stranger)
    request = scene.ask(via=puppet)

    receipt = scene.complete(request)

    assert_emitted(receipt, "CallbackFailed", request_id=scene.id_of(request), kind=CallbackKind.FINAL)
    assert scene.state_of(request).pending is CallbackKind.FINAL
    assert scene.account_of(operator) == (True, STAKE_WEI, 0, FEE_WEI)


def test_finalize_pays_operator_before_consumer_runs(
    scene: Scene, puppet: Contract, operator: Account, stranger: Account
) -> None:
    """Inside the callback the bond is free and the fee is earned."""
    registry = scene.system.operator_registry
    puppet.send("actOn", registry, registry.encode("accountOf", operator), by=stranger)

    scene.complete(scene.ask(via=puppet))

    seen = registry.kind.decode("accountOf", puppet.call("actReturned"))
    assert seen == (True, STAKE_WEI, 0, FEE_WEI)


def test_finalize_of_several_requests_frees_each_bond_once(scene: Scene, operator: Account) -> None:
    """Bonds do not leak between requests."""
    requests = [scene.ask(), scene.ask()]
    for request in requests:
        scene.propose(request)
    scene.close_window(requests[-1])

    scene.finalize(requests[0])

    assert scene.account_of(operator) == (True, STAKE_WEI, BOND_WEI, FEE_WEI)
