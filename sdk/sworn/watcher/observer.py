"""Looks at a daemon from threads of its own, so that neither health checks nor scrapes ever hold up its loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sworn.errors import SwornError
from sworn.watcher.status import Component, Figure, NodeStatus, Reading, Role, broken, doubtful, fine
from sworn.watcher.supervision import Pulse

#: What a look may take before it counts as stuck: a busy database, hashing large files.
PATIENCE_S: Final = 90.0
#: The same of a look at the chain, which asks some ten things: a node that is slower is of no use to the loop either.
CHAIN_PATIENCE_S: Final = 30.0
#: Of the time, how much may go into counting rows, and by how much a period may grow for that.
_COUNTING_SHARE: Final = 1 / 20
_LONGEST_REST_S: Final = 60.0
#: Turns may fail for so long before somebody should look: providers have moods.
_TURNS_FAIL_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something to look at every so often. ``read`` raises `SwornError` where it cannot be looked at."""

    name: str
    every_s: float
    read: Callable[[], Reading]
    #: What to do when it cannot be looked at.
    advice: str
    #: What a look may take, besides the period, before it counts as stuck.
    patience_s: float = PATIENCE_S
    #: Whether it counts rows: the more there are the longer that takes, and the more rarely it is done.
    counts: bool = False


class Observer:
    """The newest reading of every source, and the loop's pulse, as one status."""

    def __init__(
        self,
        *,
        role: Role,
        version: str,
        account: str | None,
        pulse: Pulse,
        sources: Sequence[Source],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._role, self._version, self._account = role, version, account
        self._pulse, self._sources, self._clock = pulse, tuple(sources), clock
        self._lock = threading.Lock()
        #: By source: when it was looked at, and what that gave.
        self._readings: dict[str, tuple[float, Reading]] = {}

    @property
    def alive(self) -> bool:
        """Whether the loop turns."""
        return self._pulse.alive

    def status(self) -> NodeStatus:
        """The newest that is known; never waits for anything."""
        with self._lock:
            readings = dict(self._readings)
        components, figures = [self._loop()], list(self._own_figures())
        for source in self._sources:
            reading = self._reading(source, readings.get(source.name))
            components += reading.components
            figures += reading.figures
        return NodeStatus(
            role=self._role,
            version=self._version,
            account=self._account,
            alive=self._pulse.alive,
            components=tuple(components),
            figures=tuple(figures),
        )

    def look(self) -> None:
        """Looks at every source now, one after the other."""
        for source in self._sources:
            self._look_at(source)

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Looks at every source in its period, each in a thread of its own, for the length of a ``with`` block."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._watch, args=(source, stop), name=f"observer-{source.name}", daemon=True)
            for source in self._sources
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            # One that waits for a node is not waited for.
            for thread in threads:
                thread.join(timeout=1.0)

    def _watch(self, source: Source, stop: threading.Event) -> None:
        while not stop.is_set():
            begun = self._clock()
            self._look_at(source)
            stop.wait(_pause_s(source, self._clock() - begun))

    def _look_at(self, source: Source) -> None:
        try:
            reading = source.read()
        except SwornError as error:
            # Figures that cannot be read are left out: an old number looks like a new one.
            detail = f"{type(error).__name__}: {error}"
            reading = Reading(components=(broken(source.name, detail, source.advice),))
        with self._lock:
            self._readings[source.name] = (self._clock(), reading)

    def _reading(self, source: Source, last: tuple[float, Reading] | None) -> Reading:
        if last is None:
            return Reading(components=(broken(source.name, "not looked at yet", "Wait a moment."),))
        age_s = self._clock() - last[0]
        if age_s <= source.every_s + source.patience_s:
            return last[1]
        return Reading(components=(broken(source.name, f"the last look was {age_s:.0f} s ago", source.advice),))

    def _loop(self) -> Component:
        pulse = self._pulse
        if not pulse.alive:
            advice = "Restart it; a service manager with a watchdog does. Keep the log."
            return broken("loop", f"no sign of life for {pulse.silence_s:.0f} s", advice)
        if pulse.failing_s > _TURNS_FAIL_S:
            return broken("loop", f"every turn has failed for {pulse.failing_s:.0f} s", "See `turn_failed` in the log.")
        if pulse.failing_s:
            return doubtful("loop", "the last turn failed", "See `turn_failed` in the log.")
        return fine("loop", f"{pulse.turns} turns, the last sign of life {pulse.silence_s:.0f} s ago")

    def _own_figures(self) -> Iterator[Figure]:
        yield Figure(name="sworn_up", value=float(self._pulse.alive))
        yield Figure(name="sworn_loop_silence_seconds", value=self._pulse.silence_s)


def _pause_s(source: Source, spent_s: float) -> float:
    """Seconds until the next look, after one that took so long."""
    if not source.counts:
        return source.every_s
    return min(max(source.every_s, spent_s / _COUNTING_SHARE), source.every_s + _LONGEST_REST_S)
