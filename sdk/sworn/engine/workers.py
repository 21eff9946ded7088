"""What a pool lends out: a worker that holds prepared models, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sworn.engine.worker import Message

#: Looks at a worker's first message, which says what it can do. Raises `ConfigurationError` when that is not enough.
Welcome = Callable[[dict[str, Any]], None]


class WorkerDied(Exception):
    """The process ended in the middle of an exchange without having broken a limit."""


class WorkerLost(Exception):
    """The way to the worker is gone; nobody knows what became of it, and the model is not to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What a worker is taken on for."""

    #: A file of this package that speaks the messages of `worker`.
    program: Path
    #: Models that it keeps.
    capacity: int
    welcome: Welcome
    start_timeout_s: float


class Worker(Protocol):
    """Holds prepared models; `start` brings it up, and after `close` it stays down.

    One thread at a time may exchange messages with it; any thread may close it.
    """

    #: Keys of the models that it has prepared, whether or not they are still cached.
    keys: set[str]

    @property
    def pid(self) -> int | None:
        """Id of the process that runs models, on its own machine; None before `start`."""
        ...

    @property
    def is_usable(self) -> bool:
        """Whether it may serve another exchange."""
        ...

    def start(self) -> None:
        """Starts it unless it runs. Raises `EngineError`, or what its welcome raises."""
        ...

    def exchange(
        self,
        header: dict[str, Any],
        blobs: Sequence[bytes | memoryview] = (),
        *,
        timeout_s: float,
        memory_bytes: int,
    ) -> Message:
        """Sends a message and gives the answer.

        Raises `RunTimedOut`, `RunOutOfMemory`, `WorkerDied`, `WorkerLost`.
        """
        ...

    def used_bytes(self) -> int:
        """Memory that it holds, as last heard."""
        ...

    def close(self) -> None:
        """Kills its process; idempotent."""
        ...

    def release(self) -> None:
        """As `close`, and lets go of everything; only for the thread that exchanges messages with it."""
        ...


class Workforce(Protocol):
    """Where workers come from: processes here, or a cluster."""

    def hire(self, post: Post) -> Worker:
        """A worker that has not been started yet."""
        ...

    def close(self) -> None:
        """Lets go of what its workers share, once they are released; idempotent."""
        ...
