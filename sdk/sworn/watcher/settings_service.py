"""Settings about how much is done at once: runs that wait, and results that go on chain together."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sworn.watcher.submissions import Batching

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class BatchingSettings(BaseModel):
    """How results go on chain together."""

    model_config = _STRICT

    #: Most results in one transaction; 1 = each alone.
    max_results: Annotated[int, Field(ge=1, le=1_000)] = 100
    #: How long a result waits for others; 0 = whatever is due at the same time goes together.
    max_wait_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    #: Most gas for the moves of one transaction; under the 16,777,216 of EIP-7825.
    max_gas: Annotated[int, Field(ge=200_000, le=15_000_000)] = 10_000_000

    @property
    def batching(self) -> Batching:
        """As submissions take it."""
        return Batching(max_results=self.max_results, max_wait_s=self.max_wait_s, max_gas=self.max_gas)


class ServiceSettings(BaseModel):
    """How much is taken on at once, and when it is given up."""

    model_config = _STRICT

    #: Runs that are begun and have not ended; what waits longer waits in the database.
    queue: Annotated[int, Field(ge=1, le=100_000)] = 256
    #: Transactions that are sent and not mined; nodes keep only so many of one account.
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)] = 64
    #: Seconds before the deadline from which on a run is not tried again, and a failure is signed instead.
    give_up_before_s: Annotated[int, Field(ge=0)] = 120
