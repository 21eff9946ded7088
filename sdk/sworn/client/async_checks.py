"""Runs answers again: what `sworn.client.recomputing` needs is fetched here, the work is done beside the event loop."""

from __future__ import annotations

from sworn.client.async_contracts import AsyncContracts
from sworn.client.async_market import AsyncMarket
from sworn.client.async_reports import AsyncReports
from sworn.client.offloading import async_offloaded
from sworn.client.recomputing import Materials, Subject, judged, prepared, source_of, uncheckable
from sworn.client.records import ModelLike, ModelRecord
from sworn.client.verdicts import Verification
from sworn.client.verification import Requested, is_current
from sworn.errors import RequestTimeout
from sworn.types import Profile, RequestId, ResultId
from sworn.verification import CompiledModel


class AsyncChecks:
    """Compares sworn answers with runs of one's own."""

    def __init__(self, *, contracts: AsyncContracts, market: AsyncMarket, reports: AsyncReports) -> None:
        self._contracts = contracts
        self._market = market
        self._reports = reports

    async def verify(
        self,
        request_id: RequestId,
        *,
        requested: Requested | None = None,
        result_id: ResultId | None = None,
        materials: Materials,
    ) -> Verification:
        """The verdict on an answer. Raises `RequestTimeout` while there is none, and as `AsyncClient.verify` does."""
        subject = await self.subject(request_id, requested=requested, result_id=result_id)
        if subject.profile is Profile.SIGNED:
            return uncheckable(subject)
        answer, compiled = await self.prepared(subject, materials)
        return await async_offloaded(lambda: judged(answer, compiled, trace=materials.trace))

    async def subject(
        self, request_id: RequestId, *, requested: Requested | None = None, result_id: ResultId | None = None
    ) -> Subject:
        """The answer that is meant: by its id, or the one that stands, or else the newest that was refuted."""
        if requested is None:
            requested = await self._contracts.requested(request_id)
        state = await self._contracts.state(request_id)
        proposals = await self._reports.proposals(requested)
        standing = [each for each in proposals if is_current(each, state)]
        named = [each for each in proposals if each.result_id == result_id]
        found = next(iter((standing or proposals) if result_id is None else named), None)
        if found is None:
            raise RequestTimeout(f"request 0x{request_id.hex()} has no such result yet: there is nothing to verify")
        return Subject(
            requested=requested,
            proposal=found,
            profile=await self._market.profile(requested.request.model_id),
            status=state.status,
            stands=is_current(found, state),
            payload=requested.payload,
        )

    async def prepared(self, subject: Subject, materials: Materials) -> tuple[Subject, CompiledModel]:
        """The answer with its input, and the compiled model, whose file is fetched unless it is given."""
        record = await self._market.record(subject.requested.request.model_id)
        source = await self._source(materials.model, record)
        return await async_offloaded(lambda: prepared(subject, source, materials, registered=record.model))

    async def _source(self, model: ModelLike | None, record: ModelRecord) -> bytes | CompiledModel:
        if model is None:
            return await self._market.artifact(record)
        return await async_offloaded(lambda: source_of(model))
