"""One game from the first challenge to the last coin, and what must be true of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

from tests.games.arena import Arena
from tests.games.clearing import Clearing, empty_court, ending
from tests.games.deal import Defence, Pace, Plan, draw_plan, set_table
from tests.games.model import MAX_OPEN_DEMANDS
from tests.games.players import Challenger, Friend, Operator, Player, Wish
from tests.games.rogues import Flooder, Rogue
from tests.games.table import Mark, Violation

from sworn.types import DisputeStatus, Status

#: Nobody at the table has that many moves.
MAX_MOVES = 400
#: Moves of a rogue.
TRICKS = 14
#: Moves of one that demands more than it may.
FLOOD = MAX_OPEN_DEMANDS + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a game ended."""

    plan: Plan
    status: DisputeStatus
    moves: int
    #: When the dispute was over, and when it had to be; 0 where there was none.
    decided_at: int
    ends_at: int
    facts: Counter[str]
    refusals: Counter[str]


class Game:
    """Plays a plan out. Raises `Violation`."""

    def __init__(self, arena: Arena, plan: Plan) -> None:
        self.arena = arena
        self.plan = plan
        self.rng = Random(plan.seed ^ 0x5EED)
        self.table = set_table(arena, plan)
        self.stake_wei = self.table.purse.stake_wei
        names = iter(arena.players)
        self.honest = [
            Challenger(self.table, plan, self.rng, me=next(names), pace=plan.honest_paces[number])
            for number in range(plan.honest)
        ]
        rogues = [arena.operator.address if plan.challenges_itself else next(names), next(names), next(names)]
        self.rogues = [
            Rogue(self.table, plan, self.rng, me=me, moves=TRICKS, eager=self.rng.random() < 0.5)
            for me in rogues[: plan.rogues]
        ]
        if plan.floods:
            self.rogues.append(Flooder(self.table, plan, self.rng, me=next(names), moves=FLOOD, eager=True))
        self.players: list[Player] = [Operator(self.table, plan, self.rng), *self.honest, *self.rogues]
        if plan.insiders and plan.story.false and plan.defence is Defence.FULL:
            self.players.append(Friend(self.table, plan, self.rng, me=next(names), pace=self.rng.choice(list(Pace))))
        self.moves = 0
        self.decided_at = 0
        self._left = plan.reorganisations

    def play(self) -> Outcome:
        """Until nobody wants anything more, then everything is cleared."""
        while (wish := self._earliest()) is not None:
            if self._left and self.rng.random() < 0.1:
                self._left -= 1
                self._reorganise()
                continue
            self._perform(wish)
        status = self.table.state.status
        self._check_verdict()
        Clearing(self.table, self.plan).run()
        empty_court(self.table)
        self._check_honest()
        table = self.table
        return Outcome(
            plan=self.plan,
            status=status,
            moves=self.moves,
            decided_at=self.decided_at,
            ends_at=table.state.ends_at if self.decided_at else 0,
            facts=table.facts,
            refusals=table.refused,
        )

    def _reorganise(self) -> None:
        """Some blocks happen, and then they have not happened."""
        mark: Mark = self.table.mark()
        for _ in range(self.rng.randrange(1, 8)):
            wish = self._earliest()
            if wish is None:
                break
            self._perform(wish)
        self.table.restore(mark)
        if self.table.state.status in (DisputeStatus.NONE, DisputeStatus.OPEN):
            self.decided_at = 0

    def _earliest(self) -> Wish | None:
        wishes = [wish for player in self.players for wish in player.wishes()] + self._clerk()
        if not wishes:
            return None
        at = min(wish.at for wish in wishes)
        return self.rng.choice([wish for wish in wishes if wish.at == at])

    def _clerk(self) -> list[Wish]:
        """Somebody ends what is over, whoever won."""
        state, now = self.table.state, self.table.moment.time
        if state.status is not DisputeStatus.OPEN:
            return []
        at = max(now, state.ends_at + self.plan.clerk_delay_s)
        return [Wish(at=at, make=lambda _: ending(self.table))]

    def _perform(self, wish: Wish) -> None:
        now = self.table.moment.time
        self.moves += 1
        if self.moves > MAX_MOVES:
            raise Violation(f"a game of more than {MAX_MOVES} moves")
        if wish.at != now:
            self.table.go_to(self.plan.rhythm.at(wish.at))
        move = wish.make(self.table.moment)
        self.table.make(move)
        self._note_time()

    def _note_time(self) -> None:
        """No dispute goes on after its end, but until somebody says so."""
        state, now = self.table.state, self.table.moment.time
        if state.status is DisputeStatus.OPEN:
            self.decided_at = 0
            if now > state.ends_at + self.plan.clerk_delay_s:
                raise Violation(f"open at {now}, though it ends at {state.ends_at}")
        elif state.status is not DisputeStatus.NONE and not self.decided_at:
            self.decided_at = now

    def _check_verdict(self) -> None:
        state, lies = self.table.state, self.plan.story.false
        honest_here = [each for each in self.honest if each.me in state.parties]
        if lies and honest_here and state.status is not DisputeStatus.REFUTED:
            raise Violation("a lie that somebody honest challenged stands")
        if lies and honest_here and self.decided_at > state.ends_at:
            raise Violation(f"a lie was convicted at {self.decided_at}, later than {state.ends_at}")
        if lies and self.honest and not honest_here and state.status is DisputeStatus.NONE and not self._convicted():
            raise Violation("somebody honest was kept from challenging a lie")
        if not lies and self.plan.defence is Defence.FULL and state.status is DisputeStatus.REFUTED:
            raise Violation("the truth was refuted")
        if state.status is DisputeStatus.REFUTED and state.request_status in (Status.PROPOSED, Status.FINALIZED):
            raise Violation("a refuted result stands")

    def _convicted(self) -> bool:
        return self.table.state.barred or self.table.state.second_convicted

    def _check_honest(self) -> None:
        """Whoever was honest has its bond, and the honest operator its whole stake."""
        table = self.table
        for player in self.honest:
            party = table.state.parties.get(player.me)
            if party and table.received[player.me] < party.bond_wei:
                raise Violation(f"{player.me} was honest and got {table.received[player.me]} back")
            # A root that leads nowhere takes one demand too, and a reorganisation takes every demand back.
            if player.rounds > (len(self.plan.story.walk) + 1) * (1 + self.plan.reorganisations):
                raise Violation(f"{player.rounds} demands for a walk of {len(self.plan.story.walk)}")
        if not self.plan.story.false:
            if table.purse.stake_wei != self.stake_wei:
                raise Violation("an honest operator lost stake")
            if table.state.status is DisputeStatus.UPHELD:
                least_wei = table.state.bonds_wei * 70 // 100
                if table.received[table.case.result.operator] < least_wei:
                    raise Violation("an honest operator was not paid for its trouble")


def play(arena: Arena, seed: int) -> Outcome:
    """Plays the game of a seed and leaves the chain as it was. Raises `Violation` with everything that happened."""
    mark = arena.node.snapshot()
    game: Game | None = None
    try:
        plan = draw_plan(arena, seed)
        game = Game(arena, plan)
        return game.play()
    except Violation as error:
        log = "\n".join(game.table.log) if game else ""
        raise Violation(f"seed {seed}: {error}\n{draw_plan(arena, seed)}\n{log}") from error
    finally:
        arena.node.restore(mark)
        arena.forget()


__all__ = ["Game", "Outcome", "Pace", "play"]
