"""Models that run on servers, each with places and a queue of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from sworn.engine.fair_queue import FairQueue
from sworn.engine.open_inference import OpenInferenceModel
from sworn.engine.protocol import IdentifiedModel, ModelLoad, RunLimits
from sworn.engine.terms import ModelTerms
from sworn.engine.watch import Clock
from sworn.errors import ConfigurationError
from sworn.types import ModelId, Tensors

#: Runs at once on an endpoint whose terms do not say.
_CONCURRENCY: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remote:
    model: OpenInferenceModel
    queue: FairQueue


class RemoteModels:
    """Models on endpoints, by id."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._models: dict[ModelId, _Remote] = {}

    def __contains__(self, model_id: ModelId) -> bool:
        return model_id in self._models

    @property
    def slots(self) -> int:
        """Runs at once on all endpoints."""
        return sum(remote.queue.slots for remote in self._models.values())

    def add(self, model: IdentifiedModel, terms: ModelTerms) -> None:
        """Takes on a model once its server has said that it has the same. Raises as `OpenInferenceModel.check` does."""
        if terms.endpoint is None:
            raise ConfigurationError("a model that runs elsewhere needs an endpoint")
        remote = OpenInferenceModel(terms.endpoint, model.schema)
        try:
            remote.check()
        finally:
            if not remote.is_checked:
                remote.close()
        queue = FairQueue(terms.concurrency or _CONCURRENCY, clock=self._clock)
        queue.arrange(model.model_id.hex(), terms)
        self._models[model.model_id] = _Remote(model=remote, queue=queue)

    def run(self, model: IdentifiedModel, inputs: Tensors, *, limits: RunLimits) -> dict[str, NDArray[Any]]:
        """Outputs by name. Raises as `OpenInferenceModel.run` does, and `EngineBusy`."""
        remote = self._models[model.model_id]
        with remote.queue.turn(model.model_id.hex()):
            return remote.model.run(inputs, limits=limits)

    def loads(self) -> dict[str, ModelLoad]:
        """What every model has under way, by id in hex."""
        return {key: load for remote in self._models.values() for key, load in remote.queue.loads().items()}

    def close(self) -> None:
        """Ends every run under way; idempotent."""
        for remote in self._models.values():
            remote.queue.close()
            remote.model.close()
