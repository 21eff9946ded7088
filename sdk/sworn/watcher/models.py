"""The models that are served: artifacts in hand, ids recomputed from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sworn.abi import interface
from sworn.codec.hashing import model_id
from sworn.codec.structs import model_from_abi
from sworn.errors import ConfigurationError
from sworn.storage.protocol import ArtifactStore
from sworn.types import Model, ModelId, Schema
from sworn.watcher.contracts import Contracts
from sworn.watcher.policy import ServedModel
from sworn.watcher.settings import ModelSettings

#: Checks an artifact and says what it is. Raises `ModelError`.
Identify = Callable[[bytes], tuple[Model, Schema]]
#: Reads an .onnx file. Raises `ModelError`.
ReadArtifact = Callable[[Path], bytes]


def load_models(
    settings: Sequence[ModelSettings],
    *,
    contracts: Contracts,
    artifacts: ArtifactStore,
    identify: Identify,
    read: ReadArtifact,
) -> Mapping[bytes, ServedModel]:
    """Every configured model by id.

    Raises `ConfigurationError` for an artifact with another id than configured and for a model configured twice,
    `ModelError` and `ArtifactError` for artifacts that cannot be used or had, `ChainError`.
    """
    served: dict[bytes, ServedModel] = {}
    for entry in settings:
        if entry.artifact is not None:
            artifact = read(entry.artifact)
        else:
            artifact = _published(ModelId(bytes.fromhex((entry.model_id or "")[2:])), contracts, artifacts)
        model = _served(entry, artifact, identify)
        if model.model_id in served:
            raise ConfigurationError(f"the model 0x{model.model_id.hex()} is configured twice")
        served[model.model_id] = model
    return served


def _served(entry: ModelSettings, artifact: bytes, identify: Identify) -> ServedModel:
    model, schema = identify(artifact)
    identity = model_id(model)
    if entry.model_id not in (None, "0x" + identity.hex()):
        where = entry.artifact or "the published artifact"
        raise ConfigurationError(f"{where} is the model 0x{identity.hex()}, not {entry.model_id} as configured")
    return ServedModel(
        model_id=identity,
        artifact=artifact,
        schema=schema,
        price_wei=entry.price_wei,
        max_value_at_risk_wei=entry.max_value_at_risk_wei,
        max_window_s=entry.max_window_s,
        max_callback_gas=entry.max_callback_gas,
        limits=entry.limits,
    )


def _published(identity: ModelId, contracts: Contracts, artifacts: ArtifactStore) -> bytes:
    """The artifact of a registered model, from the cache or from a mirror that somebody published."""
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
    return artifacts.get(models[0].artifact_hash, uris=uris)
