"""Who runs next: places shared out among models by the time that each has used, with bounded queues."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sworn.engine.protocol import ModelLoad
from sworn.engine.terms import ModelTerms
from sworn.engine.watch import Clock
from sworn.errors import ConfigurationError, EngineBusy, EngineError

#: Models without terms that are remembered while they rest.
_MAX_RESTED: Final = 64


class _Ticket:
    """A run that waits for its place."""

    def __init__(self) -> None:
        self.called = threading.Event()
        #: When it got its place; None = it has none, which once called says that the queue is closed.
        self.begun: float | None = None


class _Lane:
    """The runs of one model."""

    def __init__(self, terms: ModelTerms, *, is_arranged: bool = True) -> None:
        self.terms = terms
        self.is_arranged = is_arranged
        self.waiting: deque[_Ticket] = deque()
        self.begun: list[float] = []
        #: Seconds of places that it has had; raised to that of others when it comes back after a rest.
        self.used_s = 0.0
        self.finished = 0
        self.refused = 0

    @property
    def is_active(self) -> bool:
        return bool(self.waiting or self.begun)

    @property
    def has_room(self) -> bool:
        limit = self.terms.concurrency
        return limit is None or len(self.begun) < limit

    def share(self, now: float) -> tuple[float, int]:
        """Who has the least of this comes first."""
        return self.used_s + sum(now - begun for begun in self.begun), len(self.begun)


class FairQueue:
    """At most ``slots`` runs at once, of each model at most as many as its terms say; safe for many threads.

    A free place goes to the model that has used the least time, so that a slow one cannot keep the others waiting for
    more than one of its runs per place.
    """

    def __init__(self, slots: int, *, clock: Clock) -> None:
        if slots < 1:
            raise ConfigurationError(f"an engine needs a place to run in, not {slots}")
        self.slots = slots
        self._clock = clock
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._running = 0
        self._is_closed = False

    def arrange(self, key: str, terms: ModelTerms) -> None:
        """Says on which terms a model runs; without, it may use every place and any queue."""
        with self._lock:
            lane = self._lanes.setdefault(key, _Lane(terms))
            lane.terms, lane.is_arranged = terms, True

    @contextmanager
    def turn(self, key: str) -> Iterator[None]:
        """A place for one run; waits for it.

        Raises `EngineBusy` when as many runs of the model wait as may, `EngineError` when the queue is closed.
        """
        lane, ticket = self._enter(key)
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
                    running=len(lane.begun), queued=len(lane.waiting), finished=lane.finished, refused=lane.refused
                )
                for key, lane in self._lanes.items()
            }

    def close(self) -> None:
        """Turns away everybody who waits or comes; idempotent."""
        with self._lock:
            self._is_closed = True
            for lane in self._lanes.values():
                for ticket in lane.waiting:
                    ticket.called.set()
                lane.waiting.clear()

    def _enter(self, key: str) -> tuple[_Lane, _Ticket]:
        ticket = _Ticket()
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed")
            lane = self._lane(key)
            if not lane.is_active:
                lane.used_s = max(lane.used_s, self._least())
            if self._running < self.slots and lane.has_room and not lane.waiting:
                self._admit(lane, ticket)
            elif lane.terms.queue is not None and len(lane.waiting) >= lane.terms.queue:
                lane.refused += 1
                raise EngineBusy(f"{len(lane.waiting)} runs of the model wait already: ask again later")
            else:
                lane.waiting.append(ticket)
        return lane, ticket

    def _lane(self, key: str) -> _Lane:
        lane = self._lanes.get(key)
        if lane is None:
            rested = [name for name, each in self._lanes.items() if not each.is_arranged and not each.is_active]
            for name in rested[: max(0, len(rested) - _MAX_RESTED)]:
                del self._lanes[name]
            lane = self._lanes[key] = _Lane(ModelTerms(), is_arranged=False)
        return lane

    def _admit(self, lane: _Lane, ticket: _Ticket) -> None:
        ticket.begun = self._clock()
        lane.begun.append(ticket.begun)
        self._running += 1

    def _leave(self, lane: _Lane, ticket: _Ticket, *, is_called: bool) -> None:
        with self._lock:
            if ticket.begun is not None:
                lane.begun.remove(ticket.begun)
                lane.used_s += self._clock() - ticket.begun
                lane.finished += 1
                self._running -= 1
            elif not is_called and ticket in lane.waiting:
                # An interrupt ended the wait: nobody would give this place back.
                lane.waiting.remove(ticket)
            self._call()

    def _least(self) -> float:
        now = self._clock()
        return min((lane.share(now)[0] for lane in self._lanes.values() if lane.is_active), default=0.0)

    def _call(self) -> None:
        now = self._clock()
        while self._running < self.slots and not self._is_closed:
            ready = [lane for lane in self._lanes.values() if lane.waiting and lane.has_room]
            if not ready:
                return
            lane = min(ready, key=lambda each: each.share(now))
            ticket = lane.waiting.popleft()
            self._admit(lane, ticket)
            ticket.called.set()
