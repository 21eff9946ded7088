from __future__ import annotations

from random import Random

import pytest
from tests.support.faulty_gateway import Clock

from sworn.chain.endpoints_heads import Now, astray, block_time_of, majority, shown_height, silence_s
from sworn.chain.endpoints_health import Breaker, Pace, Rests
from sworn.chain.endpoints_node import Sighting
from sworn.chain.gateway import Block
from sworn.chain.log_window import LogWindow

NOW = Now(max_lag=5, silent_after_s=100, clock=1000, wall=2000)


def _breaker(clock: Clock) -> Breaker:
    return Breaker(
        clock=clock, random=Random(1), rests=Rests(first_s=1, longest_s=60, first_ban_s=15, longest_ban_s=600)
    )


def _sighting(number: int, *, since: float = 1000, timestamp: int = 1990) -> Sighting:
    head = Block(number=number, hash=bytes([number]), parent_hash=b"", timestamp=timestamp, base_fee=0)
    return Sighting(head=head, since=since, before=None)


def test_breaker_after_failures_rests_longer_each_time_within_bounds() -> None:
    """A node that is down is asked less and less, never less than once in a while, and not by all at one moment."""
    clock, rests = Clock(), []
    breaker = _breaker(clock)
    assert not breaker.failed("once")
    for _ in range(12):
        assert breaker.failed("again")
        rests.append(breaker.rests_until - clock.now)
        clock.sleep(rests[-1])
        assert not breaker.resting
    assert 0.75 <= rests[0] <= 1.25 < rests[3] and max(rests) <= 75 and rests[-1] >= 45
    assert rests[-1] != rests[-2]


def test_breaker_trips_on_a_bad_share_of_answers_too() -> None:
    """A node that fails every other time never fails twice in a row, and is still no node to rely on."""
    breaker = _breaker(Clock())
    assert not breaker.failed("once")
    for _ in range(30):
        breaker.succeeded()
        breaker.failed("every other time")
    assert breaker.resting


def test_breaker_ban_grows_and_forgets_after_long_calm() -> None:
    """Who lies twice is left alone for longer; who was right for long starts anew."""
    clock = Clock()
    breaker = _breaker(clock)
    breaker.ban("lied")
    first = breaker.rests_until - clock.now
    assert breaker.barred
    clock.sleep(first)
    breaker.ban("lied")
    second = breaker.rests_until - clock.now
    assert second > first
    clock.sleep(10_000)
    breaker.succeeded()
    breaker.ban("lied")
    assert breaker.rests_until - clock.now < second


def test_pace_keeps_to_the_rate_after_a_burst() -> None:
    """A provider's limit is kept before it has to be enforced; a pause gives a second's worth back, not an hour's."""
    clock = Clock()
    pace = Pace(10, clock=clock, sleep=clock.sleep)
    clock.sleep(3600)
    begun = clock.now
    for _ in range(110):
        pace.take()
    assert 9.5 <= clock.now - begun <= 10.5
    pace = Pace(None, clock=clock, sleep=clock.sleep)
    begun = clock.now
    pace.take(1_000_000)
    assert clock.now == begun


@pytest.mark.parametrize("cap", [1, 2, 7, 100, 999, 1000, 5000, 10_000])
def test_log_window_finds_a_limit_and_stays_near_it(cap: int) -> None:
    """A node's limit is found in a few questions and then used, with few refusals afterwards."""
    window, refused, served, blocks = LogWindow(10_000), 0, 0, 0
    for _ in range(500):
        size = window.size
        if size > cap:
            window.refused(size)
            refused += 1
        else:
            window.served(size, 0)
            served, blocks = served + 1, blocks + size
    assert refused <= 60
    assert blocks >= 0.5 * cap * served


def test_log_window_limit_by_logs_follows_the_crowd() -> None:
    """A limit on logs means a small range where they are dense and a large one where they are rare."""
    window, place, questions = LogWindow(10_000), 0, 0
    while place < 200_000:
        density = 50 if 50_000 < place < 60_000 else 0
        size = window.size
        questions += 1
        if size * density > 5_000:
            window.refused(size)
            continue
        window.served(size, size * density)
        place += size
    assert questions < 600


@pytest.mark.parametrize(
    ("heads", "found"),
    [
        ({"a": 100}, set()),
        ({"a": 100, "b": 96}, set()),
        ({"a": 100, "b": 60}, {"b"}),
        ({"a": 100, "b": 101, "c": 99}, set()),
        ({"a": 100, "b": 120, "c": 99}, {"b"}),
        ({"a": 100, "b": 101, "c": 40}, {"c"}),
        ({"a": 100, "b": 101, "c": 40, "d": 250}, {"c", "d"}),
    ],
)
def test_heads_far_from_the_others_are_astray(heads: dict[str, int], found: set[str]) -> None:
    """Whoever is far behind or ahead of the others is not used; never everybody."""
    assert set(astray({name: _sighting(number) for name, number in heads.items()}, NOW)) == found


def test_heads_ahead_of_the_clock_are_not_believed_against_one_other() -> None:
    """Of two that are far apart, the one whose newest block lies in the future is the wrong one."""
    future = {"a": _sighting(100), "b": _sighting(160, timestamp=2100)}
    assert set(astray(future, NOW)) == {"b"}
    past = {"a": _sighting(100, timestamp=1000), "b": _sighting(160)}
    assert set(astray(past, NOW)) == {"a"}


def test_heads_that_stand_still_are_astray_only_when_others_move() -> None:
    """A chain that rests is no fault of a node; a node that rests while the chain goes on is."""
    still = {"a": _sighting(100, since=800), "b": _sighting(101, since=999)}
    assert set(astray(still, NOW)) == {"a"}
    assert astray({"a": _sighting(100, since=800), "b": _sighting(100, since=800)}, NOW) == {}


def test_heads_tell_the_pace_of_the_chain() -> None:
    """What counts as silence follows the chain: seconds on a fast one, minutes on a slow one."""
    before = _sighting(10, timestamp=1000).head
    after = Sighting(head=_sighting(14, timestamp=1048).head, since=0, before=before)
    assert block_time_of(after, None) == 12
    assert block_time_of(_sighting(10), 7.0) == 7.0
    assert (silence_s(None), silence_s(12), silence_s(0.25)) == (120, 120, 60)


def test_shown_height_needs_as_many_confirmers_as_asked() -> None:
    """The newest block that enough others have as well."""
    assert shown_height(100, [], confirming=0) == 100
    assert shown_height(100, [99, 90], confirming=1) == 99
    assert shown_height(100, [99, 90], confirming=2) == 90
    assert shown_height(80, [99, 90], confirming=1) == 80


def test_majority_is_more_than_half() -> None:
    """Half is no majority, and of nothing there is none."""
    assert majority({"a": 1, "b": 1, "c": 2}, key=int) == ["a", "b"]
    assert majority({"a": 1, "b": 2}, key=int) is None
    assert majority({"a": 1, "b": 1, "c": 2, "d": 2}, key=int) is None
    assert majority({}, key=int) is None
