"""Reads disputes: which there are, and where each stands."""

from __future__ import annotations

from typing import TypeVar

from sworn import abi
from sworn.client.async_contracts import AsyncContracts
from sworn.client.dispute_diagnosis import DisputeFacts, dispute_report
from sworn.client.dispute_records import ChallengerRecord, DemandRecord, DisputeRecord, DisputeReport
from sworn.dispute.case import Case, Clocks
from sworn.dispute.queries import DisputeEvent, Queries, Query
from sworn.dispute.record import asked_by, demands_of
from sworn.dispute.strategy import View
from sworn.types import ANSWERED, Address, Dispute, DisputeStatus, Part, RequestId, RequestState, ResultId, Status

_Value = TypeVar("_Value")


class AsyncDocket:
    """The disputes of one deployment, read through a gateway."""

    def __init__(self, *, contracts: AsyncContracts) -> None:
        self._contracts = contracts
        self.queries = Queries(contracts.deployment)

    @property
    def clocks(self) -> Clocks:
        """The phases of disputes here. Raises `ConfigurationError` for a deployment file without them."""
        return Clocks.of(self._contracts.deployment.parameters)

    async def ask(self, query: Query[_Value]) -> _Value:
        """What a read gives."""
        return query.decode(await self._contracts.gateway.call(query.call))

    async def dispute(self, result_id: ResultId) -> Dispute:
        """Where a dispute stands."""
        return await self.ask(self.queries.dispute(result_id))

    async def events(
        self, *names: str, result_id: ResultId | None = None, from_block: int | None = None
    ) -> list[DisputeEvent]:
        """Events of one dispute, or of all, in chain order."""
        game, topics = self._contracts.deployment.dispute_game, self.queries.topics(*names, result_id=result_id)
        return [self.queries.event(log) for log in await self._contracts.logs_of(game, topics, from_block=from_block)]

    async def requests(self, *, from_block: int | None = None) -> dict[ResultId, RequestId]:
        """The request of every challenged result that answers one."""
        logs = await self._contracts.logs("oracle", "ResultDisputed", from_block=from_block)
        events = [abi.interface("IInferenceOracle").decode_log(log.topics, log.data).arguments for log in logs]
        return {ResultId(event["resultId"]): RequestId(event["requestId"]) for event in events}

    async def listing(
        self,
        *,
        status: DisputeStatus | None = None,
        operator: Address | None = None,
        request_id: RequestId | None = None,
        from_block: int | None = None,
    ) -> tuple[DisputeRecord, ...]:
        """Every dispute since a block (default: the deployment's), the newest first; those that fit what is named."""
        requests = await self.requests(from_block=from_block)
        found: list[DisputeRecord] = []
        for opened in reversed(await self.events("DisputeOpened", from_block=from_block)):
            about = requests.get(opened.result_id)
            if operator not in (None, opened.arguments["operator"]) or request_id not in (None, about):
                continue
            dispute = await self.dispute(opened.result_id)
            if status in (None, dispute.status):
                found.append(self._record(opened, dispute, about))
        return tuple(found)

    async def report(
        self, case: Case, *, state: RequestState | None = None, from_block: int | None = None
    ) -> DisputeReport:
        """Where the dispute over a result stands; ``state`` is that of its request, if it answers one.

        No event of the dispute is older than ``from_block``: the block of the proposal.
        """
        head = await self._contracts.head()
        events = await self.events(result_id=case.result_id, from_block=from_block)
        return dispute_report(
            DisputeFacts(
                case=case,
                dispute=await self.dispute(case.result_id),
                clocks=self.clocks,
                now=head.timestamp,
                challengeable_until=self.challengeable_until(case, state),
                challengers=await self._challengers(case.result_id, events),
                demands=await self._demands(events),
                events=tuple(events),
                times=await self._times(events),
            )
        )

    async def view(
        self, case: Case, account: Address, events: list[DisputeEvent], *, state: RequestState | None
    ) -> View:
        """The dispute as an account plays it; ``events`` are all of the dispute's."""
        queries, dispute = self.queries, await self.dispute(case.result_id)
        opener_bond_wei = 0
        if dispute.status is not DisputeStatus.NONE:
            opener_bond_wei = (await self.ask(queries.challenger(case.result_id, dispute.opener))).bond_wei
        return View(
            case=case,
            account=account,
            closes_at=dispute.closes_at or self.challengeable_until(case, state),
            dispute=dispute,
            me=await self.ask(queries.challenger(case.result_id, account)),
            open_demands=demands_of(events),
            asked=asked_by(events, account),
            max_open_demands=await self.ask(queries.max_open_demands()),
            smallest_bond_wei=await self.ask(queries.challenge_bond(case.request.value_at_risk_wei)),
            opener_bond_wei=opener_bond_wei,
            prices={part: await self.ask(queries.disclosure_price(part)) for part in Part},
            reward_wei=await self.ask(queries.reward(account)),
        )

    def challengeable_until(self, case: Case, state: RequestState | None) -> int:
        """Last second in which a result that nobody has challenged can be; 0 when it does not stand."""
        if case.is_offchain:
            return case.result.expiry + self.clocks.tail_s
        if state is None or state.status is not Status.PROPOSED or not case.result_id.startswith(state.result_tag):
            return 0
        return state.proposed_at + case.request.window_s

    def _record(self, opened: DisputeEvent, dispute: Dispute, request_id: RequestId | None) -> DisputeRecord:
        return DisputeRecord(
            result_id=opened.result_id,
            request_id=request_id,
            operator=opened.arguments["operator"],
            opener=dispute.opener,
            bond_wei=opened.arguments["bondWei"],
            status=dispute.status,
            opened_at=dispute.opened_at,
            closes_at=dispute.closes_at,
            ends_at=self.clocks.ends_at(dispute),
            block_number=opened.block_number,
        )

    async def _challengers(self, result_id: ResultId, events: list[DisputeEvent]) -> tuple[ChallengerRecord, ...]:
        accounts = [e.arguments["challenger"] for e in events if e.name in ("DisputeOpened", "DisputeJoined")]
        return tuple(
            [
                ChallengerRecord(account=account, state=await self.ask(self.queries.challenger(result_id, account)))
                for account in dict.fromkeys(accounts)
            ]
        )

    async def _demands(self, events: list[DisputeEvent]) -> tuple[DemandRecord, ...]:
        found: list[DemandRecord] = []
        for event in (each for each in events if each.name == "Demanded"):
            demand = await self.ask(self.queries.demand(event.arguments["demandId"]))
            found.append(
                DemandRecord(
                    challenger=event.arguments["challenger"],
                    target=event.target,
                    price_wei=event.arguments["priceWei"],
                    due_at=event.arguments["dueAt"],
                    answered=demand.due_at == ANSWERED,
                )
            )
        return tuple(found)

    async def _times(self, events: list[DisputeEvent]) -> dict[int, int]:
        numbers = dict.fromkeys(event.block_number for event in events)
        return {number: (await self._contracts.gateway.block(number)).timestamp for number in numbers}
