"""What the chain's side tells whoever counts: transactions, fees, reorganisations, endpoints."""

from __future__ import annotations

from typing import Final, Protocol


class ChainTelemetry(Protocol):
    """Hears of what happens between us and a chain. Callable from any thread; never blocks and never raises."""

    def transaction(self, kind: str, event: str) -> None:
        """A transaction of a kind (the part of its intent's key before the colon) went on by one step.

        Events: submitted, rejected, rebroadcast, bumped, cancelled, mined, reverted, confirmed, abandoned, revived.
        """
        ...

    def fees_paid(self, kind: str, wei: int) -> None:
        """A mined transaction has cost so much, whether it succeeded or reverted."""
        ...

    def reorg(self, depth: int) -> None:
        """So many followed blocks have left the chain."""
        ...

    def rpc(self, endpoint: str, outcome: str, seconds: float) -> None:
        """A request to an endpoint has ended. ``endpoint`` is a masked host, never a URL with a key in it.

        Outcomes: ok, error, timeout, limited (429), unavailable, wrong (an answer that others contradict).
        """
        ...

    def endpoint_health(self, endpoint: str, healthy: bool, lag: int) -> None:
        """Whether an endpoint is used just now, and how many blocks it is behind the best one."""
        ...


class SilentChainTelemetry:
    """Hears nothing."""

    def transaction(self, kind: str, event: str) -> None:
        """Nothing."""

    def fees_paid(self, kind: str, wei: int) -> None:
        """Nothing."""

    def reorg(self, depth: int) -> None:
        """Nothing."""

    def rpc(self, endpoint: str, outcome: str, seconds: float) -> None:
        """Nothing."""

    def endpoint_health(self, endpoint: str, healthy: bool, lag: int) -> None:
        """Nothing."""


#: For where nobody counts.
NO_CHAIN_TELEMETRY: Final[ChainTelemetry] = SilentChainTelemetry()
