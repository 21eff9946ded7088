from __future__ import annotations

import pytest
from tests.support.accounts import Account
from tests.support.artifacts import decode_revert
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain, Contract
from tests.support.scene import FEE_WEI, Scene
from tests.support.system import ETHER, System

from sworn.types import ZERO_ADDRESS

_RETURN_BOMB = 3


def test_withdraw_pays_caller_its_credit(
    scene: Scene, chain: Chain, system: System, puppet: Contract, stranger: Account
) -> None:
    """Refunds wait until they are fetched."""
    scene.expire(scene.ask(refund_to=puppet.address))

    receipt = puppet.send("execute", system.oracle, system.oracle.encode("withdraw"), by=stranger)

    assert_emitted(receipt, "CreditWithdrawn", account=puppet, amount_wei=FEE_WEI)
    assert chain.balance(puppet) == FEE_WEI
    assert scene.credit_of(puppet) == 0


def test_withdraw_without_credit_reverts(system: System, stranger: Account) -> None:
    """There is nothing to fetch."""
    with reverts("CreditMissing", account=stranger):
        system.oracle.send("withdraw", by=stranger)


def test_withdraw_twice_reverts(scene: Scene, system: System, requester: Account) -> None:
    """A credit is paid once."""
    scene.expire(scene.ask())
    system.oracle.send("withdraw", by=requester)

    with reverts("CreditMissing", account=requester):
        system.oracle.send("withdraw", by=requester)


def test_withdraw_sums_up_credits(scene: Scene, requester: Account, system: System) -> None:
    """Many refunds, one payment."""
    for request in (scene.ask(), scene.ask(fee_wei=ETHER)):
        scene.fail(request)

    receipt = system.oracle.send("withdraw", by=requester)

    assert_emitted(receipt, "CreditWithdrawn", amount_wei=FEE_WEI + ETHER)


def test_withdraw_for_pays_account_and_not_caller(
    scene: Scene, chain: Chain, system: System, puppet: Contract, stranger: Account
) -> None:
    """Anyone may push a credit to a contract that cannot fetch it."""
    scene.expire(scene.ask(refund_to=puppet.address))

    system.oracle.send("withdrawFor", puppet, by=stranger)

    assert chain.balance(puppet) == FEE_WEI


def test_withdraw_for_account_that_refuses_ether_keeps_credit(
    scene: Scene, system: System, puppet: Contract, stranger: Account
) -> None:
    """A failed payment changes nothing."""
    puppet.send("refuseEther", True, by=stranger)
    scene.expire(scene.ask(via=puppet, refund_to=puppet.address))

    with reverts("PaymentFailed", account=puppet, amount_wei=FEE_WEI):
        system.oracle.send("withdrawFor", puppet, by=stranger)
    assert scene.credit_of(puppet) == FEE_WEI


def test_withdraw_by_consumer_without_receive_goes_to_refund_address(
    scene: Scene, system: System, puppet: Contract, challenger: Account, stranger: Account
) -> None:
    """A consumer that cannot take ether names who can."""
    puppet.send("refuseEther", True, by=stranger)
    scene.expire(scene.ask(via=puppet, refund_to=challenger.address))

    receipt = system.oracle.send("withdrawFor", challenger, by=stranger)

    assert_emitted(receipt, "CreditWithdrawn", account=challenger, amount_wei=FEE_WEI)


def test_withdraw_by_return_bombing_contract_fails_cheaply(
    scene: Scene, system: System, puppet: Contract, stranger: Account
) -> None:
    """What a receiver returns is not copied, so the revert stays the oracle's own."""
    puppet.send("behave", _RETURN_BOMB, by=stranger)
    scene.expire(scene.ask(refund_to=puppet.address))

    with reverts("PaymentFailed", account=puppet):
        system.oracle.send("withdrawFor", puppet, by=stranger, gas=1_000_000)


def test_withdraw_reentered_by_receiver_pays_once(
    scene: Scene, chain: Chain, system: System, puppet: Contract, stranger: Account
) -> None:
    """A receiver that asks for its credit again while it is being paid gets it once."""
    scene.expire(scene.ask(refund_to=puppet.address))
    puppet.send("actOn", system.oracle, system.oracle.encode("withdrawFor", puppet), by=stranger)

    system.oracle.send("withdrawFor", puppet, by=stranger)

    assert chain.balance(puppet) == FEE_WEI
    assert decode_revert(puppet.call("actReturned")).name == "ReentrancyGuardReentrantCall"


def test_withdraw_for_zero_address_reverts(system: System, stranger: Account) -> None:
    """Nobody can have credited the zero address."""
    with reverts("CreditMissing", account=ZERO_ADDRESS):
        system.oracle.send("withdrawFor", ZERO_ADDRESS, by=stranger)


def test_oracle_without_request_refuses_ether(
    scene: Scene, system: System, puppet: Contract, stranger: Account
) -> None:
    """Ether comes with requests only."""
    with reverts(""):
        puppet.send("execute", system.oracle, b"", by=stranger, value_wei=1)


# The double has to do what py-evm warns of.
@pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode:DeprecationWarning")
def test_oracle_with_forced_ether_works_as_before(
    scene: Scene, chain: Chain, system: System, deployer: Account, requester: Account
) -> None:
    """No amount is ever read from a balance."""
    for contract in system.contracts:
        chain.deploy("ForcedEther", contract, by=deployer, value_wei=ETHER)
    scene.complete(scene.ask())
    scene.expire(scene.ask())

    receipt = system.oracle.send("withdraw", by=requester)

    assert_emitted(receipt, "CreditWithdrawn", amount_wei=FEE_WEI)
    assert chain.balance(system.oracle) == ETHER + FEE_WEI
