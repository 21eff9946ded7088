from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.games.arena import START, Arena
from tests.games.clearing import must
from tests.games.deal import Defence, Plan, draw_plan, set_table
from tests.games.facts import MUST_BE_REFUSED, MUST_HAPPEN, RARE
from tests.games.game import Game, Outcome, play
from tests.games.moves import Action, Move, hidden
from tests.games.players import opening, proof_of
from tests.support.court import SALT

from sworn.types import DisputeStatus, Profile

#: Every run plays these; the same games every time.
GAMES = 120
LONG_GAMES = 10_000
#: Seeds tried for each kind of planned game.
_TRIES = range(400)


@pytest.fixture(scope="module")
def arena() -> Arena:
    """The contracts, for all games of this file: each leaves them as they were."""
    return Arena(players=12)


def play_all(arena: Arena, seeds: Iterable[int]) -> tuple[Counter[str], Counter[str]]:
    """Plays a game for each seed: what happened, and what was refused."""
    facts, refusals = Counter[str](), Counter[str]()
    for seed in seeds:
        outcome = play(arena, seed)
        facts += outcome.facts
        refusals += outcome.refusals
    return facts, refusals


def planned(arena: Arena, count: int, *, profile: Profile, defence: Defence, **changes: Any) -> Iterator[Plan]:
    """Lies that somebody honest challenges, told by an operator that defends itself in that way."""
    found = (draw_plan(arena, seed) for seed in _TRIES)
    fitting = (
        replace(plan, defence=defence, equivocates=False, served=False, insiders=False, **changes)
        for plan in found
        if plan.story.false and plan.honest and plan.story.output and plan.story.model.profile is profile
    )
    for _, plan in zip(range(count), fitting, strict=False):
        yield plan


def play_plan(arena: Arena, plan: Plan) -> Outcome:
    """Plays a game and leaves the chain as it was."""
    mark = arena.node.snapshot()
    try:
        return Game(arena, plan).play()
    finally:
        arena.node.restore(mark)


def test_random_games_go_as_the_rules_foretell(arena: Arena) -> None:
    """Every move does what the reference says, the truth wins, and every coin is accounted for."""
    facts, refusals = play_all(arena, range(GAMES))

    assert not MUST_HAPPEN - RARE - facts.keys()
    assert not MUST_BE_REFUSED - RARE - refusals.keys()


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_thousands_of_random_games_go_as_the_rules_foretell(arena: Arena) -> None:
    """The same, ten thousand times."""
    facts, refusals = play_all(arena, range(GAMES, GAMES + LONG_GAMES))

    assert not MUST_HAPPEN - facts.keys()
    assert not MUST_BE_REFUSED - refusals.keys()


def test_game_of_a_seed_is_always_the_same(arena: Arena) -> None:
    """A game that fails can be played again."""
    first, again = play(arena, 11), play(arena, 11)

    assert (first.facts, first.refusals, first.moves) == (again.facts, again.refusals, again.moves)


@pytest.mark.parametrize("profile", [Profile.EXACT, Profile.BOUNDED])
@pytest.mark.parametrize("defence", [Defence.NONE, Defence.GARBAGE, Defence.MUTE, Defence.TIRED, Defence.SELECTIVE])
def test_liar_that_withholds_is_convicted_in_time(arena: Arena, profile: Profile, defence: Defence) -> None:
    """No trace, a root of nothing, silence from some demand on, or about the one chunk that is wrong."""
    plans = list(planned(arena, 4, profile=profile, defence=defence))
    assert len(plans) == 4

    for plan in plans:
        outcome = play_plan(arena, plan)

        assert outcome.status is DisputeStatus.REFUTED
        assert 0 < outcome.decided_at <= outcome.ends_at


@pytest.mark.parametrize("profile", [Profile.EXACT, Profile.BOUNDED])
def test_liar_that_shows_everything_is_convicted_by_proof(arena: Arena, profile: Profile) -> None:
    """Whatever the operator's friends do meanwhile."""
    for plan in planned(arena, 6, profile=profile, defence=Defence.FULL):
        outcome = play_plan(arena, plan)

        assert outcome.status is DisputeStatus.REFUTED
        assert outcome.facts["proof"]


def test_challenger_that_has_committed_keeps_reward_from_friend_that_shows_equivocation(arena: Arena) -> None:
    """A liar about to be convicted signs a second answer, and a friend shows both: who committed earlier still wins."""
    plan = next(planned(arena, 1, profile=Profile.EXACT, defence=Defence.FULL, onchain=True, carried=True))
    prover, friend = arena.players[:2]
    mark = arena.node.snapshot()
    table = set_table(arena, plan)
    where, identity = plan.story.findings[0].where, table.case.result_id
    commitment = hidden(identity, prover, where, SALT)
    must(table, opening(table, table.moment, by=prover))
    must(table, Move(action=Action.COMMIT_FAULT, by=prover, commitment=commitment))
    table.go_to(plan.rhythm.at(START + 30))
    must(table, Move(action=Action.EQUIVOCATE, by=friend))
    table.go_to(plan.rhythm.at(START + 200))
    must(table, proof_of(plan, by=prover, salt=SALT))
    table.go_to(plan.rhythm.at(START + 2000))

    assert not table.make(Move(action=Action.CLAIM, by=friend, account=friend))
    must(table, Move(action=Action.CLAIM, by=prover, account=prover))
    must(table, Move(action=Action.WITHDRAW, by=prover, account=prover))
    bond_wei = table.purse.bond_for(plan.value_at_risk_wei)
    posted_wei = table.state.parties[prover].bond_wei
    assert table.received[prover] == posted_wei + bond_wei * 30 // 100
    arena.node.restore(mark)


def test_games_are_about_every_lie(arena: Arena) -> None:
    """Every way of lying is drawn sooner or later."""
    drawn = {(plan.subject.name, plan.story.name) for plan in (draw_plan(arena, seed) for seed in range(3000))}

    assert drawn == {
        (subject.name, story.name) for subject in arena.subjects for story in (subject.truth, *subject.lies)
    }
