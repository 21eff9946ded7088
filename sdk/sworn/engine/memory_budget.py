"""Keeps the memory of all workers under a limit: what was used longest ago is unloaded first."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol


class Holder(Protocol):
    """A pool of workers that hold models."""

    def used_bytes(self) -> int:
        """Memory of its workers."""
        ...

    def resting(self) -> dict[str, float]:
        """When each model that nobody works with was last used, by key."""
        ...

    def unload(self, key: str) -> bool:
        """Has workers that rest forget a model; whether there was any."""
        ...


class MemoryBudget:
    """A limit on the memory of several pools together; safe for many threads.

    The model that was used last stays: one that needs more than everything is stopped by the limits of its runs.
    """

    def __init__(self, limit_bytes: int | None, holders: Sequence[Holder]) -> None:
        self._limit_bytes = limit_bytes
        self._holders = tuple(holders)
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """Memory of all workers."""
        return sum(holder.used_bytes() for holder in self._holders)

    def settle(self) -> None:
        """Unloads until the limit is kept, or nothing is left that could be; once at a time."""
        if self._limit_bytes is None or not self._lock.acquire(blocking=False):
            return
        try:
            while self.used_bytes > self._limit_bytes and self._unload_oldest():
                pass
        finally:
            self._lock.release()

    def _unload_oldest(self) -> bool:
        resting = [(used, key, holder) for holder in self._holders for key, used in holder.resting().items()]
        resting.sort(key=lambda each: each[0])
        return any(holder.unload(key) for _, key, holder in resting[:-1])
