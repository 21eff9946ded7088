"""Settings about engines: where models run, how many at once, and what they may use."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sworn.engine.protocol import RunLimits
from sworn.engine.terms import Batching, Endpoint, ModelTerms
from sworn.watcher.settings_values import url_parts

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _checked_endpoint(value: str) -> str:
    parts = url_parts(value, "http", "https")
    if parts is None or parts.username or parts.query:
        raise ValueError("expected an http(s) URL without credentials; what authorises goes into authorization_file")
    if "/models/" not in parts.path:
        raise ValueError("expected a URL that ends with /v2/models/NAME or /v2/models/NAME/versions/VERSION")
    return value


class EngineKind(Enum):
    """Where the workers are."""

    #: Processes on this machine.
    POOL = "pool"
    #: Actors on a Ray cluster.
    RAY = "ray"


class RaySettings(BaseModel):
    """Which Ray cluster, and what each worker asks of it."""

    model_config = _STRICT

    #: "host:port" or "auto" for a cluster that runs, "ray://host:port" for Ray's client; None = a local one, made here.
    address: Annotated[str, Field(min_length=1)] | None = None
    cpus_per_worker: Annotated[float, Field(gt=0, le=1024)] = 1.0
    #: Other resources that a node must have, by Ray's names.
    resources: dict[str, Annotated[float, Field(gt=0)]] = {}


class EngineSettings(BaseModel):
    """How models run."""

    model_config = _STRICT

    kind: EngineKind = EngineKind.POOL
    #: Models that run at once.
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    #: Of one run; they change no bit.
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    #: Of all workers together; models that rest are unloaded to keep it. None = no limit but those of runs.
    memory_bytes: Annotated[int, Field(ge=512 << 20)] | None = None
    #: Whether every worker loads every model before the first request is answered.
    warm: bool = True
    #: Where compiled loops are kept, which take half a minute to make; None = beside the package, or the user's cache.
    cache_folder: Path | None = None
    #: For the kind ray.
    ray: RaySettings = RaySettings()

    @model_validator(mode="after")
    def _fitting(self) -> EngineSettings:
        if self.kind is not EngineKind.RAY and self.ray != RaySettings():
            raise ValueError('the table engine.ray is for engine.kind = "ray"')
        return self


class EndpointSettings(BaseModel):
    """A server that runs a model, spoken to in the Open Inference Protocol, version 2: Triton, KServe and others."""

    model_config = _STRICT

    url: Annotated[str, AfterValidator(_checked_endpoint)]
    #: A file whose first line is sent as the header Authorization.
    authorization_file: Path | None = None
    #: Certificates that are trusted instead of the system's.
    ca_file: Path | None = None
    max_answer_bytes: Annotated[int, Field(ge=1 << 10)] = 64 << 20


class BatchingSettings(BaseModel):
    """Runs of one model that are made as one. Bits may depend on who else asks: only for profile signed."""

    model_config = _STRICT

    max_rows: Annotated[int, Field(ge=2, le=65_536)] = 32
    max_delay_s: Annotated[float, Field(gt=0, le=1)] = 0.002


class ModelRunSettings(BaseModel):
    """How one model runs."""

    model_config = _STRICT

    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    memory_bytes: Annotated[int, Field(ge=64 << 20)] = 2 << 30
    #: Runs at once; None = as many as there are workers, on an endpoint 8.
    concurrency: Annotated[int, Field(ge=1, le=4096)] | None = None
    #: Runs that may wait in the engine; more are left for later.
    queue: Annotated[int, Field(ge=0, le=1_000_000)] = 256
    #: None = it runs on this watcher's workers. For profile signed: a server gives outputs, never a trace.
    endpoint: EndpointSettings | str | None = None
    #: True = with the usual sizes. For profile signed.
    batching: BatchingSettings | bool = False

    @model_validator(mode="after")
    def _reachable(self) -> ModelRunSettings:
        if isinstance(self.endpoint, str):
            _checked_endpoint(self.endpoint)
        return self

    @property
    def limits(self) -> RunLimits:
        """What one run may use."""
        return RunLimits(timeout_s=self.timeout_s, memory_bytes=self.memory_bytes)

    @property
    def terms(self) -> ModelTerms:
        """As an engine takes them."""
        return ModelTerms(
            concurrency=self.concurrency, queue=self.queue, endpoint=self._endpoint, batching=self._batching
        )

    @property
    def _endpoint(self) -> Endpoint | None:
        if self.endpoint is None:
            return None
        found = EndpointSettings(url=self.endpoint) if isinstance(self.endpoint, str) else self.endpoint
        return Endpoint(
            url=found.url,
            authorization_file=found.authorization_file,
            ca_file=found.ca_file,
            max_answer_bytes=found.max_answer_bytes,
        )

    @property
    def _batching(self) -> Batching | None:
        if self.batching is False:
            return None
        found = self.batching if isinstance(self.batching, BatchingSettings) else BatchingSettings()
        return Batching(max_rows=found.max_rows, max_delay_s=found.max_delay_s)
