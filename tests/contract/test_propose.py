from __future__ import annotations

from sworn.types import Status

from tests.support.accounts import Account
from tests.support.assertions import assert_emitted
from tests.support.scene import BOND_WEI, STAKE_WEI, Scene


def test_propose_by_stranger_locks_bond(scene: Scene, operator: Account) -> None:
    """Anyone may relay a signed result; the operator's bond is locked behind it."""
    request, answer = scene.ask(), scene.make_answer()

    receipt = scene.propose(request, answer)

    assert_emitted(
        receipt,
        "ResultProposed",
        request_id=scene.id_of(request),
        operator=operator,
        result_id=scene.digest_of(request, answer),
        round=0,
        output=answer.output,
    )
    assert scene.state_of(request).status is Status.PROPOSED
    assert scene.account_of(operator) == (True, STAKE_WEI, BOND_WEI, 0)
