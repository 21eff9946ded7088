"""A dispute over a result of our own, and what is demanded in it, as they are remembered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sworn.types import Address, ResultId, Target


class DefenceStatus(Enum):
    """How far the defence of a result has come."""

    #: Under challenge.
    OPEN = "open"
    #: Our own run gives something else than was sworn: nothing is sent; waits for a person and a restart.
    INDEFENSIBLE = "indefensible"
    #: The result stands for good. Ends here.
    UPHELD = "upheld"
    #: The operator was convicted. Ends here.
    REFUTED = "refuted"
    #: The block that opened it left the chain; starts anew when it is opened again. Ends here.
    ORPHANED = "orphaned"

    @property
    def terminal(self) -> bool:
        """Whether nothing more is done unless the chain changes."""
        return self in (DefenceStatus.UPHELD, DefenceStatus.REFUTED, DefenceStatus.ORPHANED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defence:
    """A dispute over a result of our operator."""

    result_id: ResultId
    #: Where it was opened.
    block_number: int
    status: DefenceStatus = DefenceStatus.OPEN
    #: Why it is where it is, for people.
    reason: str = ""
    #: Consecutive attempts that ended with an error.
    attempts: int = 0
    #: Not before this wall-clock time (unix seconds): backoff.
    retry_at: float = 0.0
    #: Not before this block timestamp (unix seconds), unless something happens in the dispute.
    due_at: int = 0
    #: When it was opened and until when a trace must be committed to, as far as one must.
    opened_at: int | None = None
    answer_by: int | None = None
    #: The trace that is sworn to on top of the result; None until the model has run again.
    trace_root: bytes | None = None
    #: Head of the chain when it ended; a reorg below it opens it again.
    settled_block: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDemand:
    """Something that a challenger has paid to see and that has not been shown."""

    demand_id: bytes
    result_id: ResultId
    challenger: Address
    target: Target
    #: Last second in which it may be shown.
    due_at: int
    block_number: int
