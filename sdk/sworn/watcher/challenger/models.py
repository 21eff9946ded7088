"""Models that others answer by: artifacts fetched, ids recomputed, the latest ones kept compiled."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from sworn.codec.payload import split_payload
from sworn.engine.protocol import Engine, IdentifiedModel, ModelSource, RunLimits
from sworn.errors import ArtifactCorrupt, ConfigurationError, ModelError
from sworn.model import schema_of
from sworn.storage.protocol import ArtifactStore
from sworn.types import InputShapes, ModelId, Profile
from sworn.verification import CompiledModel
from sworn.watcher.contracts import Contracts
from sworn.watcher.published import PublishedModel, published_model

#: Compiled models that are kept in this process; only those under dispute get there.
_MAX_COMPILED: Final = 4


class Compile(Protocol):
    """Compiles the bytes of a file, as `sworn.verification.assembly.assemble` does."""

    def __call__(self, artifact: bytes, *, profile: str, input_shapes: InputShapes | None) -> CompiledModel: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShelf:
    """Models by id. `published` asks the chain; the others may run in any thread."""

    contracts: Contracts
    artifacts: ArtifactStore
    engine: Engine
    compile_model: Compile
    limits: RunLimits
    max_log_range: int
    #: Shapes of inputs whose files leave dimensions open, by model id; others are taken from the payload.
    input_shapes: Mapping[ModelId, InputShapes] = field(default_factory=dict)
    _published: dict[ModelId, PublishedModel] = field(default_factory=dict, init=False)
    _compiled: OrderedDict[ModelId, CompiledModel] = field(default_factory=OrderedDict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def published(self, model_id: ModelId) -> PublishedModel:
        """The registry's record of a model. Raises `ChainError`, and `ConfigurationError` where there is none."""
        known = self._published.get(model_id)
        if known is None:
            known = published_model(self.contracts, model_id, max_log_range=self.max_log_range)
            self._published[model_id] = known
        return known

    def forget(self, model_id: ModelId) -> None:
        """Asks the registry again next time: somebody may have published another mirror."""
        self._published.pop(model_id, None)

    def identified(self, published: PublishedModel, payload: bytes) -> IdentifiedModel:
        """The model, compiled in a worker that can be killed.

        Raises `ArtifactError` where it cannot be had or is another one, `ModelError`, `EngineError`, `CodecError`.
        """
        source = self._source(published, payload)
        try:
            found = self.engine.identify(source, limits=self.limits)
        except ModelError as error:
            raise ArtifactCorrupt(f"the artifact compiles to no model: {error}") from error
        # INVARIANT: nothing is judged by another program than the one under the id.
        if found.model_id != published.model_id:
            raise ArtifactCorrupt(
                f"the artifact compiles to the model 0x{found.model_id.hex()}, not 0x{published.model_id.hex()}: its "
                "input shapes are others, or whoever registered it lies"
            )
        return found

    def compiled(self, published: PublishedModel, payload: bytes) -> CompiledModel:
        """The same in this process, for searches and proofs. Raises as `identified` does."""
        with self._lock:
            known = self._compiled.get(published.model_id)
            if known is not None:
                self._compiled.move_to_end(published.model_id)
                return known
            # SAFETY: what a worker has compiled within its limits is harmless here.
            source = self.identified(published, payload).source
            name = source.profile.name.lower()
            model = self.compile_model(source.artifact, profile=name, input_shapes=source.input_shapes)
            if model.model_id != published.model_id:
                raise ArtifactCorrupt(f"the model 0x{published.model_id.hex()} compiles to another one here")
            self._compiled[published.model_id] = model
            while len(self._compiled) > _MAX_COMPILED:
                self._compiled.popitem(last=False)
            return model

    def _source(self, published: PublishedModel, payload: bytes) -> ModelSource:
        model = published.model
        if model.profile not in (Profile.EXACT, Profile.BOUNDED):
            raise ConfigurationError(f"the profile {model.profile.name.lower()} promises nothing that could be checked")
        artifact = self.artifacts.get(model.artifact_hash, uris=published.uris)
        shapes = self.input_shapes.get(published.model_id)
        if shapes is None:
            shapes = _open_shapes(artifact, payload)
        return ModelSource(artifact=artifact, profile=model.profile, input_shapes=shapes)


def _open_shapes(artifact: bytes, payload: bytes) -> InputShapes:
    """Shapes of the input tensors for those inputs of a file that leave dimensions open."""
    specs = schema_of(artifact).inputs
    if not any(None in spec.shape for spec in specs):
        return {}
    pairs = zip(specs, split_payload(payload), strict=False)
    return {spec.name: tensor.shape for spec, tensor in pairs if None in spec.shape}
