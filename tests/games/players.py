"""Who plays: operators and challengers with a plan. They look at the chain before every move and remember little."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Protocol

from tests.games.deal import GARBAGE, Defence, Pace, Plan
from tests.games.model import (
    DISCLOSE_S,
    MAX_OPEN_DEMANDS,
    NEVER,
    REVEAL_S,
    TRACE_S,
    Party,
    demand_price,
    least_bond,
)
from tests.games.moves import Action, Moment, Move, hidden
from tests.games.shown_model import is_of_model
from tests.games.table import Table
from tests.support.court import MATURITY_BLOCKS, MATURITY_S, ROOT_TARGET, Target

from sworn.types import ZERO_ADDRESS, ZERO_HASH, Address, DisputeStatus, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A move that somebody wants to make, and when."""

    at: int
    make: Callable[[Moment], Move]


class Player(Protocol):
    """Somebody at the table."""

    def wishes(self) -> Iterator[Wish]:
        """What it would do next if nothing happened before."""
        ...


@dataclass(slots=True, kw_only=True)
class Clock:
    """Picks when to move, and stays with it."""

    rng: Random
    pace: Pace
    _picked: dict[Hashable, int] = field(default_factory=dict)

    def pick(self, key: Hashable, first: int, last: int) -> int:
        """A second from ``first`` to ``last``, the same for the same key as long as it is possible."""
        if self.pace is Pace.FIRST or last <= first:
            return first
        if self.pace is Pace.LAST:
            return last
        if key not in self._picked:
            edges = [first, first + 1, last - 1, last]
            self._picked[key] = self.rng.choice([*edges, self.rng.randint(first, last)])
        return min(max(self._picked[key], first), last)


class Operator:
    """Answers challenges as its defence says, resolves what is over, and takes what it is owed."""

    def __init__(self, table: Table, plan: Plan, rng: Random) -> None:
        self.table = table
        self.plan = plan
        self.clock = Clock(rng=rng, pace=plan.operator_pace)
        self.patience = rng.randrange(4)
        self.me = table.case.result.operator
        self.tried = False

    def wishes(self) -> Iterator[Wish]:
        table, state, now = self.table, self.table.state, self.table.moment.time
        if self.plan.unbonds and table.purse.free_wei and not table.purse.unbonding_wei:
            yield Wish(at=now, make=lambda _: Move(action=Action.UNBOND, by=self.me))
        if state.status is DisputeStatus.OPEN:
            yield from self._answers(now)
            yield from self._end(now)
        closes_at = table.court.window_closes_at
        if state.request_status is Status.PROPOSED:
            yield Wish(at=max(now, closes_at + 1), make=lambda _: Move(action=Action.FINALIZE, by=self.me))

    def _end(self, now: int) -> Iterator[Wish]:
        """An honest operator waits until it has answered everything; a liar tries in any case, once."""
        state = self.table.state
        first, last = max(now, state.ends_at + 1), max(now, state.ends_at + 600)
        if self.plan.story.false and not self.tried:
            yield Wish(at=first, make=self._try)
        elif self.table.court.root != ZERO_HASH and not state.open_demands:
            yield Wish(at=self.clock.pick("resolve", first, last), make=self._resolve)

    def _try(self, moment: Moment) -> Move:
        self.tried = True
        return self._resolve(moment)

    def _resolve(self, _: Moment) -> Move:
        return Move(action=Action.RESOLVE, by=self.me)

    def _answers(self, now: int) -> Iterator[Wish]:
        state, defence = self.table.state, self.plan.defence
        until = state.opened_at + TRACE_S
        if self.table.court.root == ZERO_HASH and now <= until and defence is not Defence.NONE:
            yield Wish(at=self.clock.pick("trace", now, until), make=lambda _: self._trace())
        for (account, target), asked in state.demands.items():
            if asked.due_at == NEVER or now > asked.due_at or not self._answerable(target):
                continue
            at = self.clock.pick((account, target, asked.due_at), now, asked.due_at)
            yield Wish(at=at, make=partial(self._answer, account, target))

    def _answer(self, account: Address, target: Target, _: Moment) -> Move:
        return answer(self.table, account, target, by=self.me)

    def _answerable(self, target: Target) -> bool:
        plan, state = self.plan, self.table.state
        match plan.defence:
            case Defence.FULL:
                return True
            case Defence.TIRED:
                answered = sum(asked.due_at == NEVER for asked in state.demands.values())
                return answered < self.patience and self.table.court.root == plan.story.trace.root
            case Defence.SELECTIVE:
                return target not in plan.story.walk[-1:] and self.table.court.root == plan.story.trace.root
            case _:
                return False

    def _trace(self) -> Move:
        result, trace = self.table.case.result, self.plan.story.trace
        garbage = self.plan.defence is Defence.GARBAGE
        root = GARBAGE if garbage else trace.root
        return Move(
            action=Action.COMMIT_TRACE,
            by=self.me,
            root=root,
            roots=trace.data_roots if self.plan.inline and not garbage else (),
            payload=self.table.arena.sign(replace(result, trace_root=root)),
        )


