"""A chain with deployed contracts, a registered operator and model, and requests at will: what a watcher watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from sworn.abi import interface
from sworn.chain.deployment import deploy
from sworn.chain.gateway import Receipt
from sworn.chain.signer import LocalSigner
from sworn.chain.transactor import Transactor
from sworn.codec.hashing import Domain, model_id, request_id
from sworn.codec.structs import model_to_abi, offer_to_abi, request_params_to_abi
from sworn.codec.tensors import encode_tensors
from sworn.codec.trees import payload_root
from sworn.engine.protocol import RunLimits
from sworn.errors import CodecError
from sworn.model.identity import identify
from sworn.testing.local_chain import LocalChain
from sworn.types import (
    ZERO_ADDRESS,
    Address,
    Assurance,
    Deployment,
    Model,
    ModelId,
    Offer,
    Request,
    RequestId,
    RequestState,
    Schema,
)
from sworn.watcher.contracts import Contracts
from sworn.watcher.policy import ServedModel

from tests.support.graphs import addition_model

ETHER = 10**18
WINDOW_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A request that has been made."""

    request_id: RequestId
    request: Request
    receipt: Receipt


@dataclass(slots=True, kw_only=True)
class WatcherWorld:
    """Contracts on a local chain; the operator's owner, its watcher's keys, and requesters."""

    chain: LocalChain
    deployment: Deployment
    artifact: bytes = field(repr=False)
    model: Model
    schema: Schema
    operator: LocalSigner
    transaction_signer: LocalSigner
    result_signer: LocalSigner
    requester: LocalSigner

    @property
    def model_id(self) -> ModelId:
        """The registered model."""
        return model_id(self.model)

    @property
    def contracts(self) -> Contracts:
        """The deployment, to read from."""
        return Contracts(gateway=self.chain.gateway, deployment=self.deployment)

    @property
    def domain(self) -> Domain:
        """Where signatures count."""
        return self.contracts.domain

    def served(self, *, limits: RunLimits | None = None) -> ServedModel:
        """The model on generous terms."""
        return ServedModel(
            model_id=self.model_id,
            artifact=self.artifact,
            schema=self.schema,
            price_wei=1,
            max_value_at_risk_wei=ETHER,
            max_window_s=3600,
            max_callback_gas=100_000,
            limits=limits or RunLimits(),
        )

    def send(self, signer: LocalSigner, contract: str, function: str, *args: object, value_wei: int = 0) -> Receipt:
        """A transaction to one of the contracts."""
        address: Address = getattr(self.deployment, _FIELDS[contract])
        transactor = Transactor(gateway=self.chain.gateway, signer=signer, chain_id=self.deployment.chain_id)
        return transactor.send(to=address, data=interface(contract).encode(function, *args), value_wei=value_wei)

    def payload(self, *values: float) -> bytes:
        """The input payload of the model for some numbers."""
        array = np.array(values, dtype=np.float32).reshape(1, len(values))
        return encode_tensors({spec.name: array for spec in self.schema.inputs}, self.schema.inputs)

    def request(
        self, payload: bytes, *, salt: int = 0, change: Callable[[Request], Request] = lambda request: request
    ) -> Posted:
        """Makes a request that names the operator; ``change`` makes it another one."""
        now = self.chain.gateway.block("latest").timestamp
        request = change(
            Request(
                model_id=self.model_id,
                input_root=_root(payload),
                requester=self.requester.address,
                operator=self.operator.address,
                refund_to=self.requester.address,
                fee_wei=ETHER // 100,
                value_at_risk_wei=0,
                callback_gas=0,
                window_s=WINDOW_S,
                deadline=now + 3600,
                assurance=Assurance.FINAL,
                salt=salt.to_bytes(32, "big"),
            )
        )
        parameters = request_params_to_abi(request)
        receipt = self.send(
            self.requester, "InferenceOracle", "request", parameters, payload, value_wei=request.fee_wei
        )
        identity = request_id(request, chain_id=self.domain.chain_id, oracle=self.domain.oracle)
        return Posted(request_id=identity, request=request, receipt=receipt)

    def state(self, posted: Posted) -> RequestState:
        """Where a request stands."""
        return self.contracts.state_of(posted.request_id)


def open_world(chain: LocalChain, *, stake_wei: int = ETHER) -> WatcherWorld:
    """Deploys everything and registers an operator whose transaction and result keys are not its owner's."""
    signers = chain.signers
    artifact = addition_model()
    model, schema = identify(artifact)
    world = WatcherWorld(
        chain=chain,
        deployment=deploy(chain.gateway, signers[0]),
        artifact=artifact,
        model=model,
        schema=schema,
        operator=signers[1],
        transaction_signer=signers[2],
        result_signer=LocalSigner.from_key(bytes([9]) * 32),
        requester=signers[3],
    )
    world.send(world.requester, "ModelRegistry", "register", model_to_abi(model))
    world.send(world.operator, "OperatorRegistry", "register", "", value_wei=stake_wei)
    world.send(world.operator, "OperatorRegistry", "authorizeSigner", world.result_signer.address)
    offer = Offer(
        active=True, price_wei=1, max_value_at_risk_wei=ETHER, max_window_s=3600, max_callback_gas=100_000
    )
    world.send(world.operator, "OperatorRegistry", "setOffer", world.model_id, offer_to_abi(offer))
    return world


def to_anyone(request: Request) -> Request:
    """The same request, naming no operator."""
    return replace(request, operator=ZERO_ADDRESS)


def _root(payload: bytes) -> bytes:
    try:
        return payload_root(payload)
    except CodecError:
        return b"\x01" * 32


_FIELDS = {
    "InferenceOracle": "oracle",
    "OperatorRegistry": "operator_registry",
    "ModelRegistry": "model_registry",
    "DisputeGame": "dispute_game",
}
