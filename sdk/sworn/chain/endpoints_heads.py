"""What the newest blocks of several endpoints say about each other: pure, for any number of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sworn.chain.endpoints_node import Sighting

_Name = TypeVar("_Name", bound=Hashable)
_Said = TypeVar("_Said")

#: Seconds by which a block may be newer than our clock.
_CLOCK_SLACK_S: Final = 60
#: Blocks' worth of time without a new one that count as silence, and the bounds of that in seconds.
_SILENT_BLOCKS: Final = 10
_SHORTEST_SILENCE_S: Final = 60.0
_UNKNOWN_SILENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What counts as late, and what time it is."""

    #: Blocks by which an endpoint may be apart from the others.
    max_lag: int
    #: Seconds without a new block after which an endpoint is passed over for one that has a newer one.
    silent_after_s: float
    #: Monotonic seconds.
    clock: float
    #: Unix seconds.
    wall: float


def silence_s(block_time_s: float | None) -> float:
    """Seconds without a new block that are out of the ordinary, where a block usually takes so long."""
    return _UNKNOWN_SILENCE_S if block_time_s is None else max(_SILENT_BLOCKS * block_time_s, _SHORTEST_SILENCE_S)


def block_time_of(sighting: Sighting, known: float | None) -> float | None:
    """Seconds per block: a moving average over what an endpoint has said; None = not yet known."""
    before, head = sighting.before, sighting.head
    if before is None or head.number <= before.number or head.timestamp <= before.timestamp:
        return known
    seen = (head.timestamp - before.timestamp) / (head.number - before.number)
    return seen if known is None else known + 0.2 * (seen - known)


def astray(sightings: Mapping[_Name, Sighting], now: Now) -> dict[_Name, str]:
    """The endpoints whose newest block is not to be relied on, each with the reason. Never all of them."""
    found: dict[_Name, str] = {}
    highest = max((sighting.head.number for sighting in sightings.values()), default=0)
    for name, sighting in sightings.items():
        quiet_s = now.clock - sighting.since
        if quiet_s > now.silent_after_s and sighting.head.number < highest:
            found[name] = f"no new block for {quiet_s:.0f} s, while others have newer ones"
    rest = {name: sighting.head for name, sighting in sightings.items() if name not in found}
    numbers = sorted(head.number for head in rest.values())
    if len(numbers) == 2 and numbers[1] - numbers[0] > now.max_lag:
        low, high = sorted(rest, key=lambda name: rest[name].number)
        # One is behind or the other ahead. A chain that is ahead of the clock is not to be believed.
        ahead = rest[high].timestamp > now.wall + _CLOCK_SLACK_S >= rest[low].timestamp
        gap = numbers[1] - numbers[0]
        found[high if ahead else low] = f"{gap} blocks {'ahead of' if ahead else 'behind'} the other endpoint"
    elif len(numbers) > 2:
        middle = numbers[(len(numbers) - 1) // 2]
        for name, head in rest.items():
            if abs(head.number - middle) > now.max_lag:
                side = "ahead of" if head.number > middle else "behind"
                found[name] = f"{abs(head.number - middle)} blocks {side} the others"
    return found


def shown_height(own: int, others: Sequence[int], *, confirming: int) -> int:
    """The newest block of an endpoint that so many others have as well."""
    if not confirming:
        return own
    return min(own, sorted(others, reverse=True)[confirming - 1])


def majority(said: Mapping[_Name, _Said], *, key: Callable[[_Said], Hashable]) -> list[_Name] | None:
    """The endpoints that say what more than half of them say; None = there is no such thing."""
    groups: dict[Hashable, list[_Name]] = {}
    for name, answer in said.items():
        groups.setdefault(key(answer), []).append(name)
    largest = max(groups.values(), key=len, default=[])
    return largest if 2 * len(largest) > len(said) else None
