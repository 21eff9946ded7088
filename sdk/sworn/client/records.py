"""What the client hands out: frozen records, the same for `Client` and `AsyncClient`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from os import PathLike
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from sworn.client.dispute_records import DisputeReport
from sworn.errors import ConfigurationError, ContractRevert
from sworn.types import (
    Address,
    FailureCode,
    Model,
    ModelId,
    Offer,
    Profile,
    Request,
    RequestId,
    ResultId,
    Schema,
    Status,
)


@runtime_checkable
class KnownModel(Protocol):
    """Something that has computed what a model is, such as a `CompiledModel`."""

    @property
    def model_id(self) -> ModelId:
        """The id."""
        ...

    @property
    def model(self) -> Model:
        """Its preimage."""
        ...

    @property
    def schema(self) -> Schema:
        """Names, dtypes and shapes of inputs and outputs."""
        ...


#: A `ModelId`, its hex form, the path of an .onnx file, the bytes of one, or a `CompiledModel`.
ModelLike = ModelId | bytes | str | PathLike[str] | KnownModel


class Cause(Enum):
    """Why a request is where it is, and why an operator does not serve one."""

    #: The chain does not know the request.
    UNKNOWN = "unknown"
    #: The transaction that makes the request is not mined yet.
    PENDING = "pending"
    #: A reorg has removed the transaction that made the request.
    REORGED = "reorged"
    #: Nothing stands in the way: an operator should answer.
    WAITING = "waiting"
    MODEL_UNREGISTERED = "model_unregistered"
    #: Nobody offers the model.
    NO_OPERATOR = "no_operator"
    OPERATOR_UNREGISTERED = "operator_unregistered"
    OPERATOR_LEAVING = "operator_leaving"
    OPERATOR_BARRED = "operator_barred"
    OFFER_INACTIVE = "offer_inactive"
    FEE_TOO_LOW = "fee_too_low"
    VALUE_AT_RISK_TOO_HIGH = "value_at_risk_too_high"
    WINDOW_TOO_LONG = "window_too_long"
    CALLBACK_GAS_TOO_HIGH = "callback_gas_too_high"
    FREE_STAKE_TOO_LOW = "free_stake_too_low"
    #: The deadline has passed without an answer: anyone may expire the request.
    EXPIRABLE = "expirable"
    WINDOW_RUNNING = "window_running"
    #: The window is over: anyone may finalize.
    FINALIZABLE = "finalizable"
    #: The result is under challenge.
    DISPUTED = "disputed"
    CALLBACK_FAILED = "callback_failed"
    FINAL = "final"
    EXPIRED = "expired"
    FAILED = "failed"
    REFUTED = "refuted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """One reason why an operator does not serve a request."""

    cause: Cause
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """A registered model and where its artifact has been published."""

    model_id: ModelId
    model: Model
    uris: tuple[str, ...]
    #: Block of the registration.
    block_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorOffer:
    """One operator's offer for one model, with what stands behind it now."""

    operator: Address
    offer: Offer
    registered: bool
    free_stake_wei: int
    #: Last expiry that any of its signers may sign, when the operator is leaving; None when it stays.
    not_after: int | None
    barred: bool = False
    #: What speaks against it on the terms that were asked for; empty = it serves them.
    obstacles: tuple[Obstacle, ...] = ()

    @property
    def viable(self) -> bool:
        """Whether the operator serves the terms that were asked for."""
        return not self.obstacles


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a request would cost; amounts in wei."""

    operator: Address
    fee_wei: int
    #: Stake that the operator locks behind its result.
    bond_wei: int
    #: Estimated cost of the requesting transaction at present gas prices, without the fee.
    gas_estimate_wei: int
    #: Every operator with an offer, cheapest first, with what speaks against it.
    offers: tuple[OperatorOffer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceResult:
    """A result whose digest, output root and signature have been recomputed here."""

    #: By name, in the schema's order and dtypes; ``output_0``, ``output_1`` … when the schema is not known here.
    outputs: Mapping[str, NDArray[Any]]
    status: Status
    #: Whether the result can no longer be refuted.
    final: bool
    request_id: RequestId
    result_id: ResultId
    model_id: ModelId
    #: What the answer is worth: see `Profile.promise`.
    profile: Profile
    operator: Address
    signer: Address
    #: 65 bytes over ``result_id``.
    signature: bytes
    #: Number of refuted results before this one.
    round: int
    request_transaction: bytes
    proposal_transaction: bytes
    #: None until final.
    final_transaction: bytes | None

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.outputs[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReport:
    """Where a request stands, why, and what to do about it."""

    request_id: RequestId
    status: Status
    cause: Cause
    #: One sentence: why.
    reason: str
    #: One sentence: what to do.
    next_step: str
    request: Request | None = None
    #: The model's, which says what an answer is worth; None when the request is unknown.
    profile: Profile | None = None
    #: Chain time of the report, unix seconds.
    now: int = 0
    #: Last second for an answer, with the time spent on refuted results; None when the request is unknown.
    deadline: int | None = None
    #: When the challenge window ends; None when no result is proposed.
    window_closes_at: int | None = None
    #: The dispute over the result; None while it is not under challenge.
    dispute: DisputeReport | None = None
    #: Why the last callback failed, from a simulation now; None when none is pending or it would succeed.
    callback_error: ContractRevert | None = None
    failure_code: FailureCode | None = None
    #: Operators that offer the model, with what speaks against each.
    offers: tuple[OperatorOffer, ...] = ()
    #: Failures that operators reported about a request that stays open.
    failure_reports: tuple[tuple[Address, FailureCode], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAccount:
    """An operator's money; amounts in wei, times in unix seconds."""

    operator: Address
    registered: bool
    stake_wei: int
    #: In bonds and in unbonding.
    locked_wei: int
    free_wei: int
    earned_wei: int
    unbonding_wei: int
    #: When unbonding stake may leave; 0 when none is unbonding.
    release_at: int
    #: Last expiry that any signer may sign; None when the operator stays.
    not_after: int | None


