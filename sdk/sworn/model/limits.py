"""The sizes within which every dispute about a model can be carried out, and the tolerance of its profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Final

from sworn.codec.payload import MAX_TENSORS
from sworn.codec.trees import keccak
from sworn.errors import ModelUnsupported
from sworn.model.commitment import expected_bytes
from sworn.model.encoding import encode_interface, encode_step
from sworn.model.footprint import footprint
from sworn.model.program import MAX_TERMS, Program
from sworn.model.validation import MAX_ROW
from sworn.types import Profile

_TAG: Final = b"\x0a"
#: Gas that a transaction with a fault proof may take, as estimated. Below 2**24, which no transaction may exceed
#: (EIP-7825), and below 63/64 of 63/64 of it, which is what reaches a rule of the referee at most. No part of a model's
#: identity: a chain on which proofs get cheaper or dearer changes no id.
MAX_PROOF_GAS: Final = 16_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Part of a model's identity: two models that differ here alone are two models. Sizes in bytes."""

    #: Terms of one contraction.
    max_terms: int = MAX_TERMS
    #: Elements of a row that a rank is taken of.
    max_row: int = MAX_ROW
    #: One encoded step; the encoded interface too.
    max_step_bytes: int = 24 << 10
    #: One fault proof with all its openings: it has to fit one transaction.
    max_proof_bytes: int = 120 << 10
    #: All values of one run.
    max_trace_bytes: int = 16 << 30
    #: κ = kappa_slope · K + kappa_constant for a contraction of K terms; 0 and 0 where bits must be equal.
    kappa_slope: int = 0
    kappa_constant: int = 0

    def to_hash(self) -> bytes:
        """keccak256 over the limits in the order of their fields, each a big-endian uint64."""
        return keccak(_TAG + b"".join(value.to_bytes(8) for value in astuple(self)))

    def check(self, program: Program, names: Sequence[str] = ()) -> None:
        """Raises `ModelUnsupported` for a program beyond the limits; ``names`` tell where its steps come from."""
        for name, count in (("inputs", len(program.inputs)), ("outputs", len(program.outputs))):
            if not 1 <= count <= MAX_TENSORS:
                raise ModelUnsupported(f"the program has {count} {name}; 1 to {MAX_TENSORS} are supported")
        sizes = [expected_bytes(each) for each in (*program.inputs, *(step.output for step in program.steps))]
        if sum(sizes) > self.max_trace_bytes:
            raise ModelUnsupported(f"a trace of {sum(sizes)} bytes, more than {self.max_trace_bytes}")
        interface = len(encode_interface(program))
        if interface > self.max_step_bytes:
            raise ModelUnsupported(f"the interface takes {interface} bytes, more than {self.max_step_bytes}")
        for number in range(len(program.steps)):
            size = len(encode_step(program, number))
            if size > self.max_step_bytes:
                raise ModelUnsupported(f"step {number} takes {size} bytes, more than {self.max_step_bytes}")
            self._check_proof(program, number, names)

    def _check_proof(self, program: Program, number: int, names: Sequence[str]) -> None:
        """A step of which no proof fits one transaction could be lied about for free."""
        proof = footprint(program, number)
        reason = ""
        if proof.proof_bytes > self.max_proof_bytes:
            reason = f"{proof.proof_bytes} bytes, more than {self.max_proof_bytes}: it reads from too many places"
        elif proof.gas > MAX_PROOF_GAS:
            reason = f"{proof.gas} gas, more than {MAX_PROOF_GAS}: it reads too many elements, or in too short runs"
        if reason:
            rule, origin = program.steps[number].rule.name.lower(), f", {names[number]}" if names else ""
            raise ModelUnsupported(f"a fault proof of step {number} ({rule}{origin}) can take {reason}")


def limits_of(profile: Profile) -> Limits:
    """The limits of models in a profile. Raises `ModelUnsupported` for a profile that has none."""
    if profile is Profile.EXACT:
        return Limits()
    if profile is Profile.BOUNDED:
        return Limits(kappa_slope=1, kappa_constant=1)
    raise ModelUnsupported(f"profile {profile.name} has no limits")
