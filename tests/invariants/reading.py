"""What the contracts hold, and what they should hold, in one form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.invariants.reference import NO_OFFER, Ledger, Operator, State
from tests.invariants.replay import Replay
from tests.invariants.world import World

from sworn.codec.structs import offer_to_abi
from sworn.types import ZERO_ADDRESS, Address

Known = Ledger | Replay


@dataclass(frozen=True, slots=True, kw_only=True)
class Focus:
    """What is looked at; all operators' accounts always are."""

    requests: tuple[bytes, ...]
    uses: tuple[tuple[bytes, Address], ...]
    payees: tuple[Address, ...]
    #: Whether signers and offers are looked at too.
    terms: bool


def focus_on_all(ledger: Ledger, world: World) -> Focus:
    """Everything that there is."""
    return Focus(requests=tuple(ledger.states), uses=tuple(ledger.used), payees=world.payees, terms=True)


def focus_on_changes(before: Ledger, after: Ledger, world: World) -> Focus:
    """What a move should have changed."""
    return Focus(
        requests=tuple(identity for identity, state in after.states.items() if state != before.states.get(identity)),
        uses=tuple(key for key in after.used if after.uses.get(key) != before.uses.get(key)),
        payees=tuple(
            payee
            for payee in world.payees
            if (after.credits.get(payee, 0), after.rewards.get(payee, 0))
            != (before.credits.get(payee, 0), before.rewards.get(payee, 0))
        ),
        terms=False,
    )


def read(world: World, focus: Focus) -> tuple[Any, ...]:
    """What the contracts hold."""
    question = (
        list(focus.requests),
        [operator.address for operator in world.operators],
        [signer.address for signer in world.signers if focus.terms],
        list(world.models if focus.terms else ()),
        list(focus.payees),
        list(focus.uses),
    )
    answer: tuple[Any, ...] = world.reader.call("read", question)
    return answer


def expect(known: Known, world: World, focus: Focus) -> tuple[Any, ...]:
    """What they should hold."""
    owners = [operator.address for operator in world.operators]
    return (
        tuple(known.states.get(identity, State()).reading() for identity in focus.requests),
        tuple((identity, owner) in known.barred for identity in focus.requests for owner in owners),
        tuple(_operator(known.operators[owner], world, focus) for owner in owners),
        tuple(known.credits.get(payee, 0) for payee in focus.payees),
        tuple(known.rewards.get(payee, 0) for payee in focus.payees),
        tuple(_use(known, key) for key in focus.uses),
    )


def _operator(account: Operator, world: World, focus: Focus) -> tuple[Any, ...]:
    return (
        account.registered,
        account.stake_wei,
        account.locked_wei,
        account.earned_wei,
        account.unbonding_wei,
        account.release_at,
        account.cap,
        tuple(account.not_after(signer.address) for signer in world.signers if focus.terms),
        tuple(
            offer_to_abi(account.offers.get(model_id, NO_OFFER)) for model_id in (world.models if focus.terms else ())
        ),
    )


def _use(known: Known, key: tuple[bytes, Address]) -> tuple[Any, ...]:
    convicted_by = known.convicted.get(key[0], ZERO_ADDRESS)
    if key not in known.uses:
        return ZERO_ADDRESS, ZERO_ADDRESS, 0, 0, convicted_by
    use = known.uses[key]
    return use.operator, use.compensate_to, use.bond_wei, use.release_at, convicted_by
