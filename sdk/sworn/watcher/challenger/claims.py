"""Results that others propose, and which of them a challenger looks at. Pure."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from hashlib import sha256
from typing import Final

from sworn.codec.hashing import Domain, result_of
from sworn.codec.payload import reference_of
from sworn.dispute.case import Case
from sworn.errors import ArtifactUnavailable, CodecError
from sworn.storage.fetching import split_uri
from sworn.types import Address, Answer, ModelId, Request, RequestId, ResultId

#: What a whole dispute costs its challenger in gas, where it is dear: opening, commitment, a proof of a contraction
#: with thousands of terms, claim and withdrawal.
DISPUTE_GAS: Final = 2_500_000
#: Of the operator's bond, what a prover gets at least: 30 % without the opener's tenth.
PROVER_SHARE: Final = Fraction(27, 100)
_SAMPLE: Final = b"sworn sample"


class ClaimStatus(Enum):
    """How far a claim has come."""

    #: Logged and stored; not yet checked.
    SEEN = "seen"
    #: Not what the model gives: it is, or is about to be, under challenge.
    FALSE = "false"
    #: Checked, and nothing speaks against it. Ends here.
    HONEST = "honest"
    #: Not looked at, for the stored reason. Ends here.
    SKIPPED = "skipped"
    #: Its window closed before anybody here could check it. Ends here.
    UNCHECKED = "unchecked"
    #: False, and only observed. Ends here.
    OBSERVED = "observed"
    #: Its dispute is over, for better or worse. Ends here.
    SETTLED = "settled"
    #: Its block left the chain; it starts anew when it is seen again. Ends here.
    ORPHANED = "orphaned"
    #: Given up after repeated unexpected errors; waits for a person. Ends here.
    PARKED = "parked"

    @property
    def terminal(self) -> bool:
        """Whether nothing more is done with the claim unless the chain changes."""
        return self not in (ClaimStatus.SEEN, ClaimStatus.FALSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A proposed result and what has become of it here."""

    result_id: ResultId
    request_id: RequestId
    request: Request
    #: The input payload, or a reference to it, as emitted.
    input: bytes = field(repr=False)
    operator: Address
    trace_root: bytes
    output: bytes = field(repr=False)
    #: The operator's, as proposed.
    signature: bytes = field(repr=False)
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    status: ClaimStatus = ClaimStatus.SEEN
    #: Why the claim is where it is, for people.
    reason: str = ""
    #: Consecutive attempts that ended with an error.
    attempts: int = 0
    #: Not before this wall-clock time (unix seconds): backoff.
    retry_at: float = 0.0
    #: Not before this block timestamp (unix seconds): a clock of the dispute.
    due_at: int = 0
    #: Bond, and all that may be paid for demands, from before it is sent until the dispute is over.
    exposure_wei: int = 0
    settled_block: int | None = None
    #: When its window closes, within seconds (unix seconds); 0 = unknown.
    closes_at: int = 0
    #: Checks that broke a limit of runs.
    overruns: int = 0

    def case(self, domain: Domain) -> Case:
        """The result as every move states it. Raises `PayloadMalformed` for an output without structure."""
        answer = Answer(operator=self.operator, trace_root=self.trace_root, output=self.output)
        result = result_of(self.request, answer, chain_id=domain.chain_id, oracle=domain.oracle)
        return Case.of(result, domain, request=self.request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrutiny:
    """Which claims are checked, and what may be put at risk against them."""

    #: Of all claims, chosen by a secret hash: an operator cannot tell which.
    share: float = 1.0
    #: Empty = everybody's.
    allow_operators: frozenset[Address] = frozenset()
    deny_operators: frozenset[Address] = frozenset()
    allow_requesters: frozenset[Address] = frozenset()
    deny_requesters: frozenset[Address] = frozenset()
    allow_models: frozenset[ModelId] = frozenset()
    deny_models: frozenset[ModelId] = frozenset()
    #: Hosts from which inputs given by reference are fetched.
    input_hosts: frozenset[str] = frozenset()
    #: Bonds of all disputes together, and what may be paid for demands in them.
    max_exposure_wei: int
    #: What one dispute may spend on demands.
    max_demands_wei: int
    #: What a conviction must earn beyond its gas; negative accepts losses.
    min_profit_wei: int = 0

    def skips(self, claim: Claim, secret: bytes) -> str | None:
        """Why a claim is not checked; None if it is."""
        request = claim.request
        lists = (
            ("operator", claim.operator, self.allow_operators, self.deny_operators),
            ("requester", request.requester, self.allow_requesters, self.deny_requesters),
            ("model", request.model_id, self.allow_models, self.deny_models),
        )
        for name, value, allowed, denied in lists:
            if value in denied or (allowed and value not in allowed):
                return f"the {name} is not one that is checked"
        missing = out_of_reach(claim.input, self.input_hosts)
        if missing is not None:
            return missing
        return None if sampled(claim.result_id, secret, self.share) else "not in the sample"

    def risk_wei(self, bond_wei: int, paid_wei: int = 0) -> int:
        """What a dispute may cost besides gas once a bond is posted and so much has been paid for demands."""
        return bond_wei + max(self.max_demands_wei, paid_wei)

    def loss(self, *, bond_wei: int, gas_price_wei: int) -> str | None:
        """Why challenging does not pay, given the operator's bond; None if it does."""
        reward_wei, cost_wei = int(bond_wei * PROVER_SHARE), DISPUTE_GAS * gas_price_wei
        if reward_wei - cost_wei >= self.min_profit_wei:
            return None
        return f"a conviction earns {reward_wei} wei and costs {cost_wei} wei of gas"


def out_of_reach(given: bytes, hosts: frozenset[str]) -> str | None:
    """Why an input will never be had, whenever it is asked for; None if it may be."""
    try:
        uri = reference_of(given)
        parts = None if uri is None else split_uri(uri)
    except (CodecError, ArtifactUnavailable) as error:
        return f"the input is a reference that cannot be read: {error}"
    if parts is None or (parts.scheme in ("https", "http") and parts.hostname in hosts):
        return None
    return "the input's host is not one from which inputs are fetched: name it in challenge.input_hosts"


def sampled(result_id: ResultId, secret: bytes, share: float) -> bool:
    """Whether a claim is among those that are checked: the same answer whenever it is asked."""
    drawn = int.from_bytes(hmac.new(secret, _SAMPLE + result_id, sha256).digest()[:7])
    return drawn < share * (1 << 56)
