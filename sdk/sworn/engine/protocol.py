"""What runs a model off chain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from sworn.errors import ConfigurationError
from sworn.types import DEFAULT_PROFILE, ZERO_HASH, InputShapes, Model, ModelId, Profile, Schema, Tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What one run may use; a run that breaks a limit is killed, not asked to stop.

    Raises `ConfigurationError` for a limit that is not positive and finite.
    """

    timeout_s: float = 30.0
    #: Growth of the worker's memory while it loads the model and runs it.
    memory_bytes: int = 2 << 30
    #: Time for reading and preparing the model, which happens before its first run and after it left the cache.
    load_timeout_s: float = 60.0
    #: Whether money is lost unless it is made in time: such a run comes before all others, and no queue is too full
    #: for it. Engines without a queue take no notice.
    is_urgent: bool = False

    def __post_init__(self) -> None:
        for name in ("timeout_s", "memory_bytes", "load_timeout_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"{name} must be positive and finite, not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model as somebody names it: the file, what its runs promise, and the shapes that the file leaves open."""

    artifact: bytes = field(repr=False)
    profile: Profile = DEFAULT_PROFILE
    input_shapes: InputShapes = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifiedModel:
    """What a source is: computed from the file, never taken from anybody."""

    source: ModelSource
    #: The preimage of ``model_id``: what is registered on chain.
    model: Model
    model_id: ModelId
    #: Names, dtypes and shapes of inputs and outputs; all shapes are fixed except in profile ``signed``.
    schema: Schema
    #: Bytes of all values of one run; 0 in profile ``signed``, where only onnxruntime knows them.
    trace_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a model made of some inputs."""

    #: By name, in the schema's order and dtypes.
    outputs: Mapping[str, NDArray[Any]]
    #: Over every value of the run; zero unless the run was traced.
    trace_root: bytes = ZERO_HASH


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoad:
    """What an engine has under way for one model, and has had since it started."""

    running: int = 0
    queued: int = 0
    #: Runs that have ended, however they did.
    finished: int = 0
    #: Runs that were turned away with `EngineBusy`.
    refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoad:
    """What an engine has under way."""

    #: Runs that it can make at once, on endpoints too.
    slots: int
    running: int
    queued: int
    #: Memory of all workers, as last heard.
    memory_bytes: int
    #: By model id in hex.
    models: Mapping[str, ModelLoad] = field(default_factory=dict)


class LoadReporter(Protocol):
    """An `Engine` that says what it has under way."""

    def load(self) -> EngineLoad:
        """Cheap; whoever scrapes metrics may ask each time."""
        ...


class Engine(Protocol):
    """Runs models in processes that can be killed.

    Implementations check inputs against the schema before running (`InputRejected`) and outputs for NaN and infinities
    after it (`RunNotFinite`); they raise `RunTimedOut`, `RunOutOfMemory` or `RunFailed`, never a vendor's exception.
    A bare `EngineError` says that the engine itself could not work (closed, no worker), as do `EngineBusy` and
    `ModelUnavailable`: they say nothing about the model or its inputs, and the same call may succeed later. So does
    `ConfigurationError`, of a machine whose arithmetic is not what the profile needs.
    """

    def identify(self, source: ModelSource, *, limits: RunLimits) -> IdentifiedModel:
        """What a source is. Raises `ModelError`, `ConfigurationError`, and what a run raises."""
        ...

    def run(self, model: IdentifiedModel, inputs: Tensors, *, limits: RunLimits, trace_file: Path | None = None) -> Run:
        """The outputs, and with ``trace_file``, which must not exist yet, every value of the run in that file.

        In profile ``bounded`` a run without ``trace_file`` raises `ConfigurationError`: nobody could defend it. In
        ``signed`` nothing is traced.
        """
        ...

    def close(self) -> None:
        """Ends every worker; idempotent."""
        ...


class Exhibitor(Protocol):
    """Writes models down as their operators show them to challengers: an `Engine` for profiles with programs."""

    def exhibit(self, model: IdentifiedModel, folder: Path, *, limits: RunLimits) -> None:
        """Writes a model into a folder, for `sworn.model.exhibit_file.ExhibitFile`.

        Raises what a run raises, and `TraceError`.
        """
        ...
