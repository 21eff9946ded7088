from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.accounts import Account, funded_account
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain
from tests.support.scene import OFFER, Scene
from tests.support.system import PARAMETERS, System

from sworn.codec.structs import offer_from_abi, offer_to_abi
from sworn.types import ZERO_ADDRESS, Offer, Profile

_LIFETIME_S = PARAMETERS["maxLifetimeSeconds"]
_NO_END = 2**40 - 1


def test_authorize_signer_without_end_is_valid_for_ever(system: System, operator: Account) -> None:
    """A fresh key may sign any expiry."""
    key = funded_account(7)

    receipt = system.operator_registry.send("authorizeSigner", key, by=operator)

    assert_emitted(receipt, "SignerChanged", operator=operator, signer=key, not_after=_NO_END)
    assert system.operator_registry.call("signerNotAfter", operator, key) == _NO_END


def test_authorize_signer_of_one_operator_is_none_of_another(system: System, operator: Account, rival: Account) -> None:
    """Keys count per operator."""
    key = funded_account(7)
    system.operator_registry.send("authorizeSigner", key, by=operator)

    assert system.operator_registry.call("signerNotAfter", rival, key) == 0


def test_authorize_zero_address_reverts(system: System, operator: Account) -> None:
    """A signature that recovers to nothing must never count."""
    with reverts("SignerInvalid", signer=ZERO_ADDRESS):
        system.operator_registry.send("authorizeSigner", ZERO_ADDRESS, by=operator)


def test_revoke_signer_keeps_it_for_one_lifetime(scene: Scene, system: System, operator: Account) -> None:
    """What it has signed already stays valid and attributable."""
    key = scene.cast.signers[operator.address]

    receipt = system.operator_registry.send("revokeSigner", key, by=operator)

    not_after = receipt.timestamp + _LIFETIME_S
    assert_emitted(receipt, "SignerChanged", operator=operator, signer=key, not_after=not_after)
    assert system.operator_registry.call("signerNotAfter", operator, key) == not_after


def test_revoke_signer_twice_reverts(scene: Scene, chain: Chain, system: System, operator: Account) -> None:
    """Revoking again would only prolong."""
    key = scene.cast.signers[operator.address]
    system.operator_registry.send("revokeSigner", key, by=operator)
    chain.travel(to=chain.now + 1000)

    with reverts("SignerInvalid", signer=key):
        system.operator_registry.send("revokeSigner", key, by=operator)


def test_revoke_unknown_signer_reverts(system: System, operator: Account) -> None:
    """A key that never signed cannot gain a lifetime by being revoked."""
    with reverts("SignerInvalid", signer=funded_account(7)):
        system.operator_registry.send("revokeSigner", funded_account(7), by=operator)


def test_revoked_signer_authorized_again_has_no_end(scene: Scene, system: System, operator: Account) -> None:
    """The owner may change its mind."""
    key = scene.cast.signers[operator.address]
    system.operator_registry.send("revokeSigner", key, by=operator)

    system.operator_registry.send("authorizeSigner", key, by=operator)

    assert system.operator_registry.call("signerNotAfter", operator, key) == _NO_END


@pytest.mark.parametrize("function", ["authorizeSigner", "revokeSigner"])
def test_signers_of_unregistered_operator_revert(system: System, stranger: Account, function: str) -> None:
    """Only operators have signers."""
    with reverts("OperatorNotRegistered", operator=stranger):
        system.operator_registry.send(function, funded_account(7), by=stranger)


def test_offer_set_replaces_terms(scene: Scene, system: System, operator: Account) -> None:
    """The latest terms count."""
    model_id = scene.cast.models[Profile.EXACT]
    offer = replace(OFFER, price_wei=7, max_window_s=61)

    receipt = system.operator_registry.send("setOffer", model_id, offer, by=operator)

    event = assert_emitted(receipt, "OfferChanged", operator=operator, model_id=model_id)
    assert event.arguments["offer"] == offer_to_abi(offer)
    assert offer_from_abi(system.operator_registry.call("offerOf", operator, model_id)) == offer


def test_offer_holds_widest_values(scene: Scene, system: System, operator: Account) -> None:
    """Every field keeps all of its bits."""
    model_id = scene.cast.models[Profile.EXACT]
    offer = Offer(
        active=True,
        price_wei=2**88 - 1,
        max_value_at_risk_wei=2**88 - 1,
        max_window_s=2**32 - 1,
        max_callback_gas=2**32 - 1,
    )

    system.operator_registry.send("setOffer", model_id, offer, by=operator)

    assert offer_from_abi(system.operator_registry.call("offerOf", operator, model_id)) == offer


def test_offer_of_unregistered_operator_reverts(scene: Scene, system: System, stranger: Account) -> None:
    """Only operators have offers."""
    with reverts("OperatorNotRegistered", operator=stranger):
        system.operator_registry.send("setOffer", scene.cast.models[Profile.EXACT], OFFER, by=stranger)


def test_offer_never_made_is_empty(system: System, operator: Account) -> None:
    """Silence is no offer."""
    offer = offer_from_abi(system.operator_registry.call("offerOf", operator, b"\x55" * 32))

    assert not offer.active
