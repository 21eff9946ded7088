"""Challenging results: by hand, move by move."""

from __future__ import annotations

from typing import Final

from sworn.chain.gateway import Call, Receipt
from sworn.client.async_contracts import AsyncContracts
from sworn.client.async_docket import AsyncDocket
from sworn.client.async_play import AsyncPlayer
from sworn.client.async_reports import AsyncReports
from sworn.client.async_signing import AsyncSigning
from sworn.client.dispute_faults import FaultLike, proven
from sworn.client.dispute_hand import OnStep
from sworn.client.dispute_records import BondPreview, DisputeRecord, DisputeReport
from sworn.client.identities import RequestLike, address_of, request_id_of
from sworn.client.offloading import async_offloaded
from sworn.client.recomputing import Materials, TraceLike
from sworn.client.records import InferenceResult, ModelLike
from sworn.client.verification import Proposal, Remembering, Requested, case_of, is_current
from sworn.codec.dispute_structs import fault_commitment
from sworn.dispute.case import Case
from sworn.dispute.moves import Moves
from sworn.dispute.search import FaultFound
from sworn.dispute.strategy import salt_of
from sworn.errors import ConfigurationError, RequestTimeout, RequestUnknown
from sworn.types import Address, DisputeStatus, InputShapes, Part, RequestId, RequestState, ResultId, Target, Tensors

#: What a dispute can be about: a request (the result that stands, or the last that was challenged), a result by its id,
#: its record or the record of its dispute; an off-chain result as a `Case`.
DisputeLike = RequestLike | InferenceResult | DisputeRecord | Case

#: Room for a base fee that rises while a transaction waits: two full blocks raise it by 27 %.
_MARGIN_PERCENT: Final = 27
#: An opener's bond, as a multiple of the smallest: `MAX_OPENING_FACTOR` of contracts/dispute/Disputes.sol.
_MAX_FACTOR: Final = 4
#: Of a slashed bond, what goes to those who convicted: `Bond.PROVER_PERCENT` of contracts/types/Bond.sol.
_PROVER_PERCENT: Final = 30
_PURPOSE: Final = "sworn fault commitments"


