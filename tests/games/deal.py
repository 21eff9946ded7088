"""Deals a game: what is disputed, who plays, and how, all from one seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from random import Random
from typing import Final

from tests.games.arena import START, Arena, Rhythm
from tests.games.model import Case, State, Use
from tests.games.purse import Purse
from tests.games.subjects import Story, Subject
from tests.games.table import Table
from tests.support.scene import FEE_WEI
from tests.support.system import DAY, ETHER, PARAMETERS

from sworn.codec.structs import request_params_to_abi
from sworn.codec.tensors import encode_reference
from sworn.types import ZERO_ADDRESS, ZERO_HASH, Address, Answer, Assurance, Profile, Request, RequestId, Result, Status

GARBAGE: Final = b"\xba\xd0" * 16
SHELTER: Final = "an answer to oneself"
_INPUT: Final = encode_reference("https://inputs.example/1")
_GWEI: Final = 10**9


class Defence(Enum):
    """What an operator does when it is challenged."""

    #: Commits to its run and answers everything in time, as every honest one does.
    FULL = auto()
    #: Never commits to a trace; where it had to, to one that it cannot show.
    NONE = auto()
    #: Commits to a root that is the root of nothing.
    GARBAGE = auto()
    #: Commits, and never answers.
    MUTE = auto()
    #: Answers some demands, then no more.
    TIRED = auto()
    #: Hides the very chunk that is wrong.
    SELECTIVE = auto()


class Pace(Enum):
    """When somebody moves within the time that there is."""

    FIRST = auto()
    LAST = auto()
    ANY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who plays, and how. ``story.false`` says whether the operator lies."""

    seed: int
    subject: Subject
    story: Story
    onchain: bool
    #: Whether the result carries a trace root from the start.
    carried: bool
    #: Anyone's to answer again after a refutation.
    reopens: bool
    window_s: int
    value_at_risk_wei: int
    uses: int
    rhythm: Rhythm
    defence: Defence
    operator_pace: Pace
    inline: bool
    #: Whether the trace can be had from the operator without demands.
    served: bool
    honest: int
    honest_paces: tuple[Pace, ...]
    rogues: int
    #: Whether the operator's friends know everything that it knows.
    insiders: bool
    equivocates: bool
    unbonds: bool
    #: Whether the operator has locked all its stake behind an answer to itself before it is challenged.
    shelters: bool
    #: Whether somebody demands as much as it can at once.
    floods: bool
    #: Whether the operator is among the challengers.
    challenges_itself: bool
    reorganisations: int
    #: Seconds after the end in which somebody says so.
    clerk_delay_s: int

    def __str__(self) -> str:
        left_out = ("subject", "story")
        shown = [f"{name}={getattr(self, name)}" for name in self.__slots__ if name not in left_out]
        return f"{self.subject.name}: {self.story.name}; {', '.join(shown)}"


