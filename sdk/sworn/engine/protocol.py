"""What runs a model off chain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from sworn.errors import ConfigurationError
from sworn.types import Schema, Tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What one run may use; a run that breaks a limit is killed, not asked to stop.

    Raises `ConfigurationError` for a limit that is not positive and finite.
    """

    timeout_s: float = 30.0
    #: Growth of the worker's memory while it loads the model and runs it.
    memory_bytes: int = 2 << 30
    #: Time for reading and optimising the model, which happens before its first run and after it left the cache.
    load_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("timeout_s", "memory_bytes", "load_timeout_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"{name} must be positive and finite, not {value}")


class Engine(Protocol):
    """Runs one artifact on one set of inputs.

    Implementations check inputs against the schema before running (`InputRejected`) and outputs for NaN and infinities
    after it (`RunNotFinite`); they raise `RunTimedOut`, `RunOutOfMemory` or `RunFailed`, never a vendor's exception.
    A bare `EngineError` says that the engine itself could not work (closed, no worker): it says nothing about the
    model or its inputs, and the same call may succeed later.
    """

    def schema(self, artifact: bytes) -> Schema:
        """Names, dtypes and shapes of the artifact's inputs and outputs."""
        ...

    def run(self, artifact: bytes, inputs: Tensors, *, limits: RunLimits) -> dict[str, NDArray[Any]]:
        """Outputs by name, in the schema's order and dtypes."""
        ...

    def close(self) -> None:
        """Ends every worker; idempotent."""
        ...
