"""What running an answer again comes to: frozen records, the same for `Client` and `AsyncClient`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from numpy.typing import NDArray

from sworn.types import Address, ModelId, Profile, RequestId, ResultId, Status


class Verdict(Enum):
    """What an answer that was run again turned out to be."""

    #: The sworn output is, bit for bit, what the model gives on this machine.
    CONFIRMED = "confirmed"
    #: It differs from the run on this machine, as honest runs in profile `bounded` may; the operator's own trace was
    #: audited, and every element of it lies within its bound.
    ADMISSIBLE = "admissible"
    #: A run on this machine does not decide it: honest runs in profile `bounded` differ, and only an audit of the
    #: operator's trace tells which of them is one; or nobody but the operator has the input.
    UNDECIDED = "undecided"
    #: It is not what the model gives: whoever challenges it can prove that.
    FALSE = "false"
    #: The profile promises nothing about arithmetic: there is nothing to compare with.
    UNCHECKABLE = "uncheckable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How one sworn output differs from the recomputed one."""

    output: str
    #: The first element that differs, by its indices.
    index: tuple[int, ...]
    #: That element as the operator swore it, and as it was recomputed here.
    sworn: Any
    recomputed: Any
    #: Elements that differ, of all.
    count: int
    elements: int
    #: The largest distance between a sworn and a recomputed element.
    largest: float

    def __str__(self) -> str:
        place = f"{self.output}[{', '.join(map(str, self.index))}]"
        values = f"is sworn as {self.sworn!s}, recomputed as {self.recomputed!s}"
        return f"{place} {values}; {self.count} of {self.elements} elements differ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """An answer, compared with a run of the same model on the same input on this machine."""

    verdict: Verdict
    #: One sentence: why.
    reason: str
    #: One sentence: what to do.
    next_step: str
    request_id: RequestId
    result_id: ResultId
    model_id: ModelId
    profile: Profile
    operator: Address
    #: Where the request stood.
    status: Status
    #: One per output that differs.
    differences: tuple[Difference, ...] = ()
    #: What is wrong with the operator's trace, if it was audited; the first few.
    faults: tuple[str, ...] = ()
    #: The sworn outputs and the recomputed ones by name; empty where there are none.
    sworn: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)
    recomputed: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def holds(self) -> bool:
        """Whether the answer was checked and nothing speaks against it."""
        return self.verdict in (Verdict.CONFIRMED, Verdict.ADMISSIBLE)
