"""A local chain with the contracts, a client, and operators that answer by hand what a test tells them to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.chain.deployment import deploy
from sworn.chain.deployment_files import DEFAULT_PARAMETERS
from sworn.chain.pacing import Pacing
from sworn.chain.signer import LocalSigner
from sworn.client import AsyncClient, Client, RequestHandle
from sworn.codec.hashing import Domain, failure_digest, result_digest, result_of
from sworn.codec.structs import answer_to_abi, request_to_abi
from sworn.codec.tensors import encode_tensors
from sworn.engine.identification import identify
from sworn.engine.protocol import IdentifiedModel, ModelSource
from sworn.errors import ArtifactUnavailable
from sworn.testing.local_chain import ChainKind, LocalChain, start_chain
from sworn.testing.models import ExampleRow, example_rows, load_model, model_names
from sworn.types import ZERO_HASH, Address, Answer, Deployment, Failure, FailureCode, ModelId, Request, Schema

ETHER = 10**18
PRICE_WEI = ETHER // 1000
STAKE_WEI = ETHER
PACING = Pacing(poll_s=0.02, transaction_timeout_s=20.0)


class DictStore:
    """An `ArtifactStore` in a dict that remembers which mirrors it was told of."""

    def __init__(self) -> None:
        self.artifacts: dict[bytes, bytes] = {}
        self.uris: tuple[str, ...] = ()

    def get(self, artifact_hash: bytes, *, uris: tuple[str, ...] = ()) -> bytes:
        """What was put here."""
        self.uris = uris
        if artifact_hash not in self.artifacts:
            raise ArtifactUnavailable("not here")
        return self.artifacts[artifact_hash]

    def put(self, artifact: bytes) -> bytes:
        """Keeps the bytes."""
        key = hashlib.sha256(artifact).digest()
        self.artifacts[key] = artifact
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Keys of the chain by use: 0 deploys, 1 is the operator, 2 signs its results, 3 asks, 4 is the rival operator."""

    chain: LocalChain
    deployment: Deployment
    artifact: bytes
    store: DictStore

    @property
    def model_id(self) -> ModelId:
        """The model that everything here is about."""
        return _identified(self.artifact).model_id

    @property
    def schema(self) -> Schema:
        """Its schema."""
        return _identified(self.artifact).schema

    @property
    def row(self) -> ExampleRow:
        """A real input with the expected output."""
        return example_rows(model_names()[0])[0]

    @property
    def operator(self) -> Address:
        """The operator's address."""
        return self.chain.signers[1].address

    @property
    def signer(self) -> LocalSigner:
        """Who signs the operator's results."""
        return self.chain.signers[2]

    def client(self, key: int | None = 3, **options: Any) -> Client:
        """A client for one of the chain's keys, or a read-only one."""
        signer = None if key is None else self.chain.signers[key]
        parts: dict[str, Any] = {"artifacts": self.store, "pacing": PACING} | options
        return Client(gateway=self.chain.gateway, deployment=self.deployment, signer=signer, **parts)

    def async_client(self, key: int = 3) -> AsyncClient:
        """The same with coroutines."""
        return AsyncClient(
            gateway=self.chain.async_gateway(),
            deployment=self.deployment,
            signer=self.chain.signers[key],
            artifacts=self.store,
            pacing=PACING,
        )

    def enrol(self, *, key: int = 1, price_wei: int = PRICE_WEI, stake_wei: int = STAKE_WEI) -> None:
        """Registers an operator with an offer for the model."""
        facade = self.client(key).operator
        facade.register(stake_wei=stake_wei)
        facade.authorize_signer(self.signer.address)
        self.client(key).register_model(self.artifact)
        facade.set_offer(
            self.model_id,
            price_wei=price_wei,
            max_value_at_risk_wei=ETHER // 10,
            max_window_s=3600,
            max_callback_gas=500_000,
        )

    def request(self, **options: Any) -> RequestHandle:
        """Asks about the example row."""
        return self.client().request(model=self.artifact, inputs=self.row.inputs, **options)

    def propose(self, request: Request, outputs: dict[str, NDArray[Any]] | None = None) -> None:
        """Answers a request as the operator, with the true outputs unless told otherwise."""
        payload = encode_tensors(outputs or dict(self.row.outputs), self.schema.outputs)
        answer = Answer(operator=self.operator, trace_root=ZERO_HASH, output=payload)
        where = Domain(chain_id=self.deployment.chain_id, oracle=self.deployment.oracle)
        result = result_of(request, answer, chain_id=where.chain_id, oracle=where.oracle)
        signature = self.signer.sign_digest(result_digest(result, where))
        self._send("propose", request_to_abi(request), answer_to_abi(answer), signature)

    def fail(self, handle: RequestHandle, code: FailureCode) -> None:
        """Answers with a signed failure."""
        where = Domain(chain_id=self.deployment.chain_id, oracle=self.deployment.oracle)
        failure = Failure(request_id=handle.request_id, operator=self.operator, code=code)
        signature = self.signer.sign_digest(failure_digest(failure, where))
        self._send("fail", request_to_abi(handle.request), self.operator, int(code), signature)

    def altered(self) -> dict[str, NDArray[Any]]:
        """Outputs that are not the true ones."""
        return {name: np.zeros_like(array) for name, array in self.row.outputs.items()}

    def _send(self, function: str, *args: Any) -> None:
        self.client(1)._signing.send("oracle", function, *args)


@cache
def _identified(artifact: bytes) -> IdentifiedModel:
    return identify(ModelSource(artifact=artifact))


@contextmanager
def open_world(kind: ChainKind) -> Iterator[World]:
    """A fresh deployment without operators."""
    with start_chain(kind) as chain:
        deployment = deploy(chain.gateway, chain.signers[0], parameters=DEFAULT_PARAMETERS, pacing=PACING)
        yield World(chain=chain, deployment=deployment, artifact=load_model(model_names()[0]), store=DictStore())
