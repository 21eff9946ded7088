"""Rebuilds the storage of all contracts from their events alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from tests.invariants.reference import Operator, State, Use
from tests.support.chain import Event

from sworn.codec.structs import offer_from_abi, request_from_abi
from sworn.types import Address, CallbackKind, Offer, Request, Status

Arguments = Mapping[str, Any]


class Replay:
    """State that follows from the events seen so far."""

    def __init__(self, *, min_bond_wei: int) -> None:
        self._min_bond_wei = min_bond_wei
        self.requests: dict[bytes, Request] = {}
        self.states: dict[bytes, State] = defaultdict(State)
        self.barred: set[tuple[bytes, Address]] = set()
        self.operators: dict[Address, Operator] = defaultdict(Operator)
        self.credits: dict[Address, int] = defaultdict(int)
        self.rewards: dict[Address, int] = defaultdict(int)
        self.uses: dict[tuple[bytes, Address], Use] = {}
        self.convicted: dict[bytes, Address] = {}

    def apply(self, event: Event, *, timestamp: int) -> None:
        """Takes in the next event; those of other contracts are passed over."""
        handler: Callable[..., None] | None = getattr(self, f"_on_{event.name}", None)
        if handler is not None:
            handler(event.arguments, timestamp)

    # Requests

    def _on_InferenceRequested(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        identity = arguments["requestId"]
        self.requests[identity] = request_from_abi(arguments["request"])
        self.states[identity].status = Status.REQUESTED

    def _on_ResultProposed(self, arguments: Arguments, timestamp: int) -> None:  # noqa: N802
        identity = arguments["requestId"]
        state = self.states[identity]
        state.status, state.pending = Status.PROPOSED, CallbackKind.NONE
        state.proposed_at, state.tag = timestamp, arguments["resultId"][:20]
        self.operators[arguments["operator"]].bonds[identity] = self._bond_of(identity)

    def _on_ResultFinalized(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        identity = arguments["requestId"]
        state, operator = self.states[identity], self.operators[arguments["operator"]]
        state.status, state.pending = Status.FINALIZED, CallbackKind.NONE
        del operator.bonds[identity]
        operator.earned_wei += self.requests[identity].fee_wei

    def _on_ResultRefuted(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        identity = arguments["requestId"]
        state, reopened = self.states[identity], arguments["reopened"]
        state.status = Status.REQUESTED if reopened else Status.REFUTED
        state.pending, state.proposed_at, state.tag = CallbackKind.NONE, 0, bytes(20)
        state.round += 1
        state.extension_s = arguments["deadline"] - self.requests[identity].deadline
        self._bar(identity, arguments["operator"])
        if not reopened:
            self._refund(identity)
        # Its slash comes with the next `OperatorSlashed`; the bond no longer stands behind the request.
        operator = self.operators[arguments["operator"]]
        operator.bonds["refuted"] = operator.bonds.pop(identity)

    def _on_OperatorBarred(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        identity = arguments["requestId"]
        self._bar(identity, arguments["operator"])
        if arguments["refunded"]:
            self.states[identity].status = Status.REFUTED
            self._refund(identity)

    def _on_RequestFailed(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        state = self.states[arguments["requestId"]]
        state.status, state.pending = Status.FAILED, CallbackKind.NONE
        state.tag = bytes(19) + bytes([arguments["code"]])
        self._refund(arguments["requestId"])

    def _on_RequestExpired(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        self.states[arguments["requestId"]].status = Status.EXPIRED
        self._refund(arguments["requestId"])

    def _on_CallbackFailed(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        self.states[arguments["requestId"]].pending = CallbackKind(arguments["kind"])

    def _on_CallbackRetried(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        self.states[arguments["requestId"]].pending = CallbackKind.NONE

    def _on_CreditWithdrawn(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        self.credits[arguments["account"]] -= arguments["amountWei"]

    def _bar(self, identity: bytes, operator: Address) -> None:
        self.states[identity].has_barred = True
        self.barred.add((identity, operator))

    def _refund(self, identity: bytes) -> None:
        request = self.requests[identity]
        self.credits[request.refund_to] += request.fee_wei

    def _bond_of(self, identity: bytes) -> int:
        return max(2 * self.requests[identity].value_at_risk_wei, self._min_bond_wei)

    # Operators

    def _on_OperatorRegistered(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        operator = self.operators[arguments["operator"]]
        operator.registered, operator.leaving = True, False
        operator.stake_wei += arguments["stakeWei"]
        operator.unbonding_wei = operator.release_at = operator.cap = 0

    def _on_StakeAdded(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        self.operators[arguments["operator"]].stake_wei += arguments["amountWei"]

    def _on_SignerChanged(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        self.operators[arguments["operator"]].signers[arguments["signer"]] = arguments["notAfter"]

    def _on_OfferChanged(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        offer: Offer = offer_from_abi(arguments["offer"])
        self.operators[arguments["operator"]].offers[arguments["modelId"]] = offer

    def _on_UnbondingStarted(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        operator = self.operators[arguments["operator"]]
        operator.unbonding_wei, operator.release_at = arguments["amountWei"], arguments["releaseAt"]
        operator.cap = arguments["notAfter"]
        operator.leaving = operator.cap != 0

    def _on_UnbondingCancelled(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        operator = self.operators[arguments["operator"]]
        operator.unbonding_wei = operator.release_at = operator.cap = 0
        operator.leaving = False

    def _on_StakeWithdrawn(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        operator = self.operators[arguments["operator"]]
        operator.stake_wei -= arguments["amountWei"]
        operator.unbonding_wei = 0

    def _on_EarningsWithdrawn(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        self.operators[arguments["operator"]].earned_wei -= arguments["amountWei"]

    def _on_OperatorSlashed(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        operator, amount_wei = self.operators[arguments["operator"]], arguments["amountWei"]
        if arguments["fromBond"]:
            assert operator.bonds.pop("refuted") == amount_wei
        else:
            operator.unbonding_wei -= max(0, amount_wei - operator.free_wei)
        operator.stake_wei -= amount_wei

    # Off-chain results

    def _on_ResultUsed(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        key = (arguments["resultId"], arguments["consumer"])
        before = self.uses[key].bond_wei if key in self.uses else 0
        use = Use(
            operator=arguments["operator"],
            compensate_to=arguments["compensateTo"],
            bond_wei=before + arguments["bondWei"],
            release_at=arguments["releaseAt"],
        )
        self.uses[key] = use
        self.operators[use.operator].bonds[key] = use.bond_wei

    def _on_UseReleased(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        key = (arguments["resultId"], arguments["consumer"])
        del self.operators[self.uses.pop(key).operator].bonds[key]

    def _on_UseSlashed(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        key = (arguments["resultId"], arguments["consumer"])
        bonds = self.operators[self.uses.pop(key).operator].bonds
        bonds["refuted"] = bonds.pop(key)

    # Convictions

    def _on_EquivocationProven(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        for name in ("first", "second"):
            self.convicted.setdefault(arguments[name], arguments["prover"])

    def _on_SlashShared(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        self.rewards[arguments["prover"]] += arguments["rewardWei"]
        self.rewards[arguments["victim"]] += arguments["compensationWei"]

    def _on_RewardWithdrawn(self, arguments: Arguments, _: int) -> None:  # noqa: N802
        self.rewards[arguments["account"]] -= arguments["amountWei"]
