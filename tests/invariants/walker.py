"""What every walk needs: a place to begin, picking what a move is about, and signing what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine
from tests.invariants.play import Move, Play
from tests.invariants.reference import Sworn
from tests.invariants.world import OUTPUTS
from tests.support.accounts import Account

from sworn.codec.hashing import result_digest
from sworn.types import ZERO_HASH, Address, Answer, Profile, Request, RequestId, Result, Status

#: The operator that never swears two different things.
HONEST = 2
#: Index of the key that an operator may authorise beside its own.
SPARE = 3


class Walker(RuleBasedStateMachine):
    """A walk without moves."""

    def __init__(self, stage: Play) -> None:
        super().__init__()
        self.world = stage.world
        self.play = stage.fork()
        self._mark = self.world.chain.snapshot()
        self._salt = 0

    # Picking

    def _owner(self, operator: int) -> Account:
        return self.world.operators[operator]

    def _key(self, operator: int, spare: bool) -> Account:
        return self.world.signers[SPARE if spare and operator != HONEST else operator]

    def _id_of(self, request: Request) -> RequestId:
        return RequestId(self.play.ledger.id_of(request))

    def _request(self, pick: int) -> Request:
        requests = list(self.play.ledger.requests.values())
        return requests[pick % len(requests)]

    def _in_status(self, status: Status) -> list[Request]:
        ledger = self.play.ledger
        return [request for identity, request in ledger.requests.items() if ledger.states[identity].status is status]

    def _banished(self) -> list[tuple[Request, int]]:
        """Waiting requests with an operator that may not answer them."""
        barred = self.play.ledger.barred
        return [
            (request, index)
            for request in self._in_status(Status.REQUESTED)
            for index, owner in enumerate(self.world.operators)
            if (self._id_of(request), owner.address) in barred
        ]

    def _waiting(self, pick: int) -> Request:
        # Now and then any request, so that what comes too late is tried too.
        waiting = self._in_status(Status.REQUESTED)
        return self._request(pick) if pick % 8 == 7 else waiting[pick % len(waiting)]

    def _answered(self, pick: int) -> Request:
        open_ones = [request for request in self._in_status(Status.PROPOSED) if pick % 8 != 7]
        if open_ones:
            return open_ones[pick % len(open_ones)]
        identities = list(self.play.answers)
        return self.play.ledger.requests[identities[pick % len(identities)]]

    def _unheard(self) -> list[Request]:
        """Proposed requests whose consumer has missed the provisional result."""
        states = self.play.ledger.states
        return [request for request in self._in_status(Status.PROPOSED) if states[self._id_of(request)].pending]

    def _pending(self) -> list[bytes]:
        states = self.play.ledger.states
        return [identity for identity in self.play.ledger.requests if states[identity].pending]

    def _earners(self) -> list[int]:
        accounts = self.play.ledger.operators
        return [index for index, owner in enumerate(self.world.operators) if accounts[owner.address].earned_wei]

    def _leavers(self) -> list[int]:
        accounts = self.play.ledger.operators
        return [index for index, owner in enumerate(self.world.operators) if accounts[owner.address].unbonding_wei]

    def _payee(self, pick: int, amounts: dict[Address, int]) -> Address:
        owed = [payee for payee in self.world.payees if amounts.get(payee)] if pick % 8 != 7 else []
        payees = owed or self.world.payees
        return payees[pick % len(payees)]

    def _answerer(self, request: Request, operator: int | None, pick: int) -> int:
        if operator is not None:
            return operator
        owners = [owner.address for owner in self.world.operators]
        return owners.index(request.operator) if request.operator in owners else pick % len(owners)

    def _answer(self, request: Request, operator: int, output: int, *, traced: bool = True) -> Answer:
        honest = operator == HONEST
        bounded = self.world.profiles[request.model_id] is Profile.BOUNDED
        return Answer(
            operator=self._owner(operator).address,
            trace_root=b"\x01" * 32 if bounded and (traced or honest) else ZERO_HASH,
            output=OUTPUTS[0 if honest else output],
        )

    def _current_answer(self, request: Request, *, other: int) -> Answer:
        answer = self.play.answers.get(self._id_of(request)) or self._answer(request, 0, 0)
        return replace(answer, output=OUTPUTS[OUTPUTS.index(answer.output) - 1]) if other else answer

    # Swearing and moving

    def _travel(self, to: int) -> None:
        self.world.chain.travel(to=max(self.world.chain.now, to))

    def _close_window(self, request: Request, *, short_s: int = 0) -> None:
        """Goes to the first second after a window; ``short_s`` before it."""
        state = self.play.ledger.states[self._id_of(request)]
        if state.status is Status.PROPOSED:
            self._travel(state.proposed_at + request.window_s + 1 - short_s)

    def _swear(self, request: Request, answer: Answer, *, slip: int = 0) -> tuple[Sworn, bytes]:
        return self._sign(self.play.ledger.result_of(request, answer), request, slip=slip)

    def _sign(self, result: Result, request: Request | None, *, slip: int = 0) -> tuple[Sworn, bytes]:
        operator = [owner.address for owner in self.world.operators].index(result.operator)
        key = self.world.signers[(operator + slip) % len(self.world.signers)]
        sworn = Sworn(result=result, signer=key.address, request=request)
        return sworn, key.sign(result_digest(result, self.world.system.domain))

    def _oracle(self, function: str, *arguments: Any, predict: Any) -> bool:
        oracle, relayer = self.world.system.oracle, self.world.relayers[0]
        return self.play.attempt(Move(contract=oracle, function=function, arguments=arguments, by=relayer), predict)

    def _registry(self, function: str, *arguments: Any, by: Account, predict: Any, value_wei: int = 0) -> bool:
        registry = self.world.system.operator_registry
        made = Move(contract=registry, function=function, arguments=arguments, by=by, value_wei=value_wei)
        return self.play.attempt(made, predict)
