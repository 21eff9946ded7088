from __future__ import annotations

from tests.games.arena import Arena
from tests.games.siege import Siege

from sworn.types import DisputeStatus

CHALLENGES = 200
#: How proofs are turned down: of nothing, of another run, copied, without the right salt, cut off.
WRONG_PROOFS = {"FaultNotShown", "StatementDiffers", "CommitmentMismatch", "CommitmentMissing", "ProofTooShort"}


def test_honest_operator_under_two_hundred_hostile_challenges_loses_nothing() -> None:
    """Griefers and copycats demand, commit and prove falsely, at the last second and all at once.

    Every answer is upheld in time, no stake is lost, and every single dispute repays the gas that it cost its operator.
    """
    siege = Siege(Arena(players=40), challenges=CHALLENGES, seed=1)
    before_wei = siege.purse.stake_wei

    losses = siege.run()

    assert losses.statuses == {DisputeStatus.UPHELD: CHALLENGES}
    assert losses.at_once == CHALLENGES
    assert losses.stake_wei == before_wei
    assert losses.worst_wei > 0
    assert losses.paid_wei > losses.spent_wei
    assert not WRONG_PROOFS - losses.refusals.keys()
