"""The models that are served: artifacts in hand, ids recomputed from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from sworn.engine.identification import profile_of
from sworn.engine.protocol import IdentifiedModel, ModelSource, RunLimits
from sworn.errors import ConfigurationError, ModelError
from sworn.storage.protocol import ArtifactStore
from sworn.types import DEFAULT_PROFILE, ModelId, Profile
from sworn.watcher.contracts import Contracts
from sworn.watcher.policy import ServedModel
from sworn.watcher.published import published_model
from sworn.watcher.settings import ModelSettings

#: Reads an .onnx file. Raises `ModelError`.
ReadArtifact = Callable[[Path], bytes]


class Identify(Protocol):
    """Says what a source is, computed from its artifact: `Engine.identify`."""

    def __call__(self, source: ModelSource, *, limits: RunLimits) -> IdentifiedModel:
        """Raises `ModelError`, `ConfigurationError`, `EngineError`."""
        ...


def load_models(
    settings: Sequence[ModelSettings],
    *,
    contracts: Contracts,
    artifacts: ArtifactStore,
    identify: Identify,
    read: ReadArtifact,
    max_trace_bytes: int,
    max_log_range: int = 2_000,
) -> Mapping[bytes, ServedModel]:
    """Every configured model by id.

    Raises `ConfigurationError` for an artifact with another id than configured, for a model configured twice, and for
    one whose traces are longer than ``max_trace_bytes``; `ModelError` and `ArtifactError` for artifacts that cannot be
    used or had; `ChainError`, `EngineError`.
    """
    served: dict[bytes, ServedModel] = {}
    for entry in settings:
        source = _own(entry, read) or _published(entry, contracts, artifacts, max_log_range)
        model = _served(entry, source, identify)
        if model.model_id in served:
            raise ConfigurationError(f"the model 0x{model.model_id.hex()} is configured twice")
        if model.traced and model.identified.trace_bytes > max_trace_bytes:
            raise ConfigurationError(
                f"a trace of the model 0x{model.model_id.hex()} takes {model.identified.trace_bytes} bytes, more than "
                f"{max_trace_bytes}: raise traces.max_bytes, or serve it in profile exact"
            )
        served[model.model_id] = model
    return served


def _own(entry: ModelSettings, read: ReadArtifact) -> ModelSource | None:
    """From the configured file; None where there is none."""
    if entry.artifact is None:
        return None
    profile = DEFAULT_PROFILE if entry.profile is None else profile_of(entry.profile.value)
    return ModelSource(artifact=read(entry.artifact), profile=profile, input_shapes=entry.input_shapes)


def _published(entry: ModelSettings, contracts: Contracts, artifacts: ArtifactStore, max_log_range: int) -> ModelSource:
    """Of a registered model, from the cache, an own mirror, or one that somebody has published."""
    model_id = ModelId(bytes.fromhex((entry.model_id or "")[2:]))
    record = published_model(contracts, model_id, max_log_range=max_log_range)
    profile = record.model.profile if entry.profile is None else profile_of(entry.profile.value)
    artifact = artifacts.get(record.model.artifact_hash, uris=record.uris)
    return ModelSource(artifact=artifact, profile=profile, input_shapes=entry.input_shapes)


def _served(entry: ModelSettings, source: ModelSource, identify: Identify) -> ServedModel:
    identified = identify(source, limits=entry.limits)
    identity = "0x" + identified.model_id.hex()
    # INVARIANT: what is served under an id is what the artifact compiles to, whatever was registered or configured.
    if entry.model_id not in (None, identity):
        where = entry.artifact or "the published artifact"
        raise ConfigurationError(
            f"{where} is the model {identity} in profile {source.profile.name.lower()}, not {entry.model_id} as "
            f"configured{_advice(entry, source, identify)}"
        )
    return ServedModel(
        identified=identified,
        price_wei=entry.price_wei,
        price_per_byte_wei=entry.price_per_byte_wei,
        max_value_at_risk_wei=entry.max_value_at_risk_wei,
        max_window_s=entry.max_window_s,
        max_callback_gas=entry.max_callback_gas,
        limits=entry.limits,
    )


def _advice(entry: ModelSettings, source: ModelSource, identify: Identify) -> str:
    """In which other profile an artifact has the configured id."""
    for profile in (Profile.EXACT, Profile.BOUNDED, Profile.SIGNED):
        shapes = {} if profile is Profile.SIGNED else source.input_shapes
        other = ModelSource(artifact=source.artifact, profile=profile, input_shapes=shapes)
        try:
            found = identify(other, limits=entry.limits).model_id
        except (ModelError, ConfigurationError):
            continue
        if "0x" + found.hex() == entry.model_id:
            return f': that is its id in profile {profile.name.lower()}; set profile = "{profile.name.lower()}"'
    return ": check the file, its input_shapes, and who told you the id"
