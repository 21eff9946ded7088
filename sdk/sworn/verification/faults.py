"""What is wrong with a trace, and the proof of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sworn.referee.proof import FaultKind, FaultProof
from sworn.types import Profile
from sworn.verification.proving import prove
from sworn.verification.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a trace."""

    kind: FaultKind
    #: The value at fault: model inputs first, then one per step. 0 where the fault is no tensor's.
    value: int
    #: Flat index of the element at fault; 0 where the fault is no element's.
    index: int
    #: Bits of the element as the trace has it; None where the fault is no element's.
    claimed: int | None
    #: Bits that the element must have, in profile `bounded` the exact value's; None where nobody knows or its operands
    #: give it no value.
    expected: int | None
    #: Where the tensor comes from, for people.
    name: str
    trace: Trace = field(repr=False, compare=False)

    @property
    def step(self) -> int | None:
        """The step at fault; None for model inputs and faults of no tensor."""
        inputs = len(self.trace.subject.program.inputs)
        return self.value - inputs if self.kind is not FaultKind.COUNT and self.value >= inputs else None

    def proof(self) -> FaultProof:
        """Everything that convinces somebody who has only the statement. Raises `ConfigurationError`."""
        return prove(self.trace, kind=self.kind, value=self.value, index=self.index)

    def __str__(self) -> str:
        place = f"{self.name}[{self.index}]" if self.claimed is not None else self.name
        return f"{self.kind.name.lower().replace('_', ' ')}: {place}{self._difference()}"

    def _difference(self) -> str:
        if self.claimed is None:
            return ""
        if self.expected is None:
            return f" is {self.claimed:#x}, not no value"
        is_bounded = self.trace.subject.model.profile is Profile.BOUNDED
        return f" is {self.claimed:#x}, {'too far from' if is_bounded else 'not'} {self.expected:#x}"
