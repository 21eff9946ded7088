"""What the watcher reads from and writes to the contracts, as typed values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sworn.abi import Interface, interface
from sworn.chain.gateway import BlockRef, Call, Gateway, Log, Topic
from sworn.chain.gathering import Gathering
from sworn.codec.hashing import Domain
from sworn.codec.structs import offer_from_abi, request_from_abi, request_state_from_abi, request_to_abi
from sworn.errors import ChainError, CodecError, TransientChainError
from sworn.types import (
    ZERO_ADDRESS,
    Address,
    Deployment,
    FailureCode,
    ModelId,
    Offer,
    Profile,
    Request,
    RequestId,
    RequestState,
)
from sworn.watcher import calldata
from sworn.watcher.jobs import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAccount:
    """An operator's standing, in wei."""

    registered: bool
    stake_wei: int
    locked_wei: int
    earned_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracts:
    """One deployment behind a `Gateway`. Reads raise `ChainError`."""

    gateway: Gateway
    deployment: Deployment
    _states: Gathering = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        states = Gathering(
            self.gateway,
            self.deployment.oracle,
            ask_bytes=calldata.STATE_DATA_BYTES,
            answer_bytes=calldata.STATE_BYTES,
        )
        object.__setattr__(self, "_states", states)

    @property
    def domain(self) -> Domain:
        """Where signatures count."""
        return Domain(chain_id=self.deployment.chain_id, oracle=self.deployment.oracle)

    def request_topics(self, operator: Address) -> tuple[Topic, ...]:
        """Topics of the requests that an operator may answer: those that name it and those that name nobody."""
        return (_oracle().topic("InferenceRequested"), None, None, (_topic(operator), _topic(ZERO_ADDRESS)))

    def job_of(self, log: Log) -> Job:
        """The job that a request's log makes. Raises `CodecError` when the log is not a request of this deployment."""
        stated, request, given = _told(log)
        domain = self.domain
        # INVARIANT: what is signed belongs to the id that was recomputed from the content, whatever a node says.
        if calldata.request_id(request, chain_id=domain.chain_id, oracle=domain.oracle) != stated:
            raise CodecError(f"the log of request 0x{stated.hex()} states a content with another id")
        return Job(
            request_id=stated,
            request=request,
            input=given,
            block_number=log.block_number,
            block_hash=log.block_hash,
            transaction_hash=log.transaction_hash,
        )

    def state_of(self, request: RequestId, *, block: BlockRef = "latest") -> RequestState:
        """Where a request stands."""
        return request_state_from_abi(self._oracle_view("stateOf", request, block=block))

    def states_of(
        self, requests: Sequence[RequestId], *, block: BlockRef = "latest"
    ) -> list[RequestState | ChainError]:
        """Where requests stand, read together; an error in the place of each state that could not be read."""
        asked = [calldata.state_data(request) for request in requests]
        return [_state(answer) for answer in self._states.ask(asked, block=block)]

    def barred_from(self, requests: Sequence[RequestId], operator: Address, *, block: BlockRef) -> frozenset[RequestId]:
        """The requests from which convictions bar an operator."""
        oracle = self.deployment.oracle
        calls = [Call(to=oracle, data=calldata.is_barred_data(request, operator)) for request in requests]
        answers = self.gateway.calls(calls, block=block) if calls else []
        for answer in answers:
            if isinstance(answer, ChainError):
                raise answer
        return frozenset(
            request
            for request, answer in zip(requests, answers, strict=True)
            if isinstance(answer, bytes) and any(answer)
        )

    def is_barred(self, request: RequestId, operator: Address) -> bool:
        """Whether a conviction bars an operator from a request."""
        return bool(self._oracle_view("isBarred", request, operator))

    def bond_for(self, value_at_risk_wei: int) -> int:
        """The bond behind a result, in wei."""
        return int(self._oracle_view("bondFor", value_at_risk_wei))

    def max_output_bytes(self) -> int:
        """The longest output payload that the oracle takes."""
        return int(self._oracle_view("MAX_OUTPUT_BYTES"))

    def account_of(self, operator: Address) -> OperatorAccount:
        """An operator's standing."""
        registered, stake, locked, earned = self._registry_view("accountOf", operator)
        return OperatorAccount(registered=registered, stake_wei=stake, locked_wei=locked, earned_wei=earned)

    def free_stake_of(self, operator: Address) -> int:
        """Stake that can back a new result, in wei."""
        return int(self._registry_view("freeStakeOf", operator))

    def signer_not_after(
        self, operator: Address, signer: Address, *, block: BlockRef = "latest", is_past: bool = False
    ) -> int:
        """Last expiry that a signer may sign; zero = never authorised.

        With ``is_past`` the block may be one of before the registry, when nobody was.
        """
        registry = interface("OperatorRegistry")
        data = registry.encode("signerNotAfter", operator, signer)
        answer = self.gateway.call(Call(to=self.deployment.operator_registry, data=data), block=block)
        return 0 if is_past and not answer else int(_decoded(registry, "signerNotAfter", answer))

    def offer_of(self, operator: Address, model_id: ModelId) -> Offer:
        """An operator's published terms."""
        return offer_from_abi(self._registry_view("offerOf", operator, model_id))

    def offers_of(self, operator: Address, models: Sequence[ModelId]) -> dict[ModelId, Offer]:
        """An operator's published terms for some models, read together. Raises `ChainError` when one cannot be read."""
        registry, address = interface("OperatorRegistry"), self.deployment.operator_registry
        calls = [Call(to=address, data=registry.encode("offerOf", operator, model_id)) for model_id in models]
        answers = self.gateway.calls(calls) if calls else []
        offers = {}
        for model_id, answer in zip(models, answers, strict=True):
            if isinstance(answer, ChainError):
                raise answer
            offers[model_id] = offer_from_abi(registry.decode("offerOf", answer))
        return offers

    def profile_of(self, model_id: ModelId) -> Profile:
        """The profile of a registered model."""
        contract = interface("ModelRegistry")
        return Profile(self._view(contract, self.deployment.model_registry, "profileOf", model_id))

    def fail_data(self, request: Request, operator: Address, code: FailureCode, signature: bytes) -> bytes:
        """Calldata of `fail`."""
        return _oracle().encode("fail", request_to_abi(request), operator, int(code), signature)

    def _oracle_view(self, function: str, *args: Any, block: BlockRef = "latest") -> Any:
        return self._view(_oracle(), self.deployment.oracle, function, *args, block=block)

    def _registry_view(self, function: str, *args: Any, block: BlockRef = "latest") -> Any:
        registry = interface("OperatorRegistry")
        return self._view(registry, self.deployment.operator_registry, function, *args, block=block)

    def _view(
        self, contract: Interface, address: Address, function: str, *args: Any, block: BlockRef = "latest"
    ) -> Any:
        data = self.gateway.call(Call(to=address, data=contract.encode(function, *args)), block=block)
        return _decoded(contract, function, data)


