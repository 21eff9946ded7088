# Generated from client/async_checks.py by scripts/generate_sync.py; do not edit.
"""Runs answers again: what `sworn.client.recomputing` needs is fetched here, the work is done beside the event loop."""

from __future__ import annotations

from sworn.client.contracts import Contracts
from sworn.client.market import Market
from sworn.client.offloading import offloaded
from sworn.client.recomputing import Materials, Subject, judged, prepared, source_of, uncheckable
from sworn.client.records import ModelLike, ModelRecord
from sworn.client.reports import Reports
from sworn.client.verdicts import Verification
from sworn.client.verification import Requested, is_current
from sworn.errors import RequestTimeout
from sworn.types import Profile, RequestId, ResultId
from sworn.verification import CompiledModel


class Checks:
    """Compares sworn answers with runs of one's own."""

    def __init__(self, *, contracts: Contracts, market: Market, reports: Reports) -> None:
        self._contracts = contracts
        self._market = market
        self._reports = reports

    def verify(
        self,
        request_id: RequestId,
        *,
        requested: Requested | None = None,
        result_id: ResultId | None = None,
        materials: Materials,
    ) -> Verification:
        """The verdict on an answer. Raises `RequestTimeout` while there is none, and as `Client.verify` does."""
        subject = self.subject(request_id, requested=requested, result_id=result_id)
        if subject.profile is Profile.SIGNED:
            return uncheckable(subject)
        answer, compiled = self.prepared(subject, materials)
        return offloaded(lambda: judged(answer, compiled, trace=materials.trace))

    def subject(
        self, request_id: RequestId, *, requested: Requested | None = None, result_id: ResultId | None = None
    ) -> Subject:
        """The answer that is meant: by its id, or the one that stands, or else the newest that was refuted."""
        if requested is None:
            requested = self._contracts.requested(request_id)
        state = self._contracts.state(request_id)
        proposals = self._reports.proposals(requested)
        standing = [each for each in proposals if is_current(each, state)]
        named = [each for each in proposals if each.result_id == result_id]
        found = next(iter((standing or proposals) if result_id is None else named), None)
        if found is None:
            raise RequestTimeout(f"request 0x{request_id.hex()} has no such result yet: there is nothing to verify")
        return Subject(
            requested=requested,
            proposal=found,
            profile=self._market.profile(requested.request.model_id),
            status=state.status,
            stands=is_current(found, state),
            payload=requested.payload,
        )

    def prepared(self, subject: Subject, materials: Materials) -> tuple[Subject, CompiledModel]:
        """The answer with its input, and the compiled model, whose file is fetched unless it is given."""
        record = self._market.record(subject.requested.request.model_id)
        source = self._source(materials.model, record)
        return offloaded(lambda: prepared(subject, source, materials, registered=record.model))

    def _source(self, model: ModelLike | None, record: ModelRecord) -> bytes | CompiledModel:
        if model is None:
            return self._market.artifact(record)
        return offloaded(lambda: source_of(model))