def draw_plan(arena: Arena, seed: int) -> Plan:
    """A plan, the same for the same seed."""
    rng = Random(seed)
    subject = rng.choice(arena.subjects)
    lies = rng.random() < 0.6
    story = rng.choice(subject.lies) if lies else subject.truth
    exact = subject.model.profile is Profile.EXACT
    onchain = bool(story.output) and rng.random() < 0.65
    defence = rng.choice(list(Defence)) if lies and rng.random() < 0.6 else Defence.FULL
    return Plan(
        seed=seed,
        subject=subject,
        story=story,
        onchain=onchain,
        carried=not exact or rng.random() < 0.35,
        reopens=rng.random() < 0.4,
        window_s=rng.choice([60, 61, 600, 7200, DAY]),
        value_at_risk_wei=rng.choice([0, ETHER // 20, ETHER // 20 + 7, 5 * ETHER]),
        uses=rng.choice([0, 1, 2]) if story.output else 0,
        rhythm=Rhythm(
            block_s=rng.choice([1, 2, 12, 30]),
            fees_wei=[rng.choice([1, _GWEI // 3, _GWEI, 7 * _GWEI, 40 * _GWEI]) for _ in range(rng.choice([1, 1, 5]))],
        ),
        defence=defence,
        operator_pace=rng.choice(list(Pace)),
        inline=rng.random() < 0.5,
        served=rng.random() < 0.3,
        honest=(rng.choice([0, 1, 1, 2]) if lies else 0),
        honest_paces=(rng.choice(list(Pace)), rng.choice(list(Pace))),
        rogues=rng.choice([0, 1, 1, 2, 3]),
        insiders=rng.random() < 0.5,
        equivocates=lies and exact and rng.random() < 0.2,
        unbonds=lies and rng.random() < 0.15,
        shelters=lies and not onchain and rng.random() < 0.2,
        challenges_itself=rng.random() < 0.15,
        floods=rng.random() < 0.05,
        reorganisations=rng.choice([0, 0, 0, 1, 2]),
        clerk_delay_s=rng.choice([1, 1, 1, 2, 3600]),
    )


def set_table(arena: Arena, plan: Plan, *, purse: Purse | None = None) -> Table:
    """Asks and answers on chain as the plan says: the game can begin. Tables of one chain share a purse."""
    arena.move_to(plan.rhythm.at(START))
    purse = purse or make_purse(arena)
    case = _ask(arena, plan) if plan.onchain else _swear(arena, plan)
    state = State()
    if case.request:
        state.request_status, state.proposed_at = Status.PROPOSED, START
        purse.bonds[case.result_id] = purse.bond_for(plan.value_at_risk_wei)
    table = Table(arena, case=case, story=plan.story, subject=plan.subject, state=state, purse=purse)
    if not plan.onchain:
        for user in range(plan.uses):
            _use(table, arena.players[-1 - user], plan.value_at_risk_wei)
    if plan.shelters:
        _shelter(table, plan)
    table.go_to(plan.rhythm.at(START + 1))
    return table


def make_purse(arena: Arena) -> Purse:
    """The operator's stake as it is."""
    registry, operator = arena.scene.system.operator_registry, arena.operator.address
    stake_wei = arena.read(registry, "accountOf", operator)[1]
    return Purse(operator=operator, min_bond_wei=PARAMETERS["minBondWei"], stake_wei=stake_wei)


def _root(plan: Plan) -> bytes:
    if not plan.carried:
        return ZERO_HASH
    return GARBAGE if plan.defence in (Defence.NONE, Defence.GARBAGE) else plan.story.trace.root


def _ask(arena: Arena, plan: Plan) -> Case:
    oracle, stranger = arena.scene.system.oracle, arena.stranger
    request = Request(
        model_id=arena.model_id(plan.subject),
        input_root=plan.story.input_root,
        requester=arena.victim,
        operator=ZERO_ADDRESS if plan.reopens else arena.operator.address,
        refund_to=arena.victim,
        fee_wei=FEE_WEI,
        value_at_risk_wei=plan.value_at_risk_wei,
        callback_gas=0,
        window_s=plan.window_s,
        deadline=START + DAY,
        assurance=Assurance.FINAL,
        salt=plan.seed.to_bytes(32),
    )
    answer = Answer(operator=arena.operator.address, trace_root=_root(plan), output=plan.story.output)
    result = arena.scene.result_of(request, answer)
    arena.run(oracle, "request", request_params_to_abi(request), _INPUT, by=arena.victim, value_wei=FEE_WEI)
    arena.run(oracle, "propose", request, answer, arena.sign(result), by=stranger)
    return Case(result=result, result_id=arena.digest(result), request=request)


def _swear(arena: Arena, plan: Plan) -> Case:
    result = Result(
        request_id=RequestId(ZERO_HASH),
        model_id=arena.model_id(plan.subject),
        input_root=plan.story.input_root,
        output_root=plan.story.output_root,
        trace_root=_root(plan),
        operator=arena.operator.address,
        # Different by the seed, so that no two games swear the same.
        expiry=START + plan.window_s + plan.seed % 1000,
    )
    return Case(result=result, result_id=arena.digest(result), request=None)


def _shelter(table: Table, plan: Plan) -> None:
    """The operator answers itself, with everything at stake."""
    arena, purse = table.arena, table.purse
    truth = plan.subject.truth
    request = Request(
        model_id=arena.model_id(plan.subject),
        input_root=truth.input_root,
        requester=arena.operator.address,
        operator=arena.operator.address,
        refund_to=arena.operator.address,
        fee_wei=0,
        value_at_risk_wei=purse.free_wei // 2,
        callback_gas=0,
        window_s=7 * DAY,
        deadline=START + DAY,
        assurance=Assurance.FINAL,
        salt=plan.seed.to_bytes(32),
    )
    answer = Answer(operator=arena.operator.address, trace_root=truth.trace.root, output=truth.output)
    signature = arena.sign(arena.scene.result_of(request, answer))
    oracle, by = arena.scene.system.oracle, arena.operator.address
    arena.run(oracle, "request", request_params_to_abi(request), _INPUT, by=by)
    arena.run(oracle, "propose", request, answer, signature, by=by)
    purse.bonds[SHELTER] = purse.bond_for(request.value_at_risk_wei)
    table.shelter = request, answer


def _use(table: Table, consumer: Address, value_at_risk_wei: int) -> None:
    arena, result = table.arena, table.case.result
    victim = arena.victim
    arguments = (result, table.story.output, arena.sign(result), value_at_risk_wei, victim)
    arena.run(arena.scene.system.signed_results, "use", *arguments, by=consumer)
    table.state.uses[consumer] = Use(victim=victim, release_at=table.court.window_closes_at)
    table.purse.bonds[table.case.result_id, consumer] = table.purse.bond_for(value_at_risk_wei)


def with_seed(plan: Plan, seed: int) -> Plan:
    """The same for another result."""
    return replace(plan, seed=seed)
