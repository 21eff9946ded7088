from __future__ import annotations

from typing import Any

import pytest
from tests.support.accounts import Account
from tests.support.artifacts import decode_revert
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain, Contract
from tests.support.court import BOND_WEI as CHALLENGE_WEI
from tests.support.court import SALT, Court, ShownTrace, Target, try_offchain_result, try_result
from tests.support.scene import BOND_WEI, FEE_WEI, Scene
from tests.support.system import ETHER, System

from sworn.types import Assurance, CallbackKind, DisputeStatus, Part, Status

TRACE = ShownTrace([b"\x01" * 128, b"\x02" * 64])
CHUNKS: Target = (Part.CHUNKS, 0, 0, 0)
_REVERT, _WASTE_GAS, _RETURN_BOMB = 1, 2, 3
_CALLBACK_GAS = 500_000
#: Of a conviction by the stub of the referee, callback aside.
_CONVICTION_GAS = 400_000


def acts(puppet: Contract, court: Court, function: str, *arguments: Any, by: Account, value_wei: int = 0) -> None:
    """A contract moves in a dispute."""
    data = court.game.encode(function, *arguments)
    puppet.send("execute", court.game, data, by=by, value_wei=value_wei)


@pytest.mark.parametrize("behaviour", [_REVERT, _WASTE_GAS, _RETURN_BOMB])
def test_hostile_consumer_does_not_stop_the_conviction_over_its_request(
    scene: Scene, puppet: Contract, challenger: Account, operator: Account, behaviour: int
) -> None:
    """An operator's own consumer cannot keep it from being convicted; its callback fails alone."""
    court = try_result(scene, via=puppet, callback_gas=_CALLBACK_GAS)
    puppet.send("behave", behaviour, by=challenger)
    court.open(by=challenger)
    court.commit_trace(TRACE)

    receipt = court.convict(by=challenger, trace_root=TRACE.root)

    assert_emitted(receipt, "CallbackFailed", kind=CallbackKind.REFUTED)
    assert_emitted(receipt, "FaultProven", operator=operator, prover=challenger)
    assert receipt.gas_used < _CALLBACK_GAS + _CONVICTION_GAS
    assert scene.state_of(court.request).status is Status.REFUTED


@pytest.mark.parametrize("function", ["claim", "resolve", "withdrawFor", "commitFault", "proveFault", "join", "demand"])
def test_consumer_called_in_a_conviction_cannot_reenter_the_game(
    scene: Scene, puppet: Contract, challenger: Account, function: str
) -> None:
    """Whatever a consumer tries from inside the notice of a refutation, the game's own lock holds."""
    court = try_result(scene, via=puppet, callback_gas=_CALLBACK_GAS)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    arguments: dict[str, tuple[Any, ...]] = {
        "claim": (court.result_id, challenger),
        "resolve": (court.result, court.request),
        "withdrawFor": (challenger,),
        "commitFault": (court.result_id, b"\x01" * 32),
        "proveFault": (court.result, court.request, court.finding(trace_root=TRACE.root), SALT),
        "join": (court.result_id,),
        "demand": (court.result, CHUNKS),
    }
    puppet.send("actOn", court.game, court.game.encode(function, *arguments[function]), by=challenger)

    court.convict(by=challenger, trace_root=TRACE.root)

    assert not puppet.call("actSucceeded")
    with reverts("ReentrancyGuardReentrantCall"):
        raise_returned(puppet)
    assert court.state["status"] == DisputeStatus.REFUTED


def raise_returned(puppet: Contract) -> None:
    """Raises what the contract's act reverted with."""
    raise decode_revert(puppet.call("actReturned"))


def test_consumer_challenges_a_provisional_answer_as_soon_as_it_posts_a_bond(
    scene: Scene, puppet: Contract, challenger: Account
) -> None:
    """Callbacks carry no ether: from inside one there is no bond, a transaction later there is."""
    request = scene.make_request(requester=puppet.address, assurance=Assurance.PROVISIONAL, callback_gas=_CALLBACK_GAS)
    scene.send_request(request, via=puppet)
    answer = scene.make_answer()
    court = Court(scene=scene, result=scene.result_of(request, answer), request=request)
    claim = (request, answer.operator, court.result.output_root, answer.trace_root)
    data = court.game.encode("challenge", *claim)
    puppet.send("actOn", court.game, data, by=challenger)

    scene.propose(request, answer)

    with reverts("ChallengeBondTooLow", sent_wei=0):
        raise_returned(puppet)
    assert scene.state_of(request).status is Status.PROPOSED
    acts(puppet, court, "challenge", *claim, by=challenger, value_wei=CHALLENGE_WEI)
    assert court.state["opener"].lower() == puppet.address.lower()


