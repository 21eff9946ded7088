from __future__ import annotations

from tests.support.accounts import Account, funded_account
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Contract
from tests.support.scene import STAKE_WEI, Scene
from tests.support.system import ETHER, System

_WIDEST_WEI = 2**80


def test_register_operator_with_ether_makes_it_stake(scene: Scene, system: System, stranger: Account) -> None:
    """Registration and first deposit are one step."""
    receipt = system.operator_registry.send("register", "https://me.example", by=stranger, value_wei=ETHER)

    assert_emitted(receipt, "OperatorRegistered", operator=stranger, metadata_uri="https://me.example", stake_wei=ETHER)
    assert scene.account_of(stranger) == (True, ETHER, 0, 0)


def test_register_operator_without_ether_has_no_stake(scene: Scene, system: System, stranger: Account) -> None:
    """Stake can follow later."""
    system.operator_registry.send("register", "", by=stranger)

    assert scene.account_of(stranger) == (True, 0, 0, 0)


def test_register_operator_twice_reverts(system: System, operator: Account) -> None:
    """More stake goes through `addStake`."""
    with reverts("OperatorAlreadyRegistered", operator=operator):
        system.operator_registry.send("register", "", by=operator, value_wei=ETHER)


def test_register_contract_as_operator_is_accepted(
    scene: Scene, system: System, puppet: Contract, stranger: Account
) -> None:
    """The owner may be a wallet."""
    registry = system.operator_registry

    puppet.send("execute", registry, registry.encode("register", ""), by=stranger, value_wei=ETHER)

    assert scene.account_of(puppet) == (True, ETHER, 0, 0)


def test_register_operator_with_stake_beyond_80_bits_reverts(system: System, stranger: Account) -> None:
    """An account fits one slot."""
    with reverts("SafeCastOverflowedUintDowncast", bits=80, value=_WIDEST_WEI):
        system.operator_registry.call("register", "", by=stranger, value_wei=_WIDEST_WEI)


def test_add_stake_by_anyone_raises_free_stake(
    scene: Scene, system: System, operator: Account, stranger: Account
) -> None:
    """Others may back an operator; the stake is the operator's from then on."""
    receipt = system.operator_registry.send("addStake", operator, by=stranger, value_wei=ETHER)

    assert_emitted(receipt, "StakeAdded", operator=operator, payer=stranger, amount_wei=ETHER)
    assert scene.account_of(operator).stake_wei == STAKE_WEI + ETHER
    assert system.operator_registry.call("freeStakeOf", operator) == STAKE_WEI + ETHER


def test_add_stake_of_nothing_reverts(system: System, operator: Account) -> None:
    """An empty deposit is a mistake."""
    with reverts("AmountInvalid", amount_wei=0):
        system.operator_registry.send("addStake", operator, by=operator)


def test_add_stake_to_unregistered_operator_reverts(system: System, stranger: Account) -> None:
    """Stake of nobody could never leave again."""
    with reverts("OperatorNotRegistered", operator=stranger):
        system.operator_registry.send("addStake", stranger, by=stranger, value_wei=1)


def test_add_stake_beyond_80_bits_reverts(system: System, operator: Account, stranger: Account) -> None:
    """The sum has to fit, too."""
    amount_wei = _WIDEST_WEI - STAKE_WEI

    with reverts("SafeCastOverflowedUintDowncast", value=_WIDEST_WEI):
        system.operator_registry.call("addStake", operator, by=stranger, value_wei=amount_wei)


def test_account_of_unknown_operator_is_empty(scene: Scene) -> None:
    """Whoever never registered has nothing."""
    assert scene.account_of(funded_account(7)) == (False, 0, 0, 0)


def test_earnings_after_finalization_are_paid_to_anyone_named(
    scene: Scene, system: System, operator: Account, puppet: Contract
) -> None:
    """Fees are fetched by the owner, to wherever it says."""
    request = scene.ask()
    scene.complete(request)

    receipt = system.operator_registry.send("withdrawEarnings", puppet, by=operator)

    assert_emitted(receipt, "EarningsWithdrawn", operator=operator, to=puppet, amount_wei=request.fee_wei)
    assert scene.chain.balance(puppet) == request.fee_wei
    assert scene.account_of(operator).earned_wei == 0


def test_earnings_fetched_twice_reverts(scene: Scene, system: System, operator: Account) -> None:
    """A fee is paid once."""
    scene.complete(scene.ask())
    system.operator_registry.send("withdrawEarnings", operator, by=operator)

    with reverts("EarningsMissing", operator=operator):
        system.operator_registry.send("withdrawEarnings", operator, by=operator)


def test_earnings_before_finalization_are_missing(scene: Scene, system: System, operator: Account) -> None:
    """A result in its window has earned nothing yet."""
    scene.propose(scene.ask())

    with reverts("EarningsMissing", operator=operator):
        system.operator_registry.send("withdrawEarnings", operator, by=operator)


def test_earnings_to_contract_that_refuses_stay(
    scene: Scene, system: System, operator: Account, puppet: Contract, stranger: Account
) -> None:
    """A failed payment changes nothing."""
    puppet.send("refuseEther", True, by=stranger)
    request = scene.ask()
    scene.complete(request)

    with reverts("PaymentFailed", account=puppet, amount_wei=request.fee_wei):
        system.operator_registry.send("withdrawEarnings", puppet, by=operator)
    assert scene.account_of(operator).earned_wei == request.fee_wei


def test_earnings_reentered_by_receiver_are_paid_once(
    scene: Scene, system: System, puppet: Contract, stranger: Account
) -> None:
    """An operator that is a contract cannot fetch its fees twice from inside the payment."""
    registry, key = system.operator_registry, funded_account(7)
    puppet.send("execute", registry, registry.encode("register", ""), by=stranger, value_wei=ETHER)
    puppet.send("execute", registry, registry.encode("authorizeSigner", key), by=stranger)
    scene.complete(scene.ask())
    request = scene.ask(operator=puppet.address)
    signed = scene.make_answer(operator=Account(address=puppet.address, key=key.key))
    scene.propose(request, signed, signature=scene.sign_result(request, signed, signer=key))
    scene.close_window(request)
    scene.finalize(request, signed)
    puppet.send("actOn", registry, registry.encode("withdrawEarnings", puppet), by=stranger)

    puppet.send("execute", registry, registry.encode("withdrawEarnings", puppet), by=stranger)

    assert puppet.call("actSucceeded") is False
    assert scene.chain.balance(puppet) == request.fee_wei
