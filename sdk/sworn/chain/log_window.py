"""How many blocks to ask logs of at once: nodes have limits that they do not tell, by range, by number and by time."""

from __future__ import annotations

from typing import Final

#: Ranges served in a row after which larger ones are tried again: a limit may be one of logs, not of blocks.
_FORGET_AFTER: Final = 100


class LogWindow:
    """The range that one node is known to serve: doubled until it is refused, then halved towards the limit.

    ``first`` is the range to begin with; None = the limit itself.
    """

    def __init__(self, limit: int, *, most_logs: int | None = None, first: int | None = None) -> None:
        self._limit = limit
        self._most_logs = most_logs
        self._size = limit if first is None else min(first, limit)
        self._good = 0
        #: The smallest range that was refused; None = none was lately.
        self._bad: int | None = None
        self._served = 0

    @property
    def size(self) -> int:
        """Blocks to ask for next."""
        return self._size

    def refused(self, span: int) -> None:
        """Notes that a range of so many blocks was too much."""
        self._bad = span if self._bad is None else min(span, self._bad)
        self._good = min(self._good, self._bad // 2)
        self._size = max(span // 2, 1)
        self._served = 0

    def served(self, span: int, logs: int) -> None:
        """Notes that a range of so many blocks came back, with so many logs."""
        if self._most_logs is not None and logs > self._most_logs:
            # One step is held in memory and stored in one transaction.
            self._size = max(span * self._most_logs // logs, 1)
            return
        if span < self._size:
            return
        self._good = max(self._good, span)
        self._served += 1
        if self._bad is not None and self._served >= _FORGET_AFTER:
            self._bad, self._served = None, 0
        room = self._most_logs is None or 2 * logs <= self._most_logs
        if room:
            self._size = max(min(self._larger(), self._limit), 1)

    def _larger(self) -> int:
        if self._bad is None:
            return 2 * self._good
        middle = (self._good + self._bad) // 2
        return middle if middle - self._good > self._good // 16 else self._good
