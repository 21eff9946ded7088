"""Settings about several watchers on one database, and about how long it remembers."""

from __future__ import annotations

import socket
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sworn.watcher.replica import LEASE_S
from sworn.watcher.store.leadership import PATIENCE_S
from sworn.watcher.store.pruning import MIN_KEEP_S, PRUNE_INTERVAL_S

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ReplicaSettings(BaseModel):
    """A process among those that share the database."""

    model_config = _STRICT

    #: None = the host's name. A restarted process that has the name of the one before goes on with its runs at once.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")] | None = None
    #: Seconds after which the runs of a replica that died are others'.
    lease_s: Annotated[float, Field(ge=2, le=3600)] = LEASE_S
    #: Seconds of silence after which PostgreSQL takes the lead away from a process that hangs.
    takeover_s: Annotated[float, Field(ge=2, le=600)] = PATIENCE_S

    @property
    def named(self) -> str:
        """The name, or the host's."""
        return self.name or socket.gethostname()


class RetentionSettings(BaseModel):
    """What is forgotten, and when."""

    model_config = _STRICT

    #: Whether what is over is removed from the database at all.
    prune: bool = True
    #: Seconds for which it stays there, counted from when nothing can come of it any more.
    keep_s: Annotated[int, Field(ge=MIN_KEEP_S)] = 90 * 86_400
    #: Seconds between two looks for it. What one finds goes in small pieces, whatever else there is to do.
    interval_s: Annotated[float, Field(ge=10, le=86_400)] = PRUNE_INTERVAL_S
