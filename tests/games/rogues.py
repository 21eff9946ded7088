"""Who does anything: griefers, copycats, friends of the operator, strangers, all a second too early or too late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Final

from tests.games.deal import Plan
from tests.games.model import DISCLOSE_S, NEVER, REVEAL_S, TRACE_S, demand_price, exists
from tests.games.moves import ANY, Action, Moment, Move, hidden
from tests.games.players import Wish, answer, opening, proof_of, ripe
from tests.games.shown_model import is_of_model
from tests.games.table import Table
from tests.support.court import MATURITY_S, ROOT_TARGET, Target
from tests.support.system import ETHER

from sworn.types import ZERO_HASH, Address, DisputeStatus, Part

#: What a rogue tries, and how often, while a dispute is open, and at other times.
_TRICKS: Final = {
    Action.OPEN: 3,
    Action.JOIN: 4,
    Action.COMMIT_TRACE: 2,
    Action.DEMAND: 6,
    Action.DISCLOSE: 3,
    Action.COMMIT_FAULT: 4,
    Action.PROVE: 5,
    Action.CONVICT_SILENCE: 4,
    Action.RESOLVE: 3,
    Action.CLAIM: 2,
    Action.WITHDRAW: 2,
    Action.SLASH_USE: 2,
    Action.COLLECT: 1,
    Action.RELEASE: 1,
    Action.FINALIZE: 1,
    Action.EXPIRE: 1,
    Action.PROPOSE: 1,
}
_OFFCHAIN_ONLY: Final = (Action.SLASH_USE, Action.COLLECT, Action.RELEASE)
_ONCHAIN_ONLY: Final = (Action.FINALIZE, Action.EXPIRE, Action.PROPOSE)


class Rogue:
    """Makes so many moves without a plan, most of them near the edge of some clock."""

    def __init__(
        self, table: Table, plan: Plan, rng: Random, *, me: Address, moves: int, eager: bool, opens_by: int = 1 << 40
    ) -> None:
        self.table = table
        self.plan = plan
        self.rng = rng
        self.me = me
        self.left = moves
        self.eager = eager
        self.opens_by = opens_by
        self.salt = rng.randbytes(32)
        self._next_at: int | None = None

    def wishes(self) -> Iterator[Wish]:
        if self.left == 0:
            return
        now = self.table.moment.time
        if self._next_at is None or self._next_at < now:
            self._next_at = self._pick_time(now)
        yield Wish(at=self._next_at, make=self._make)

    def _pick_time(self, now: int) -> int:
        if self.eager and self.table.state.status is DisputeStatus.NONE:
            return self.rng.choice([now, max(now, min(self.opens_by, self.table.court.window_closes_at))])
        later = [edge + step for edge in self._edges() for step in (-1, 0, 1) if edge + step >= now]
        soon = [now, now, now + 1, now + MATURITY_S, now + self.rng.randrange(1, 4000)]
        # The nearest edges first, so that the dispute is still about something.
        return self.rng.choice(soon + sorted(later)[:4])

    def _edges(self) -> Iterator[int]:
        state = self.table.state
        yield self.table.court.window_closes_at
        if state.status is DisputeStatus.NONE:
            return
        yield from (state.opened_at + TRACE_S, state.last_demand_at, state.ends_at, state.ends_at - REVEAL_S)
        yield state.last_demand_at + DISCLOSE_S
        yield from (asked.due_at for asked in state.demands.values() if asked.due_at != NEVER)
        if state.settles_at:
            yield state.settles_at
        for party in state.parties.values():
            if party.commitment != ZERO_HASH:
                yield from (ripe(self.plan, party), party.committed_at + MATURITY_S, party.committed_at + REVEAL_S)

    def _make(self, moment: Moment) -> Move:
        self.left -= 1
        self._next_at = None
        return self._trick(self._choose(), moment)

    def _choose(self) -> Action:
        """Mostly what might work now, now and then anything."""
        state = self.table.state
        if state.status is DisputeStatus.NONE and self.eager:
            return Action.OPEN
        wrong = _ONCHAIN_ONLY if self.table.case.request is None else _OFFCHAIN_ONLY
        fitting = [action for action in self._fitting() if action not in wrong]
        if fitting and self.rng.random() < 0.8:
            return self.rng.choice(fitting)
        tricks = [action for action in _TRICKS if action not in wrong]
        if self.plan.equivocates:
            tricks.append(Action.EQUIVOCATE)
        weights = [_TRICKS.get(action, 6) for action in tricks]
        return self.rng.choices(tricks, weights)[0]

    def _fitting(self) -> list[Action]:
        state = self.table.state
        party = state.parties.get(self.me)
        committed = party is not None and party.commitment != ZERO_HASH
        match state.status:
            case DisputeStatus.NONE:
                return [Action.OPEN, Action.OPEN, Action.FINALIZE, Action.RELEASE]
            case DisputeStatus.REFUTED:
                after = [Action.CLAIM, Action.CLAIM, Action.SLASH_USE, Action.COLLECT, Action.PROPOSE, Action.EXPIRE]
                return [*after, Action.WITHDRAW, *([Action.PROVE] * 3 if committed else [])]
            case DisputeStatus.UPHELD:
                return [Action.WITHDRAW, Action.FINALIZE, Action.RELEASE, Action.CLAIM, Action.OPEN]
        now = self.table.moment.time
        if party is None:
            return [Action.JOIN] * 3 if now <= state.closes_at else [Action.CONVICT_SILENCE, Action.RESOLVE]
        traceless = self.table.court.root == ZERO_HASH
        found = [Action.COMMIT_FAULT, Action.CONVICT_SILENCE, *([Action.PROVE] * 3 if committed else [])]
        found += [Action.COMMIT_TRACE] if traceless else [Action.DEMAND] * 3
        found += [Action.DISCLOSE] if state.open_demands else []
        return found + [Action.RESOLVE] * (4 if now >= state.ends_at - 1 else 1)

    def _trick(self, action: Action, moment: Moment) -> Move:
        match action:
            case Action.OPEN:
                return self._open(moment)
            case Action.JOIN:
                return self._join(moment)
            case Action.COMMIT_TRACE:
                return self._commit_trace()
            case Action.DEMAND:
                return self._demand(moment)
            case Action.DISCLOSE:
                return self._disclose()
            case Action.COMMIT_FAULT:
                return self._commit_fault()
            case Action.PROVE:
                return self._prove()
            case Action.CONVICT_SILENCE:
                account, target = self._some_demand()
                other = self.rng.random() < 0.1
                return Move(action=action, by=self.me, account=account, target=target, other_request=other)
            case Action.RESOLVE:
                return Move(action=action, by=self.me, other_request=self.rng.random() < 0.1)
            case _:
                return Move(action=action, by=self.me, account=self._somebody())

    def _somebody(self) -> Address:
        state = self.table.state
        everyone = [*state.parties, *state.uses, *self.table.purse.credits, self.me, self.table.arena.stranger]
        return self.rng.choice(everyone)

    def _open(self, moment: Moment) -> Move:
        made = opening(self.table, moment, by=self.me, factor=self.rng.choice([1, 1, 1, 2, 4]))
        slip_wei = self.rng.choice([0, 0, 0, 0, 0, 0, -1, 1])
        if self.table.case.request is None and self.rng.random() < 0.05:
            forged = self.table.arena.forge(self.table.case.result)
            return replace(made, payload=forged, flaws=frozenset({"SignerNotAuthorized"}))
        return replace(made, value_wei=made.value_wei + slip_wei)

    def _join(self, moment: Moment) -> Move:
        state = self.table.state
        opener = state.parties.get(state.opener)
        bond_wei = opener.bond_wei if opener else ETHER
        extra_wei = self.rng.choice([0, 0, 0, -1, 1, bond_wei, 10 * bond_wei])
        return Move(action=Action.JOIN, by=self.me, value_wei=bond_wei + extra_wei)

    def _commit_trace(self) -> Move:
        """A root of one's own choice, or the right one in somebody else's hand."""
        result, trace = self.table.case.result, self.table.story.trace
        root = self.rng.choice([trace.root, b"\x66" * 32])
        sworn = replace(result, trace_root=root)
        return Move(
            action=Action.COMMIT_TRACE,
            by=self.me,
            root=root,
            roots=trace.data_roots if root == trace.root and self.rng.random() < 0.5 else (),
            payload=self.table.arena.forge(sworn),
            flaws=frozenset({"SignerNotAuthorized"}),
        )

    def _demand(self, moment: Moment) -> Move:
        target = self._target()
        price_wei = demand_price(target[0], moment)
        paid_wei = self.rng.choice([price_wei, price_wei, price_wei, price_wei - 1, 3 * price_wei, ETHER])
        return Move(action=Action.DEMAND, by=self.me, target=target, value_wei=paid_wei)

    def _target(self) -> Target:
        """Things that are there, things that are not, and things that cannot be."""
        trace = self.table.story.trace
        if self.plan.story.walk and self.rng.random() < 0.3:
            return self.rng.choice(self.plan.story.walk)
        value = self.rng.choice([0, 1, len(trace.values) - 1, len(trace.values), 2**32 - 1])
        index = self.rng.choice([0, 0, 1, 7, 2**32 - 1])
        part = self.rng.choice(list(Part))
        level = self.rng.choice([0, 0, 1, 4, 5, 32, 33])
        target: Target = part, value, level, index
        if not exists(target) and self.rng.random() < 0.9:
            target = part, 0, 0, 0 if part is Part.INTERFACE else index
        return target

    def _some_demand(self) -> tuple[Address, Target]:
        demands = list(self.table.state.demands)
        return self.rng.choice(demands) if demands and self.rng.random() < 0.9 else (self.me, ROOT_TARGET)

    def _disclose(self) -> Move:
        """Relays the answer if it is anybody's to give, or shows something else."""
        account, target = self._some_demand()
        made = answer(self.table, account, target, by=self.me)
        if (self.plan.story.false and not self.plan.insiders) or self.rng.random() < 0.5:
            return replace(made, payload=self._garbled(made), flaws=frozenset({"DisclosureMismatch"}))
        return made

    def _garbled(self, made: Move) -> bytes:
        """The same answer about one value more, or, where the model is shown, about another model."""
        if not is_of_model(made.target[0]):
            return self.table.story.trace.show(made.target, values=len(self.table.story.trace.values) + 1)
        # The second half of the artifact's hash.
        return made.payload[:80] + b"\x77" * 16 + made.payload[96:]

    def _commit_fault(self) -> Move:
        """Parks a commitment, copies somebody's, or commits to nothing."""
        findings, identity = self.plan.story.findings, self.table.case.result_id
        copied = [party.commitment for party in self.table.state.parties.values() if party.commitment != ZERO_HASH]
        finding = self.rng.choice(findings)
        choices = [hidden(identity, self.me, finding.where, self.salt)] * 4 + copied[:1] + [ZERO_HASH]
        return Move(action=Action.COMMIT_FAULT, by=self.me, commitment=self.rng.choice(choices), where=finding.where)

    def _prove(self) -> Move:
        """One's own finding, another's, a cut one, or one about another run."""
        number = self._committed()
        made = proof_of(self.plan, by=self.me, salt=self.salt, number=number)
        match self.rng.randrange(8):
            case 0:
                return replace(made, salt=b"\x01" * 32)
            case 1:
                return replace(made, payload=made.payload[: self.rng.randrange(338, 400)], flaws=frozenset({ANY}))
            case 2:
                return replace(made, payload=made.payload[:336], flaws=frozenset({"ProofTooShort"}), where=(0, 0, 0))
            case 3:
                return replace(made, other_request=True)
            case 4:
                other = self.rng.choice([each for each in self.plan.subject.lies if each is not self.plan.story])
                finding = other.findings[0]
                return replace(made, payload=finding.proof, where=finding.where, statement=finding.statement)
            case _:
                return made

    def _committed(self) -> int:
        """The finding that one has committed to, if it is one's own."""
        party, identity = self.table.state.parties.get(self.me), self.table.case.result_id
        for number, finding in enumerate(self.plan.story.findings):
            if party and party.commitment == hidden(identity, self.me, finding.where, self.salt):
                return number
        return self.rng.randrange(len(self.plan.story.findings))


class Flooder(Rogue):
    """Demands as many things at once as it may, and one more."""

    def wishes(self) -> Iterator[Wish]:
        waits = self.me in self.table.state.parties and self.table.court.root == ZERO_HASH
        return iter(()) if waits else super().wishes()

    def _choose(self) -> Action:
        state = self.table.state
        if state.status is DisputeStatus.NONE:
            return Action.OPEN
        return Action.DEMAND if self.me in state.parties else Action.JOIN

    def _pick_time(self, now: int) -> int:
        return now

    def _demand(self, moment: Moment) -> Move:
        target: Target = Part.VALUES, 0, self.left % 33, self.left
        return Move(action=Action.DEMAND, by=self.me, target=target, value_wei=demand_price(Part.VALUES, moment))
