"""On which terms an engine runs a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sworn.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """Runs of one model that are made as one, along the first axis of its tensors.

    Warning: kernels may sum in another order for another number of rows: outputs differ in their last bits.
    """

    #: Rows of one batch.
    max_rows: int = 32
    #: How long the first run waits for others.
    max_delay_s: float = 0.002

    def __post_init__(self) -> None:
        if self.max_rows < 2 or not 0 < self.max_delay_s <= 1:
            raise ConfigurationError("a batch has at least 2 rows and waits for at most 1 second")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that runs a model, spoken to in the Open Inference Protocol, version 2."""

    #: http(s)://host[:port]/v2/models/NAME[/versions/VERSION].
    url: str
    #: A file whose first line is sent as the header Authorization.
    authorization_file: Path | None = None
    #: Certificates that are trusted instead of the system's.
    ca_file: Path | None = None
    #: Bytes of one answer.
    max_answer_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTerms:
    """What an engine may do with a model."""

    #: Runs at once; None = as many as the engine has places.
    concurrency: int | None = None
    #: Runs that may wait for a place; None = any number.
    queue: int | None = None
    #: None = it runs here.
    endpoint: Endpoint | None = field(default=None, repr=False)
    #: None = every run is one of its own, which is the only way to give bits that anybody else can give too.
    batching: Batching | None = None

    def __post_init__(self) -> None:
        for name, least in (("concurrency", 1), ("queue", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigurationError(f"{name} must be at least {least}, not {value}")
