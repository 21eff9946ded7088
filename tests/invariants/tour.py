"""A walk by plan: visits what random walks reach only now and then. Moves, reference and checks are the same."""

from __future__ import annotations

from typing import Any

from tests.invariants.disputes import OFFCHAIN, FullWalk
from tests.invariants.walk import ALL_FREE
from tests.invariants.world import STAKE_WEI
from tests.support.system import ETHER

from sworn.types import FailureCode

#: Whom `ask` lets answer when it names nobody.
ANYONE = 3
#: Who asks: the account, or one of the consumers.
ACCOUNT, ACCEPTING, REVERTING, WASTING, REENTRANT = range(5)


class Tour(FullWalk):
    """Every chapter leaves nothing waiting behind, so that the first of a list is the one meant."""

    def make(self, name: str, **drawn: Any) -> None:
        """One move, and the comparisons after it."""
        getattr(self, name)(**drawn)
        self.play.check_money()
        self.play.check_changes()

    def travel_all(self) -> None:
        """All chapters."""
        self.pay_reentrant()
        self.repeat_callbacks()
        self.refute()
        self.expire_one()
        self.answer_many()
        self.use_results()
        self.run_operators()

    def pay_reentrant(self) -> None:
        """While somebody else's fee lies in the oracle, a consumer tries to be paid twice."""
        self._ask(who=REENTRANT)
        self.make("fail", pick=0, operator=None, code=FailureCode.BAD_INPUT, slip=0)
        self._ask()
        self.make("ask_again", pick=1)
        self.make("withdraw_reentrantly")
        self.make("withdraw", pick=7)
        self._propose()
        self._finalize()
        self.make("withdraw_earnings", operator=0, pick=0)

    def repeat_callbacks(self) -> None:
        """Consumers miss a provisional and a final result and come round."""
        self._ask(who=REVERTING, provisional=True)
        self._propose()
        self.make("finalize_unheard", pick=0)
        self._ask(who=WASTING)
        self._propose()
        self._finalize()
        self.make("retry_callback", pick=0, other=0, healed=False)
        self.make("retry_callback", pick=0, other=0, healed=True)

    def refute(self) -> None:
        """Convictions over an open, a named, and an unanswered request; each proof counts once."""
        self._ask(operator=ANYONE)
        self._propose(operator=0)
        self.make("prove_against_answer", pick=0, output=1, swap=False, slip=0)
        self.make("propose_barred", pick=0, output=0)
        self._propose(operator=1)
        self._finalize()
        self._ask(who=ACCEPTING, provisional=True)
        self._propose()
        self.make("prove_against_answer", pick=0, output=1, swap=True, slip=0)
        self._ask(operator=1)
        self.make("prove_before_answer", pick=0, swap=False)
        for pick in range(len(self._proven)):
            self.make("prove_again", pick=pick, swap=True)
        self.make("withdraw_reward", pick=0)

    def expire_one(self) -> None:
        """Nobody answers."""
        self._ask()
        self.make("expire", pick=0, early=True)
        self.make("expire", pick=0, early=False)
        self.make("withdraw", pick=0)

    def answer_many(self) -> None:
        """Two results in a batch, with one of them twice."""
        self._ask()
        self._ask(source=1)
        count = len(self.play.ledger.requests)
        self.make("propose_many", picks=[count - 2, count - 1, count - 1], output=0)
        self.make("finalize_many", picks=[0, 1, 1], other=0, early=True)
        self.make("finalize_many", picks=[0, 1, 1], other=0, early=False)

    def use_results(self) -> None:
        """Of two off-chain results one is convicted: its bond is taken and not freed, the other's is freed."""
        for source in (0, 1):
            self._use_result(source)
        self.make("release", pick=0, late=False)
        self.make("prove_against_use", pick=0, output=1, swap=False)
        self.make("release", pick=0, late=True)
        self.make("slash_use", pick=0)
        self.make("slash_use", pick=7)
        self.make("release", pick=0, late=True)

    def run_operators(self) -> None:
        """An operator changes its terms, leaves under conviction, has nothing left to pay with, and comes back."""
        self.make("add_stake", operator=1, value_wei=ETHER)
        self.make("authorize", operator=1, spare=True)
        self.make("revoke", operator=1, spare=True)
        self.make("offer", operator=1, model=0, active=True)
        self.make("unbond", operator=1, amount_wei=STAKE_WEI // 2)
        self.make("cancel_unbonding", operator=1)
        self.make("unbond", operator=1, amount_wei=ALL_FREE)
        self.make("prove_against_leaver", operator=1, source=0, swap=False)
        self.make("withdraw_stake", operator=1, pick=0, late=False)
        self.make("withdraw_stake", operator=1, pick=0, late=True)
        assert self.play.ledger.operators[self._owner(1).address].stake_wei == 0
        self.make("register", operator=1, value_wei=0)
        drawn = {"subjects": (OFFCHAIN, OFFCHAIN), "picks": (0, 0), "outputs": (1, 2)}
        self.make("prove", operator=1, **drawn, alike=True, slip=0, swap=False)
        self.make("add_stake", operator=1, value_wei=STAKE_WEI)
        self.make("prove_again", pick=len(self._proven) - 1, swap=False)
        self.make("prove_again", pick=len(self._proven) - 1, swap=False)

    def _ask(self, **changes: Any) -> None:
        usual = {
            "who": ACCOUNT,
            "operator": 0,
            "model": 0,
            "source": 0,
            "fee_wei": ETHER // 1000,
            "risk_wei": ETHER // 20,
            "window_s": 60,
            "patience_s": 5000,
            "provisional": False,
            "told": True,
            "refund": 0,
        }
        self.make("ask", **(usual | changes))

    def _propose(self, *, operator: int | None = None) -> None:
        self.make("propose", pick=0, operator=operator, output=0, slip=0, traced=0)

    def _finalize(self) -> None:
        self.make("finalize", pick=0, other=0, early=0, healed=0)

    def _use_result(self, source: int) -> None:
        usual = {"operator": 1, "model": 0, "output": 0, "life_s": 500, "risk_wei": ETHER // 100}
        self.make("use", **usual, source=source, consumer=0, victim=0, again=False, slip=0, pick=0)