class AsyncDisputeHandle:
    """The dispute over one result, and the moves of the client's account in it.

    Every move waits for inclusion. Where the contracts refuse one, their typed error says why; where a dispute stands
    is decided by `state` alone, never by whether one's own transaction went through.
    """

    def __init__(self, *, case: Case, desk: AsyncDisputes, from_block: int | None) -> None:
        self._case = case
        self._desk = desk
        self._from_block = from_block

    def __repr__(self) -> str:
        return f"{type(self).__name__}(0x{self.result_id.hex()})"

    @property
    def case(self) -> Case:
        """The result, as every move states it."""
        return self._case

    @property
    def result_id(self) -> ResultId:
        """The id of the result, under which the dispute is kept."""
        return self._case.result_id

    async def state(self) -> DisputeReport:
        """Where it stands, what has happened, who must move until when."""
        return await self._desk.report(self._case, from_block=self._from_block)

    async def bond(self) -> BondPreview:
        """What challenging, or joining the challengers, costs now, and what it can bring."""
        return await self._desk.preview(self._case)

    async def open(self, *, bond_wei: int | None = None) -> Receipt:
        """Challenges the result, with the bond of `bond` unless another is named."""
        return await self._desk.open(self._case, bond_wei)

    async def join(self, *, bond_wei: int | None = None) -> Receipt:
        """Joins the challengers, with the opener's bond unless a higher one is named."""
        return await self._desk.join(self._case, bond_wei)

    async def demand(self, target: Target, *, price_wei: int | None = None) -> Receipt:
        """Pays to see a part of the operator's trace; silence convicts it."""
        return await self._desk.demand(self._case, target, price_wei)

    async def commit_fault(self, fault: FaultLike, *, salt: bytes | None = None) -> Receipt:
        """Commits to a fault, so that nobody can copy its proof; `prove` works 60 seconds and 5 blocks later.

        The salt follows from the account's key unless one is given: the same account can make it again.
        """
        return await self._desk.commit_fault(self._case, fault, salt)

    async def prove(self, fault: FaultLike, *, salt: bytes | None = None) -> Receipt:
        """Proves the fault that the account has committed to: the result is refuted at once."""
        return await self._desk.prove(self._case, fault, salt)

    async def convict(self, fault: FaultLike, *, timeout: float = 600.0) -> None:  # noqa: ASYNC109 (see `play`)
        """Commits to a fault unless the account has, waits ``timeout`` seconds until that is ripe, and proves it.

        Raises `RequestTimeout` when it is not ripe in time; called again, it goes on where it was.
        """
        await self._desk.convict(self._case, fault, timeout_s=timeout)

    async def convict_silence(self, *, challenger: str | None = None, target: Target | None = None) -> Receipt:
        """Convicts an operator that owes its trace, or the answer to a demand (by default the oldest), for too long."""
        return await self._desk.convict_silence(self._case, challenger, target)

    async def resolve(self) -> Receipt:
        """Ends the dispute in the operator's favour when nobody has proved a fault in time."""
        return await self._desk.send(self._desk.moves.resolve(self._case))

    async def claim(self, account: str | None = None) -> Receipt:
        """Credits a challenger (default: the client's account) of a refuted result its bond and its share."""
        return await self._desk.send(self._desk.moves.claim(self.result_id, self._desk.or_own(account)))

    async def collect(self) -> Receipt:
        """Slashes what a refuted off-chain result has not cost its operator yet, as its stake was out of reach."""
        return await self._desk.send(self._desk.moves.collect(self._case))

    async def withdraw(self, account: str | None = None) -> Receipt:
        """Pays an account (default: the client's) everything that disputes have credited to it."""
        return await self._desk.send(self._desk.moves.withdraw_for(self._desk.or_own(account)))

    async def play(
        self,
        *,
        model: ModelLike | None = None,
        inputs: Tensors | None = None,
        input_shapes: InputShapes | None = None,
        trace: TraceLike | None = None,
        budget_wei: int | None = None,
        timeout: float = 86_400.0,  # noqa: ASYNC109 (it ends the waiting with a reason, it does not cancel)
        on_step: OnStep | None = None,
    ) -> DisputeReport:
        """Plays the whole dispute: challenges or joins, finds the fault, proves it, and has everything paid out.

        What it needs is as for `AsyncClient.verify`; of the operator's trace, what is not at hand is demanded, for
        ``budget_wei`` in all (by default what a conviction pays). An account that is no challenger yet only becomes one
        if the result is known to be false. Everything is decided from chain state: a dispute that was interrupted is
        gone on with by playing it again. ``on_step`` is told of every move in words.

        Raises `ConfigurationError` for a result that is not known to be false, `RequestTimeout` when the dispute is not
        over after ``timeout`` seconds, and what a move that stays refused raises.
        """
        materials = Materials(model=model, inputs=inputs, input_shapes=input_shapes, trace=trace)
        await self._desk.play(self._case, materials, budget_wei, timeout_s=timeout, on_step=on_step)
        return await self.state()


