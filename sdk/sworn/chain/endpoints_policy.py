"""What is asked of several endpoints together, and how questions reach many of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from sworn.pools import filled_pool

#: Blocks by which an endpoint may be behind or ahead, or as many as the chain makes in so many seconds.
_MAX_LAG_BLOCKS: Final = 5
_MAX_LAG_S: Final = 30.0
#: The same for the endpoint in use, before a better one takes its place.
_SLACK_BLOCKS: Final = 1
_SLACK_S: Final = 2.0


class CrossCheck(Enum):
    """What is compared between endpoints before it is believed."""

    #: Block hashes at the height that is acted on, every header that is read by number, and every log.
    FULL = "full"
    #: The same without logs, which are the expensive part.
    HEADERS = "headers"
    #: Nothing: whoever is asked is believed.
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverPolicy:
    """How several endpoints are used."""

    cross_check: CrossCheck = CrossCheck.FULL
    #: Endpoints that must say the same; with 1, what only one endpoint can be asked about is believed.
    quorum: int = 1
    #: Blocks below the newest one at which hashes are compared: what is acted on has so many confirmations.
    depth: int = 2
    #: Seconds without a new block until another endpoint is used; None = by the chain's own pace.
    silent_after_s: float | None = None
    #: Seconds for which blocks are waited for that were seen before and that no endpoint has now.
    patience_s: float = 15.0
    #: Seconds without trouble until a preferred endpoint is used again.
    return_after_s: float = 30.0
    #: Whether transactions go to all endpoints, so that none can keep them to itself.
    broadcast: bool = True
    #: Seconds for which slower endpoints are waited for once one has answered.
    wait_s: float = 2.0

    def slack(self, block_time_s: float | None) -> int:
        """Blocks by which the endpoint in use may be behind a better one, where a block takes so long."""
        return max(_SLACK_BLOCKS, int(_SLACK_S / block_time_s) if block_time_s else 0)

    def max_lag(self, block_time_s: float | None) -> int:
        """Blocks by which endpoints may be apart, where a block takes so long."""
        return max(_MAX_LAG_BLOCKS, int(_MAX_LAG_S / block_time_s) if block_time_s else 0)


class Gather(Protocol):
    """Runs tasks, and comes back when they have ended or when those that have are ``enough`` and time is up."""

    def __call__(
        self, tasks: Sequence[Callable[[], None]], *, wait_s: float, enough: Callable[[], bool] = ...
    ) -> None: ...
    def close(self) -> None: ...


class OneByOne:
    """A `Gather` in the calling thread."""

    def __call__(
        self, tasks: Sequence[Callable[[], None]], *, wait_s: float, enough: Callable[[], bool] = lambda: True
    ) -> None:
        for task in tasks:
            task()

    def close(self) -> None:
        """Nothing to end."""


class Together:
    """A `Gather` in threads: one endpoint that hangs does not hold up the others."""

    def __init__(self, workers: int) -> None:
        self._pool = filled_pool(workers, name="endpoints")

    def __call__(
        self, tasks: Sequence[Callable[[], None]], *, wait_s: float, enough: Callable[[], bool] = lambda: True
    ) -> None:
        if len(tasks) == 1 and wait_s:
            tasks[0]()
            return
        left = {self._pool.submit(task) for task in tasks}
        ended, left = wait(left, timeout=wait_s)
        while left and not enough():
            more, left = wait(left, return_when=FIRST_COMPLETED)
            ended |= more
        for task in ended:
            # A task that crashes is our own mistake and is not to be taken for an endpoint's silence.
            task.result()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
