"""A stranger's trace from its operator's server, for nothing; whatever comes from there is checked against the root."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from sworn.codec.dispute_structs import decode_disclosure
from sworn.codec.trees import HASH_BYTES
from sworn.dispute.disclosure import check
from sworn.dispute.search import Finding, Search, Wanted
from sworn.dispute.shown_trace import ShownTrace
from sworn.errors import (
    ArtifactError,
    ArtifactTooLarge,
    CodecError,
    ConfigurationError,
    DisclosureInvalid,
    TraceCorrupt,
    TraceError,
)
from sworn.model.commitment import BULK_BYTES, expected_bytes, trace_root
from sworn.model.trace_file import TraceRecorder
from sworn.storage.fetching import Fetcher
from sworn.types import Disclosure, Result, ResultId, Target
from sworn.verification import Subject, Trace

#: A disclosure has at most 16 chunks and a few hundred hashes, each word of them 32 bytes.
_MAX_DISCLOSURE_BYTES: Final = 64 << 10
#: What a summary takes for each value: a hash and a length in text.
_SUMMARY_BYTES: Final = 128


class TraceSource(Protocol):
    """Shows parts of traces."""

    def show(self, trace_root: bytes, target: Target) -> Disclosure:
        """A part of a trace, checked. Raises `ArtifactError` where it cannot be had, `CodecError` where it is wrong."""
        ...


class TraceServer(TraceSource, Protocol):
    """Shows parts of traces, and whole ones."""

    def download(self, subject: Subject, result: Result, path: Path) -> Trace:
        """The whole trace that was sworn with a result, in a trace file at ``path``.

        Raises as `show`, and `TraceError`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTraceSource:
    """An operator's trace server, see `sworn.web`. ``url`` is its root, ``max_bytes`` bounds one whole trace."""

    url: str
    fetcher: Fetcher
    max_bytes: int

    def show(self, trace_root: bytes, target: Target) -> Disclosure:
        """As `TraceSource.show`."""
        place = f"{int(target.part)}/{target.value}/{target.level}/{target.index}"
        shown = self._get(f"/v1/traces/{trace_root.hex()}/disclosures/{place}", _MAX_DISCLOSURE_BYTES)
        disclosure = decode_disclosure(shown)
        check(disclosure, target, trace_root)
        return disclosure

    def trace_root_of(self, result_id: ResultId) -> bytes | None:
        """The trace that belongs to a result, as its operator says; None where it has none. Raises as `show` does."""
        stated = self._json(f"/v1/results/{result_id.hex()}", _MAX_DISCLOSURE_BYTES).get("traceRoot")
        return None if stated is None else _hash(stated)

    def download(self, subject: Subject, result: Result, path: Path) -> Trace:
        """The whole trace that was sworn with a result, in a trace file at ``path``, which appears when all is there.

        One that lies there already is taken, unless it is damaged or another. Raises `ArtifactError` where it cannot be
        had, `CodecError` where it is wrong or does not fit the model, `TraceError` where it cannot be kept.
        """
        if path.exists():
            with suppress(TraceError, ConfigurationError):
                return _loaded(subject, result, path)
        roots = self._data_roots(subject, result.trace_root)
        with _partial(path) as partial:
            self._record(subject, result, roots, partial)
        return _loaded(subject, result, path)

    def _data_roots(self, subject: Subject, root: bytes) -> tuple[bytes, ...]:
        count = subject.value_count
        summary = self._json(f"/v1/traces/{root.hex()}", _MAX_DISCLOSURE_BYTES + _SUMMARY_BYTES * count)
        stated, lengths = summary.get("dataRoots"), summary.get("lengths")
        if not isinstance(stated, list):
            raise DisclosureInvalid("the summary of a trace has no data roots")
        roots = tuple(map(_hash, stated))
        if trace_root(roots) != root:
            raise DisclosureInvalid("the data roots are another trace's")
        expected = [expected_bytes(subject.program.value(value)) for value in range(count)]
        if len(roots) != count or lengths != expected:
            raise DisclosureInvalid("the trace has other sizes than the model")
        if sum(expected) > self.max_bytes:
            raise ArtifactTooLarge(f"the trace of {sum(expected)} bytes exceeds {self.max_bytes}")
        return roots

    def _record(self, subject: Subject, result: Result, roots: Sequence[bytes], path: Path) -> None:
        kinds = [subject.program.value(value) for value in range(len(roots))]
        bulk = sum(map(expected_bytes, kinds)) >= BULK_BYTES
        with path.open("wb") as file:
            recorder = TraceRecorder(file, len(roots))
            for value, (kind, root) in enumerate(zip(kinds, roots, strict=True)):
                data = self._value(result.trace_root, value, expected_bytes(kind))
                swapped = np.frombuffer(data, kind.dtype.numpy.newbyteorder(">"))
                array = swapped if kind.dtype.itemsize == 1 else swapped.astype(kind.dtype.numpy)
                # INVARIANT: what is kept is what the operator committed to, whatever its server says.
                if recorder.record(array, bulk) != root:
                    raise DisclosureInvalid(f"value {value} is not what was committed to")
            recorder.seal(model_id=subject.model_id, input_root=result.input_root, output_root=result.output_root)
            os.fsync(file.fileno())

    def _value(self, root: bytes, value: int, size: int) -> bytes:
        if not size:
            return b""
        data = self._get(f"/v1/traces/{root.hex()}/values/{value}", size)
        if len(data) != size:
            raise DisclosureInvalid(f"value {value} has {len(data)} bytes, not {size}")
        return data

    def _json(self, path: str, limit: int) -> dict[str, Any]:
        try:
            document = json.loads(self._get(path, limit))
        except (ValueError, RecursionError) as error:
            raise DisclosureInvalid("the trace server's answer is not JSON") from error
        if not isinstance(document, dict):
            raise DisclosureInvalid("the trace server's answer is no JSON object")
        return document

    def _get(self, path: str, limit: int) -> bytes:
        received = bytearray()
        with closing(self.fetcher.open(self.url.rstrip("/") + path)) as chunks:
            for chunk in chunks:
                received += chunk
                if len(received) > limit:
                    raise ArtifactTooLarge(f"the trace server's answer exceeds {limit} bytes")
        return bytes(received)


def read_on(source: TraceSource, search: Search, result: Result, shown: ShownTrace) -> Finding:
    """What a search comes to with all that a source shows of what it wants; the rest has to be demanded on chain."""
    finding = search.look(result, shown)
    while isinstance(finding, Wanted):
        try:
            for target in finding.targets:
                shown.take(target, source.show(result.trace_root, target))
        except (ArtifactError, CodecError):
            return search.look(result, shown)
        finding = search.look(result, shown)
    return finding


def _loaded(subject: Subject, result: Result, path: Path) -> Trace:
    trace = Trace.load(subject, path)
    if trace.root != result.trace_root:
        raise TraceCorrupt("the file holds another trace")
    # Two results may share a trace: what is claimed of it is in the result.
    return replace(trace, input_root=result.input_root, output_root=result.output_root)


def _hash(text: Any) -> bytes:
    digits = text.removeprefix("0x") if isinstance(text, str) else ""
    try:
        found = bytes.fromhex(digits)
    except ValueError:
        found = b""
    if len(found) != HASH_BYTES:
        raise DisclosureInvalid("the trace server gave no hash where one belongs")
    return found


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """A path beside another, that takes its place when all has gone well, and else is removed. Raises `TraceError`."""
    try:
        handle, name = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
        os.close(handle)
        partial = Path(name)
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise TraceError(f"the trace cannot be kept: {error}") from error
