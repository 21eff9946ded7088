"""Plays a whole dispute: looks at the chain, asks `sworn.dispute.strategy` for the next move, makes it, looks again."""

from __future__ import annotations

from typing import Final

from sworn.chain.pacing import AsyncSleep, Pacing
from sworn.client.async_checks import AsyncChecks
from sworn.client.async_contracts import AsyncContracts
from sworn.client.async_docket import AsyncDocket
from sworn.client.async_signing import AsyncSigning
from sworn.client.dispute_hand import Hand, OnStep, words_of
from sworn.client.offloading import async_offloaded
from sworn.client.recomputing import Materials, Subject, judged, sworn_trace
from sworn.client.verdicts import Verdict
from sworn.codec.dispute_structs import fault_commitment
from sworn.dispute.case import MATURITY_BLOCKS, MATURITY_S, Case
from sworn.dispute.moves import Moves
from sworn.dispute.search import FaultFound, search_of
from sworn.dispute.strategy import Done, Knowledge, Move, Step, next_move, salt_of
from sworn.errors import ConfigurationError, ContractRevert, RequestTimeout, TransientChainError
from sworn.types import Profile
from sworn.verification import CompiledModel

#: How often the contracts may refuse one move: the chain may have changed since it was chosen.
_REFUSALS: Final = 3


class AsyncPlayer:
    """Fights disputes with the client's account from their first move to the last pay-out."""

    def __init__(
        self,
        *,
        contracts: AsyncContracts,
        signing: AsyncSigning,
        docket: AsyncDocket,
        checks: AsyncChecks,
        pacing: Pacing,
        sleep: AsyncSleep,
    ) -> None:
        self._contracts = contracts
        self._signing = signing
        self._docket = docket
        self._checks = checks
        self._pacing = pacing
        self._sleep = sleep
        self._moves = Moves(contracts.deployment)

    async def hand(self, case: Case, materials: Materials, *, secret: bytes, budget_wei: int) -> Hand:
        """Everything that a dispute is played with. Raises as `AsyncDisputeHandle.play` does."""
        if case.is_offchain:
            raise ConfigurationError("an off-chain result is disputed move by move: it has no request to play for")
        subject = await self._checks.subject(case.result.request_id, result_id=case.result_id)
        if subject.profile is Profile.SIGNED:
            raise ConfigurationError("nothing can be proven about results in profile signed: they cannot be challenged")
        answer, model = await self._checks.prepared(subject, materials)
        await self._require_false(case, answer, model, materials)
        given = materials.trace
        return Hand(
            case=case,
            from_block=answer.proposal.block_number,
            model=model,
            trace=None if given is None else await async_offloaded(lambda: sworn_trace(answer, model, given)),
            search=await async_offloaded(lambda: search_of(model, answer.payload)),
            secret=secret,
            budget_wei=budget_wei,
        )

    async def play(self, hand: Hand, *, timeout_s: float, on_step: OnStep | None) -> str:
        """Plays until nothing is left to do, and says why. Raises `RequestTimeout`, and what a refused move raises."""
        deadline, told = self._pacing.clock() + timeout_s, ""
        refused: list[str] = []
        while True:
            step = await self._next(hand, patient=self._pacing.clock() < deadline)
            if isinstance(step, Done):
                return step.reason
            words = "" if step is None else words_of(step)
            if on_step is not None and words not in ("", told):
                on_step(words)
            told = words or told
            if isinstance(step, Move) and await self._made(hand.case, step, refused):
                continue
            if self._pacing.clock() >= deadline:
                raise RequestTimeout(f"dispute 0x{hand.case.result_id.hex()} after {timeout_s:g} s: {told}; play on")
            await self._sleep(self._pacing.poll_s)

    async def convict(self, case: Case, fault: FaultFound, *, secret: bytes, timeout_s: float) -> None:
        """Commits to a fault unless the account has, waits until the commitment is ripe, and proves it."""
        deadline, account = self._pacing.clock() + timeout_s, self._signing.address
        salt = salt_of(secret, case.result_id, account, fault)
        commitment = fault_commitment(
            case.result_id, account, kind=fault.kind, value=fault.value, index=fault.index, salt=salt
        )
        while True:
            head = await self._contracts.head()
            me = await self._docket.ask(self._docket.queries.challenger(case.result_id, account))
            if me.commitment != commitment or head.timestamp > me.committed_at + self._docket.clocks.reveal_s:
                await self._signing.perform(self._moves.commit_fault(case.result_id, commitment))
            elif head.timestamp >= me.committed_at + MATURITY_S and (
                head.number >= me.committed_in_block + MATURITY_BLOCKS
            ):
                await self._signing.perform(self._moves.prove_fault(case, fault.proof, salt))
                return
            elif self._pacing.clock() >= deadline:
                raise RequestTimeout(f"the commitment is not ripe after {timeout_s:g} s: prove it later")
            await self._sleep(self._pacing.poll_s)

    async def _require_false(self, case: Case, subject: Subject, model: CompiledModel, materials: Materials) -> None:
        # Nobody's bond is put at stake over a result that is not known to be false; whoever has posted one plays on.
        me = await self._docket.ask(self._docket.queries.challenger(case.result_id, self._signing.address))
        if me.bond_wei:
            return
        found = await async_offloaded(lambda: judged(subject, model, trace=materials.trace))
        if found.verdict is not Verdict.FALSE:
            hint = " Open or join by hand if you know better, then play." if found.verdict is Verdict.UNDECIDED else ""
            raise ConfigurationError(f"the result is not known to be false. {found.reason}{hint}")

    async def _next(self, hand: Hand, *, patient: bool) -> Step | None:
        """What to do now; None when the node has no answer."""
        try:
            head = await self._contracts.head()
            events = await self._docket.events(result_id=hand.case.result_id, from_block=hand.from_block)
            state = await self._contracts.state(hand.case.result.request_id)
            view = await self._docket.view(hand.case, self._signing.address, events, state=state)
        except TransientChainError:
            if not patient:
                raise
            return None
        finding = await async_offloaded(lambda: hand.finding(view, events))
        knowledge = Knowledge(is_false=True, finding=finding, secret=hand.secret, budget_wei=hand.budget_wei)
        return next_move(view, knowledge, self._docket.clocks, now=head.timestamp, head=head.number)

    async def _made(self, case: Case, move: Move, refused: list[str]) -> bool:
        """Whether the move is on chain. Raises `ContractRevert` when it is refused again and again."""
        try:
            await self._signing.perform(move.call(case, self._signing.address, self._moves))
        except ContractRevert:
            # Somebody else may have moved in between: the next look decides, not this failure.
            refused.append(move.key(case.result_id))
            if refused.count(refused[-1]) >= _REFUSALS:
                raise
            return False
        return True
