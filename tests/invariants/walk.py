"""Random walks through the protocol: which moves there are. What they must do, `Play` knows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from tests.invariants import court
from tests.invariants.moves import move
from tests.invariants.play import Move
from tests.invariants.reference import Ledger
from tests.invariants.walker import Walker
from tests.invariants.world import (
    CALLBACK_GAS,
    INPUTS,
    OFFER,
    PROFILES,
    STAKE_WEI,
    Behaviour,
)
from tests.support.chain import Contract
from tests.support.system import ETHER

from sworn.codec.hashing import failure_digest
from sworn.codec.structs import request_params_to_abi
from sworn.codec.trees import payload_root
from sworn.types import (
    ZERO_ADDRESS,
    Address,
    Assurance,
    Failure,
    FailureCode,
    Request,
    Status,
)

#: Requests that may wait at a time.
CROWD = 6
ALL_FREE = 2**256 - 1

PICKS = st.integers(0, 30)
OPERATORS = st.integers(0, 2)
#: Mostly the first, now and then another.
OUTPUT_PICKS = st.sampled_from([0, 0, 0, 1, 2])
FEES_WEI = st.sampled_from([ETHER // 1000, ETHER // 300, 0])
RISKS_WEI = st.sampled_from([0, ETHER // 20, ETHER // 20, ETHER // 5])
PAUSES_S = st.sampled_from([1, 61, 61, 61, 301, 601, 601, 3000])
#: Which key signs: the operator's own, mostly.
SLIPS = st.sampled_from([0, 0, 0, 0, 0, 1])


class Walk(Walker):
    """Every step is one move; after each the chain is compared with the reference."""

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """The next move, drawn from those that make sense."""
        options = {name: getattr(type(self), name).option for name in self.kinds() if self._makes_sense(name)}
        # The most frequent one first: that is what a failing walk is shortened to.
        ordered = sorted(options.items(), key=lambda item: -item[1].weight)
        weighted = [name for name, option in ordered for _ in range(option.weight)]
        name = data.draw(st.sampled_from(weighted), label="move")
        getattr(self, name)(**data.draw(st.fixed_dictionaries(options[name].drawn), label="with"))

    @classmethod
    def kinds(cls) -> list[str]:
        """Every kind of move."""
        return [name for name in sorted(dir(cls)) if hasattr(getattr(cls, name), "option")]

    def _makes_sense(self, name: str) -> bool:
        return bool(getattr(type(self), name).option.when(self))

    def teardown(self) -> None:
        """Compares the storage that the events rebuild, and leaves the chain as it was."""
        try:
            self.play.check_everything()
        finally:
            self.world.chain.restore(self._mark)

    @invariant()
    def money_is_accounted_for(self) -> None:
        """Every wei is where it belongs."""
        self.play.check_money()

    @invariant()
    def state_is_as_predicted(self) -> None:
        """The contracts have done what the reference did."""
        self.play.check_changes()

    def register_operators(self) -> None:
        """All operators with stake, signer and offers."""
        for index in range(len(self.world.operators)):
            self.register(index, STAKE_WEI)
            self.authorize(index, spare=False)
            for model in range(len(PROFILES)):
                self.offer(index, model, active=True)

    # Requests

    @move(
        weight=8,
        when=lambda self: len(self._in_status(Status.REQUESTED)) < CROWD,
        who=st.sampled_from([0, 1, 2, 3, 4, 4, 5]),
        operator=st.sampled_from([0, 1, 2, 3, 3]),
        model=st.sampled_from([0, 0, 1, 2]),
        source=st.integers(0, 1),
        fee_wei=FEES_WEI,
        risk_wei=RISKS_WEI,
        window_s=st.sampled_from([60, 600]),
        patience_s=st.sampled_from([5000, 5000, 7200, 7200, 100, 7201]),
        provisional=st.booleans(),
        told=st.sampled_from([True, True, False]),
        refund=PICKS,
    )
    def ask(self, **drawn: Any) -> None:
        """An account or a contract asks a named operator, or anyone."""
        consumer = self.world.consumers[drawn["who"] - 1] if drawn["who"] else None
        self._salt += 1
        payees, own = self.world.payees, (consumer or self.world.requester).address
        request = Request(
            model_id=self.world.models[drawn["model"]],
            input_root=payload_root(INPUTS[drawn["source"]]),
            requester=own,
            operator=self._owner(drawn["operator"]).address if drawn["operator"] < len(PROFILES) else ZERO_ADDRESS,
            refund_to=(own, self.world.reentrant.address, payees[drawn["refund"] % len(payees)])[drawn["refund"] % 3],
            fee_wei=drawn["fee_wei"],
            value_at_risk_wei=drawn["risk_wei"],
            callback_gas=CALLBACK_GAS if drawn["told"] else 0,
            window_s=drawn["window_s"],
            deadline=self.world.chain.now + drawn["patience_s"],
            assurance=Assurance(drawn["provisional"]),
            salt=self._salt.to_bytes(32),
        )
        self._send_request(request, consumer)

    @move(when=lambda self: self.play.ledger.requests, pick=PICKS)
    def ask_again(self, pick: int) -> None:
        """The same request is refused, whatever became of the first."""
        request = self._request(pick)
        consumer = next((c for c in self.world.consumers if c.address == request.requester), None)
        self._send_request(request, consumer)

    def _send_request(self, request: Request, consumer: Contract | None) -> None:
        payload = next(payload for payload in INPUTS if payload_root(payload) == request.input_root)
        made = Move(
            contract=self.world.system.oracle,
            function="request",
            arguments=(request_params_to_abi(request), payload),
            by=self.world.requester,
            value_wei=request.fee_wei,
            via=consumer,
        )
        self.play.attempt(made, lambda ledger: ledger.ask(request))

    @move(
        weight=8,
        when=lambda self: self._in_status(Status.REQUESTED),
        pick=PICKS,
        operator=st.sampled_from([None, None, None, 0, 1, 2]),
        output=OUTPUT_PICKS,
        slip=SLIPS,
        traced=SLIPS,
    )
    def propose(self, pick: int, operator: int | None, output: int, slip: int, traced: int) -> None:
        """An operator answers: mostly the right one, with its own key, in time."""
        request = self._waiting(pick)
        answer = self._answer(request, self._answerer(request, operator, pick), output, traced=not traced)
        sworn, signature = self._swear(request, answer, slip=slip)
        predict = partial(Ledger.propose, request=request, answer=answer, signer=sworn.signer)
        if self._oracle("propose", request, answer, signature, predict=predict):
            self.play.answers[self.play.ledger.id_of(request)] = answer

    @move(weight=2, when=lambda self: self._banished(), pick=PICKS, output=OUTPUT_PICKS)
    def propose_barred(self, pick: int, output: int) -> None:
        """A convicted operator answers the same request again."""
        request, operator = self._banished()[pick % len(self._banished())]
        answer = self._answer(request, operator, output)
        sworn, signature = self._swear(request, answer)
        predict = partial(Ledger.propose, request=request, answer=answer, signer=sworn.signer)
        self._oracle("propose", request, answer, signature, predict=predict)

    @move(
        weight=3,
        when=lambda self: self.play.ledger.requests,
        picks=st.lists(PICKS, min_size=1, max_size=4),
        output=OUTPUT_PICKS,
    )
    def propose_many(self, picks: list[int], output: int) -> None:
        """A batch of answers, some of them too late or twice."""
        requests = [self._request(pick) for pick in picks]
        answers = [
            self._answer(request, self._answerer(request, None, pick), output)
            for request, pick in zip(requests, picks, strict=True)
        ]
        sworn = [self._swear(request, answer) for request, answer in zip(requests, answers, strict=True)]
        before = {identity: state.status for identity, state in self.play.ledger.states.items()}
        done = self._oracle(
            "proposeMany",
            requests,
            answers,
            [signature for _, signature in sworn],
            predict=lambda ledger: ledger.propose_many(requests, answers, [one.signer for one, _ in sworn]),
        )
        for request, answer in reversed(list(zip(requests, answers, strict=True))):
            identity = self.play.ledger.id_of(request)
            if done and before[identity] is not Status.PROPOSED is self.play.ledger.states[identity].status:
                self.play.answers[identity] = answer

    @move(
        weight=2,
        when=lambda self: self._in_status(Status.REQUESTED),
        pick=PICKS,
        operator=st.sampled_from([None, None, 0, 1, 2]),
        code=st.sampled_from(FailureCode),
        slip=SLIPS,
    )
    def fail(self, pick: int, operator: int | None, code: FailureCode, slip: int) -> None:
        """An operator refuses to answer."""
        request = self._waiting(pick)
        index = self._answerer(request, operator, pick)
        owner, key = self._owner(index), self.world.signers[(index + slip) % 4]
        failure = Failure(request_id=self._id_of(request), operator=owner.address, code=code)
        signature = key.sign(failure_digest(failure, self.world.system.domain))
        predict = partial(Ledger.fail, request=request, operator=owner.address, code=code, signer=key.address)
        self._oracle("fail", request, owner, code, signature, predict=predict)

    @move(
        weight=5,
        when=lambda self: self._in_status(Status.PROPOSED),
        pick=PICKS,
        other=SLIPS,
        early=SLIPS,
        healed=SLIPS,
    )
    def finalize(self, pick: int, other: int, early: int, healed: int) -> None:
        """A proposed result is finalized, perhaps too early, with another output, or by a consumer that came round."""
        request = self._answered(pick)
        if healed:
            self._heal(request)
        if not early:
            self._close_window(request)
        answer = self._current_answer(request, other=other)
        self._oracle("finalize", request, answer, predict=lambda ledger: ledger.finalize(request, answer))

    @move(weight=3, when=lambda self: self._unheard(), pick=PICKS)
    def finalize_unheard(self, pick: int) -> None:
        """A consumer that missed the provisional result comes round before the final one."""
        request = self._unheard()[pick % len(self._unheard())]
        self._heal(request)
        self._close_window(request)
        answer = self._current_answer(request, other=0)
        self._oracle("finalize", request, answer, predict=lambda ledger: ledger.finalize(request, answer))

    @move(
        weight=3,
        when=lambda self: self.play.answers,
        picks=st.lists(PICKS, min_size=1, max_size=4),
        other=SLIPS,
        early=st.booleans(),
    )
    def finalize_many(self, picks: list[int], other: int, early: bool) -> None:
        """A batch is finalized, with some that are not due or come twice."""
        requests = [self._answered(pick) for pick in picks]
        self._close_window(requests[0], short_s=int(early))
        answers = [self._current_answer(request, other=other) for request in requests]
        self._oracle("finalizeMany", requests, answers, predict=lambda ledger: ledger.finalize_many(requests, answers))

    @move(weight=2, when=lambda self: self._in_status(Status.REQUESTED), pick=PICKS, early=st.booleans())
    def expire(self, pick: int, early: bool) -> None:
        """A request is expired, perhaps too early."""
        request = self._waiting(pick)
        latest = request.deadline + self.play.ledger.states[self._id_of(request)].extension_s
        if not early:
            self._travel(latest + 1)
        self._oracle("expire", request, predict=lambda ledger: ledger.expire(request))

    @move(weight=4, when=lambda self: self._pending(), pick=PICKS, other=SLIPS, healed=st.booleans())
    def retry_callback(self, pick: int, other: int, healed: bool) -> None:
        """A failed callback is repeated, after the consumer has come round or before."""
        pending = self._pending()
        request = self.play.ledger.requests[pending[pick % len(pending)]]
        if healed:
            self._heal(request)
        answer = self._current_answer(request, other=other)
        self._oracle("retryCallback", request, answer, predict=lambda ledger: ledger.retry_callback(request, answer))

    @move(weight=2, consumer=st.integers(0, 2), behaviour=st.sampled_from([1, 1, 2, 3, 0]))
    def behave(self, consumer: int, behaviour: int) -> None:
        """A consumer changes its mind."""
        target = self.world.consumers[consumer]
        target.send("behave", Behaviour(behaviour), by=self.world.requester)
        self.play.behaviours[target.address] = Behaviour(behaviour)

    @move(weight=3, pause_s=PAUSES_S)
    def wait(self, pause_s: int) -> None:
        """Time passes."""
        self.world.chain.travel(to=self.world.chain.now + pause_s)

    def _heal(self, request: Request) -> None:
        consumers = [consumer.address for consumer in self.world.consumers[:3]]
        if request.requester in consumers:
            self.behave(consumers.index(request.requester), Behaviour.ACCEPT)

    # Payments

    @move(weight=3, when=lambda self: self.play.ledger.credits.get(self.world.reentrant.address))
    def withdraw_reentrantly(self) -> None:
        """The consumer that withdraws again while it is paid gets no more than its credit."""
        payee = self.world.reentrant.address
        self._oracle("withdrawFor", payee, predict=partial(self._pay_credit, payee=payee))
        self.play.outcomes["reentrant withdrawal"] += 1

    @move(weight=2, when=lambda self: any(self.play.ledger.credits.values()), pick=PICKS)
    def withdraw(self, pick: int) -> None:
        """A credit is paid out, and nothing is left to be paid a second time."""
        payee = self._payee(pick, self.play.ledger.credits)
        for _ in range(2):
            self._oracle("withdrawFor", payee, predict=partial(self._pay_credit, payee=payee))

    def _pay_credit(self, ledger: Ledger, payee: Address) -> None:
        ledger.withdraw(payee)
        self.play.receive(ledger, payee, error="PaymentFailed", guarded=True)

    @move(weight=2, when=lambda self: any(self.play.ledger.rewards.values()), pick=PICKS)
    def withdraw_reward(self, pick: int) -> None:
        """A reward is paid out, and nothing is left to be paid a second time."""
        payee = self._payee(pick, self.play.ledger.rewards)
        game = self.world.system.dispute_game
        for _ in range(2):
            made = Move(contract=game, function="withdrawFor", arguments=(payee,), by=self.world.relayers[0])
            self.play.attempt(made, partial(self._pay_reward, payee=payee))

    def _pay_reward(self, ledger: Ledger, payee: Address) -> None:
        court.withdraw_reward(ledger, payee)
        self.play.receive(ledger, payee, error="RewardTransferFailed", guarded=False)

    @move(weight=2, when=lambda self: self._earners(), operator=OPERATORS, pick=PICKS)
    def withdraw_earnings(self, operator: int, pick: int) -> None:
        """An operator takes its fees, to wherever it likes."""
        payee = self.world.payees[pick % len(self.world.payees)]
        # Mostly one that has earned something.
        owner = self._owner(operator if pick % 8 == 7 else self._earners()[operator % len(self._earners())])

        def pay(ledger: Ledger) -> None:
            ledger.withdraw_earnings(owner.address)
            self.play.receive(ledger, payee, error="PaymentFailed", guarded=True)

        self._registry("withdrawEarnings", payee, by=owner, predict=pay)

    # Operators

    @move(operator=OPERATORS, value_wei=st.sampled_from([STAKE_WEI, STAKE_WEI // 20, 0]))
    def register(self, operator: int, value_wei: int) -> None:
        """An operator registers, or comes back."""
        owner = self._owner(operator)
        predict = partial(Ledger.register, operator=owner.address, value_wei=value_wei)
        self._registry("register", "", by=owner, value_wei=value_wei, predict=predict)

    @move(operator=OPERATORS, value_wei=st.sampled_from([STAKE_WEI // 2, STAKE_WEI, 1, 0]))
    def add_stake(self, operator: int, value_wei: int) -> None:
        """Anyone adds to an operator's stake."""
        owner = self._owner(operator)
        predict = partial(Ledger.add_stake, operator=owner.address, value_wei=value_wei)
        self._registry("addStake", owner, by=self.world.relayers[0], value_wei=value_wei, predict=predict)

    @move(operator=OPERATORS, spare=st.booleans())
    def authorize(self, operator: int, spare: bool) -> None:
        """An operator authorises its key, or the spare one; the honest operator gives its name to nobody else."""
        owner, key = self._owner(operator), self._key(operator, spare)
        predict = partial(Ledger.authorize, operator=owner.address, signer=key.address)
        self._registry("authorizeSigner", key, by=owner, predict=predict)

    @move(operator=OPERATORS, spare=st.booleans())
    def revoke(self, operator: int, spare: bool) -> None:
        """An operator revokes a key."""
        owner, key = self._owner(operator), self._key(operator, spare)
        predict = partial(Ledger.revoke, operator=owner.address, signer=key.address)
        self._registry("revokeSigner", key, by=owner, predict=predict)

    @move(operator=OPERATORS, model=OPERATORS, active=st.sampled_from([True, True, False]))
    def offer(self, operator: int, model: int, active: bool) -> None:
        """An operator posts or withdraws an offer."""
        owner, model_id = self._owner(operator), self.world.models[model]
        terms = replace(OFFER, active=active)
        predict = partial(Ledger.offer, operator=owner.address, model_id=model_id, offer=terms)
        self._registry("setOffer", model_id, terms, by=owner, predict=predict)

    @move(
        weight=2,
        operator=OPERATORS,
        amount_wei=st.sampled_from([ALL_FREE, ALL_FREE, ALL_FREE, STAKE_WEI // 2, STAKE_WEI, 1, 0]),
    )
    def unbond(self, operator: int, amount_wei: int) -> None:
        """An operator starts to take stake out."""
        owner = self._owner(operator)
        predict = partial(Ledger.unbond, operator=owner.address, amount_wei=amount_wei)
        self._registry("unbond", amount_wei, by=owner, predict=predict)

    @move(when=lambda self: self._leavers(), operator=OPERATORS)
    def cancel_unbonding(self, operator: int) -> None:
        """An operator stays."""
        owner = self._owner(self._leavers()[operator % len(self._leavers())])
        predict = partial(Ledger.cancel_unbonding, operator=owner.address)
        self._registry("cancelUnbonding", by=owner, predict=predict)

    @move(
        weight=3,
        when=lambda self: self._leavers(),
        operator=OPERATORS,
        pick=PICKS,
        late=st.sampled_from([True, True, False]),
    )
    def withdraw_stake(self, operator: int, pick: int, late: bool) -> None:
        """An operator takes its stake out, now or as soon as it may; mostly one that has asked for it."""
        payee = self.world.payees[pick % len(self.world.payees)]
        owner = self._owner(operator if pick % 8 == 7 else self._leavers()[operator % len(self._leavers())])
        release_at = self.play.ledger.operators[owner.address].release_at
        if late:
            self._travel(release_at)

        def pay(ledger: Ledger) -> None:
            ledger.withdraw_stake(owner.address)
            self.play.receive(ledger, payee, error="TransferFailed", guarded=False)

        self._registry("withdrawStake", payee, by=owner, predict=pay)
