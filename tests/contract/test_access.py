from __future__ import annotations

import pytest
from tests.support.accounts import Account
from tests.support.assertions import reverts
from tests.support.chain import Contract
from tests.support.scene import Scene
from tests.support.system import System

from sworn.types import ZERO_HASH


def test_refute_by_anyone_but_dispute_game_reverts(scene: Scene, system: System, stranger: Account) -> None:
    """Only a conviction undoes a result."""
    request = scene.ask()
    scene.propose(request)

    with reverts("CallerNotDisputeGame", caller=stranger):
        system.oracle.send("refute", request, scene.cast.operator, ZERO_HASH, by=stranger)


def test_bar_by_anyone_but_dispute_game_reverts(scene: Scene, system: System, stranger: Account) -> None:
    """Only a conviction bars an operator."""
    with reverts("CallerNotDisputeGame", caller=stranger):
        system.oracle.send("bar", scene.ask(), scene.cast.operator, by=stranger)


def test_pay_earnings_by_anyone_but_registry_reverts(system: System, stranger: Account) -> None:
    """The oracle's ether is fees and refunds, and leaves only as such."""
    with reverts("CallerNotOperatorRegistry", caller=stranger):
        system.oracle.send("payEarnings", stranger, 1, by=stranger)


@pytest.mark.parametrize("function", ["lockBond", "releaseBond", "slash"])
def test_bonds_moved_by_anyone_else_revert(system: System, operator: Account, stranger: Account, function: str) -> None:
    """Bonds are moved by the contracts fixed at deployment."""
    arguments: dict[str, tuple[object, ...]] = {
        "lockBond": (operator, stranger, 0, ZERO_HASH, 1),
        "releaseBond": (operator, 0, 1),
        "slash": (operator, 1, False),
    }

    with reverts("CallerNotAuthorized", caller=stranger):
        system.operator_registry.send(function, *arguments[function], by=stranger)


@pytest.mark.parametrize("function", ["lockBond", "releaseBond"])
def test_bonds_moved_by_dispute_game_revert(system: System, operator: Account, function: str) -> None:
    """The dispute game slashes and does nothing else."""
    arguments: dict[str, tuple[object, ...]] = {
        "lockBond": (operator, operator, 0, ZERO_HASH, 1),
        "releaseBond": (operator, 0, 1),
    }

    with reverts("CallerNotAuthorized", caller=system.dispute_game):
        system.operator_registry.call(function, *arguments[function], by=system.dispute_game)


@pytest.mark.parametrize("caller", ["oracle", "signed_results"])
def test_slash_by_other_contract_reverts(system: System, operator: Account, caller: str) -> None:
    """Who locks bonds cannot take them."""
    contract: Contract = getattr(system, caller)

    with reverts("CallerNotAuthorized", caller=contract):
        system.operator_registry.call("slash", operator, 1, False, by=contract)


def test_close_slashed_by_anyone_but_dispute_game_reverts(system: System, stranger: Account) -> None:
    """Only a conviction closes a use."""
    with reverts("UseCallerInvalid", caller=stranger):
        system.signed_results.send("closeSlashed", ZERO_HASH, stranger, by=stranger)


def test_dispute_game_sent_ether_by_anyone_refuses_it(system: System, puppet: Contract, stranger: Account) -> None:
    """What arrives there is slashed stake, to be shared out at once."""
    with reverts("PaymentUnexpected", sender=puppet):
        puppet.send("execute", system.dispute_game, b"", by=stranger, value_wei=1)


@pytest.mark.parametrize("name", ["model_registry", "operator_registry", "oracle", "signed_results"])
def test_contract_sent_ether_without_call_refuses_it(
    system: System, puppet: Contract, stranger: Account, name: str
) -> None:
    """Ether without a purpose would be lost."""
    with reverts(""):
        puppet.send("execute", getattr(system, name), b"", by=stranger, value_wei=1)