def answer(table: Table, account: Address, target: Target, *, by: Address) -> Move:
    """The disclosure of what somebody demanded, by the trace that the operator's run has, or by the model."""
    of_model = is_of_model(target[0])
    shown = table.subject.shown_model.show(target) if of_model else table.story.trace.show(target)
    root = table.case.result.model_id if of_model else table.story.trace.root
    return Move(action=Action.DISCLOSE, by=by, account=account, target=target, root=root, payload=shown)


class Challenger:
    """Knows the true run. Challenges a false one, finds the fault, proves it, and takes what it is owed."""

    def __init__(self, table: Table, plan: Plan, rng: Random, *, me: Address, pace: Pace) -> None:
        self.table = table
        self.plan = plan
        self.me = me
        self.clock = Clock(rng=rng, pace=pace)
        self.salt = rng.randbytes(32)
        self.rounds = 0

    def wishes(self) -> Iterator[Wish]:
        table, state, now = self.table, self.table.state, self.table.moment.time
        party = state.parties.get(self.me)
        if party is None:
            yield from self._entrance(now)
        elif state.status is DisputeStatus.OPEN:
            yield from self._attack(party, now)
        elif state.status is DisputeStatus.REFUTED:
            if table.court.takes_over(party):
                yield from self._proof(party, now)
            if not party.claimed:
                at = self.clock.pick("claim", max(now, state.settles_at + 1), max(now, state.settles_at + 100))
                yield Wish(at=at, make=lambda _: Move(action=Action.CLAIM, by=self.me, account=self.me))

    def _entrance(self, now: int) -> Iterator[Wish]:
        state, closes_at = self.table.state, self.table.court.window_closes_at
        if now > closes_at or state.status not in (DisputeStatus.NONE, DisputeStatus.OPEN):
            return
        if self.table.case.request and state.request_status not in (Status.PROPOSED, Status.DISPUTED):
            return
        if state.status is DisputeStatus.NONE and state.convicted_by != ZERO_ADDRESS:
            return
        yield Wish(at=self.clock.pick("enter", now, closes_at), make=self._enter)

    def _enter(self, moment: Moment) -> Move:
        state = self.table.state
        if state.status is DisputeStatus.OPEN:
            bond_wei = state.parties[state.opener].bond_wei
            return Move(action=Action.JOIN, by=self.me, value_wei=bond_wei)
        return opening(self.table, moment, by=self.me)

    def _attack(self, party: Party, now: int) -> Iterator[Wish]:
        table, state = self.table, self.table.state
        silence = self._silence(now)
        if silence is not None:
            yield silence
            return
        if table.court.root == ZERO_HASH:
            return
        if not self._ready():
            yield from self._walk(party, now)
            return
        until = state.ends_at - REVEAL_S
        if party.commitment == ZERO_HASH or now > party.committed_at + REVEAL_S:
            if now <= until:
                yield Wish(at=self.clock.pick(("commit", party.committed_at), now, until), make=self._commit)
            return
        yield from self._proof(party, now)

    def _silence(self, now: int) -> Wish | None:
        """Whoever should have answered and has not is convicted in the first second in which it can be."""
        state = self.table.state
        if self.table.court.root == ZERO_HASH:
            return self._convict(max(now, state.opened_at + TRACE_S + 1), ZERO_ADDRESS, ROOT_TARGET)
        overdue = [(asked.due_at, *key) for key, asked in state.demands.items() if asked.due_at < now]
        if not overdue:
            return None
        _, account, target = min(overdue)
        return self._convict(now, account, target)

    def _convict(self, at: int, account: Address, target: Target) -> Wish:
        move = Move(action=Action.CONVICT_SILENCE, by=self.me, account=account, target=target)
        return Wish(at=at, make=lambda _: move)

    def _missing(self) -> list[Target]:
        """What of the walk nobody has seen yet. A root that is not the run's leads nowhere from its first step."""
        if self.table.court.root != self.plan.story.trace.root:
            return [ROOT_TARGET]
        known = self.table.shown
        told = self.table.roots_told and self.plan.story.guided
        return [each for each in self.plan.story.walk if each not in known and not (told and each[0] == 0)]

    def _ready(self) -> bool:
        if self.table.court.root != self.plan.story.trace.root:
            return False
        return self.plan.served or not self._missing()

    def _walk(self, party: Party, now: int) -> Iterator[Wish]:
        state, missing = self.table.state, self._missing()
        waiting = [asked for (who, _), asked in state.demands.items() if who == self.me and asked.due_at != NEVER]
        # Answered in a block that is gone, demanded again: everything may be waiting already.
        fresh = [each for each in missing if (self.me, each) not in state.demands]
        if waiting:
            yield self._convict(
                min(asked.due_at for asked in waiting) + 1,
                *next(
                    key
                    for key, asked in sorted(state.demands.items(), key=lambda pair: pair[1].due_at)
                    if key[0] == self.me and asked.due_at != NEVER
                ),
            )
        width = 1 if self.plan.story.guided else MAX_OPEN_DEMANDS
        if not fresh or len(waiting) >= width:
            return
        rounds = -(-len(missing) // width)
        until = state.last_demand_at - (rounds - 1) * DISCLOSE_S
        at = self.clock.pick(("demand", fresh[0]), now, max(now, until))
        yield Wish(at=at, make=lambda moment: self._demand(fresh[0], moment))

    def _demand(self, target: Target, moment: Moment) -> Move:
        self.rounds += 1
        return Move(action=Action.DEMAND, by=self.me, target=target, value_wei=demand_price(target[0], moment))

    def _commit(self, moment: Moment) -> Move:
        where = self.plan.story.findings[0].where
        commitment = hidden(self.table.case.result_id, self.me, where, self.salt)
        return Move(action=Action.COMMIT_FAULT, by=self.me, commitment=commitment, where=where, salt=self.salt)

    def _proof(self, party: Party, now: int) -> Iterator[Wish]:
        ripe_at = ripe(self.plan, party)
        last = party.committed_at + REVEAL_S
        if max(now, ripe_at) <= last:
            at = self.clock.pick(("prove", party.committed_at), max(now, ripe_at), last)
            yield Wish(at=at, make=lambda _: proof_of(self.plan, by=self.me, salt=self.salt))


class Friend(Challenger):
    """The operator's other account: knows the fault, parks a commitment to it, and waits for another's proof."""

    renewals = 6

    def _attack(self, party: Party, now: int) -> Iterator[Wish]:
        stale = party.commitment == ZERO_HASH or now > party.committed_at + REVEAL_S
        if self.table.court.root != self.plan.story.trace.root or self.renewals == 0:
            return
        if stale and now <= self.table.state.ends_at - REVEAL_S:
            yield Wish(at=now, make=self._park)
        elif not stale:
            yield Wish(at=party.committed_at + REVEAL_S + 1, make=self._park)

    def _park(self, moment: Moment) -> Move:
        self.renewals -= 1
        return self._commit(moment)


def ripe(plan: Plan, party: Party) -> int:
    """The first second in which a commitment may be revealed."""
    return max(party.committed_at + MATURITY_S, plan.rhythm.first_time_of(party.committed_in + MATURITY_BLOCKS))


def opening(table: Table, moment: Moment, *, by: Address, factor: int = 1) -> Move:
    """A challenge with as many times the smallest bond."""
    bond_wei = least_bond(table.case.value_at_risk_wei, moment) * factor
    signature = table.arena.sign(table.case.result) if table.case.request is None else b""
    return Move(action=Action.OPEN, by=by, value_wei=bond_wei, payload=signature)


def proof_of(plan: Plan, *, by: Address, salt: bytes, number: int = 0) -> Move:
    """A proof about the operator's run."""
    finding = plan.story.findings[number]
    return Move(
        action=Action.PROVE,
        by=by,
        payload=finding.proof,
        where=finding.where,
        statement=finding.statement,
        salt=salt,
        flaws=frozenset() if finding.faulty else frozenset({"FaultNotShown"}),
    )
