"""What stake pays for a conviction, when, and how nobody gets out of it."""

from __future__ import annotations

from contextlib import suppress

from tests.support.accounts import Account
from tests.support.artifacts import Reverted
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Statement, TransactionReceipt
from tests.support.scene import BOND_WEI, STAKE_WEI, Scene
from tests.support.system import ETHER, PARAMETERS, System

from sworn.types import Address, Request, Status

_BURN_ADDRESS = Address("0x000000000000000000000000000000000000dEaD")
_MIN_BOND_WEI = PARAMETERS["minBondWei"]
_REVERT = 1


def test_conviction_collects_rest_when_stake_is_free_again(scene: Scene, operator: Account) -> None:
    """What stake could not pay at once is collected by the same proof, in full and no more."""
    request, lie = scene.ask(value_at_risk_wei=ETHER), scene.make_answer(1.0)
    scene.complete(request, lie)
    shelter = scene.ask(value_at_risk_wei=(STAKE_WEI - ETHER) // 2, input_root=b"\x01" * 32)
    scene.propose(shelter)
    first = _convict_anew(scene, request)
    scene.close_window(shelter)
    scene.finalize(shelter)

    second = _convict_anew(scene, request)

    assert_emitted(first, "EquivocationProven", slashed_wei=ETHER)
    assert_emitted(second, "EquivocationProven", slashed_wei=ETHER)
    with reverts("AlreadyConvicted", operator=operator):
        _convict_anew(scene, request)


def test_conviction_takes_unbonding_stake(scene: Scene, system: System, operator: Account) -> None:
    """Stake on its way out still answers for what was sworn."""
    system.operator_registry.send("unbond", 2**256 - 1, by=operator)

    scene.convict_over(scene.ask(), scene.make_answer(1.0), scene.make_answer(2.0))

    assert scene.account_of(operator) == (True, STAKE_WEI - BOND_WEI, STAKE_WEI - BOND_WEI, 0)
    assert system.operator_registry.call("unbondingOf", operator)[0] == STAKE_WEI - BOND_WEI


def test_conviction_takes_free_stake_before_unbonding_stake(scene: Scene, system: System, operator: Account) -> None:
    """What stays pays before what leaves, and together they pay in full."""
    system.operator_registry.send("unbond", STAKE_WEI - BOND_WEI // 2, by=operator)

    scene.convict_over(scene.ask(), scene.make_answer(1.0), scene.make_answer(2.0))

    left_wei = STAKE_WEI - BOND_WEI
    assert scene.account_of(operator) == (True, left_wei, left_wei, 0)
    assert system.operator_registry.call("unbondingOf", operator)[0] == left_wei


def test_conviction_never_takes_bond_behind_other_result(scene: Scene, operator: Account) -> None:
    """Another requester's collateral is not used up."""
    other = scene.ask(value_at_risk_wei=(STAKE_WEI - _MIN_BOND_WEI) // 2, input_root=b"\x01" * 32)
    scene.propose(other)

    receipt = scene.convict_over(scene.ask(), scene.make_answer(1.0), scene.make_answer(2.0))

    assert_emitted(receipt, "EquivocationProven", slashed_wei=_MIN_BOND_WEI)
    account = scene.account_of(operator)
    assert account.locked_wei == account.stake_wei == STAKE_WEI - _MIN_BOND_WEI


def test_conviction_over_made_up_request_reverts(scene: Scene, operator: Account) -> None:
    """An operator cannot get stake out by convicting itself over a request that nobody made."""
    request = scene.make_request()

    with reverts("RequestNotMade", request_id=scene.id_of(request)):
        scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))

    assert scene.account_of(operator).stake_wei == STAKE_WEI


def test_conviction_off_chain_compensates_nobody_at_once(scene: Scene, requester: Account) -> None:
    """Each statement costs the smallest bond; only uses have victims, compensated from their own bonds."""
    statements = [scene.swear_to(scene.make_offchain_result(value)) for value in (1.0, 2.0)]
    request = scene.make_request()

    receipt = scene.convict(*statements, requests=(request, request))

    assert_emitted(receipt, "EquivocationProven", slashed_wei=2 * _MIN_BOND_WEI)
    shares = [event.arguments for event in receipt.events if event.name == "SlashShared"]
    assert [(share["compensationWei"], share["burntWei"]) for share in shares] == [(0, _MIN_BOND_WEI * 7 // 10)] * 2
    assert scene.reward_of(requester) == 0


def test_conviction_after_finalization_covers_value_at_risk_whatever_else_is_shown(
    scene: Scene, operator: Account, requester: Account
) -> None:
    """An operator cannot settle a dear lie by convicting itself with a cheap statement in front."""
    request, lie = scene.ask(value_at_risk_wei=ETHER), scene.make_answer(1.0)
    scene.complete(request, lie)
    cheap = scene.ask(value_at_risk_wei=0, refund_to=operator.address)
    cheap_first = (scene.swear(cheap, scene.make_answer(2.0)), scene.swear(request, lie))

    scene.convict(*cheap_first, requests=(cheap, request), by=operator)

    assert STAKE_WEI - scene.account_of(operator).stake_wei >= 2 * ETHER
    assert scene.reward_of(requester) == ETHER


def test_conviction_without_reachable_stake_can_be_brought_again(scene: Scene, operator: Account) -> None:
    """An operator cannot have itself convicted for nothing while all of its stake is locked elsewhere."""
    request, lie = scene.ask(value_at_risk_wei=ETHER), scene.make_answer(1.0)
    scene.complete(request, lie)
    shelter = scene.ask(value_at_risk_wei=STAKE_WEI // 2, input_root=b"\x01" * 32)
    scene.propose(shelter)
    _try_convict(scene, request)
    scene.close_window(shelter)
    scene.finalize(shelter)

    _try_convict(scene, request)

    assert scene.account_of(operator).stake_wei == STAKE_WEI - 2 * ETHER


def test_conviction_over_request_not_yet_made_does_not_block_it(
    scene: Scene, system: System, stranger: Account
) -> None:
    """Nobody can spoil a request that is on its way by convicting a straw operator over its preimage."""
    request = scene.make_request()
    system.operator_registry.send("register", "", by=stranger)
    system.operator_registry.send("authorizeSigner", stranger, by=stranger)
    answers = [scene.make_answer(value, operator=stranger) for value in (1.0, 2.0)]
    results = [scene.result_of(request, answer) for answer in answers]
    statements = [Statement(result=result, signature=scene.sign(result, signer=stranger)) for result in results]
    with suppress(Reverted):
        scene.convict(*statements, requests=(request, request))

    scene.send_request(request)

    assert scene.state_of(request).status is Status.REQUESTED


def _convict_anew(scene: Scene, request: Request) -> TransactionReceipt:
    return scene.convict_over(request, scene.make_answer(1.0), scene.make_answer(2.0))


def _try_convict(scene: Scene, request: Request) -> None:
    # Whether a conviction that can take nothing reverts or is only not final is left open.
    with suppress(Reverted):
        _convict_anew(scene, request)
