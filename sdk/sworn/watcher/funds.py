"""The balance of the key that sends: who runs low is told, who runs dry takes nothing new."""

from __future__ import annotations

import time
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from sworn.types import Address
from sworn.watcher.policy import Guards

_REMIND_S = 3_600.0


class Funds:
    """What the balance was when it was last looked at, and what follows."""

    def __init__(self, *, sender: Address, log: FilteringBoundLogger, clock: Callable[[], float] = time.time) -> None:
        self._sender = sender
        self._log = log
        self._clock = clock
        self._told: dict[str, float] = {}
        self._paused = ""

    @property
    def paused(self) -> str:
        """Why nothing new is taken; empty when something is."""
        return self._paused

    def look(self, balance_wei: int, guards: Guards) -> None:
        """Takes note of a balance. What is sworn is brought to its end whatever it is."""
        facts = {"sender": self._sender, "balance_wei": balance_wei}
        if balance_wei <= guards.pause_balance_wei:
            self._paused = (
                f"{self._sender} has {balance_wei} wei, which is not more than the {guards.pause_balance_wei} wei at "
                "which nothing new is taken"
            )
            self._tell("paused", "paused_for_funds", "critical", advice="send ether to the sender", **facts)
            return
        if self._paused:
            self._log.info("resumed_with_funds", **facts)
        self._paused = ""
        self._told.pop("paused", None)
        if balance_wei < guards.min_balance_wei:
            self._tell("low", "balance_low", "warning", min_balance_wei=guards.min_balance_wei, **facts)
        else:
            self._told.pop("low", None)

    def _tell(self, what: str, event: str, level: str, **facts: object) -> None:
        now = self._clock()
        last = self._told.get(what)
        # A clock that was set back must not silence it.
        if last is None or not 0 <= now - last < _REMIND_S:
            self._told[what] = now
            getattr(self._log, level)(event, **facts)