def test_challenger_that_cannot_receive_ether_blocks_nobody(
    scene: Scene, puppet: Contract, challenger: Account, stranger: Account, requester: Account
) -> None:
    """Its share waits for it alone: everybody else is paid, and it is paid once it takes ether."""
    court = try_result(scene)
    court.open(by=challenger)
    acts(puppet, court, "join", court.result_id, by=stranger, value_wei=CHALLENGE_WEI)
    court.commit_trace(TRACE)
    court.convict(by=challenger, trace_root=TRACE.root)
    court.settle()
    court.game.send("claim", court.result_id, puppet, by=stranger)
    court.claim(challenger)
    puppet.send("refuseEther", True, by=stranger)

    with reverts("RewardTransferFailed", account=puppet, amount_wei=CHALLENGE_WEI):
        court.game.send("withdrawFor", puppet, by=stranger)
    for party in (challenger, requester):
        court.game.send("withdrawFor", party, by=stranger)
    assert scene.chain.balance(court.game) == CHALLENGE_WEI == court.game.call("rewardOf", puppet)
    puppet.send("refuseEther", False, by=stranger)
    court.game.send("withdrawFor", puppet, by=stranger)
    assert scene.chain.balance(court.game) == 0


@pytest.mark.parametrize("act", ["withdraw", "claim"])
def test_receiver_that_reenters_is_paid_once(
    scene: Scene, puppet: Contract, challenger: Account, stranger: Account, act: str
) -> None:
    """A contract that claims or withdraws again while it is paid gets nothing more."""
    court = try_result(scene)
    claim = (court.request, court.result.operator, court.result.output_root, court.result.trace_root)
    acts(puppet, court, "challenge", *claim, by=stranger, value_wei=CHALLENGE_WEI)
    court.join(by=challenger)
    court.commit_trace(TRACE)
    court.convict(by=challenger, trace_root=TRACE.root)
    court.settle()
    court.game.send("claim", court.result_id, puppet, by=stranger)
    owed = court.game.call("rewardOf", puppet)
    arguments = (court.result_id, puppet) if act == "claim" else ()
    puppet.send("actOn", court.game, court.game.encode(act, *arguments), by=stranger)

    court.game.send("withdrawFor", puppet, by=stranger)

    assert not puppet.call("actSucceeded")
    assert scene.chain.balance(puppet) == owed
    with reverts("NothingToClaim", account=puppet):
        court.game.send("claim", court.result_id, puppet, by=stranger)


def test_refund_address_that_bombs_stops_no_verdict(scene: Scene, puppet: Contract, challenger: Account) -> None:
    """Compensations and delays are credited, never sent: who receives has no say in the verdict."""
    for upheld in (True, False):
        court = try_result(scene, refund_to=puppet.address)
        puppet.send("behave", _RETURN_BOMB, by=challenger)
        court.open(by=challenger)
        court.commit_trace(TRACE)
        before = court.game.call("rewardOf", puppet)
        if upheld:
            scene.chain.travel(to=court.ends_at + 1)
            court.resolve()
        else:
            court.convict(by=challenger, trace_root=TRACE.root)
        gained = court.game.call("rewardOf", puppet) - before
        assert gained == (CHALLENGE_WEI * 30 // 100 if upheld else BOND_WEI // 2)
        with reverts("RewardTransferFailed"):
            court.game.send("withdrawFor", puppet, by=challenger)


# The double has to do what py-evm warns of.
@pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode:DeprecationWarning")
def test_forced_ether_is_nobodys_reward(
    scene: Scene, chain: Chain, deployer: Account, challenger: Account, requester: Account
) -> None:
    """Ether that the game cannot refuse stays there and changes no share."""
    court = try_result(scene)
    court.open(by=challenger)
    chain.deploy("ForcedEther", court.game, by=deployer, value_wei=ETHER)
    court.commit_trace(TRACE)
    court.convict(by=challenger, trace_root=TRACE.root)
    court.settle()
    court.claim(challenger)
    for party in (challenger, requester):
        court.game.send("withdrawFor", party, by=challenger)

    assert chain.balance(court.game) == ETHER


def test_strangers_settle_everything_for_parties_that_are_gone(
    scene: Scene, system: System, challenger: Account, operator: Account, requester: Account
) -> None:
    """Nothing waits for one account: verdicts, claims and payments are anybody's to bring about."""
    court = try_result(scene)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    scene.chain.travel(to=court.ends_at + 1)
    court.resolve()
    scene.finalize(court.request)
    before = {party: scene.chain.balance(party) for party in (operator, requester)}
    for party in (operator, requester):
        system.dispute_game.send("withdrawFor", party, by=scene.cast.stranger)

    assert scene.chain.balance(operator) - before[operator] == CHALLENGE_WEI * 70 // 100
    assert scene.chain.balance(requester) - before[requester] == CHALLENGE_WEI * 30 // 100
    assert scene.chain.balance(system.dispute_game) == 0
    assert scene.account_of(operator).earned_wei == FEE_WEI


def test_use_made_while_its_result_is_under_challenge_is_slashed_with_it(
    scene: Scene, system: System, challenger: Account
) -> None:
    """A use locks its bond whenever it is made, and the conviction reaches it."""
    court = try_offchain_result(scene)
    court.open(by=challenger)
    court.use()
    court.commit_trace(TRACE)
    court.convict(by=challenger, trace_root=TRACE.root)
    court.settle()

    receipt = system.dispute_game.send("slashUse", court.result_id, scene.cast.requester, by=challenger)

    assert_emitted(receipt, "UseSlashed", consumer=scene.cast.requester)
