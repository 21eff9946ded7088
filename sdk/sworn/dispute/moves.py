"""Every move of a dispute as a call: who sends it decides about gas, nonces and keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sworn.abi import interface
from sworn.chain.gateway import Call
from sworn.codec.dispute_structs import encode_disclosure, target_to_abi
from sworn.codec.structs import request_to_abi, result_to_abi
from sworn.dispute.case import Case
from sworn.types import ZERO_ADDRESS, Address, Deployment, Disclosure, Part, ResultId, Target

_NO_TARGET = Target(part=Part.VALUES)


class Moves:
    """The calls to one deployment's `DisputeGame`. Amounts in wei."""

    def __init__(self, deployment: Deployment) -> None:
        self._game = deployment.dispute_game

    def challenge(self, case: Case, *, bond_wei: int) -> Call:
        """Opens the dispute over a result."""
        result = case.result
        if case.is_offchain:
            return self._call("challengeOffchain", result_to_abi(result), case.signature, value=bond_wei)
        claim = (result.operator, result.output_root, result.trace_root)
        return self._call("challenge", request_to_abi(case.request), *claim, value=bond_wei)

    def join(self, result_id: ResultId, *, bond_wei: int) -> Call:
        """Joins the challengers of an open dispute."""
        return self._call("join", result_id, value=bond_wei)

    def commit_trace(self, case: Case, trace_root: bytes, signature: bytes) -> Call:
        """Commits the operator to its trace; ``signature`` is under the same result with this trace root."""
        return self._call("commitTrace", result_to_abi(case.result), trace_root, signature)

    def commit_trace_roots(self, case: Case, data_roots: Sequence[bytes], signature: bytes) -> Call:
        """The same, with the data roots of all values (at most 64)."""
        return self._call("commitTraceRoots", result_to_abi(case.result), list(data_roots), signature)

    def demand(self, case: Case, target: Target, *, price_wei: int) -> Call:
        """Pays to see a part of the trace."""
        return self._call("demand", result_to_abi(case.result), target_to_abi(target), value=price_wei)

    def disclose(self, case: Case, challenger: Address, target: Target, disclosure: Disclosure | bytes) -> Call:
        """Shows what a challenger demanded; parts of a model come as bytes."""
        shown = disclosure if isinstance(disclosure, bytes) else encode_disclosure(disclosure)
        return self._call("disclose", result_to_abi(case.result), challenger, target_to_abi(target), shown)

    def commit_fault(self, result_id: ResultId, commitment: bytes) -> Call:
        """Commits the sender to a fault, see `sworn.codec.dispute_structs.fault_commitment`."""
        return self._call("commitFault", result_id, commitment)

    def prove_fault(self, case: Case, proof: bytes, salt: bytes) -> Call:
        """Proves the fault that the sender has committed to; ``proof`` is an encoded fault proof."""
        return self._call("proveFault", result_to_abi(case.result), request_to_abi(case.request), proof, salt)

    def convict_silence(self, case: Case, *, challenger: Address = ZERO_ADDRESS, target: Target = _NO_TARGET) -> Call:
        """Convicts an operator that has not committed to a trace, or not answered this demand, in time."""
        stated = (result_to_abi(case.result), request_to_abi(case.request))
        return self._call("convictSilence", *stated, challenger, target_to_abi(target))

    def resolve(self, case: Case) -> Call:
        """Ends a dispute in which nobody proved a fault."""
        return self._call("resolve", result_to_abi(case.result), request_to_abi(case.request))

    def claim(self, result_id: ResultId, account: Address) -> Call:
        """Credits a challenger of a refuted result its bond and share."""
        return self._call("claim", result_id, account)

    def collect(self, case: Case) -> Call:
        """Slashes what a refuted off-chain result has not cost its operator yet."""
        return self._call("collect", result_to_abi(case.result))

    def withdraw_for(self, account: Address) -> Call:
        """Pays an account what it has been credited."""
        return self._call("withdrawFor", account)

    def _call(self, function: str, *arguments: Any, value: int = 0) -> Call:
        return Call(to=self._game, data=interface("DisputeGame").encode(function, *arguments), value=value)
