"""A chain with deployed contracts, a registered operator and model, and requests at will: what a watcher watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tests.support.graphs import unary

from sworn.abi import interface
from sworn.chain.deployment import deploy
from sworn.chain.gateway import Receipt
from sworn.chain.signer import LocalSigner
from sworn.chain.transactor import Transactor
from sworn.codec.hashing import Domain, model_id, request_id
from sworn.codec.structs import model_to_abi, offer_to_abi, request_params_to_abi
from sworn.codec.tensors import encode_tensors
from sworn.codec.trees import payload_root
from sworn.engine.identification import identify
from sworn.engine.protocol import IdentifiedModel, ModelSource, Run, RunLimits
from sworn.errors import CodecError, RunNotFinite
from sworn.testing.local_chain import LocalChain
from sworn.types import (
    ZERO_ADDRESS,
    Address,
    Assurance,
    Deployment,
    Model,
    ModelId,
    Offer,
    Profile,
    Request,
    RequestId,
    RequestState,
    Schema,
    Tensors,
)
from sworn.watcher.contracts import Contracts
from sworn.watcher.policy import ServedModel

ETHER = 10**18
WINDOW_S = 60
#: Which of the funded accounts sends the watcher's transactions.
TRANSACTION_ACCOUNT = 2
RESULT_KEY = bytes([9]) * 32


class ReciprocalEngine:
    """An `Engine` that knows one model, y = 1 / x, and answers at once or fails as told."""

    def __init__(self) -> None:
        self.runs = 0
        self.failure: BaseException | None = None
        #: Called when a run begins.
        self.on_run: Callable[[], object] = lambda: None

    def identify(self, source: ModelSource, *, limits: RunLimits) -> IdentifiedModel:
        return identify(source)

    def run(self, model: IdentifiedModel, inputs: Tensors, *, limits: RunLimits, trace_file: Path | None = None) -> Run:
        self.runs += 1
        self.on_run()
        if self.failure is not None:
            raise self.failure
        if not np.all(inputs["x"]):
            raise RunNotFinite("y is infinite")
        return Run(outputs={"y": np.reciprocal(inputs["x"])})

    def close(self) -> None:
        """Nothing to end."""


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

    def send(self, signer: LocalSigner, contract: str, function: str, *args: object, value_wei: int = 0) -> Receipt:
        """A transaction to one of the contracts."""
        address: Address = getattr(self.deployment, _FIELDS[contract])
        transactor = Transactor(gateway=self.chain.gateway, signer=signer, chain_id=self.deployment.chain_id)
        return transactor.send(to=address, data=interface(contract).encode(function, *args), value_wei=value_wei)

    def payload(self, *values: float) -> bytes:
        """The input payload of the model for some numbers."""
        return encode_tensors({"x": np.array(values, dtype=np.float32)}, self.schema.inputs)

    def draft(self, payload: bytes, *, salt: int, requester: Address) -> Request:
        """A request to the operator on ordinary terms, not made yet."""
        now = self.chain.gateway.block("latest").timestamp
        return Request(
            model_id=self.model_id,
            input_root=_root(payload),
            requester=requester,
            operator=self.operator.address,
            refund_to=requester,
            fee_wei=ETHER // 100,
            value_at_risk_wei=0,
            callback_gas=0,
            window_s=WINDOW_S,
            deadline=now + 3600,
            assurance=Assurance.FINAL,
            salt=salt.to_bytes(32, "big"),
        )

    def request(
        self, payload: bytes, *, salt: int = 0, change: Callable[[Request], Request] = lambda request: request
    ) -> Posted:
        """Makes a request that names the operator; ``change`` makes it another one."""
        request = change(self.draft(payload, salt=salt, requester=self.requester.address))
        parameters = request_params_to_abi(request)
        receipt = self.send(
            self.requester, "InferenceOracle", "request", parameters, payload, value_wei=request.fee_wei
        )
        identity = request_id(request, chain_id=self.domain.chain_id, oracle=self.domain.oracle)
        return Posted(request_id=identity, request=request, receipt=receipt)

    def sign_request(self, requester: LocalSigner, payload: bytes, *, salt: int) -> tuple[RequestId, bytes]:
        """A signed transaction that makes a request whenever it is mined, and the id that the request will have."""
        gateway = self.chain.gateway
        request = self.draft(payload, salt=salt, requester=requester.address)
        raw = requester.sign_transaction(
            {
                "type": 2,
                "chainId": self.deployment.chain_id,
                "nonce": gateway.nonce(requester.address),
                "to": self.deployment.oracle,
                "data": interface("InferenceOracle").encode("request", request_params_to_abi(request), payload),
                "value": request.fee_wei,
                "gas": 200_000,
                "maxFeePerGas": 10**11,
                "maxPriorityFeePerGas": 10**9,
            }
        )
        return request_id(request, chain_id=self.domain.chain_id, oracle=self.domain.oracle), raw

    def state(self, posted: Posted) -> RequestState:
        """Where a request stands."""
        return self.contracts.state_of(posted.request_id)


def open_world(chain: LocalChain, *, stake_wei: int = ETHER, profile: Profile = Profile.SIGNED) -> WatcherWorld:
    """Deploys everything and registers an operator whose transaction and result keys are not its owner's."""
    signers = chain.signers
    identified = reciprocal(profile)
    model = identified.model
    world = WatcherWorld(
        chain=chain,
        deployment=deploy(chain.gateway, signers[0]),
        artifact=identified.source.artifact,
        model=model,
        schema=identified.schema,
        operator=signers[1],
        transaction_signer=signers[TRANSACTION_ACCOUNT],
        result_signer=LocalSigner.from_key(RESULT_KEY),
        requester=signers[3],
    )
    world.send(world.requester, "ModelRegistry", "register", model_to_abi(model))
    world.send(world.operator, "OperatorRegistry", "register", "", value_wei=stake_wei)
    world.send(world.operator, "OperatorRegistry", "authorizeSigner", world.result_signer.address)
    offer = Offer(active=True, price_wei=1, max_value_at_risk_wei=ETHER, max_window_s=3600, max_callback_gas=100_000)
    world.send(world.operator, "OperatorRegistry", "setOffer", world.model_id, offer_to_abi(offer))
    return world


def reciprocal(profile: Profile) -> IdentifiedModel:
    """The model y = 1 / x in a profile."""
    return identify(ModelSource(artifact=unary("Reciprocal"), profile=profile))


def served_reciprocal(profile: Profile = Profile.SIGNED) -> ServedModel:
    """The model on generous terms."""
    return ServedModel(
        identified=reciprocal(profile),
        price_wei=1,
        max_value_at_risk_wei=ETHER,
        max_window_s=3600,
        max_callback_gas=100_000,
        limits=RunLimits(),
    )


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
