"""Who runs next: places shared out among models by the time that each has used, with bounded queues."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

from sworn.engine.protocol import ModelLoad
from sworn.engine.terms import ModelTerms
from sworn.engine.watch import Clock
from sworn.errors import ConfigurationError, EngineBusy, EngineError

#: Models without terms that are remembered while they rest.
_MAX_RESTED: Final = 64


class _Ticket:
    """A run that waits for its place, or has it."""

    def __init__(self, number: int, *, urgent: bool) -> None:
        #: Who came first has the lower one.
        self.number = number
        self.is_urgent = urgent
        self.called = threading.Event()
        #: When it got its place; None = it has none, which once called says that the queue is closed.
        self.begun: float | None = None


class _Lane:
    """The runs of one model."""

    def __init__(self, terms: ModelTerms, *, is_arranged: bool = True) -> None:
        self.terms = terms
        self.is_arranged = is_arranged
        self.urgent: deque[_Ticket] = deque()
        self.waiting: deque[_Ticket] = deque()
        self.running: list[_Ticket] = []
        #: Seconds of places that it has had, as far as they count against it; what was urgent never does.
        self.used_s = 0.0
        #: Since when it has not asked for its share.
        self.rested_at = 0.0
        self.finished = 0
        self.refused = 0

    @property
    def is_active(self) -> bool:
        return bool(self.urgent or self.waiting or self.running)

    @property
    def is_competing(self) -> bool:
        """Whether it asks for its share: what is urgent has no part in that."""
        return bool(self.waiting) or any(not ticket.is_urgent for ticket in self.running)

    @property
    def is_ready(self) -> bool:
        limit = self.terms.concurrency
        return bool(self.urgent or self.waiting) and (limit is None or len(self.running) < limit)

    def share_s(self, now: float) -> float:
        """Who has the least of this comes first."""
        under_way = (now - ticket.begun for ticket in self.running if ticket.begun is not None and not ticket.is_urgent)
        return self.used_s + sum(under_way)

    def rank(self, now: float) -> tuple[float, int, int]:
        """Its place among those that are ready; of equal ones, who has waited longest comes first."""
        return self.share_s(now), len(self.running), self.waiting[0].number


class FairQueue:
    """At most ``slots`` runs at once, of each model at most as many as its terms say; safe for many threads.

    A free place goes to the model that has used the least time, so that a slow one cannot keep the others waiting for
    more than one of its runs per place. What was used long ago counts for nothing: there is a floor, as in start-time
    fair queueing, that rises with the work done, below which nobody comes back and to which a lead melts away in rest.
    What is urgent comes before all of that, in the order in which it came, and no queue is too full for it.
    """

    def __init__(self, slots: int, *, clock: Clock) -> None:
        if slots < 1:
            raise ConfigurationError(f"an engine needs a place to run in, not {slots}")
        self.slots = slots
        self._clock = clock
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._running = 0
        #: What a model that joins the others is taken to have used; it never falls.
        self._floor_s = 0.0
        self._numbers = count()
        self._is_closed = False

    def arrange(self, key: str, terms: ModelTerms) -> None:
        """Says on which terms a model runs; without, it may use every place and any queue."""
        with self._lock:
            lane = self._lanes.setdefault(key, _Lane(terms))
            lane.terms, lane.is_arranged = terms, True

    @contextmanager
    def turn(self, key: str, *, urgent: bool = False) -> Iterator[None]:
        """A place for one run; waits for it.

        Raises `EngineBusy` when as many runs of the model wait as may, `EngineError` when the queue is closed.
        """
        lane, ticket = self._enter(key, urgent=urgent)
        is_called = False
        try:
            if ticket.begun is None:
                ticket.called.wait()
            is_called = True
            if ticket.begun is None:
                raise EngineError("the engine is closed")
            yield
        finally:
            self._leave(lane, ticket, is_called=is_called)

    def loads(self) -> dict[str, ModelLoad]:
        """What every model has under way."""
        with self._lock:
            return {
                key: ModelLoad(
                    running=len(lane.running),
                    queued=len(lane.urgent) + len(lane.waiting),
                    finished=lane.finished,
                    refused=lane.refused,
                )
                for key, lane in self._lanes.items()
            }

    def close(self) -> None:
        """Turns away everybody who waits or comes; idempotent."""
        with self._lock:
            self._is_closed = True
            for lane in self._lanes.values():
                for ticket in (*lane.urgent, *lane.waiting):
                    ticket.called.set()
                lane.urgent.clear()
                lane.waiting.clear()

    def _enter(self, key: str, *, urgent: bool) -> tuple[_Lane, _Ticket]:
        ticket = _Ticket(next(self._numbers), urgent=urgent)
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed")
            lane = self._lane(key)
            if urgent:
                lane.urgent.append(ticket)
            else:
                self._join(lane)
                lane.waiting.append(ticket)
            self._call()
            limit = lane.terms.queue
            if not urgent and ticket.begun is None and limit is not None and len(lane.waiting) > limit:
                lane.waiting.remove(ticket)
                lane.refused += 1
                raise EngineBusy(f"{len(lane.waiting)} runs of the model wait already: ask again later")
        return lane, ticket

    def _join(self, lane: _Lane) -> None:
        """A model begins to ask for its share."""
        if lane.is_competing:
            return
        # INVARIANT: a lead over the floor is no longer than the runs that made it, and melts as fast as time passes:
        # who has rested waits for no more than a round of the others, however much it has worked in its life.
        lead_from = lane.used_s - (self._clock() - lane.rested_at)
        lane.used_s = max(self._floor_s, lead_from)

    def _lane(self, key: str) -> _Lane:
        lane = self._lanes.get(key)
        if lane is None:
            rested = [name for name, each in self._lanes.items() if not each.is_arranged and not each.is_active]
            for name in rested[: max(0, len(rested) - _MAX_RESTED)]:
                del self._lanes[name]
            lane = self._lanes[key] = _Lane(ModelTerms(), is_arranged=False)
        return lane

    def _admit(self, lane: _Lane, ticket: _Ticket, now: float) -> None:
        if not ticket.is_urgent:
            self._floor_s = max(self._floor_s, lane.share_s(now))
        ticket.begun = now
        lane.running.append(ticket)
        self._running += 1

    def _leave(self, lane: _Lane, ticket: _Ticket, *, is_called: bool) -> None:
        with self._lock:
            if ticket.begun is not None:
                self._settle(lane, ticket, ticket.begun)
            elif not is_called:
                # An interrupt ended the wait: nobody would give this place back.
                for waiting in (lane.urgent, lane.waiting):
                    if ticket in waiting:
                        waiting.remove(ticket)
            if not ticket.is_urgent and not lane.is_competing:
                lane.rested_at = self._clock()
            self._call()

    def _settle(self, lane: _Lane, ticket: _Ticket, begun: float) -> None:
        """A run is over: charges the model with it, and raises the floor by what it is to each that wants a share.

        Without that a crowd of models that come for one run each, all at the floor, would keep one out that is above.
        """
        now = self._clock()
        shares = [each.share_s(now) for each in self._lanes.values() if each.is_competing]
        lane.running.remove(ticket)
        lane.finished += 1
        self._running -= 1
        if not ticket.is_urgent:
            lane.used_s += now - begun
            # INVARIANT: the floor is never above whoever has used most, or who joins would pay for nothing.
            risen = min(self._floor_s + (now - begun) / len(shares), max(shares))
            self._floor_s = max(self._floor_s, risen)

    def _call(self) -> None:
        now = self._clock()
        while self._running < self.slots and not self._is_closed:
            ready = [lane for lane in self._lanes.values() if lane.is_ready]
            if not ready:
                return
            urgent = [lane for lane in ready if lane.urgent]
            if urgent:
                lane = min(urgent, key=lambda each: each.urgent[0].number)
            else:
                lane = min(ready, key=lambda each: each.rank(now))
            ticket = (lane.urgent or lane.waiting).popleft()
            self._admit(lane, ticket, now)
            ticket.called.set()
