"""The endpoints in use: which one is asked, which others may stand in for it, and what view of the chain they share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from sworn.chain.endpoints_agreement import block_or_none, settle
from sworn.chain.endpoints_heads import Now, astray, block_time_of, shown_height, silence_s
from sworn.chain.endpoints_node import Endpoint, NoticeKind, Sighting
from sworn.chain.endpoints_policy import CrossCheck, FailoverPolicy, Gather, OneByOne, Together
from sworn.chain.gateway import Block
from sworn.errors import ChainError, ConfigurationError, EndpointsDisagree, TransientChainError

#: An endpoint is slow when it takes longer than this, and than four times the fastest.
_SLOW_S = 1.0

_Seen = dict[Endpoint, Sighting]


class Circle:
    """Chooses among endpoints, in order of preference, and keeps what a view shows."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        policy: FailoverPolicy,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        gather: Gather | None = None,
    ) -> None:
        if not endpoints:
            raise ConfigurationError("no endpoint is named")
        self.endpoints = tuple(endpoints)
        self.policy = policy
        self.gather = gather or (Together(2 * len(endpoints)) if len(endpoints) > 1 else OneByOne())
        self.chosen: Endpoint | None = None
        #: The block that the view shows.
        self.shown: Block | None = None
        self._clock = clock
        self._wall = wall
        self._lock = threading.RLock()
        self._busy: set[Endpoint] = set()
        self._sharing: set[Endpoint] = set()
        self._astray: dict[Endpoint, str] = {}
        self._behind_since: float | None = None
        self._quiet = False
        self._block_time_s: float | None = None
        #: The heads of the last comparison that found no contradiction.
        self._compared: frozenset[tuple[str, bytes]] = frozenset()

    @property
    def checks(self) -> bool:
        """Whether anything is compared at all."""
        return self.policy.cross_check is not CrossCheck.OFF and len(self.endpoints) > 1

    def reasons(self) -> str:
        """Why endpoints are left alone."""
        found = [
            f"{endpoint.name}: {endpoint.breaker.reason if endpoint.breaker.resting else self._astray[endpoint]}"
            for endpoint in self.endpoints
            if endpoint.breaker.resting or endpoint in self._astray
        ]
        return "; ".join(found) or "none is in trouble"

    def candidates(self) -> list[Endpoint]:
        """Whom to ask, in this order: the one in use, then by preference; of those that rest one at most."""
        awake = [endpoint for endpoint in self.preferred() if not endpoint.breaker.resting]
        if not awake:
            resting = [endpoint for endpoint in self.endpoints if not endpoint.breaker.barred]
            awake = sorted(resting, key=lambda endpoint: endpoint.breaker.rests_until)[:1]
        return sorted(awake, key=lambda endpoint: endpoint is not self.chosen)

    def preferred(self) -> list[Endpoint]:
        """All endpoints, best first. One that had trouble has to keep out of it for a while to come before others."""
        fastest = min(endpoint.latency.seconds for endpoint in self.endpoints)

        def rank(endpoint: Endpoint) -> tuple[bool, bool]:
            troubled = endpoint is not self.chosen and not endpoint.breaker.calm(self.policy.return_after_s)
            return troubled, endpoint.latency.seconds > max(_SLOW_S, 4 * fastest)

        return sorted(self.endpoints, key=rank)

    def verifiers(self, height: int) -> list[Endpoint]:
        """Endpoints that check the one in use: those that say to have blocks of this height."""
        if not self.checks:
            return []
        return [
            endpoint
            for endpoint in self.preferred()
            if endpoint is not self.chosen
            and endpoint not in self._astray
            and not endpoint.breaker.resting
            and endpoint.sighting is not None
            and endpoint.sighting.head.number >= height
        ]

    def shares(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint has the very block that the view shows: only then may it stand in for the one in use."""
        shown = self.shown
        if shown is None or endpoint is self.chosen or endpoint in self._sharing:
            return True
        found = block_or_none(endpoint, shown.number)
        if found is None or found.hash != shown.hash:
            return False
        self._sharing.add(endpoint)
        return True

    def use(self, endpoint: Endpoint) -> None:
        """Asks this one from now on."""
        before, self.chosen = self.chosen, endpoint
        if before is not None and before is not endpoint:
            reason = before.breaker.reason if before.breaker.resting else self._astray.get(before, "")
            endpoint.tell(NoticeKind.SWITCHED, f"instead of {before.name}" + (f", as {reason}" if reason else ""))

    def open(self) -> Block:
        """Opens a view; returns the newest block that it shows. Raises `ChainError`, `EndpointsDisagree`."""
        with self._lock:
            # Each round but the last bans somebody.
            for _ in self.endpoints:
                seen = self._sight()
                endpoint, height = self._choose(seen)
                if not self._at_one(endpoint, seen):
                    continue
                newest = seen[endpoint].head
                head = newest if newest.number == height else endpoint.block(height)
                self._show(endpoint, head, seen)
                return head
            raise EndpointsDisagree(f"no endpoint is left that others agree with: {self.reasons()}")

    def _sight(self) -> _Seen:
        """The newest block of every endpoint that may be asked and answers in time. Raises when none does."""
        seen: _Seen = {}
        failed: list[ChainError | ConfigurationError] = []

        def look(endpoint: Endpoint) -> None:
            try:
                seen[endpoint] = endpoint.sight()
            except (ChainError, ConfigurationError) as error:
                failed.append(error)
            finally:
                self._busy.discard(endpoint)

        asked = [endpoint for endpoint in self.candidates() if endpoint not in self._busy]
        self._busy.update(asked)
        self.gather(
            [partial(look, endpoint) for endpoint in asked], wait_s=self.policy.wait_s, enough=lambda: bool(seen)
        )
        if seen:
            # A late answer must not change what is being judged.
            return dict(seen)
        if len(failed) == 1:
            raise failed[0]
        raise TransientChainError(f"no endpoint answers: {'; '.join(map(str, failed)) or self.reasons()}")

    def _choose(self, seen: _Seen) -> tuple[Endpoint, int]:
        """The endpoint to use, and the height of the newest block to show."""
        self._judge(seen)
        fit = {endpoint: seen[endpoint].head.number for endpoint in seen if endpoint not in self._astray}
        if len(fit) < self.policy.quorum:
            raise TransientChainError(
                f"{len(fit)} endpoints answer, {self.policy.quorum} have to agree: {self.reasons()}"
            )
        confirming = min(max(self.policy.quorum - 1, 1), len(fit) - 1) if self.checks else 0
        shown = -1 if self.shown is None else self.shown.number
        offers: list[tuple[Endpoint, int]] = []
        for endpoint in self.preferred():
            if endpoint in fit:
                others = [number for other, number in fit.items() if other is not endpoint]
                height = shown_height(fit[endpoint], others, confirming=confirming)
                # What has been shown stays shown, also when those that confirmed it are gone.
                offers.append((endpoint, max(height, min(shown, fit[endpoint]))))
        current = [offer for offer in offers if offer[1] >= shown]
        if current:
            self._behind_since = None
            best = max(height for _, height in current)
            # The one in use may be a little late; it is not left, and another one not come back to, for a late block.
            slack = self.policy.slack(self._block_time_s)
            return next(
                (endpoint, height)
                for endpoint, height in current
                if height >= best - (slack if endpoint is self.chosen else 0)
            )
        return self._went_back(max(offers, key=lambda offer: offer[1]))

    def _went_back(self, best: tuple[Endpoint, int]) -> tuple[Endpoint, int]:
        """Waits for blocks that were seen before; after a while the chain is taken to have become shorter."""
        now = self._clock()
        shown = 0 if self.shown is None else self.shown.number
        if self._behind_since is None:
            self._behind_since = now
            best[0].tell(NoticeKind.WENT_BACK, f"its newest block is {best[1]}, after {shown} was seen")
        if len(self.endpoints) > 1 and now - self._behind_since < self.policy.patience_s:
            raise TransientChainError(f"no endpoint in reach has block {shown}, which was seen before")
        self._behind_since = None
        return best

    def _judge(self, seen: _Seen) -> None:
        """Finds those whose newest block is not to be relied on."""
        for endpoint, sighting in seen.items():
            if endpoint is self.chosen:
                self._block_time_s = block_time_of(sighting, self._block_time_s)
        now = Now(
            max_lag=self.policy.max_lag(self._block_time_s),
            silent_after_s=self._silent_after_s,
            clock=self._clock(),
            wall=self._wall(),
        )
        found = astray(seen, now)
        for endpoint, reason in found.items():
            if endpoint not in self._astray:
                endpoint.tell(NoticeKind.ASTRAY, reason)
        self._astray = found

    @property
    def _silent_after_s(self) -> float:
        return silence_s(self._block_time_s) if self.policy.silent_after_s is None else self.policy.silent_after_s

    def _at_one(self, endpoint: Endpoint, seen: _Seen) -> bool:
        """Whether the endpoints agree on the blocks below their newest ones; if not, whoever is outvoted is banned.

        Raises `EndpointsDisagree` when there is no majority, `TransientChainError` when there are too few.
        """
        heads = frozenset((item.name, sighting.head.hash) for item, sighting in seen.items())
        if not self.checks or (len(seen) == 1 and self.policy.quorum == 1) or heads == self._compared:
            return True
        fit = [item for item in seen if item not in self._astray]
        agreeing = 0
        # Those that are far behind are compared where they are; the others near the top.
        for among in [list(seen), fit] if len(fit) < len(seen) else [fit]:
            height = max(min(seen[item].head.number for item in among) - self.policy.depth, 0)
            said: dict[Endpoint, Block] = {}

            def look(item: Endpoint, height: int = height, said: dict[Endpoint, Block] = said) -> None:
                if (found := block_or_none(item, height)) is not None:
                    said[item] = found

            self.gather([partial(look, item) for item in among], wait_s=self.policy.wait_s, enough=lambda: True)
            winners = settle(f"block {height}", dict(said), key=lambda block: block.hash)
            if len(winners) < len(said):
                return False
            agreeing = len(winners)
        if agreeing < self.policy.quorum:
            raise TransientChainError(f"too few endpoints confirm block {height}: {self.reasons()}")
        self._compared = heads
        return True

    def _show(self, endpoint: Endpoint, head: Block, seen: _Seen) -> None:
        self.use(endpoint)
        if self.shown is None or self.shown.hash != head.hash:
            self._sharing = set()
        self.shown = head
        self._sharing.add(endpoint)
        self._watch_silence(endpoint, seen[endpoint])
        best = max(sighting.head.number for sighting in seen.values())
        for item in self.endpoints:
            sighting = item.sighting
            lag = 0 if sighting is None else max(best - sighting.head.number, 0)
            fit = item in seen and item not in self._astray and not item.breaker.resting
            item.telemetry.endpoint_health(item.name, fit, lag)

    def _watch_silence(self, endpoint: Endpoint, sighting: Sighting) -> None:
        quiet_s = self._clock() - sighting.since
        if quiet_s <= self._silent_after_s:
            self._quiet = False
        elif not self._quiet:
            self._quiet = True
            endpoint.tell(NoticeKind.SILENT, f"no new block for {quiet_s:.0f} s, here or elsewhere")