def account_from(operator: Address, account: tuple[Any, ...], unbonding: tuple[Any, ...]) -> OperatorAccount:
    """An operator's money from what ``accountOf`` and ``unbondingOf`` return."""
    registered, stake_wei, locked_wei, earned_wei = account
    unbonding_wei, release_at, not_after = unbonding
    return OperatorAccount(
        operator=operator,
        registered=registered,
        stake_wei=stake_wei,
        locked_wei=locked_wei,
        free_wei=stake_wei - locked_wei,
        earned_wei=earned_wei,
        unbonding_wei=unbonding_wei,
        release_at=release_at if unbonding_wei else 0,
        not_after=not_after or None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far an event stream has been read: everything up to here, this included. Its text form is stable."""

    block_number: int
    block_hash: bytes
    #: Last log of the block that has been seen; None = all of them.
    log_index: int | None = None

    def __str__(self) -> str:
        index = "" if self.log_index is None else str(self.log_index)
        return f"{self.block_number}:0x{self.block_hash.hex()}:{index}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The inverse of `str`. Raises `ConfigurationError`."""
        try:
            number, block_hash, index = text.split(":")
            return cls(
                block_number=int(number),
                block_hash=bytes.fromhex(block_hash.removeprefix("0x")),
                log_index=int(index) if index else None,
            )
        except ValueError as error:
            raise ConfigurationError(f"not a cursor: {text!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in one of the contracts."""

    name: str
    contract: str
    #: By their Solidity names; structs are tuples in the order of `contracts/types`.
    arguments: Mapping[str, Any]
    #: The request that it is about, for the oracle's events.
    request_id: RequestId | None
    block_number: int
    transaction_hash: bytes
    #: Pass it to `events` to go on behind this event.
    cursor: Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewound:
    """A reorg: every event above ``block_number`` is void; the stream goes on behind it."""

    block_number: int
    cursor: Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """A model as the caller named it: at least its id."""

    model_id: ModelId
    schema: Schema | None = None
    model: Model | None = None
    artifact: bytes | None = field(default=None, repr=False)
