"""Commits to the values of a run while it goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self

from numpy.typing import NDArray

from sworn.errors import ConfigurationError, ShapeMismatch
from sworn.model.commitment import BULK_BYTES, expected_bytes
from sworn.model.program import Program

#: Values of a run from which a thread of its own pays.
THREAD_BYTES: Final = 1 << 20
#: Values that wait for the thread at most, beside the one that it has: they stay in memory although the run may be done
#: with them.
MAX_WAITING: Final = 2

#: Keeps or stores a value, and gives its data root. ``bulk`` says whether hashing in bulk pays.
Accept = Callable[[NDArray[Any], bool], bytes]


class TraceStream:
    """Takes the values of one run in their order and has them hashed in another thread, while the next is computed.

    Not safe for several threads; use it as a context manager, or close it.
    """

    def __init__(self, program: Program, accept: Accept) -> None:
        self._types = tuple(program.value(number) for number in range(len(program.inputs) + len(program.steps)))
        size = sum(map(expected_bytes, self._types))
        self._accept, self._bulk = accept, size >= BULK_BYTES
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="trace") if size >= THREAD_BYTES else None
        self._waiting: deque[Future[bytes]] = deque()
        self._roots: list[bytes] = []

    def write(self, value: int, array: NDArray[Any]) -> None:
        """Takes value number ``value``, which nobody may write into any more; waits while too many are waiting.

        Raises `ConfigurationError` for a value out of order, `ShapeMismatch` for one of another type or size than the
        program says, and whatever accepting an earlier value raised.
        """
        number = len(self._roots) + len(self._waiting)
        if value != number or value >= len(self._types):
            raise ConfigurationError(f"value {value} comes where {number} of {len(self._types)} belongs")
        kind = self._types[value]
        if array.dtype != kind.dtype.numpy or array.size != kind.elements:
            raise ShapeMismatch(
                f"value {value} is {array.dtype}[{array.size}], not {kind.dtype.numpy}[{kind.elements}]"
            )
        if self._pool is None:
            self._roots.append(self._accept(array, self._bulk))
            return
        self._settle(MAX_WAITING)
        self._waiting.append(self._pool.submit(self._accept, array, self._bulk))

    def finish(self) -> tuple[bytes, ...]:
        """The data roots, when all values have come. Raises as `write` does."""
        self._settle(0)
        if len(self._roots) != len(self._types):
            raise ConfigurationError(f"only {len(self._roots)} of {len(self._types)} values have come")
        return tuple(self._roots)

    def close(self) -> None:
        """Waits for the value that is being accepted, and drops those behind it."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _settle(self, waiting: int) -> None:
        while len(self._waiting) > waiting:
            self._roots.append(self._waiting[0].result())
            self._waiting.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
