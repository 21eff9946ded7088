"""What the registry says about a model, and where others have published its file."""

from __future__ import annotations

from dataclasses import dataclass

from sworn.abi import interface
from sworn.chain.gateway import Log
from sworn.codec.structs import model_from_abi
from sworn.errors import ConfigurationError
from sworn.types import Model, ModelId
from sworn.watcher.contracts import Contracts


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """What the registry says about a model: nothing of it is believed before the id has been recomputed."""

    model_id: ModelId
    model: Model
    #: Where the artifact may be.
    uris: tuple[str, ...]


def published_model(contracts: Contracts, model_id: ModelId, *, max_log_range: int) -> PublishedModel:
    """The registry's record of a model. Raises `ChainError`, and `ConfigurationError` where there is none."""
    registry, deployment = interface("ModelRegistry"), contracts.deployment
    head = contracts.gateway.block("latest").number
    logs: list[Log] = []
    for first in range(deployment.block, head + 1, max_log_range):
        logs += contracts.gateway.logs(
            addresses=(deployment.model_registry,),
            topics=((registry.topic("ModelRegistered"), registry.topic("ArtifactPublished")), model_id),
            from_block=first,
            to_block=min(first + max_log_range - 1, head),
        )
    events = [registry.decode_log(log.topics, log.data) for log in logs]
    models = [model_from_abi(event.arguments["model"]) for event in events if event.name == "ModelRegistered"]
    if not models:
        raise ConfigurationError(f"the model 0x{model_id.hex()} is not registered: register it, or name its artifact")
    uris = tuple(event.arguments["uri"] for event in events if event.name == "ArtifactPublished")
    return PublishedModel(model_id=model_id, model=models[0], uris=uris)
