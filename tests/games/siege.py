"""One honest operator, and hundreds of hostile challenges at once."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from tests.games.arena import START, Arena, Rhythm
from tests.games.clearing import Clearing, empty_court, ending
from tests.games.deal import Defence, Pace, Plan, draw_plan, make_purse, set_table
from tests.games.model import MAX_OPEN_DEMANDS
from tests.games.moves import Move
from tests.games.players import Operator, Player, Wish
from tests.games.rogues import Flooder, Rogue
from tests.games.table import Table, Violation

from sworn.types import DisputeStatus

#: When everything is over, whatever anybody did.
_LATER_S = 60 * 86_400
#: All challenges come so soon that all are open together.
_WINDOW_S = 7200
#: What a transaction costs more than here, where everything has been touched before: cold accounts and slots.
COLD_GAS = 80_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """How a siege ended for the operator."""

    statuses: Counter[DisputeStatus]
    moves: int
    refusals: Counter[str]
    #: Disputes that were open at one and the same time.
    at_once: int
    stake_wei: int
    #: What its moves cost in gas, and what challengers paid it.
    spent_wei: int
    paid_wei: int
    #: The dispute that paid worst: what was left over.
    worst_wei: int


class Post:
    """One challenged result, and who stands around it."""

    def __init__(self, table: Table, plan: Plan, players: list[Player]) -> None:
        self.table = table
        self.plan = plan
        self.players = players
        self.spent_wei = 0

    @property
    def gain_wei(self) -> int:
        """What the dispute left its operator over its gas: its share of the bonds, and the price of its answers."""
        return self.table.state.bonds_wei * 70 // 100 + self.table.state.spent_wei - self.spent_wei

    def earliest(self, rng: Random) -> Wish | None:
        """What happens next here if nothing else does."""
        wishes = [wish for player in self.players for wish in player.wishes()] + list(self._clerk())
        if not wishes:
            return None
        at = min(wish.at for wish in wishes)
        return rng.choice([wish for wish in wishes if wish.at == at])

    def _clerk(self) -> Iterator[Wish]:
        state = self.table.state
        if state.status is DisputeStatus.OPEN:
            at = max(self.table.moment.time, state.ends_at + 1)
            yield Wish(at=at, make=lambda _: ending(self.table))


class Siege:
    """Plays all at once, on one chain, with one stake and one court. Raises `Violation`."""

    def __init__(self, arena: Arena, *, challenges: int, seed: int) -> None:
        self.arena = arena
        self.rng = Random(seed)
        self.purse = make_purse(arena)
        self.rhythm = Rhythm(block_s=12, fees_wei=[10**10, 2 * 10**10])
        self.moves = 0
        self.posts = [self._post(self._plan(seed + number)) for number in range(challenges)]

    def _plan(self, seed: int) -> Plan:
        plan = draw_plan(self.arena, seed)
        return replace(
            plan,
            story=plan.subject.truth,
            onchain=seed % 3 != 0,
            uses=0,
            rhythm=self.rhythm,
            window_s=_WINDOW_S,
            value_at_risk_wei=plan.value_at_risk_wei // 10,
            defence=Defence.FULL,
            operator_pace=self.rng.choice(list(Pace)),
            honest=0,
            equivocates=False,
            unbonds=False,
            shelters=False,
        )

    def _post(self, plan: Plan) -> Post:
        table = set_table(self.arena, plan, purse=self.purse)
        kind = Flooder if plan.seed % 100 == 0 else Rogue
        first, *others = self.rng.sample(self.arena.players, 3)
        moves = MAX_OPEN_DEMANDS + 2 if kind is Flooder else 7
        rogues = [kind(table, plan, self.rng, me=first, moves=moves, eager=True, opens_by=START + _WINDOW_S)]
        rogues += [Rogue(table, plan, self.rng, me=other, moves=3, eager=False) for other in others]
        return Post(table, plan, [Operator(table, plan, self.rng), *rogues])

    def run(self) -> Losses:
        """Until every dispute is over and everybody is paid."""
        queue: list[tuple[int, int, Wish]] = []
        for number, post in enumerate(self.posts):
            self._enqueue(queue, number, post)
        while queue:
            at, number, wish = heapq.heappop(queue)
            post = self.posts[number]
            post.table.go_to(self.rhythm.at(at))
            self._make(post, wish.make(post.table.moment))
            self._enqueue(queue, number, post)
        return self._settle()

    def _enqueue(self, queue: list[tuple[int, int, Wish]], number: int, post: Post) -> None:
        wish = post.earliest(self.rng)
        if wish is not None:
            heapq.heappush(queue, (wish.at, number, wish))

    def _make(self, post: Post, move: Move) -> None:
        self.moves += 1
        table = post.table
        done = table.make(move)
        if done and move.by == self.arena.operator.address:
            post.spent_wei += (table.gas_used + COLD_GAS) * table.moment.base_fee_wei
        state = table.state
        if state.status is DisputeStatus.OPEN and table.moment.time > state.ends_at + 1:
            raise Violation(f"open at {table.moment.time}, though it ends at {state.ends_at}")

    def _settle(self) -> Losses:
        states = [post.table.state for post in self.posts]
        last_opened_at = max(state.opened_at for state in states)
        operator = self.arena.operator.address
        for post in self.posts:
            post.table.go_to(self.rhythm.at(START + _LATER_S))
            Clearing(post.table, post.plan).run()
        paid_wei = self.purse.credits.get(operator, 0) + sum(post.table.received[operator] for post in self.posts)
        empty_court(*(post.table for post in self.posts))
        return Losses(
            statuses=Counter(state.status for state in states),
            moves=self.moves,
            refusals=sum((post.table.refused for post in self.posts), Counter[str]()),
            at_once=sum(state.opened_at <= last_opened_at <= state.ends_at for state in states),
            stake_wei=self.purse.stake_wei,
            spent_wei=sum(post.spent_wei for post in self.posts),
            paid_wei=paid_wei,
            worst_wei=min(post.gain_wei for post in self.posts),
        )
