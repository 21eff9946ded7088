"""One dispute on the chain beside its reference: every move is foretold, made, and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from tests.games.arena import BURN_ADDRESS, Arena
from tests.games.calls import call_of
from tests.games.effects import Court
from tests.games.facts import facts
from tests.games.model import Case, Party, State, demand_price, gas_price
from tests.games.moves import ANY, Action, Moment, Move
from tests.games.purse import Purse
from tests.games.subjects import Story, Subject
from tests.support.artifacts import Reverted

from sworn.types import ZERO_ADDRESS, Address, Answer, DisputeStatus, Request


class Violation(AssertionError):
    """The contracts did something else than the rules say."""


#: Where in a dispute it says what the proof cost.
_COST_WORD: Final = 10
#: Moves after which everybody's money is looked at.
_SWEEPING: Final = (
    *(Action.PROVE, Action.CONVICT_SILENCE, Action.RESOLVE, Action.EQUIVOCATE, Action.SLASH_USE, Action.COLLECT),
    *(Action.DISCLOSE, Action.FINALIZE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point to which a reorganisation goes back."""

    snapshot: object
    state: State
    purse: Purse
    received: Counter[Address]
    moment: Moment


class Table:
    """A dispute and everything that may be passed to it."""

    def __init__(self, arena: Arena, *, case: Case, story: Story, subject: Subject, state: State, purse: Purse) -> None:
        self.arena = arena
        self.story = story
        self.subject = subject
        self.court = Court(case, state, purse)
        self.moment = Moment(time=0, number=0, base_fee_wei=0)
        self.log: list[str] = []
        #: By the last move.
        self.gas_used = 0
        self.facts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        #: Everything that has ever been shown, also in blocks that are gone: nobody forgets.
        self.shown: set[Any] = set()
        self.roots_told = False
        #: The operator's answer to itself.
        self.shelter: tuple[Request, Answer] | None = None
        #: What everybody has taken out.
        self.received: Counter[Address] = Counter()
        self._burnt_before = arena.node.balance(BURN_ADDRESS)
        self._payees = {case.result.operator, arena.victim, arena.stranger}

    @property
    def case(self) -> Case:
        """What is disputed."""
        return self.court.case

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.court.state

    @property
    def purse(self) -> Purse:
        """Whose money is where."""
        return self.court.purse

    def go_to(self, moment: Moment) -> None:
        """Time passes."""
        self.moment = moment
        self.arena.move_to(moment)

    def mark(self) -> Mark:
        """Marks the present state."""
        state, purse = deepcopy(self.state), deepcopy(self.purse)
        return Mark(
            snapshot=self.arena.node.snapshot(),
            state=state,
            purse=purse,
            received=self.received.copy(),
            moment=self.moment,
        )

    def restore(self, mark: Mark) -> None:
        """Goes back to a mark, which is used up."""
        self.arena.node.restore(mark.snapshot)
        self.court.state, self.court.purse = mark.state, mark.purse
        self.received = mark.received
        self.go_to(mark.moment)
        self.log.append(f"{mark.moment.time} -- reorganisation")
        self.facts["reorganisation"] += 1

    def make(self, move: Move) -> bool:
        """Makes a move, allowed or not: whether it was. Raises `Violation`."""
        self._payees |= {move.by} | ({move.account} - {ZERO_ADDRESS})
        refusals = self.court.refusals(move, self.moment)
        self.gas_used, error = self._send(move)
        said = f"{self.moment.time} {move} -> {error or 'done'}"
        self.log.append(said)
        if not _agree(refusals, error):
            raise Violation(f"{said}, but the rules say {sorted(refusals) or 'yes'}")
        if error is not None:
            self.refused[error] += 1
            return False
        self.facts.update(facts(self.court, move, self.moment))
        if move.action is Action.DEMAND and move.value_wei > demand_price(move.target[0], self.moment):
            self.facts["money sent beyond a price"] += 1
        if move.action is Action.WITHDRAW:
            self.received[move.account] += self.purse.credits[move.account]
        self.court.apply(move, self.moment)
        if move.action is Action.DISCLOSE:
            self.shown.add(move.target)
        self.roots_told |= move.action is Action.COMMIT_TRACE and bool(move.roots)
        if move.action is Action.PROVE:
            self._note_cost(self.gas_used)
        self.compare(move)
        return True

    def _send(self, move: Move) -> tuple[int, str | None]:
        contract, function, arguments = call_of(self.arena, self.case, self.story.output, move)
        try:
            receipt = self.arena.run(contract, function, *arguments, by=move.by, value_wei=_payment(move))
        except Reverted as error:
            return 0, error.name
        return receipt.gas_used, None

    def _note_cost(self, gas_used: int) -> None:
        """What a proof cost depends on gas, so the chain says it; it must be near what the transaction used."""
        cost_gwei = int.from_bytes(self._of_game("disputeOf")[32 * _COST_WORD :][:32])
        expected_gwei = gas_used * gas_price(self.moment) // 10**9
        if not 0.7 * expected_gwei <= cost_gwei <= 1.5 * expected_gwei:
            raise Violation(f"a proof that cost {expected_gwei} gwei was noted with {cost_gwei}")
        self.state.proof_cost_gwei = cost_gwei

    # Comparing

    def compare(self, move: Move) -> None:
        """Everything that the move could have touched is as the rules say. Raises `Violation`."""
        for what, seen, expected in self._readings(move):
            if seen != expected:
                raise Violation(f"after {move}, {what} is {_shown(seen)}, not {_shown(expected)}")

    def _readings(self, move: Move) -> Iterator[tuple[str, bytes, bytes]]:
        """What is compared, as words."""
        state, purse, arena = self.state, self.purse, self.arena
        system = arena.scene.system
        is_open = state.status is DisputeStatus.OPEN
        yield "the dispute", self._of_game("disputeOf"), _words(*self._expected_dispute())
        yield "being open", self._of_game("isOpen"), _words(is_open)
        yield "the balance", _words(arena.node.balance(arena.game.address)), _words(purse.held_wei)
        burnt_wei = arena.node.balance(BURN_ADDRESS) - self._burnt_before
        yield "what is burnt", _words(burnt_wei), _words(purse.burnt_wei)
        account = arena.words(system.operator_registry, "accountOf", self.case.result.operator)
        yield "the stake", account[32:96], _words(purse.stake_wei, purse.locked_wei)
        yield from self._readings_of_parties(move)
        if move.action is Action.DEMAND:
            asked = state.demands[move.by, move.target]
            identity = self._of_game("demandIdOf", move.by, move.target)
            yield "the demand", arena.words(arena.game, "demandOf", identity), _words(asked.due_at, asked.price_wei)
        if self.case.request:
            status = arena.words(system.oracle, "stateOf", self.case.result.request_id)[:32]
            yield "the request", status, _words(state.request_status)
            refund = arena.words(system.oracle, "creditOf", self.case.victim)
            yield "the refund", refund, _words(purse.refunds.get(self.case.victim, 0))
        else:
            yield "who convicted", self._of_game("convictedBy"), _words(state.convicted_by)

    def _readings_of_parties(self, move: Move) -> Iterator[tuple[str, bytes, bytes]]:
        state, arena = self.state, self.arena
        touched = self._payees
        if move.action not in _SWEEPING:
            touched = {move.by, move.account, state.prover} & self._payees
        for account in sorted(touched):
            credit_wei = self.purse.credits.get(account, 0)
            yield f"credit of {account}", arena.words(arena.game, "rewardOf", account), _words(credit_wei)
            if account in state.parties:
                expected = _words(*_party(state.parties[account]))
                yield f"party {account}", self._of_game("challengerOf", account), expected

    def _of_game(self, view: str, *arguments: Any) -> bytes:
        return self.arena.words(self.arena.game, view, self.case.result_id, *arguments)

    def _expected_dispute(self) -> tuple[int | str | bytes, ...]:
        state = self.state
        opener = state.parties.get(state.opener)
        joined_wei = state.bonds_wei - (opener.bond_wei if opener else 0)
        opening = (state.status, state.opened_at, state.closes_at, state.opener)
        rest = (joined_wei, state.spent_wei, state.open_demands, state.trace_root, state.prover)
        return *opening, *rest, state.committed_at, state.proof_cost_gwei, state.reward_wei


def _agree(refusals: set[str], error: str | None) -> bool:
    if error is None:
        return not refusals
    return error in refusals or ANY in refusals


def _payment(move: Move) -> int:
    return move.value_wei if move.action in (Action.OPEN, Action.JOIN, Action.DEMAND) else 0


def _party(party: Party) -> tuple[int | bytes, ...]:
    money = (party.bond_wei, party.locked_wei, party.spent_wei)
    return *money, party.commitment, party.committed_at, party.committed_in, party.open_demands, party.claimed


def _words(*values: int | str | bytes) -> bytes:
    """Values as the ABI encodes them where nothing is dynamic; addresses are text."""
    return b"".join(_word(value) for value in values)


def _word(value: int | str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    return (int(value, 16) if isinstance(value, str) else int(value)).to_bytes(32)


def _shown(words: bytes) -> str:
    return ", ".join(f"{int.from_bytes(words[place : place + 32]):#x}" for place in range(0, len(words), 32))
