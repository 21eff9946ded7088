"""What intents would do if they were sent now: their gas limits, or why they are not worth sending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sworn.abi import contract_error
from sworn.chain.gateway import Call, Gateway
from sworn.chain.transactions import Intent
from sworn.errors import ChainError, ContractRevert, TransactionRejected
from sworn.types import Address

#: Bytes of calldata from which on pools refuse a transaction: 128 KiB with signature and fields (geth, reth).
MOST_DATA: Final = 131_072 - 256


def gas_limits(gateway: Gateway, intents: Sequence[Intent], *, sender: Address) -> list[int | ChainError]:
    """The gas limit of each intent, or its decoded `ContractRevert`, `TransactionRejected` or node's error.

    Raises `ChainError` when the node answers nothing. Nodes execute a call some ten times to estimate it, and once to
    try it: an intent that states its gas is only tried.
    """
    found = _oversized(intents)
    found |= _tried(gateway, intents, sender, set(found))
    rest = [index for index in range(len(intents)) if index not in found]
    if rest:
        estimates = gateway.estimates([_call(intents[index], sender) for index in rest])
        found |= {index: _limit(intents[index], answer) for index, answer in zip(rest, estimates, strict=True)}
    return _explained(gateway, intents, [found[index] for index in range(len(intents))], sender)


def _oversized(intents: Sequence[Intent]) -> dict[int, int | ChainError]:
    """Those that a simulation would let pass, and no pool."""
    return {
        index: TransactionRejected(f"{intent.key} has {len(intent.data)} bytes of calldata, nodes take {MOST_DATA}")
        for index, intent in enumerate(intents)
        if len(intent.data) > MOST_DATA
    }


def _tried(
    gateway: Gateway, intents: Sequence[Intent], sender: Address, known: set[int]
) -> dict[int, int | ChainError]:
    """The outcome of those that state their gas, unless they may have run out of it."""
    stated = {
        index: intent.gas for index, intent in enumerate(intents) if intent.gas is not None and index not in known
    }
    found: dict[int, int | ChainError] = {}
    if not stated:
        return found
    calls = [_call(intents[index], sender, gas=gas) for index, gas in stated.items()]
    for (index, gas), answer in zip(stated.items(), gateway.calls(calls), strict=True):
        if isinstance(answer, bytes):
            found[index] = _capped(intents[index], gas)
        elif not isinstance(answer, ContractRevert) or answer.data:
            found[index] = answer
    return found


def _explained(
    gateway: Gateway, intents: Sequence[Intent], outcomes: list[int | ChainError], sender: Address
) -> list[int | ChainError]:
    """Reverts decoded; some nodes give the data with a call but not with an estimate."""
    mute = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, ContractRevert) and not outcome.data]
    if mute:
        answers = gateway.calls([_call(intents[index], sender) for index in mute])
        for index, answer in zip(mute, answers, strict=True):
            if isinstance(answer, ContractRevert) and answer.data:
                outcomes[index] = answer
    return [contract_error(item.data) if isinstance(item, ContractRevert) and item.data else item for item in outcomes]


def _limit(intent: Intent, estimate: int | ChainError) -> int | ChainError:
    if not isinstance(estimate, int):
        return estimate
    limit = _capped(intent, estimate)
    # State may shift between simulation and inclusion, and unused gas costs nothing.
    return limit if not isinstance(limit, int) else min(estimate * (100 + intent.margin_percent) // 100, intent.gas_cap)


def _capped(intent: Intent, gas: int) -> int | ChainError:
    if gas > intent.gas_cap:
        return TransactionRejected(f"{intent.key} needs {gas} gas, allowed are {intent.gas_cap}")
    return gas


def _call(intent: Intent, sender: Address, *, gas: int | None = None) -> Call:
    return Call(to=intent.to, data=intent.data, sender=sender, value=intent.value_wei, gas=gas)
