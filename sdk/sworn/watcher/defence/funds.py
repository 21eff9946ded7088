"""Whether the account that sends answers can pay for those that are owed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.chain.gateway import Gateway
from sworn.types import Address, Part
from sworn.watcher.defence.records import Defence, OpenDemand

#: What an answer costs at most; constants of `contracts/dispute/Disputes.sol`.
TRACE_GAS: Final = 200_000
NODES_GAS: Final = 200_000
CHUNKS_GAS: Final = 1_100_000
_CHUNKS: Final = frozenset({Part.CHUNKS, Part.WEIGHT_CHUNKS, Part.STEPS, Part.INTERFACE})


class Funds:
    """Says when an account runs dry, once until it has been filled again."""

    def __init__(self, *, gateway: Gateway, sender: Address, log: FilteringBoundLogger) -> None:
        self._gateway, self._sender, self._log = gateway, sender, log
        self._is_told = False

    def look(self, defences: Sequence[Defence], demands: Sequence[OpenDemand]) -> None:
        """Compares what is owed with what is there. Raises `ChainError`."""
        gas = TRACE_GAS * sum(defence.answer_by is not None for defence in defences)
        gas += sum(CHUNKS_GAS if demand.target.part in _CHUNKS else NODES_GAS for demand in demands)
        if gas == 0:
            return
        fees = self._gateway.fees()
        needed_wei = gas * (fees.base_fee + fees.tip)
        balance_wei = self._gateway.balance(self._sender)
        is_short = balance_wei < needed_wei
        if is_short and not self._is_told:
            # What answers earn is credited to the operator, not to who sends them.
            facts = {"sender": self._sender, "balance_wei": balance_wei, "needed_wei": needed_wei}
            self._log.critical("funds_low", advice="send ether to the sender now", **facts)
        self._is_told = is_short
