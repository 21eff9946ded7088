"""Who holds how many workers: a flood of one operator's or one model's claims keeps no others waiting."""

from __future__ import annotations

from sworn.types import Address, ModelId, ResultId
from sworn.watcher.challenger.claims import Claim


class Shares:
    """Whose claims are looked at by workers now."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._held: dict[ResultId, Claim] = {}
        self._last: Claim | None = None

    def begin(self, claim: Claim) -> None:
        """A worker takes up a claim."""
        self._held[claim.result_id] = self._last = claim

    def end(self, result_id: ResultId) -> None:
        """A worker is done with a claim."""
        self._held.pop(result_id, None)

    def sated(self) -> tuple[frozenset[Address], frozenset[ModelId]]:
        """Operators and models that hold half of the workers: others come first, if any wait.

        One worker is shared in time: whoever had it last is sated.
        """
        held = list(self._held.values())
        if self._workers == 1 and self._last is not None:
            held = [self._last]
        most = max(self._workers // 2, 1)
        operators = [claim.operator for claim in held]
        models = [claim.request.model_id for claim in held]
        return (
            frozenset(each for each in operators if operators.count(each) >= most),
            frozenset(each for each in models if models.count(each) >= most),
        )
