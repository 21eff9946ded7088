"""Settings about traces: where they are kept, and who may read them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TraceSettings(BaseModel):
    """Where the values of runs are kept to defend results: of all in profile bounded, of disputed ones in exact."""

    model_config = _STRICT

    #: None = beside an SQLite database, else below the home directory.
    folder: Path | None = None
    #: Of one run; a model in profile bounded that needs more is not served.
    max_bytes: Annotated[int, Field(ge=1 << 10)] = 1 << 30
    #: Of all runs together; when they are reached, requests wait.
    max_total_bytes: Annotated[int, Field(ge=1 << 10)] = 16 << 30
    #: Seconds after the end of a request's window for which its trace is kept; None = the deployment's tail.
    keep_s: Annotated[int, Field(ge=0)] | None = None


class TraceServerSettings(BaseModel):
    """Where traces can be read over HTTP; what challengers read here they need not demand on chain."""

    model_config = _STRICT

    #: A reverse proxy in front gives it a name and TLS.
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)]
    #: Requests of one address: so many at once, and so many more every second.
    burst: Annotated[int, Field(ge=1)] = 2_000
    per_second: Annotated[float, Field(gt=0)] = 100.0
