"""What the registry says about models, and where others have published their files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sworn.abi import interface
from sworn.chain.gateway import Log
from sworn.codec.structs import model_from_abi
from sworn.errors import ConfigurationError
from sworn.storage.mirrors import MAX_PUBLISHED
from sworn.types import Model, ModelId
from sworn.watcher.contracts import Contracts

#: Seconds of one round that reading may take: clocks of disputes run meanwhile.
ROUND_S: Final = 2.0
#: Newest blocks that are read again: others may stand in their place since.
_REREAD: Final = 64
#: Places of one file that are kept, more than are ever tried.
_MOST_URIS: Final = 4 * MAX_PUBLISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """What the registry says about a model: nothing of it is believed before the id has been recomputed."""

    model_id: ModelId
    model: Model
    #: Where the artifact may be.
    uris: tuple[str, ...]


def published_model(contracts: Contracts, model_id: ModelId, *, max_log_range: int) -> PublishedModel:
    """The registry's record of a model. Raises `ChainError`, and `ConfigurationError` where there is none."""
    reading = _Reading(model_id, contracts.deployment.block)
    head = contracts.gateway.block("latest").number
    while reading.next_block <= head:
        reading.read(contracts, head, max_log_range)
    return reading.record()


class _Reading:
    """How far the logs about a model have been read, and what they say."""

    def __init__(self, model_id: ModelId, next_block: int) -> None:
        self.model_id, self.next_block = model_id, next_block
        #: Whether there was nothing more to read, and nobody has asked for more since.
        self.done = False
        self._model: Model | None = None
        #: In the order in which they were published, each once.
        self._uris: dict[str, None] = {}

    def read(self, contracts: Contracts, head: int, max_log_range: int) -> None:
        """The next range of blocks. Raises `ChainError`."""
        registry = interface("ModelRegistry")
        last = min(self.next_block + max_log_range - 1, head)
        logs = contracts.gateway.logs(
            addresses=(contracts.deployment.model_registry,),
            topics=((registry.topic("ModelRegistered"), registry.topic("ArtifactPublished")), self.model_id),
            from_block=self.next_block,
            to_block=last,
        )
        for log in logs:
            self._take(log)
        self.next_block = last + 1

    def record(self) -> PublishedModel:
        """What has been read. Raises `ConfigurationError` where the model is not registered."""
        if self._model is None:
            raise ConfigurationError(
                f"the model 0x{self.model_id.hex()} is not registered: register it, or name its artifact"
            )
        return PublishedModel(model_id=self.model_id, model=self._model, uris=tuple(self._uris))

    def _take(self, log: Log) -> None:
        event = interface("ModelRegistry").decode_log(log.topics, log.data)
        if event.name == "ArtifactPublished":
            self._uris.setdefault(event.arguments["uri"])
            if len(self._uris) > _MOST_URIS:
                # Anybody may publish: of a flood the oldest and the newest stay, which are what is tried.
                del self._uris[next(islice(self._uris, _MOST_URIS // 2, None))]
        elif self._model is None:
            self._model = model_from_abi(event.arguments["model"])


class PublishedModels:
    """The registry's records of many models: every block is read once for each, in rounds that end soon.

    Only `doubt` may be called in any thread.
    """

    def __init__(
        self, *, contracts: Contracts, max_log_range: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._contracts, self._max_log_range, self._clock = contracts, max_log_range, clock
        self._readings: dict[ModelId, _Reading] = {}
        #: Models of whose record the rest is to be read.
        self._doubted: set[ModelId] = set()
        self._round_ends: float | None = None
        self._has_more = False

    def next_round(self) -> None:
        """Allows more reading."""
        self._has_more, self._round_ends = False, None

    @property
    def has_more(self) -> bool:
        """Whether this round was too short for what there was to read."""
        return self._has_more

    def waits(self, model_id: ModelId) -> bool:
        """Whether a model's record has to wait for the next round."""
        reading = self._readings.get(model_id)
        return self._has_more and (reading is None or not reading.done)

    def look(self, model_id: ModelId) -> PublishedModel | None:
        """The record of a model; None while it takes further rounds to read it.

        Raises `ChainError`, and `ConfigurationError` where there is none.
        """
        reading = self._readings.setdefault(model_id, _Reading(model_id, self._contracts.deployment.block))
        if model_id in self._doubted:
            self._doubted.discard(model_id)
            reading.done = False
        if not reading.done:
            if not self._read(reading):
                return None
            # What is not registered is asked for again.
            reading.record()
            reading.done = True
        return reading.record()

    def doubt(self, model_id: ModelId) -> None:
        """Has what was published since read as well: no known place has had the file."""
        self._doubted.add(model_id)

    def _read(self, reading: _Reading) -> bool:
        """Whether everything has been read."""
        if self._round_ends is None:
            self._round_ends = self._clock() + ROUND_S
        if self._clock() >= self._round_ends:
            self._has_more = True
            return False
        head = self._contracts.gateway.block("latest").number
        while reading.next_block <= head:
            if self._clock() >= self._round_ends:
                self._has_more = True
                return False
            reading.read(self._contracts, head, self._max_log_range)
        reading.next_block = max(head + 1 - _REREAD, self._contracts.deployment.block)
        return True