def _decoded(contract: Interface, function: str, data: bytes) -> Any:
    """What a view has returned. Raises `TransientChainError` for what is no answer: another node may have one."""
    try:
        return contract.decode(function, data)
    except CodecError as error:
        raise TransientChainError(f"the node's answer is none: {error}") from error


def _told(log: Log) -> tuple[RequestId, Request, bytes]:
    """Id, content and input of a request as its log states them. Raises `CodecError`."""
    if len(log.topics) == 4 and log.topics[0] == calldata.topic():
        plain = calldata.request_in(log.data)
        if plain is not None:
            return RequestId(log.topics[1]), *plain
    event = _oracle().decode_log(log.topics, log.data)
    request = request_from_abi(event.arguments["request"])
    return RequestId(event.arguments["requestId"]), request, event.arguments["input"]


def _state(answer: bytes | ChainError) -> RequestState | ChainError:
    if isinstance(answer, ChainError):
        return answer
    try:
        return request_state_from_abi(calldata.state_fields(answer))
    except CodecError as error:
        return TransientChainError(f"the node's answer is no state of a request: {error}")


def _oracle() -> Interface:
    return interface("InferenceOracle")


def _topic(address: Address) -> bytes:
    return bytes.fromhex(address.removeprefix("0x")).rjust(32, b"\x00")
