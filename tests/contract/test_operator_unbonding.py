from __future__ import annotations

from tests.support.accounts import Account, funded_account
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain, Contract
from tests.support.scene import BOND_WEI, STAKE_WEI, Scene
from tests.support.system import ETHER, PARAMETERS, System

_LIFETIME_S = PARAMETERS["maxLifetimeSeconds"]
_UNBONDING_S = (
    _LIFETIME_S + PARAMETERS["tailSeconds"] + PARAMETERS["maxWindowSeconds"] + PARAMETERS["maxDisputeSeconds"]
)
_EVERYTHING = 2**256 - 1
_NO_END = 2**40 - 1


def test_unbond_part_of_stake_keeps_operator_in_service(scene: Scene, system: System, operator: Account) -> None:
    """Unbonding stake backs nothing new; the rest goes on."""
    receipt = system.operator_registry.send("unbond", ETHER, by=operator)

    release_at = receipt.timestamp + _UNBONDING_S
    assert_emitted(receipt, "UnbondingStarted", operator=operator, amount_wei=ETHER, release_at=release_at, not_after=0)
    assert system.operator_registry.call("unbondingOf", operator) == (ETHER, release_at, 0)
    assert scene.account_of(operator) == (True, STAKE_WEI, ETHER, 0)
    assert system.operator_registry.call("signerNotAfter", operator, _signer(scene, operator)) == _NO_END


def test_unbond_whole_stake_caps_every_signer(scene: Scene, system: System, operator: Account) -> None:
    """A leaving operator's keys cannot promise anything beyond one lifetime."""
    receipt = system.operator_registry.send("unbond", _EVERYTHING, by=operator)

    not_after = receipt.timestamp + _LIFETIME_S
    assert_emitted(receipt, "UnbondingStarted", amount_wei=STAKE_WEI, not_after=not_after)
    assert system.operator_registry.call("signerNotAfter", operator, _signer(scene, operator)) == not_after


def test_unbond_whole_stake_caps_later_signers_too(system: System, operator: Account) -> None:
    """A key authorised while leaving is capped as well."""
    receipt = system.operator_registry.send("unbond", _EVERYTHING, by=operator)
    system.operator_registry.send("authorizeSigner", funded_account(7), by=operator)

    not_after = system.operator_registry.call("signerNotAfter", operator, funded_account(7))

    assert not_after == receipt.timestamp + _LIFETIME_S


def test_unbond_whole_stake_keeps_earlier_end_of_revoked_signer(
    scene: Scene, chain: Chain, system: System, operator: Account
) -> None:
    """Leaving never prolongs."""
    revoked = system.operator_registry.send("revokeSigner", _signer(scene, operator), by=operator)
    chain.travel(to=chain.now + 1000)
    system.operator_registry.send("unbond", _EVERYTHING, by=operator)

    not_after = system.operator_registry.call("signerNotAfter", operator, _signer(scene, operator))

    assert not_after == revoked.timestamp + _LIFETIME_S


def test_unbond_more_than_free_stake_reverts(scene: Scene, system: System, operator: Account) -> None:
    """Bonds stay where they are."""
    scene.propose(scene.ask())
    free_wei = STAKE_WEI - BOND_WEI

    with reverts("FreeStakeTooLow", operator=operator, free_wei=free_wei, required_wei=free_wei + 1):
        system.operator_registry.send("unbond", free_wei + 1, by=operator)


def test_unbond_all_free_stake_with_bond_locked_is_not_leaving(scene: Scene, system: System, operator: Account) -> None:
    """Who still has a bond locked has not left."""
    scene.propose(scene.ask())

    receipt = system.operator_registry.send("unbond", _EVERYTHING, by=operator)

    assert_emitted(receipt, "UnbondingStarted", amount_wei=STAKE_WEI - BOND_WEI, not_after=0)


def test_unbond_nothing_reverts(system: System, operator: Account) -> None:
    """An empty unbonding is a mistake."""
    with reverts("AmountInvalid", amount_wei=0):
        system.operator_registry.send("unbond", 0, by=operator)


def test_unbond_twice_reverts(system: System, operator: Account) -> None:
    """One unbonding at a time."""
    receipt = system.operator_registry.send("unbond", ETHER, by=operator)

    with reverts("UnbondingPending", operator=operator, release_at=receipt.timestamp + _UNBONDING_S):
        system.operator_registry.send("unbond", ETHER, by=operator)


def test_unbond_by_unregistered_reverts(system: System, stranger: Account) -> None:
    """Only operators have stake."""
    with reverts("OperatorNotRegistered", operator=stranger):
        system.operator_registry.send("unbond", 1, by=stranger)


def test_unbonding_stake_backs_no_new_result(scene: Scene, system: System, operator: Account) -> None:
    """What is leaving cannot be bonded."""
    system.operator_registry.send("unbond", _EVERYTHING, by=operator)

    with reverts("FreeStakeTooLow", operator=operator, free_wei=0, required_wei=BOND_WEI):
        scene.propose(scene.ask())


def test_unbonding_cancelled_frees_stake_and_signers(scene: Scene, system: System, operator: Account) -> None:
    """The operator stays after all."""
    system.operator_registry.send("unbond", _EVERYTHING, by=operator)

    receipt = system.operator_registry.send("cancelUnbonding", by=operator)

    assert_emitted(receipt, "UnbondingCancelled", operator=operator, amount_wei=STAKE_WEI)
    assert scene.account_of(operator) == (True, STAKE_WEI, 0, 0)
    assert system.operator_registry.call("unbondingOf", operator) == (0, 0, 0)
    assert system.operator_registry.call("signerNotAfter", operator, _signer(scene, operator)) == _NO_END


