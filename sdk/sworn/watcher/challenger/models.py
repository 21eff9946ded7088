"""Models that others answer by: artifacts fetched, ids recomputed, the latest ones kept compiled."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from sworn.codec.payload import split_payload
from sworn.engine.protocol import Engine, IdentifiedModel, ModelSource, RunLimits
from sworn.errors import ArtifactCorrupt, ArtifactError, ConfigurationError, ModelError
from sworn.model import schema_of
from sworn.storage.protocol import ArtifactStore
from sworn.types import InputShapes, ModelId, Profile
from sworn.verification import CompiledModel
from sworn.watcher.challenger.shapes import LearntShapes
from sworn.watcher.published import PublishedModel, PublishedModels

#: Compiled models that are kept in this process; only those under dispute get there.
_MAX_COMPILED: Final = 4


class Compile(Protocol):
    """Compiles the bytes of a file, as `sworn.verification.assembly.assemble` does."""

    def __call__(self, artifact: bytes, *, profile: str, input_shapes: InputShapes | None) -> CompiledModel: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShelf:
    """Models by id. `records` ask the chain; the rest may run in any thread."""

    records: PublishedModels
    artifacts: ArtifactStore
    engine: Engine
    compile_model: Compile
    limits: RunLimits
    #: Shapes of inputs whose files leave dimensions open, by model id; others are learnt.
    input_shapes: Mapping[ModelId, InputShapes] = field(default_factory=dict)
    learnt: LearntShapes
    _compiled: OrderedDict[ModelId, CompiledModel] = field(default_factory=OrderedDict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def identified(self, published: PublishedModel, payload: bytes) -> IdentifiedModel:
        """The model, compiled in a worker that can be killed.

        Raises `ArtifactError` where it cannot be had or is another one, `ModelError`, `EngineError`, `CodecError`.
        """
        source, learnt = self._source(published, payload), self.learnt.find(published.model_id)
        if learnt is not None and published.model_id not in self.input_shapes:
            # An input of other shapes is none that the model takes, whatever was made of it.
            with suppress(ArtifactCorrupt, ConfigurationError):
                return self._identify(published, replace(source, input_shapes=learnt))
        found = self._identify(published, source)
        self.learnt.learn(published.model_id, source.input_shapes)
        return found

    def _identify(self, published: PublishedModel, source: ModelSource) -> IdentifiedModel:
        try:
            found = self.engine.identify(source, limits=self.limits)
        except ModelError as error:
            raise ArtifactCorrupt(f"the artifact compiles to no model: {error}") from error
        # INVARIANT: nothing is judged by another program than the one under the id.
        if found.model_id != published.model_id:
            raise ArtifactCorrupt(
                f"the artifact compiles to the model 0x{found.model_id.hex()}, not 0x{published.model_id.hex()}: its "
                "input shapes are others (challenge.input_shapes names them), or whoever registered it lies"
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
        try:
            artifact = self.artifacts.get(model.artifact_hash, uris=published.uris)
        except ArtifactError:
            # Somebody may publish another mirror.
            self.records.doubt(published.model_id)
            raise
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
