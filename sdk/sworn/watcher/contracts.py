"""What the watcher reads from and writes to the contracts, as typed values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sworn.abi import Interface, interface
from sworn.chain.gateway import BlockRef, Call, Gateway, Log, Topic
from sworn.codec.hashing import Domain, request_id
from sworn.codec.structs import (
    answer_to_abi,
    offer_from_abi,
    request_from_abi,
    request_state_from_abi,
    request_to_abi,
)
from sworn.errors import CodecError
from sworn.types import (
    ZERO_ADDRESS,
    Address,
    Answer,
    Deployment,
    FailureCode,
    ModelId,
    Offer,
    Profile,
    Request,
    RequestId,
    RequestState,
)
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

    @property
    def domain(self) -> Domain:
        """Where signatures count."""
        return Domain(chain_id=self.deployment.chain_id, oracle=self.deployment.oracle)

    def request_topics(self, operator: Address) -> tuple[Topic, ...]:
        """Topics of the requests that an operator may answer: those that name it and those that name nobody."""
        return (_oracle().topic("InferenceRequested"), None, None, (_topic(operator), _topic(ZERO_ADDRESS)))

    def job_of(self, log: Log) -> Job:
        """The job that a request's log makes. Raises `CodecError` when the log is not a request of this deployment."""
        event = _oracle().decode_log(log.topics, log.data)
        request = request_from_abi(event.arguments["request"])
        stated = RequestId(event.arguments["requestId"])
        domain = self.domain
        # INVARIANT: what is signed belongs to the id that was recomputed from the content, whatever a node says.
        if request_id(request, chain_id=domain.chain_id, oracle=domain.oracle) != stated:
            raise CodecError(f"the log of request 0x{stated.hex()} states a content with another id")
        return Job(
            request_id=stated,
            request=request,
            input=event.arguments["input"],
            block_number=log.block_number,
            block_hash=log.block_hash,
            transaction_hash=log.transaction_hash,
        )

    def state_of(self, request: RequestId, *, block: BlockRef = "latest") -> RequestState:
        """Where a request stands."""
        return request_state_from_abi(self._oracle_view("stateOf", request, block=block))

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

    def signer_not_after(self, operator: Address, signer: Address) -> int:
        """Last expiry that a signer may sign; zero = never authorised."""
        return int(self._registry_view("signerNotAfter", operator, signer))

    def offer_of(self, operator: Address, model_id: ModelId) -> Offer:
        """An operator's published terms."""
        return offer_from_abi(self._registry_view("offerOf", operator, model_id))

    def profile_of(self, model_id: ModelId) -> Profile:
        """The profile of a registered model."""
        contract = interface("ModelRegistry")
        return Profile(self._view(contract, self.deployment.model_registry, "profileOf", model_id))

    def propose_data(self, request: Request, answer: Answer, signature: bytes) -> bytes:
        """Calldata of `propose`."""
        return _oracle().encode("propose", request_to_abi(request), answer_to_abi(answer), signature)

    def fail_data(self, request: Request, operator: Address, code: FailureCode, signature: bytes) -> bytes:
        """Calldata of `fail`."""
        return _oracle().encode("fail", request_to_abi(request), operator, int(code), signature)

    def finalize_data(self, request: Request, answer: Answer) -> bytes:
        """Calldata of `finalize`."""
        return _oracle().encode("finalize", request_to_abi(request), answer_to_abi(answer))

    def _oracle_view(self, function: str, *args: Any, block: BlockRef = "latest") -> Any:
        return self._view(_oracle(), self.deployment.oracle, function, *args, block=block)

    def _registry_view(self, function: str, *args: Any) -> Any:
        return self._view(interface("OperatorRegistry"), self.deployment.operator_registry, function, *args)

    def _view(
        self, contract: Interface, address: Address, function: str, *args: Any, block: BlockRef = "latest"
    ) -> Any:
        data = self.gateway.call(Call(to=address, data=contract.encode(function, *args)), block=block)
        return contract.decode(function, data)


def _oracle() -> Interface:
    return interface("InferenceOracle")


def _topic(address: Address) -> bytes:
    return bytes.fromhex(address.removeprefix("0x")).rjust(32, b"\x00")