def test_unbonding_cancelled_without_one_reverts(system: System, operator: Account) -> None:
    """There is nothing to cancel."""
    with reverts("UnbondingMissing", operator=operator):
        system.operator_registry.send("cancelUnbonding", by=operator)


def test_withdraw_stake_one_second_early_reverts(chain: Chain, system: System, operator: Account) -> None:
    """Stake outlives everything that it may have sworn to."""
    release_at = system.operator_registry.send("unbond", ETHER, by=operator).timestamp + _UNBONDING_S
    chain.travel(to=release_at - 1)

    with reverts("UnbondingNotReleased", release_at=release_at, timestamp=release_at - 1):
        system.operator_registry.send("withdrawStake", operator, by=operator)


def test_withdraw_stake_at_release_pays_it_out(
    scene: Scene, chain: Chain, system: System, operator: Account, puppet: Contract
) -> None:
    """To wherever the owner says."""
    release_at = system.operator_registry.send("unbond", ETHER, by=operator).timestamp + _UNBONDING_S
    chain.travel(to=release_at)

    receipt = system.operator_registry.send("withdrawStake", puppet, by=operator)

    assert_emitted(receipt, "StakeWithdrawn", operator=operator, to=puppet, amount_wei=ETHER)
    assert chain.balance(puppet) == ETHER
    assert scene.account_of(operator) == (True, STAKE_WEI - ETHER, 0, 0)


def test_withdraw_stake_twice_reverts(chain: Chain, system: System, operator: Account) -> None:
    """Unbonded stake leaves once."""
    _leave(chain, system, operator, amount_wei=ETHER)

    with reverts("UnbondingMissing", operator=operator):
        system.operator_registry.send("withdrawStake", operator, by=operator)


def test_withdraw_stake_without_unbonding_reverts(system: System, operator: Account) -> None:
    """Staked is not unbonding."""
    with reverts("UnbondingMissing", operator=operator):
        system.operator_registry.send("withdrawStake", operator, by=operator)


def test_withdraw_stake_to_contract_that_refuses_changes_nothing(
    scene: Scene, chain: Chain, system: System, operator: Account, puppet: Contract, stranger: Account
) -> None:
    """The owner may name somebody else then."""
    puppet.send("refuseEther", True, by=stranger)
    chain.travel(to=system.operator_registry.send("unbond", ETHER, by=operator).timestamp + _UNBONDING_S)

    with reverts("TransferFailed", to=puppet, amount_wei=ETHER):
        system.operator_registry.send("withdrawStake", puppet, by=operator)
    assert scene.account_of(operator).stake_wei == STAKE_WEI


def test_withdraw_stake_reentered_by_receiver_pays_once(
    scene: Scene, chain: Chain, system: System, puppet: Contract, stranger: Account
) -> None:
    """An operator that is a contract cannot take its stake twice."""
    registry = system.operator_registry
    puppet.send("execute", registry, registry.encode("register", ""), by=stranger, value_wei=ETHER)
    puppet.send("execute", registry, registry.encode("unbond", ETHER // 2), by=stranger)
    chain.travel(to=chain.now + _UNBONDING_S)
    withdraw = registry.encode("withdrawStake", puppet)
    puppet.send("actOn", registry, withdraw, by=stranger)

    puppet.send("execute", registry, withdraw, by=stranger)

    assert puppet.call("actSucceeded") is False
    assert chain.balance(puppet) == ETHER // 2
    assert scene.account_of(puppet).stake_wei == ETHER // 2


def test_left_operator_keeps_cap_on_signers(scene: Scene, chain: Chain, system: System, operator: Account) -> None:
    """What an operator that has left signs is worth nothing."""
    receipt = _leave(chain, system, operator, amount_wei=_EVERYTHING)

    not_after = system.operator_registry.call("signerNotAfter", operator, _signer(scene, operator))

    assert scene.account_of(operator) == (True, 0, 0, 0)
    assert not_after < receipt


def test_left_operator_registers_again(scene: Scene, chain: Chain, system: System, operator: Account) -> None:
    """Who has left may come back."""
    _leave(chain, system, operator, amount_wei=_EVERYTHING)

    receipt = system.operator_registry.send("register", "back", by=operator, value_wei=ETHER)

    assert_emitted(receipt, "OperatorRegistered", operator=operator, metadata_uri="back", stake_wei=ETHER)
    scene.propose(scene.ask())
    assert scene.account_of(operator) == (True, ETHER, BOND_WEI, 0)


def test_leaving_operator_cannot_register_again(system: System, operator: Account) -> None:
    """Until its stake has left it is still there; it may cancel."""
    system.operator_registry.send("unbond", _EVERYTHING, by=operator)

    with reverts("OperatorAlreadyRegistered", operator=operator):
        system.operator_registry.send("register", "", by=operator)


def test_left_operator_with_gifted_stake_unbonds_it_without_prolonging_signers(
    scene: Scene, chain: Chain, system: System, operator: Account, stranger: Account
) -> None:
    """A gift to an operator that has left does not revive its signers."""
    _leave(chain, system, operator, amount_wei=_EVERYTHING)
    before = system.operator_registry.call("signerNotAfter", operator, _signer(scene, operator))
    system.operator_registry.send("addStake", operator, by=stranger, value_wei=2)

    system.operator_registry.send("unbond", 1, by=operator)

    assert system.operator_registry.call("signerNotAfter", operator, _signer(scene, operator)) == before


def _signer(scene: Scene, operator: Account) -> Account:
    return scene.cast.signers[operator.address]


def _leave(chain: Chain, system: System, operator: Account, *, amount_wei: int) -> int:
    chain.travel(to=system.operator_registry.send("unbond", amount_wei, by=operator).timestamp + _UNBONDING_S)
    return system.operator_registry.send("withdrawStake", operator, by=operator).timestamp
