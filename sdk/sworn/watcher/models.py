"""The models that are served: artifacts in hand, ids recomputed from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from sworn.abi import interface
from sworn.codec.structs import model_from_abi
from sworn.engine.identification import profile_of
from sworn.engine.protocol import IdentifiedModel, ModelSource, RunLimits
from sworn.errors import ConfigurationError, ModelError
from sworn.storage.protocol import ArtifactStore
from sworn.types import DEFAULT_PROFILE, Model, ModelId, Profile
from sworn.watcher.contracts import Contracts
from sworn.watcher.policy import ServedModel
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
) -> Mapping[bytes, ServedModel]:
    """Every configured model by id.

    Raises `ConfigurationError` for an artifact with another id than configured, for a model configured twice, and for
    one whose traces are longer than ``max_trace_bytes``; `ModelError` and `ArtifactError` for artifacts that cannot be
    used or had; `ChainError`, `EngineError`.
    """
    served: dict[bytes, ServedModel] = {}
    for entry in settings:
        model = _served(entry, _source(entry, contracts, artifacts, read), identify)
        if model.model_id in served:
            raise ConfigurationError(f"the model 0x{model.model_id.hex()} is configured twice")
        if model.traced and model.identified.trace_bytes > max_trace_bytes:
            raise ConfigurationError(
                f"a trace of the model 0x{model.model_id.hex()} takes {model.identified.trace_bytes} bytes, more than "
                f"{max_trace_bytes}: raise traces.max_bytes, or serve it in profile exact"
            )
        served[model.model_id] = model
    return served


def _source(entry: ModelSettings, contracts: Contracts, artifacts: ArtifactStore, read: ReadArtifact) -> ModelSource:
    named = None if entry.profile is None else profile_of(entry.profile.value)
    if entry.artifact is not None:
        artifact, profile = read(entry.artifact), named or DEFAULT_PROFILE
    else:
        artifact, registered = _published(ModelId(bytes.fromhex((entry.model_id or "")[2:])), contracts, artifacts)
        profile = named or registered.profile
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


def _published(identity: ModelId, contracts: Contracts, artifacts: ArtifactStore) -> tuple[bytes, Model]:
    """The artifact of a registered model, from the cache or from a mirror that somebody published, and its record."""
    registry = interface("ModelRegistry")
    deployment = contracts.deployment
    logs = contracts.gateway.logs(
        addresses=(deployment.model_registry,),
        topics=((registry.topic("ModelRegistered"), registry.topic("ArtifactPublished")), identity),
        from_block=deployment.block,
        to_block=contracts.gateway.block("latest").number,
    )
    events = [registry.decode_log(log.topics, log.data) for log in logs]
    models = [model_from_abi(event.arguments["model"]) for event in events if event.name == "ModelRegistered"]
    if not models:
        raise ConfigurationError(f"the model 0x{identity.hex()} is not registered: register it, or name its artifact")
    uris = tuple(event.arguments["uri"] for event in events if event.name == "ArtifactPublished")
    return artifacts.get(models[0].artifact_hash, uris=uris), models[0]
