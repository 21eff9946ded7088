"""Runs a claim again and says what came of it. No database, no chain: runs in a worker thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    RunNotFinite,
    TraceError,
    ValueNotFinite,
)
from sworn.storage.fetching import split_uri
from sworn.types import ZERO_HASH, Address, Profile, Result, Tensors
from sworn.watcher.challenger.claims import Claim
from sworn.watcher.challenger.evidence_folder import RUN_PREFIX, EvidenceFolder
from sworn.watcher.challenger.models import ModelShelf
from sworn.watcher.inference import InputFetcher
from sworn.watcher.published import PublishedModel

#: What says that the model gives an input no answer, on any machine in profile `exact`.
NO_ANSWER = (RunNotFinite, DivisionByZero, CastOutOfRange, IndexOutOfRange, ValueNotFinite)


class Verdict(Enum):
    """What a claim turned out to be."""

    #: Nothing speaks against it.
    HONEST = "honest"
    #: Whoever challenges it can prove that it is wrong; in profile `bounded` perhaps only once its trace is shown.
    FALSE = "false"


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
    #: Operators' trace servers.
    sources: Mapping[Address, TraceServer]
    #: Where traces are kept while their claims are looked at.
    folder: EvidenceFolder
    #: How far an output in profile `bounded` may be from our own, relative to the largest element, while its operator's
    #: trace is not at hand.
    tolerance: float

    def check(self, claim: Claim, published: PublishedModel, result: Result) -> Checked:
        """The verdict. Raises `SwornError` for whatever keeps us from verifying, and judges nobody then."""
        payload = self.payload(claim)
        model = self.shelf.identified(published, payload)
        try:
            inputs = decode_tensors(payload, model.schema.inputs)
        except CodecError as error:
            return Checked(verdict=Verdict.FALSE, reason=f"the input is none that the model takes: {error}")
        if model.model.profile is Profile.EXACT:
            return self._exact(claim, model, inputs, result)
        return self._bounded(claim, model, inputs, result, published=published, payload=payload)

    def payload(self, claim: Claim) -> bytes:
        """The input payload of a claim. Raises `ArtifactError`, and `InputRejected` for one with another root."""
        uri, payload = reference_of(claim.input), claim.input
        if uri is not None:
            parts = split_uri(uri)
            # SAFETY: a requester chooses the URI; only hosts that the challenger trusts are ever contacted.
            if parts.scheme not in ("https", "http") or parts.hostname not in self.input_hosts:
                raise ArtifactUnavailable("the input's host is not one from which inputs are fetched")
            payload = self.fetch(uri, self.max_input_bytes)
        if payload_root(payload) != claim.request.input_root:
            raise InputRejected("the payload does not have the request's input root")
        return payload

    def trace_path(self, claim: Claim) -> Path:
        """Where an operator's downloaded trace lies."""
        return self.folder.path / f"{claim.result_id.hex()}.trace"

    def own_path(self, claim: Claim) -> Path:
        """Where the trace of our own run lies."""
        return self.folder.path / f"{claim.result_id.hex()}.own"

    def forget(self, claim: Claim) -> None:
        """Removes what was kept about a claim that is over."""
        for path in (self.trace_path(claim), self.own_path(claim)):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def sweep(self, open_claims: Iterable[Claim]) -> None:
        """Makes the folder, or removes what an earlier process has left there, but what open claims still need.

        Raises `ConfigurationError` for a folder that cannot be used.
        """
        self.folder.clear({path for claim in open_claims for path in (self.trace_path(claim), self.own_path(claim))})

    def _exact(self, claim: Claim, model: IdentifiedModel, inputs: Tensors, result: Result) -> Checked:
        try:
            run = self.engine.run(model, inputs, limits=self.shelf.limits)
            own = encode_tensors(run.outputs, model.schema.outputs)
        except NO_ANSWER as error:
            return Checked(verdict=Verdict.FALSE, reason=f"the model gives this input no answer: {error}")
        if payload_root(own) == result.output_root:
            return Checked(verdict=Verdict.HONEST, reason="our own run gives the same output, bit for bit")
        return Checked(verdict=Verdict.FALSE, reason=_difference(claim.output, model, run))

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
        if run is None:
            return Checked(verdict=Verdict.FALSE, reason="the model gives this input no answer here")
        if _is_near(claim.output, model, run, tolerance=self.tolerance):
            return Checked(verdict=Verdict.HONEST, reason="near our own run; the operator's trace was not at hand")
        return Checked(verdict=Verdict.FALSE, reason=_difference(claim.output, model, run))

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
            return Checked(verdict=Verdict.FALSE, reason=f"its trace has a fault: {finding.kind.name.lower()}, {place}")
        return Checked(verdict=Verdict.HONEST, reason="every element of its trace is admissible")

    def _traced(self, model: IdentifiedModel, inputs: Tensors) -> Run:
        with _scratch(self.folder.path) as folder:
            return self.engine.run(model, inputs, limits=self.shelf.limits, trace_file=folder / "trace")


def _difference(output: bytes, model: IdentifiedModel, run: Run) -> str:
    """The first element in which an output differs from our own, for people."""
    try:
        sworn = decode_tensors(output, model.schema.outputs)
    except CodecError as error:
        return f"its output is none that the model gives: {error}"
    for name, claimed in sworn.items():
        own = run.outputs[name]
        places = np.flatnonzero(np.asarray(claimed != own))
        if places.size:
            index = tuple(int(axis) for axis in np.unravel_index(int(places[0]), claimed.shape))
            return f"{name}{list(index)} is sworn as {claimed[index]}, our own run gives {own[index]}"
    return "its output is encoded in another way than our own"


def _is_near(output: bytes, model: IdentifiedModel, run: Run, *, tolerance: float) -> bool:
    """Whether an output is as near to our own as honest runs are. Labels may turn where scores are near."""
    try:
        sworn = decode_tensors(output, model.schema.outputs)
    except CodecError:
        return False
    floats = {name: array for name, array in sworn.items() if array.dtype.kind == "f"}
    if not floats:
        return all(np.array_equal(array, run.outputs[name]) for name, array in sworn.items())
    return all(_distance(array, run.outputs[name]) <= tolerance for name, array in floats.items())


def _distance(claimed: NDArray[Any], own: NDArray[Any]) -> float:
    """The largest difference, relative to the largest element of our own."""
    if not own.size:
        return 0.0
    left, right = claimed.astype(np.float64), own.astype(np.float64)
    return float(np.abs(left - right).max() / max(float(np.abs(right).max()), np.finfo(np.float32).tiny))


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder that goes away. Raises `TraceError`."""
    try:
        with TemporaryDirectory(prefix=RUN_PREFIX, dir=folder, ignore_cleanup_errors=True) as name:
            yield Path(name)
    except OSError as error:
        raise TraceError(f"there is no place for a trace: {error}") from error
