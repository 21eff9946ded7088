"""Runs a claim again and says what came of it. No database, no chain: runs in a worker thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sworn.codec.payload import reference_of
from sworn.codec.tensors import decode_tensors, encode_tensors
from sworn.codec.trees import payload_root
from sworn.dispute.search import FaultFound, audit_trace
from sworn.dispute.trace_source import TraceServer
from sworn.engine.protocol import Engine, IdentifiedModel, Run
from sworn.errors import (
    ArtifactError,
    ArtifactUnavailable,
    CastOutOfRange,
    CodecError,
    DivisionByZero,
    IndexOutOfRange,
    InputRejected,
    ResultUndecided,
    RunNotFinite,
    TraceError,
    ValueNotFinite,
)
from sworn.storage.fetching import split_uri
from sworn.types import ZERO_HASH, Address, Profile, Result, ResultId, Tensors
from sworn.verification.enclosure import enclose, is_enclosable, outside
from sworn.watcher.challenger.claims import Claim
from sworn.watcher.challenger.evidence_folder import RUN_PREFIX, EvidenceFolder
from sworn.watcher.challenger.models import ModelShelf
from sworn.watcher.challenger.nearness import first_difference, is_near
from sworn.watcher.inference import InputFetcher
from sworn.watcher.published import PublishedModel
from sworn.watcher.store.payloads import PayloadStore

#: What says that the model gives an input no answer, on any machine in profile `exact`.
NO_ANSWER = (RunNotFinite, DivisionByZero, CastOutOfRange, IndexOutOfRange, ValueNotFinite)
#: Larger files are not compiled in this process for the sake of spans, which say little about so large models.
_MAX_SPANNED_BYTES: Final = 64 << 20


class Verdict(Enum):
    """What a claim turned out to be."""

    #: Nothing speaks against it.
    HONEST = "honest"
    #: Whoever challenges it can prove that it is wrong; in profile `bounded` perhaps only once its trace is shown.
    FALSE = "false"
    #: In profile `bounded`, far from our own run: perhaps a lie, perhaps another machine's honest run.
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The verdict on a claim, and why, for people."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """Runs claims again, in workers that can be killed."""

    shelf: ModelShelf
    engine: Engine
    fetch: InputFetcher
    #: Hosts from which inputs given by reference are fetched.
    input_hosts: frozenset[str]
    max_input_bytes: int
    #: Inputs that were fetched, across restarts.
    payloads: PayloadStore
    #: Operators' trace servers.
    sources: Mapping[Address, TraceServer]
    #: Where traces are kept while their claims are looked at.
    folder: EvidenceFolder
    #: How far an output in profile `bounded` may be from our own, relative to the largest element, while its operator's
    #: trace is not at hand.
    tolerance: float
    #: Whether a result that is farther than that, and otherwise undecided, counts as false. SAFETY: models can be made
    #: in which honest runs are as far apart as their maker likes, and then the challenger loses its bond.
    accuse_by_distance: bool = False
    #: Why results are undecided whose traces may yet be shown: their models need not run again for that.
    _waiting: dict[ResultId, str] = field(default_factory=dict, init=False, repr=False)

    def check(self, claim: Claim, published: PublishedModel, result: Result) -> Checked:
        """The verdict. Raises `SwornError` for whatever keeps us from verifying, and judges nobody then.

        `ResultUndecided` says that the operator's trace server, which does not answer, may yet show what decides it.
        """
        try:
            payload = self.payload(claim)
        except (CodecError, InputRejected) as error:
            if not _is_inline(claim):
                raise
            # What was emitted stays as it is.
            return Checked(verdict=Verdict.UNDECIDED, reason=f"nobody knows the input that was answered: {error}")
        if claim.result_id in self._waiting:
            return self._audited(claim, published, payload, result) or self._undecided(claim, result)
        model = self.shelf.identified(published, payload)
        try:
            inputs = decode_tensors(payload, model.schema.inputs)
        except CodecError as error:
            return _false(f"the input is none that the model takes: {error}")
        if model.model.profile is Profile.EXACT:
            return self._exact(claim, model, inputs, result)
        return self._bounded(claim, model, inputs, result, published=published, payload=payload)

    def payload(self, claim: Claim) -> bytes:
        """The input payload of a claim.

        Raises `ArtifactError`, `InputRejected` for one with another root, and `StoreError`.

        SAFETY: one that is fetched is stored before anything follows from it: a requester in league with the operator
        cannot take it away from whoever has posted a bond.
        """
        root, uri = claim.request.input_root, reference_of(claim.input)
        if uri is None:
            return _with_root(claim.input, root)
        kept = self.payloads.find(root)
        if kept is not None:
            # What is damaged is fetched again.
            with suppress(CodecError, InputRejected):
                return _with_root(kept, root)
        payload = _with_root(self._fetched(uri), root)
        self.payloads.keep(root, payload)
        return payload

    def trace_path(self, claim: Claim) -> Path:
        """Where an operator's downloaded trace lies."""
        return self.folder.path / f"{claim.result_id.hex()}.trace"

    def own_path(self, claim: Claim) -> Path:
        """Where the trace of our own run lies."""
        return self.folder.path / f"{claim.result_id.hex()}.own"

    def forget(self, claim: Claim) -> None:
        """Removes what was kept about a claim that is over. Raises `StoreError`."""
        self._waiting.pop(claim.result_id, None)
        for path in (self.trace_path(claim), self.own_path(claim)):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        if not _is_inline(claim):
            self.payloads.release(claim.request.input_root)

    def sweep(self, open_claims: Iterable[Claim]) -> None:
        """Makes the folder, or removes what an earlier process has left there, but what open claims still need.

        Inputs that nothing open is about go as well. Raises `ConfigurationError` for a folder that cannot be used, and
        `StoreError`.
        """
        self.folder.clear({path for claim in open_claims for path in (self.trace_path(claim), self.own_path(claim))})
        for _ in self.payloads.drop(ended_before=0):
            pass

    def _fetched(self, uri: str) -> bytes:
        parts = split_uri(uri)
        # SAFETY: a requester chooses the URI; only hosts that the challenger trusts are ever contacted.
        if parts.scheme not in ("https", "http") or parts.hostname not in self.input_hosts:
            raise ArtifactUnavailable("the input's host is not one from which inputs are fetched")
        return self.fetch(uri, self.max_input_bytes)

    def _exact(self, claim: Claim, model: IdentifiedModel, inputs: Tensors, result: Result) -> Checked:
        try:
            run = self.engine.run(model, inputs, limits=self.shelf.limits)
            own = encode_tensors(run.outputs, model.schema.outputs)
        except NO_ANSWER as error:
            return _false(f"the model gives this input no answer: {error}")
        if payload_root(own) == result.output_root:
            return Checked(verdict=Verdict.HONEST, reason="our own run gives the same output, bit for bit")
        try:
            return _false(first_difference(decode_tensors(claim.output, model.schema.outputs), run.outputs))
        except CodecError as error:
            return _false(f"its output is none that the model gives: {error}")

    def _bounded(
        self,
        claim: Claim,
        model: IdentifiedModel,
        inputs: Tensors,
        result: Result,
        *,
        published: PublishedModel,
        payload: bytes,
    ) -> Checked:
        try:
            run = self._traced(model, inputs)
        except NO_ANSWER:
            run = None
        if run is not None and run.trace_root == result.trace_root:
            own = encode_tensors(run.outputs, model.schema.outputs)
            if payload_root(own) == result.output_root:
                return Checked(verdict=Verdict.HONEST, reason="our own run gives the same trace, bit for bit")
        audited = self._audited(claim, published, payload, result)
        if audited is not None:
            return audited
        try:
            sworn = decode_tensors(claim.output, model.schema.outputs)
        except CodecError as error:
            return _false(f"its output is none that the model gives: {error}")
        impossible = self._impossible(published, payload, model, inputs, sworn)
        if impossible is not None:
            return _false(impossible)
        if run is not None and is_near(sworn, run.outputs, tolerance=self.tolerance):
            return Checked(verdict=Verdict.HONEST, reason="near our own run; the operator's trace was not at hand")
        reason = "our own run gives no answer" if run is None else first_difference(sworn, run.outputs)
        if self.accuse_by_distance:
            return _false(reason)
        self._waiting[claim.result_id] = reason
        return self._undecided(claim, result)

    def _undecided(self, claim: Claim, result: Result) -> Checked:
        """Raises `ResultUndecided` where there is a server that may yet show the trace."""
        reason = f"{self._waiting[claim.result_id]}, but only its trace could tell whether that is a lie"
        if claim.operator in self.sources and result.trace_root != ZERO_HASH:
            raise ResultUndecided(f"{reason}, and its operator's trace server does not show all of it")
        return Checked(verdict=Verdict.UNDECIDED, reason=reason)

    def _impossible(
        self, published: PublishedModel, payload: bytes, model: IdentifiedModel, inputs: Tensors, sworn: Tensors
    ) -> str | None:
        """Why no machine's run gives an output, whatever its trace; None where one may."""
        if len(model.source.artifact) > _MAX_SPANNED_BYTES:
            return None
        compiled = self.shelf.compiled(published, payload)
        if not is_enclosable(compiled.program):
            return None
        try:
            found = outside(enclose(compiled, inputs), sworn)
        except NO_ANSWER as error:
            return f"the model gives this input no answer on any machine: {error}"
        if found is None:
            return None
        place = f"{found.name}{list(found.index)}"
        return f"{place} is sworn as {found.claimed:g}, and is between {found.low:g} and {found.high:g} in every run"

    def _audited(self, claim: Claim, published: PublishedModel, payload: bytes, result: Result) -> Checked | None:
        """What the operator's trace server shows; None where it does not show all of a trace that fits."""
        source = self.sources.get(claim.operator)
        if source is None or result.trace_root == ZERO_HASH:
            return None
        model = self.shelf.compiled(published, payload)
        try:
            trace = source.download(model.subject, result, self.trace_path(claim))
            finding = audit_trace(model, trace, result)
        except (ArtifactError, CodecError, TraceError):
            return None
        if isinstance(finding, FaultFound):
            place = f"element {finding.index} of value {finding.value}"
            return _false(f"its trace has a fault: {finding.kind.name.lower()}, {place}")
        return Checked(verdict=Verdict.HONEST, reason="every element of its trace is admissible")

    def _traced(self, model: IdentifiedModel, inputs: Tensors) -> Run:
        with _scratch(self.folder.path) as folder:
            return self.engine.run(model, inputs, limits=self.shelf.limits, trace_file=folder / "trace")


def _false(reason: str) -> Checked:
    return Checked(verdict=Verdict.FALSE, reason=reason)


def _is_inline(claim: Claim) -> bool:
    """Whether all that will ever be known of the input was emitted: it is no reference, or none that can be read."""
    try:
        return reference_of(claim.input) is None
    except CodecError:
        return True


def _with_root(payload: bytes, root: bytes) -> bytes:
    if payload_root(payload) != root:
        raise InputRejected("the payload does not have the request's input root")
    return payload


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder that goes away. Raises `TraceError`."""
    try:
        with TemporaryDirectory(prefix=RUN_PREFIX, dir=folder, ignore_cleanup_errors=True) as name:
            yield Path(name)
    except OSError as error:
        raise TraceError(f"there is no place for a trace: {error}") from error
