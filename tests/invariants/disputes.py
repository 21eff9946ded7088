"""The moves of a walk that put stake at risk: off-chain results and convictions."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from hypothesis import strategies as st
from tests.invariants import court
from tests.invariants.moves import move
from tests.invariants.play import Move, Play
from tests.invariants.reference import Ledger, Sworn
from tests.invariants.walk import OPERATORS, OUTPUT_PICKS, PICKS, SLIPS, Walk
from tests.invariants.walker import HONEST
from tests.invariants.world import INPUTS, OUTPUTS
from tests.support.chain import Statement
from tests.support.court import NO_REQUEST
from tests.support.system import ETHER

from sworn.codec.hashing import result_digest
from sworn.codec.trees import payload_root
from sworn.types import ZERO_HASH, Address, Request, RequestId, Result, Status

#: What a statement is about.
ASKED, OFFCHAIN, NEVER_ASKED = range(3)
SUBJECTS = st.sampled_from([ASKED, ASKED, ASKED, OFFCHAIN, OFFCHAIN, NEVER_ASKED])


class FullWalk(Walk):
    """A walk with all moves."""

    def __init__(self, stage: Play) -> None:
        super().__init__(stage)
        #: Off-chain results that have been used, and pairs that have been proven.
        self._used: list[tuple[Sworn, bytes]] = []
        self._proven: list[tuple[tuple[Sworn, bytes], tuple[Sworn, bytes]]] = []

    # Off-chain results

    @move(
        weight=4,
        operator=OPERATORS,
        model=st.sampled_from([0, 0, 0, 0, 1, 2]),
        source=st.integers(0, 1),
        output=OUTPUT_PICKS,
        life_s=st.sampled_from([500, 500, 500, 7200, 7200, 0, 7201]),
        risk_wei=st.sampled_from([0, ETHER // 100, ETHER // 100, ETHER // 20, ETHER // 5]),
        consumer=st.integers(0, 1),
        victim=PICKS,
        again=st.booleans(),
        slip=SLIPS,
        pick=PICKS,
    )
    def use(self, **drawn: Any) -> None:
        """A consumer uses an off-chain result, a new one or one that was used before."""
        if drawn["again"] and self._used:
            sworn, signature = self._used[drawn["pick"] % len(self._used)]
        else:
            result = self._offchain_result(drawn["operator"], drawn["model"], drawn["source"], drawn["output"])
            expiry = self.world.chain.now + drawn["life_s"]
            sworn, signature = self._sign(replace(result, expiry=expiry), None, slip=drawn["slip"])
        output = next(output for output in OUTPUTS if payload_root(output) == sworn.result.output_root)
        consumer = self.world.consumers[drawn["consumer"]]
        victim = self.world.payees[drawn["victim"] % len(self.world.payees)]
        made = Move(
            contract=self.world.system.signed_results,
            function="use",
            arguments=(sworn.result, output, signature, drawn["risk_wei"], victim),
            by=self.world.requester,
            via=consumer,
        )
        predict = partial(
            Ledger.use,
            sworn=sworn,
            output=output,
            value_at_risk_wei=drawn["risk_wei"],
            consumer=consumer.address,
            victim=victim,
        )
        if self.play.attempt(made, predict):
            self._used.append((sworn, signature))

    @move(weight=2, when=lambda self: self.play.ledger.used, pick=PICKS, late=st.booleans())
    def release(self, pick: int, late: bool) -> None:
        """The bond behind a use is freed, now or as soon as it may be."""
        key = self._use(pick)
        use = self.play.ledger.uses.get(key)
        if late and use:
            self._travel(use.release_at + 1)
        made = Move(
            contract=self.world.system.signed_results, function="release", arguments=key, by=self.world.relayers[0]
        )
        self.play.attempt(made, partial(Ledger.release, result_id=key[0], consumer=key[1]))

    @move(weight=3, when=lambda self: self.play.ledger.used, pick=PICKS)
    def slash_use(self, pick: int) -> None:
        """The bond behind a use is taken, if its result is convicted."""
        convicted = [key for key in self.play.ledger.uses if key[0] in self.play.ledger.convicted]
        key = convicted[pick % len(convicted)] if convicted and pick % 8 != 7 else self._use(pick)
        self._judge("slashUse", *key, predict=partial(court.slash_use, result_id=key[0], consumer=key[1]))

    # Convictions

    @move(
        weight=4,
        when=lambda self: self.play.answers,
        pick=PICKS,
        output=st.integers(1, 2),
        swap=st.booleans(),
        slip=SLIPS,
    )
    def prove_against_answer(self, pick: int, output: int, swap: bool, slip: int) -> None:
        """Somebody finds a second signature under an answered request."""
        request = self._answered(pick)
        answer = self.play.answers[self._id_of(request)]
        index = self._answerer(replace(request, operator=answer.operator), None, pick)
        shift = OUTPUTS[(OUTPUTS.index(answer.output) + output) % len(OUTPUTS)]
        other = answer if index == HONEST and not slip else replace(answer, output=shift)
        pair = (self._swear(request, answer), self._swear(request, other, slip=slip))
        self._prove(pair, swap=swap)

    @move(weight=3, when=lambda self: self._in_status(Status.REQUESTED), pick=PICKS, swap=st.booleans())
    def prove_before_answer(self, pick: int, swap: bool) -> None:
        """Somebody finds two signatures under a request that waits for their operator."""
        request = self._waiting(pick)
        index = self._answerer(request, None, pick)
        first, second = (self._swear(request, self._answer(request, index, output)) for output in (1, 2))
        self._prove((first, second), swap=swap)

    @move(weight=2, when=lambda self: self._used, pick=PICKS, output=st.integers(1, 2), swap=st.booleans())
    def prove_against_use(self, pick: int, output: int, swap: bool) -> None:
        """Somebody finds a second signature, with another expiry, under a used input."""
        ledger = self.play.ledger
        live = [one for one in self._used if any(key[0] == self._digest(one[0]) for key in ledger.uses)]
        choice = live if live and pick % 8 != 7 else self._used
        used = choice[pick % len(choice)]
        result = used[0].result
        roots = [payload_root(one) for one in OUTPUTS]
        shift = roots[(roots.index(result.output_root) + output) % len(roots)]
        honest = result.operator == self._owner(HONEST).address
        second = replace(result, output_root=result.output_root if honest else shift, expiry=result.expiry - 1)
        self._prove((used, self._sign(second, None)), swap=swap)

    @move(
        weight=2,
        operator=OPERATORS,
        subjects=st.tuples(SUBJECTS, SUBJECTS),
        picks=st.tuples(PICKS, PICKS),
        outputs=st.tuples(OUTPUT_PICKS, st.integers(0, 2)),
        alike=st.booleans(),
        slip=SLIPS,
        swap=st.booleans(),
    )
    def prove(
        self,
        operator: int,
        subjects: tuple[int, int],
        picks: tuple[int, int],
        outputs: tuple[int, int],
        alike: bool,
        slip: int,
        swap: bool,
    ) -> None:
        """Somebody brings two statements of one operator, about anything."""
        if alike:
            subjects, picks = (subjects[0],) * 2, (picks[0],) * 2
        first, second = (
            self._state(operator, subject, pick, output)
            for subject, pick, output in zip(subjects, picks, outputs, strict=True)
        )
        self._prove((self._sign(*first), self._sign(*second, slip=slip)), swap=swap)

    @move(
        weight=2,
        when=lambda self: self._leavers(),
        operator=OPERATORS,
        source=st.integers(0, 1),
        swap=st.booleans(),
    )
    def prove_against_leaver(self, operator: int, source: int, swap: bool) -> None:
        """Somebody finds two signatures of an operator whose stake is on its way out."""
        leavers = self._leavers()
        operator = operator if operator in leavers else leavers[0]
        first, second = (self._sign(self._offchain_result(operator, 0, source, output), None) for output in (1, 2))
        self._prove((first, second), swap=swap)

    @move(when=lambda self: self._proven, pick=PICKS, swap=st.booleans())
    def prove_again(self, pick: int, swap: bool) -> None:
        """A proof is brought a second time."""
        self._prove(self._proven[pick % len(self._proven)], swap=swap)

    @move(when=lambda self: self.play.answers, pick=PICKS, output=st.integers(0, 2))
    def frame_others(self, pick: int, output: int) -> None:
        """Two operators' statements are no proof against either."""
        request = self._answered(pick)
        answers = [self._answer(request, index, one) for index, one in ((0, output), (1, 1), (HONEST, 0))]
        first, second = answers[pick % 3], answers[(pick + 1) % 3]
        self._prove((self._swear(request, first), self._swear(request, second)), swap=False)

    def _prove(self, pair: tuple[tuple[Sworn, bytes], tuple[Sworn, bytes]], *, swap: bool) -> None:
        first, second = reversed(pair) if swap else pair
        prover = self.world.relayers[int(swap)]
        arguments = []
        for sworn, signature in (first, second):
            arguments += [Statement(result=sworn.result, signature=signature), sworn.request or NO_REQUEST]
        predict = partial(court.prove, first=first[0], second=second[0], prover=prover.address)
        made = Move(
            contract=self.world.system.dispute_game,
            function="proveEquivocation",
            arguments=tuple(arguments),
            by=prover,
        )
        if self.play.attempt(made, predict):
            self._proven.append(pair)

    def _judge(self, function: str, *arguments: Any, predict: Any) -> None:
        game = self.world.system.dispute_game
        self.play.attempt(
            Move(contract=game, function=function, arguments=arguments, by=self.world.relayers[1]), predict
        )

    # Statements

    def _digest(self, sworn: Sworn) -> bytes:
        return result_digest(sworn.result, self.world.system.domain)

    def _use(self, pick: int) -> tuple[bytes, Address]:
        uses = list(self.play.ledger.uses if pick % 8 != 7 else ()) or list(self.play.ledger.used)
        return uses[pick % len(uses)]

    def _state(self, operator: int, subject: int, pick: int, output: int) -> tuple[Result, Request | None]:
        if subject == OFFCHAIN or not self.play.ledger.requests:
            return self._offchain_result(operator, pick % 2, pick // 2 % 2, output), None
        request = self._request(pick)
        if subject == NEVER_ASKED:
            request = replace(request, salt=pick.to_bytes(32, "little"))
        return self.play.ledger.result_of(request, self._answer(request, operator, output)), request

    def _offchain_result(self, operator: int, model: int, source: int, output: int) -> Result:
        return Result(
            request_id=RequestId(ZERO_HASH),
            model_id=self.world.models[model],
            input_root=payload_root(INPUTS[source]),
            output_root=payload_root(OUTPUTS[0 if operator == HONEST else output]),
            trace_root=ZERO_HASH,
            operator=self._owner(operator).address,
            expiry=self.world.chain.now,
        )
