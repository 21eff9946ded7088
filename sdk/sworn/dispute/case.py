"""What a dispute is about, and the clocks that it is fought by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from sworn.codec.hashing import Domain, result_digest
from sworn.errors import ConfigurationError
from sworn.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Assurance,
    Dispute,
    ModelId,
    Request,
    RequestId,
    Result,
    ResultId,
)

#: A commitment can be proven no earlier: constants of `contracts/dispute/Disputes.sol`.
MATURITY_S: Final = 60
MATURITY_BLOCKS: Final = 5

#: Stands where a move ignores its request.
NO_REQUEST: Final = Request(
    model_id=ModelId(ZERO_HASH),
    input_root=ZERO_HASH,
    requester=ZERO_ADDRESS,
    operator=ZERO_ADDRESS,
    refund_to=ZERO_ADDRESS,
    fee_wei=0,
    value_at_risk_wei=0,
    callback_gas=0,
    window_s=0,
    deadline=0,
    assurance=Assurance.FINAL,
    salt=ZERO_HASH,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A result that is, or can be, under challenge, as every move of a dispute states it."""

    result_id: ResultId
    result: Result
    #: The request that the result answers; `NO_REQUEST` for an off-chain result.
    request: Request = NO_REQUEST
    #: The operator's signature under an off-chain result; empty for others, for which the oracle vouches.
    signature: bytes = b""

    @classmethod
    def of(cls, result: Result, domain: Domain, *, request: Request = NO_REQUEST, signature: bytes = b"") -> Self:
        """A case of a result."""
        return cls(result_id=result_digest(result, domain), result=result, request=request, signature=signature)

    @property
    def is_offchain(self) -> bool:
        """Whether the result answers no request on chain."""
        return self.result.request_id == RequestId(ZERO_HASH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The phases of disputes in one deployment, in seconds. All ends below are last seconds, in unix time."""

    tail_s: int
    trace_s: int
    demand_s: int
    disclose_s: int
    commit_s: int
    reveal_s: int

    @classmethod
    def of(cls, parameters: Mapping[str, int]) -> Self:
        """The clocks in a deployment's parameters. Raises `ConfigurationError` when they are not there."""
        names = ("tail", "trace", "demand", "disclose", "commit", "reveal")
        try:
            return cls(**{f"{name}_s": parameters[f"{name}Seconds"] for name in names})
        except KeyError as error:
            raise ConfigurationError(
                f"the deployment file has no {error.args[0]}: it is older than the disputes; fetch a newer one"
            ) from error

    def trace_until(self, dispute: Dispute) -> int:
        """When the operator must have committed to its trace, if the result carries none."""
        return dispute.opened_at + self.trace_s

    def demand_until(self, dispute: Dispute) -> int:
        """When the last demand may be made."""
        return dispute.closes_at + self.trace_s + self.demand_s

    def commit_until(self, dispute: Dispute) -> int:
        """When the last fault may be committed to."""
        return self.ends_at(dispute) - self.reveal_s

    def ends_at(self, dispute: Dispute) -> int:
        """When the dispute ends if nobody is convicted before: `resolve` works from the second after on."""
        return dispute.closes_at + self.trace_s + self.demand_s + self.disclose_s + self.commit_s + self.reveal_s

    def settles_at(self, dispute: Dispute) -> int:
        """When nobody can take the prover's place any more: `claim` works from the second after on."""
        return dispute.committed_at + self.reveal_s if int(dispute.prover, 16) else 0
