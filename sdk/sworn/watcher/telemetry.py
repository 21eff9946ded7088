"""What a daemon tells whoever counts; `sworn.web.metrics` counts for Prometheus."""

from __future__ import annotations

from typing import Final, Protocol

from sworn.chain.telemetry import ChainTelemetry, SilentChainTelemetry


class Telemetry(ChainTelemetry, Protocol):
    """Hears of what a daemon does. Callable from any thread; never blocks and never raises."""

    def run_ended(self, model_id: bytes, seconds: float, outcome: str) -> None:
        """A model has run. Outcomes: ``computed``, or the name of a `FailureCode` in lower case, or ``crashed``."""
        ...

    def proposed(self, blocks: int, seconds: float) -> None:
        """A result of ours is seen on chain: so many blocks after its request's, and seconds after that was stored."""
        ...

    def turn(self, seconds: float, failed: bool, led: bool = True) -> None:
        """The loop has turned once: ``failed`` where the chain or the database ended the turn, ``led`` as a leader."""
        ...

    def claim_checked(self, verdict: str) -> None:
        """A challenger has checked somebody's result. Verdicts: honest, false, failed (the check itself)."""
        ...


class SilentTelemetry(SilentChainTelemetry):
    """Hears nothing."""

    def run_ended(self, model_id: bytes, seconds: float, outcome: str) -> None:
        """Nothing."""

    def proposed(self, blocks: int, seconds: float) -> None:
        """Nothing."""

    def turn(self, seconds: float, failed: bool, led: bool = True) -> None:
        """Nothing."""

    def claim_checked(self, verdict: str) -> None:
        """Nothing."""


#: For where nobody counts.
NO_TELEMETRY: Final[Telemetry] = SilentTelemetry()


class Ensemble:
    """Tells several listeners the same."""

    def __init__(self, *listeners: Telemetry) -> None:
        self._listeners = listeners

    def transaction(self, kind: str, event: str) -> None:
        for each in self._listeners:
            each.transaction(kind, event)

    def fees_paid(self, kind: str, wei: int) -> None:
        for each in self._listeners:
            each.fees_paid(kind, wei)

    def reorg(self, depth: int) -> None:
        for each in self._listeners:
            each.reorg(depth)

    def rpc(self, endpoint: str, outcome: str, seconds: float) -> None:
        for each in self._listeners:
            each.rpc(endpoint, outcome, seconds)

    def endpoint_health(self, endpoint: str, healthy: bool, lag: int) -> None:
        for each in self._listeners:
            each.endpoint_health(endpoint, healthy, lag)

    def run_ended(self, model_id: bytes, seconds: float, outcome: str) -> None:
        for each in self._listeners:
            each.run_ended(model_id, seconds, outcome)

    def proposed(self, blocks: int, seconds: float) -> None:
        for each in self._listeners:
            each.proposed(blocks, seconds)

    def turn(self, seconds: float, failed: bool, led: bool = True) -> None:
        for each in self._listeners:
            each.turn(seconds, failed, led)

    def claim_checked(self, verdict: str) -> None:
        for each in self._listeners:
            each.claim_checked(verdict)
