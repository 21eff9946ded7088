"""AI inference under oath for smart contracts.

::

    import sworn

    client = sworn.connect("http://127.0.0.1:8545", account="0x…")
    handle = client.request(model="risk.onnx", inputs={"features": rows})
    result = handle.wait(timeout=600)
    result.outputs["probability"], result.final
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sworn.chain.deployment_files import load_deployment, save_deployment
    from sworn.client import (
        AsyncClient,
        AsyncDisputeHandle,
        AsyncRequestHandle,
        BondPreview,
        Cause,
        Client,
        Cursor,
        Deadline,
        Difference,
        DisputeHandle,
        DisputeRecord,
        DisputeReport,
        Event,
        InferenceResult,
        ModelRecord,
        OperatorOffer,
        Quote,
        RequestHandle,
        RequestReport,
        Rewound,
        Verdict,
        Verification,
    )
    from sworn.client.async_client import DeploymentLike
    from sworn.client.identities import AccountLike
    from sworn.engine.identification import model_id
    from sworn.errors import SwornError
    from sworn.storage import ArtifactStore
    from sworn.types import (
        Address,
        Assurance,
        Deployment,
        DisputeStatus,
        FailureCode,
        ModelId,
        Part,
        Profile,
        RequestId,
        ResultId,
        Schema,
        Status,
        Target,
    )
    from sworn.verification import CompiledModel

__version__ = "0.1.0"

__all__ = [
    "Address",
    "Assurance",
    "AsyncClient",
    "AsyncDisputeHandle",
    "AsyncRequestHandle",
    "BondPreview",
    "Cause",
    "Client",
    "CompiledModel",
    "Cursor",
    "Deadline",
    "Deployment",
    "Difference",
    "DisputeHandle",
    "DisputeRecord",
    "DisputeReport",
    "DisputeStatus",
    "Event",
    "FailureCode",
    "InferenceResult",
    "ModelId",
    "ModelRecord",
    "OperatorOffer",
    "Part",
    "Profile",
    "Quote",
    "RequestHandle",
    "RequestId",
    "RequestReport",
    "ResultId",
    "Rewound",
    "Schema",
    "Status",
    "SwornError",
    "Target",
    "Verdict",
    "Verification",
    "__version__",
    "compile_model",
    "connect",
    "connect_async",
    "load_deployment",
    "model_id",
    "save_deployment",
]

# Loaded when first used: importing sworn costs nothing, and an engine's worker process never loads a chain library.
_HOMES: Final = {
    "sworn.chain.deployment_files": ("load_deployment", "save_deployment"),
    "sworn.client": (
        "AsyncClient",
        "AsyncDisputeHandle",
        "AsyncRequestHandle",
        "BondPreview",
        "Cause",
        "Client",
        "Cursor",
        "Deadline",
        "Difference",
        "DisputeHandle",
        "DisputeRecord",
        "DisputeReport",
        "Event",
        "InferenceResult",
        "ModelRecord",
        "OperatorOffer",
        "Quote",
        "RequestHandle",
        "RequestReport",
        "Rewound",
        "Verdict",
        "Verification",
    ),
    "sworn.engine.identification": ("model_id",),
    "sworn.errors": ("SwornError",),
    "sworn.types": (
        "Address",
        "Assurance",
        "Deployment",
        "DisputeStatus",
        "FailureCode",
        "ModelId",
        "Part",
        "Profile",
        "RequestId",
        "ResultId",
        "Schema",
        "Status",
        "Target",
    ),
    "sworn.verification": ("CompiledModel",),
}


def connect(
    url: str,
    *,
    account: AccountLike = None,
    deployment: DeploymentLike = None,
    artifacts: ArtifactStore | None = None,
    timeout_s: float = 30.0,
) -> Client:
    """A client for the deployment on the chain behind an http or https URL.

    ``account`` is a private key, an eth-account account or a `Signer`; None makes a read-only client. ``deployment`` is
    a `Deployment` or the path of a deployment file; None looks it up by chain id. ``artifacts`` caches model files, by
    default below ``~/.sworn``. ``timeout_s`` bounds each request to the node.

    Raises `DeploymentUnknown`, `ChainIdMismatch`, `ConfigurationError`, `SignerError` and `TransientChainError`.
    """
    from sworn.chain.web3_gateway import connect_gateway
    from sworn.client import Client

    gateway = connect_gateway(url, timeout_s=timeout_s)
    return Client.open(gateway, account=account, deployment=deployment, artifacts=artifacts or _artifact_cache())


async def connect_async(
    url: str,
    *,
    account: AccountLike = None,
    deployment: DeploymentLike = None,
    artifacts: ArtifactStore | None = None,
    timeout_s: float = 30.0,
) -> AsyncClient:
    """The same as `connect`, with coroutines. Close it, or use it as an async context manager."""
    from sworn.chain.web3_gateway_async import async_connect_gateway
    from sworn.client import AsyncClient

    gateway = async_connect_gateway(url, timeout_s=timeout_s)
    async with AsyncExitStack() as failing:
        failing.push_async_callback(gateway.close)
        client = await AsyncClient.open(
            gateway, account=account, deployment=deployment, artifacts=artifacts or _artifact_cache()
        )
        failing.pop_all()
        return client


def compile_model(
    model: bytes | str | os.PathLike[str],
    *,
    profile: str = "exact",
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    threads: int = 1,
) -> CompiledModel:
    """A model as anyone can check it, from the path of an .onnx file or from its bytes.

    ``input_shapes`` gives the shapes of inputs that leave dimensions open: shapes are part of the model's id.
    Profile ``exact`` gives the same bits on every machine; ``bounded`` runs faster, on stock kernels, within the bounds
    that `docs/arithmetic.md` states. ``threads`` bounds those of a run; in ``exact`` it changes no bit.

    Raises `ModelMalformed`, `ModelTooLarge`, `ModelUnsupported` (with operator, node and reason; also for a profile
    other than these two), `ModelError` for a file that cannot be read, and `ConfigurationError` for shapes that do not
    fit.
    """
    from sworn.model import read_artifact
    from sworn.verification.assembly import assemble

    artifact = model if isinstance(model, bytes) else read_artifact(model)
    return assemble(artifact, profile=profile, input_shapes=input_shapes, threads=threads)


def _artifact_cache() -> ArtifactStore:
    from sworn.storage import CachedArtifactStore

    return CachedArtifactStore(Path.home() / ".sworn" / "artifacts")


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
