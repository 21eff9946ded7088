"""Who runs next, and who is turned away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from tests.support.workforces import until

from sworn.engine.fair_queue import FairQueue
from sworn.engine.terms import ModelTerms
from sworn.errors import ConfigurationError, EngineBusy, EngineError


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Runner:
    """A thread that takes a turn and keeps it until it is told to leave."""

    def __init__(self, queue: FairQueue, key: str, order: list[str]) -> None:
        #: A capital letter is an urgent run of the model with the small one.
        self.key = key
        self.leave = threading.Event()
        self.error: EngineError | None = None
        self._queue, self._order = queue, order
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        try:
            with self._queue.turn(self.key.lower(), urgent=self.key.isupper()):
                self._order.append(self.key)
                self.leave.wait(10)
        except EngineError as error:
            self.error = error

    def start(self) -> Runner:
        """Takes its place in the queue, or beside it."""
        before = self._under_way()
        self._thread.start()
        assert until(lambda: self._under_way() != before or not self._thread.is_alive())
        return self

    def end(self) -> None:
        """Gives its place back."""
        self.leave.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _under_way(self) -> int:
        return sum(load.running + load.queued for load in self._queue.loads().values())


@contextmanager
def crowd(queue: FairQueue, keys: str) -> Iterator[tuple[list[Runner], list[str]]]:
    """One runner per letter, and the order in which they ran."""
    order: list[str] = []
    runners: list[Runner] = []
    try:
        for key in keys:
            runners.append(Runner(queue, key, order).start())
        yield runners, order
    finally:
        for runner in runners:
            runner.leave.set()
        for runner in runners:
            runner.end()


def _is_last(order: list[str], key: str) -> bool:
    return order[-1:] == [key]


def _has(order: list[str], count: int) -> bool:
    return len(order) == count


def test_queue_with_a_slow_and_a_quick_model_lets_the_quick_one_run_between() -> None:
    """Whoever has used the least time is next: ten requests for a slow model do not keep a quick one waiting."""
    clock = Clock()
    queue = FairQueue(1, clock=clock)
    with crowd(queue, "sssqq") as (runners, order):
        for seconds, runner in ((30.0, runners[0]), (0.1, runners[3]), (0.1, runners[4])):
            assert until(partial(_is_last, order, runner.key))
            clock.now += seconds
            runner.end()
        assert until(lambda: len(order) == 4)
        assert order == ["s", "q", "q", "s"]


def test_queue_after_a_rest_owes_a_model_nothing() -> None:
    """A model that nobody asked for all night may not take every place in the morning."""
    clock = Clock()
    queue = FairQueue(1, clock=clock)
    with crowd(queue, "a") as (runners, _):
        clock.now = 1000.0
        runners[0].end()
    with crowd(queue, "abb") as (runners, order):
        clock.now += 5.0
        runners[0].end()
        assert until(lambda: len(order) == 2)
        clock.now += 5.0
        runners[1].end()
        assert until(lambda: len(order) == 3)
    assert order == ["a", "b", "b"]
    with crowd(queue, "bab") as (runners, order):
        clock.now += 0.1
        runners[0].end()
        assert until(lambda: len(order) == 2)
    assert order[:2] == ["b", "a"]


def test_queue_lets_a_model_that_has_worked_for_long_in_after_one_run_of_another() -> None:
    """What it did for a year before the others came is not held against it: a flood would else keep it out for ever."""
    clock = Clock()
    queue = FairQueue(1, clock=clock)
    for _ in range(100):
        with queue.turn("a"):
            clock.now += 100.0
    with crowd(queue, "bbb") as (runners, order):
        for runner in runners[:2]:
            clock.now += 60.0
            runner.end()
        assert until(lambda: order == ["b", "b", "b"])
        with crowd(queue, "bab") as (others, later):
            clock.now += 60.0
            runners[2].end()
            assert until(lambda: len(later) == 1)
            assert later == ["a"]
            for other in others:
                other.leave.set()


def test_queue_forgives_a_lead_in_rest_but_not_to_who_comes_back_at_once() -> None:
    """A long run is paid for while others wait; after as much time in which nobody was kept out it is forgotten."""
    for rest_s, expected in ((0.0, ["a", "b", "b"]), (45.0, ["a", "b", "a"])):
        clock = Clock()
        queue = FairQueue(1, clock=clock)
        with crowd(queue, "abb") as (runners, order):
            clock.now += 60.0
            runners[0].end()
            assert until(partial(_is_last, order, "b"))
            clock.now += rest_s
            again = Runner(queue, "a", order).start()
            clock.now += 15.0
            runners[1].end()
            assert until(partial(_has, order, 3))
            assert order == expected
            runners[2].leave.set()
            again.end()


def test_queue_with_ever_new_models_comes_back_to_the_one_that_waits() -> None:
    """Strangers may bring as many models as they like: each begins at the floor, but the floor rises."""
    clock = Clock()
    queue = FairQueue(1, clock=clock)
    order: list[str] = []
    running = Runner(queue, "a", order).start()
    waiting = [Runner(queue, "a", order).start(), Runner(queue, "new0", order).start()]
    clock.now += 60.0
    running.end()
    for number in range(1, 40):
        assert until(partial(_has, order, number + 1))
        if order[-1] == "a":
            break
        waiting.append(Runner(queue, f"new{number}", order).start())
        clock.now += 10.0
        waiting[-2].end()
    for runner in waiting:
        runner.end()
    assert "a" in order[1:14]


def test_urgent_run_comes_before_every_model_and_costs_its_own_no_share() -> None:
    """A defence that waits for its turn loses its bond; a model that is challenged often is not served less for it."""
    clock = Clock()
    queue = FairQueue(1, clock=clock)
    with crowd(queue, "bbaaAB") as (runners, order):
        for number, runner in enumerate((runners[0], runners[4], runners[5])):
            assert until(partial(_has, order, number + 1))
            clock.now += 1000.0 if number else 1.0
            runner.end()
        assert until(lambda: len(order) == 4)
        assert order == ["b", "A", "B", "a"]


def test_urgent_run_is_never_turned_away_and_keeps_to_the_places_of_its_model() -> None:
    """A full queue is full of answers; but a model that may run once at a time does so in a defence too."""
    queue = FairQueue(2, clock=Clock())
    queue.arrange("a", ModelTerms(concurrency=1, queue=0))
    with crowd(queue, "aA") as (runners, order):
        assert order == ["a"] and queue.loads()["a"].queued == 1
        with pytest.raises(EngineBusy), queue.turn("a"):
            pass
        with queue.turn("b"):
            # What waits for its own model's place keeps nobody else waiting.
            pass
        runners[0].end()
        assert until(lambda: order == ["a", "A"])
    assert queue.loads()["a"].refused == 1


def test_queue_that_is_closed_turns_urgent_runs_away_too() -> None:
    """Nobody is left to wait for ever."""
    queue = FairQueue(1, clock=Clock())
    with crowd(queue, "aA") as (runners, _):
        queue.close()
        assert until(lambda: runners[1].error is not None)


def test_queue_gives_a_model_no_more_places_than_its_terms() -> None:
    """One place of two stays free for the others, whatever waits."""
    queue = FairQueue(2, clock=Clock())
    queue.arrange("a", ModelTerms(concurrency=1))
    with crowd(queue, "aab") as (runners, order):
        assert until(lambda: order == ["a", "b"])
        assert queue.loads()["a"].queued == 1
        runners[0].end()
        assert until(lambda: order == ["a", "b", "a"])


def test_queue_that_is_full_turns_away_and_counts_it() -> None:
    """The caller hears at once that it is not now; nobody who waits is harmed, and other models are taken."""
    queue = FairQueue(1, clock=Clock())
    queue.arrange("a", ModelTerms(queue=1))
    with crowd(queue, "aa") as (runners, order):
        with pytest.raises(EngineBusy), queue.turn("a"):
            pass
        load = queue.loads()["a"]
        assert (load.running, load.queued, load.refused) == (1, 1, 1)
        with crowd(queue, "b") as (others, _):
            runners[0].end()
            runners[1].end()
            others[0].end()
        assert sorted(order) == ["a", "a"]
    assert queue.loads()["a"].finished == 2


def test_queue_that_is_closed_turns_everybody_away() -> None:
    """Runs that wait end with a bare `EngineError`, as do those that come; whoever runs is left alone."""
    queue = FairQueue(1, clock=Clock())
    with crowd(queue, "ab") as (runners, order):
        queue.close()
        assert until(lambda: runners[1].error is not None)
        assert type(runners[1].error) is EngineError
        with pytest.raises(EngineError), queue.turn("c"):
            pass
        runners[0].end()
    assert order == ["a"]


def test_queue_whose_run_fails_gives_its_place_back() -> None:
    """An error in a run costs no place."""
    queue = FairQueue(1, clock=Clock())
    for _ in range(3):
        with pytest.raises(ValueError), queue.turn("a"):
            raise ValueError
    assert queue.loads()["a"].running == 0


def test_queue_with_many_models_forgets_those_that_rest() -> None:
    """A challenger that meets thousands of models does not remember all of them."""
    queue = FairQueue(1, clock=Clock())
    queue.arrange("kept", ModelTerms())
    for number in range(500):
        with queue.turn(str(number)):
            pass
    assert len(queue.loads()) < 100 and "kept" in queue.loads()


def test_terms_that_let_nothing_run_are_refused() -> None:
    """A model that could never run is a mistake in the settings."""
    with pytest.raises(ConfigurationError):
        ModelTerms(concurrency=0)
    with pytest.raises(ConfigurationError):
        ModelTerms(queue=-1)
    with pytest.raises(ConfigurationError):
        FairQueue(0, clock=Clock())