class AsyncDisputes:
    """Makes the client's moves in disputes."""

    def __init__(
        self,
        *,
        contracts: AsyncContracts,
        signing: AsyncSigning,
        reports: AsyncReports,
        docket: AsyncDocket,
        player: AsyncPlayer,
    ) -> None:
        self._contracts = contracts
        self._signing = signing
        self._reports = reports
        self._docket = docket
        self._player = player
        self.moves = Moves(contracts.deployment)

    async def handle(self, about: DisputeLike) -> AsyncDisputeHandle:
        """The handle of the dispute over a result, opened or not.

        Raises `RequestUnknown`, `RequestTimeout` for a request without a result, `ConfigurationError`.
        """
        case, from_block = await self._case(about)
        return AsyncDisputeHandle(case=case, desk=self, from_block=from_block)

    async def report(self, case: Case, *, from_block: int | None = None) -> DisputeReport:
        """Where a dispute stands; no event of it is older than ``from_block``."""
        return await self._docket.report(case, state=await self._state(case), from_block=from_block)

    async def preview(self, case: Case) -> BondPreview:
        """What a challenge costs and can bring."""
        docket, queries, state = self._docket, self._docket.queries, await self._state(case)
        value_at_risk_wei = case.request.value_at_risk_wei
        dispute, now = await docket.dispute(case.result_id), (await self._contracts.head()).timestamp
        smallest_wei = await docket.ask(queries.challenge_bond(value_at_risk_wei))
        bond_wei, largest_wei = _with_margin(smallest_wei), _MAX_FACTOR * smallest_wei
        until = docket.challengeable_until(case, state)
        if dispute.status is DisputeStatus.OPEN:
            bond_wei = smallest_wei = (await docket.ask(queries.challenger(case.result_id, dispute.opener))).bond_wei
            until = dispute.closes_at
        slash_wei = await self._contracts.bond_for(value_at_risk_wei)
        return BondPreview(
            bond_wei=bond_wei,
            smallest_wei=smallest_wei,
            largest_wei=None if dispute.status is DisputeStatus.OPEN else largest_wei,
            until=until,
            slash_wei=slash_wei,
            reward_wei=slash_wei * _PROVER_PERCENT // 100,
            risk_wei=bond_wei,
            nodes_price_wei=await docket.ask(queries.disclosure_price(Part.NODES)),
            chunks_price_wei=await docket.ask(queries.disclosure_price(Part.CHUNKS)),
            obstacle=_obstacle(dispute.status, late=now > until),
        )

    async def open(self, case: Case, bond_wei: int | None) -> Receipt:
        """Challenges a result."""
        if bond_wei is None:
            query = self._docket.queries.challenge_bond(case.request.value_at_risk_wei)
            bond_wei = _with_margin(await self._docket.ask(query))
        return await self.send(self.moves.challenge(case, bond_wei=bond_wei))

    async def join(self, case: Case, bond_wei: int | None) -> Receipt:
        """Joins the challengers."""
        if bond_wei is None:
            opener = (await self._docket.dispute(case.result_id)).opener
            bond_wei = (await self._docket.ask(self._docket.queries.challenger(case.result_id, opener))).bond_wei
        return await self.send(self.moves.join(case.result_id, bond_wei=bond_wei))

    async def demand(self, case: Case, target: Target, price_wei: int | None) -> Receipt:
        """Pays to see a part of the trace."""
        if price_wei is None:
            price_wei = _with_margin(await self._docket.ask(self._docket.queries.disclosure_price(target.part)))
        return await self.send(self.moves.demand(case, target, price_wei=price_wei))

    async def commit_fault(self, case: Case, fault: FaultLike, salt: bytes | None) -> Receipt:
        """Commits to a fault."""
        found = await async_offloaded(lambda: proven(fault))
        commitment = fault_commitment(
            case.result_id,
            self._signing.address,
            kind=found.kind,
            value=found.value,
            index=found.index,
            salt=salt or self._salt(found, case.result_id),
        )
        return await self.send(self.moves.commit_fault(case.result_id, commitment))

    async def prove(self, case: Case, fault: FaultLike, salt: bytes | None) -> Receipt:
        """Proves the fault that was committed to."""
        found = await async_offloaded(lambda: proven(fault))
        return await self.send(self.moves.prove_fault(case, found.proof, salt or self._salt(found, case.result_id)))

    async def convict(self, case: Case, fault: FaultLike, *, timeout_s: float) -> None:
        """Commits, waits, proves."""
        found = await async_offloaded(lambda: proven(fault))
        await self._player.convict(case, found, secret=self._signing.secret(_PURPOSE), timeout_s=timeout_s)

    async def convict_silence(self, case: Case, challenger: str | None, target: Target | None) -> Receipt:
        """Convicts a silent operator."""
        if target is not None:
            account = self.or_own(challenger)
            return await self.send(self.moves.convict_silence(case, challenger=account, target=target))
        report = await self.report(case)
        owed = sorted((each for each in report.demands if not each.answered), key=lambda each: each.due_at)
        if not any(report.trace_root):
            return await self.send(self.moves.convict_silence(case))
        if not owed:
            raise ConfigurationError("the operator owes nothing: every demand has been answered")
        return await self.send(self.moves.convict_silence(case, challenger=owed[0].challenger, target=owed[0].target))

    async def play(
        self,
        case: Case,
        materials: Materials,
        budget_wei: int | None,
        *,
        timeout_s: float,
        on_step: OnStep | None,
    ) -> None:
        """Plays a dispute to its end."""
        if budget_wei is None:
            budget_wei = (await self._contracts.bond_for(case.request.value_at_risk_wei)) * _PROVER_PERCENT // 100
        secret = self._signing.secret(_PURPOSE)
        hand = await self._player.hand(case, materials, secret=secret, budget_wei=budget_wei)
        await self._player.play(hand, timeout_s=timeout_s, on_step=on_step)

    async def send(self, call: Call) -> Receipt:
        """Sends a move and waits for inclusion."""
        return await self._signing.perform(call)

    def or_own(self, account: str | None) -> Address:
        """An account, or the client's."""
        return self._signing.address if account is None else address_of(account)

    def _salt(self, fault: FaultFound, result_id: ResultId) -> bytes:
        return salt_of(self._signing.secret(_PURPOSE), result_id, self._signing.address, fault)

    async def _state(self, case: Case) -> RequestState | None:
        return None if case.is_offchain else await self._contracts.state(case.result.request_id)

    async def _case(self, about: DisputeLike) -> tuple[Case, int | None]:
        """The result that is meant, and the block of its proposal."""
        if isinstance(about, Case):
            return about, None
        if isinstance(about, DisputeRecord):
            if about.request_id is None:
                raise ConfigurationError("an off-chain result is disputed as a Case, with its signature")
            return await self._case_of(about.request_id, about.result_id)
        if isinstance(about, InferenceResult):
            return await self._case_of(about.request_id, about.result_id)
        if isinstance(about, Remembering):
            return await self._case_in(about.requested, None)
        named = request_id_of(about)
        try:
            return await self._case_of(named, None)
        except RequestUnknown:
            requests = await self._docket.requests()
            if ResultId(named) not in requests:
                raise
            return await self._case_of(requests[ResultId(named)], ResultId(named))

    async def _case_of(self, request_id: RequestId, result_id: ResultId | None) -> tuple[Case, int]:
        return await self._case_in(await self._contracts.requested(request_id), result_id)

    async def _case_in(self, requested: Requested, result_id: ResultId | None) -> tuple[Case, int]:
        proposals, request_id = await self._reports.proposals(requested), requested.request_id
        if result_id is not None:
            proposals = tuple(each for each in proposals if each.result_id == result_id)
        if not proposals:
            raise RequestTimeout(f"request 0x{request_id.hex()} has no such result yet: there is nothing to dispute")
        chosen = await self._standing(request_id, proposals)
        return case_of(requested, chosen, self._contracts.deployment), chosen.block_number

    async def _standing(self, request_id: RequestId, proposals: tuple[Proposal, ...]) -> Proposal:
        """The result that stands, or else the newest that has been challenged, or else the newest."""
        state = await self._contracts.state(request_id)
        current = next((each for each in proposals if is_current(each, state)), None)
        if current is not None:
            return current
        for each in proposals:
            if (await self._docket.dispute(each.result_id)).status is not DisputeStatus.NONE:
                return each
        return proposals[0]


def _with_margin(amount_wei: int) -> int:
    return amount_wei + amount_wei * _MARGIN_PERCENT // 100


def _obstacle(status: DisputeStatus, *, late: bool) -> str:
    if status in (DisputeStatus.REFUTED, DisputeStatus.UPHELD):
        return f"the dispute is over: the result is {status.name.lower()}"
    return "nobody can challenge the result or join any more" if late else ""
