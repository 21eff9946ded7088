"""How one endpoint is doing: whether to ask it, how fast it may be asked, how fast it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from sworn.chain.pacing import Sleep

#: Failures in a row after which an endpoint is left alone.
_FAILURES: Final = 2
#: Share of failures, of late, above which it is left alone although it answers now and then.
_WORST_RATE: Final = 0.5
_FEWEST_SAMPLES: Final = 10
#: Weight of the newest sample in moving averages.
_WEIGHT: Final = 0.1
#: Seconds of rest after a 429 that does not say how long, and the most that one may ask for.
_LIMITED_S: Final = 5.0
_MOST_LIMITED_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rests:
    """For how many seconds an endpoint is left alone: at first, and at most, as each time doubles the next."""

    #: After failures.
    first_s: float = 1.0
    longest_s: float = 60.0
    #: After it said what cannot be.
    first_ban_s: float = 15.0
    longest_ban_s: float = 600.0


class Breaker:
    """Leaves an endpoint alone after it failed: longer each time, by a random part less or more.

    An endpoint that *rests* is asked only when no other is left. One that is *barred*, as it asked for rest itself or
    said what others contradict, is not asked at all.
    """

    def __init__(self, *, clock: Callable[[], float], random: Random, rests: Rests) -> None:
        self._clock = clock
        self._random = random
        self._rests = rests
        self._rests_until = 0.0
        self._barred_until = 0.0
        self._failures = 0
        self._trips = 0
        self._bans = 0
        self._rate = 0.0
        self._samples = 0
        self._troubled_at: float | None = None
        #: Why it is left alone, or was last.
        self.reason = ""

    @property
    def barred(self) -> bool:
        """Whether it must not be asked."""
        return self._clock() < self._barred_until

    @property
    def resting(self) -> bool:
        """Whether it is better not asked."""
        return self.barred or self._clock() < self._rests_until

    @property
    def rests_until(self) -> float:
        """Monotonic seconds at which it is asked again."""
        return max(self._rests_until, self._barred_until)

    @property
    def error_rate(self) -> float:
        """Share of failures, of late."""
        return self._rate

    def calm(self, seconds: float) -> bool:
        """Whether there was no trouble for so long."""
        return self._troubled_at is None or self._clock() - self._troubled_at >= seconds

    def succeeded(self) -> None:
        """Notes an answer."""
        self._failures = 0
        self._sample(0.0)
        if self.calm(self._rests.longest_s):
            self._trips = 0
        if self.calm(self._rests.longest_ban_s):
            self._bans = 0

    def failed(self, reason: str) -> bool:
        """Notes a failure; whether it is left alone from now on."""
        self._troubled_at = self._clock()
        self._failures += 1
        self._sample(1.0)
        often = self._samples >= _FEWEST_SAMPLES and self._rate > _WORST_RATE
        if self._failures < _FAILURES and not often:
            return False
        self._rests_until = self._clock() + self._spread(self._rests.first_s, self._trips, self._rests.longest_s)
        self._trips += 1
        self.reason = reason
        return True

    def limited(self, seconds: float | None) -> None:
        """Notes that it asked for rest."""
        self._troubled_at = self._clock()
        asked = _LIMITED_S if seconds is None else min(seconds, _MOST_LIMITED_S)
        self._barred_until = max(self._barred_until, self._clock() + asked)
        self.reason = f"it asked for {asked:.0f} s of rest"

    def ban(self, reason: str) -> None:
        """Notes that it said what cannot be."""
        self._troubled_at = self._clock()
        until = self._clock() + self._spread(self._rests.first_ban_s, self._bans, self._rests.longest_ban_s)
        self._barred_until = max(self._barred_until, until)
        self._bans += 1
        self.reason = reason

    def _sample(self, failed: float) -> None:
        self._samples += 1
        self._rate += max(_WEIGHT, 1 / self._samples) * (failed - self._rate)

    def _spread(self, first_s: float, times: int, longest_s: float) -> float:
        # By a random part, so that many watchers do not come back at the same moment.
        return float(min(first_s * 2 ** min(times, 16), longest_s) * self._random.uniform(0.75, 1.25))


class Pace:
    """Keeps to so many requests per second by waiting before one; None = as fast as it goes."""

    def __init__(self, per_second: float | None, *, clock: Callable[[], float], sleep: Sleep) -> None:
        self._gap_s = 0.0 if per_second is None else 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0

    def take(self, requests: int = 1) -> None:
        """Waits until the next requests may be made."""
        if not self._gap_s:
            return
        now = self._clock()
        if self._next > now:
            self._sleep(self._next - now)
        # A second's worth may be made at once after a pause.
        self._next = max(self._next, now - 1.0) + self._gap_s * requests


class Latency:
    """Seconds that answers take: a moving average."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._samples = 0

    def sample(self, seconds: float) -> None:
        """Notes one answer."""
        self._samples += 1
        self.seconds += max(_WEIGHT, 1 / self._samples) * (seconds - self.seconds)
