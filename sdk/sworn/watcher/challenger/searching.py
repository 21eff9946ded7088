"""Looks for the fault in a false claim's trace: with our own run, the operator's server, and what the chain shows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace

from sworn.codec.tensors import decode_tensors
from sworn.dispute.own_run import OwnRun, own_run
from sworn.dispute.search import BoundedSearch, ExactSearch, Finding, Search, audit_trace
from sworn.dispute.shown_trace import ShownTrace
from sworn.dispute.trace_source import read_on
from sworn.errors import ArtifactError, CodecError, TraceError
from sworn.types import Profile, Result, ResultId
from sworn.verification import CompiledModel, Trace
from sworn.watcher.challenger.checking import NO_ANSWER, Checker
from sworn.watcher.challenger.claims import Claim
from sworn.watcher.published import PublishedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Searches:
    """One search per claim under challenge; each is made again after a restart."""

    checker: Checker
    _searches: dict[ResultId, Search] = field(default_factory=dict, init=False)

    def look(self, claim: Claim, published: PublishedModel, result: Result, shown: ShownTrace) -> Finding:
        """What follows from all that can be known now. Runs in a worker thread.

        ``result`` has the trace root that the operator stands for. Raises `SwornError`.
        """
        payload = self.checker.payload(claim)
        model = self.checker.shelf.compiled(published, payload)
        source = self.checker.sources.get(claim.operator)
        if source is not None and model.model.profile is Profile.BOUNDED:
            # What cannot be had as a whole is asked for in parts, and at last demanded on chain.
            with suppress(ArtifactError, CodecError, TraceError):
                trace = source.download(model.subject, result, self.checker.trace_path(claim))
                return audit_trace(model, trace, result)
        search = self._searches.get(claim.result_id)
        if search is None:
            search = self._searches[claim.result_id] = self._begin(claim, published, model, payload)
        return search.look(result, shown) if source is None else read_on(source, search, result, shown)

    def drop(self, claim: Claim) -> None:
        """Forgets a claim that is over."""
        self._searches.pop(claim.result_id, None)
        self.checker.forget(claim)

    def _begin(self, claim: Claim, published: PublishedModel, model: CompiledModel, payload: bytes) -> Search:
        if model.model.profile is Profile.BOUNDED:
            return BoundedSearch(model)
        return ExactSearch(model, self._own(claim, published, model, payload))

    def _own(self, claim: Claim, published: PublishedModel, model: CompiledModel, payload: bytes) -> OwnRun:
        """Our own run, in a worker that can be killed; here where it stops early."""
        shelf, path = self.checker.shelf, self.checker.own_path(claim)
        path.unlink(missing_ok=True)
        try:
            inputs = decode_tensors(payload, model.schema.inputs)
            # Our bond is posted, and its clocks run: checks of other results wait.
            limits = replace(shelf.limits, is_urgent=True)
            self.checker.engine.run(shelf.identified(published, payload), inputs, limits=limits, trace_file=path)
            return OwnRun(trace=Trace.load(model.subject, path))
        except (*NO_ANSWER, CodecError):
            return own_run(model, payload)
