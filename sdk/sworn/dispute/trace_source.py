"""A stranger's trace from its operator's server, for nothing; whatever comes from there is checked against the root."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
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
    ArtifactUnavailable,
    CodecError,
    ConfigurationError,
    DisclosureInvalid,
    TraceCorrupt,
    TraceError,
)
from sworn.model.commitment import BULK_BYTES, expected_bytes, trace_root
from sworn.model.trace_file import TraceRecorder
from sworn.storage.fetching import Fetcher
from sworn.storage.web import Pace, opened
from sworn.types import Disclosure, Result, ResultId, Target
from sworn.verification import Subject, Trace

#: A disclosure has at most 16 chunks and a few hundred hashes, each word of them 32 bytes.
_MAX_DISCLOSURE_BYTES: Final = 64 << 10
#: What a server may keep us waiting for in all: for a whole trace so long, and as long as its size takes on a line of
#: 8 Mbit/s; for one part so long. What it does not show in time is demanded on chain, which has a clock of its own:
#: a liar who could outlast that clock would win.
_WHOLE_S: Final = 60.0
_MIN_BYTES_PER_S: Final = 1 << 20
_PART_S: Final = 20.0
#: What a part may take without being held against the server, and what it may lose us beyond that.
_QUICK_S: Final = 0.5
_LOST_S: Final = 60.0
#: How long a server that was too slow is not asked, and until when slow parts are held against it.
_REST_S: Final = 1_800.0
#: What all parts that one look wants may take.
_LOOK_S: Final = 300.0
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


class _Wait:
    """The time for which one of our questions, of any number of requests, may wait for a server."""

    def __init__(self, allowed_s: float, clock: Callable[[], float]) -> None:
        self.allowed_s, self.spent_s = allowed_s, 0.0
        self._clock = clock
        self._began: float | None = None

    @property
    def left_s(self) -> float:
        running_s = 0.0 if self._began is None else self._clock() - self._began
        return self.allowed_s - self.spent_s - running_s

    @contextmanager
    def spending(self) -> Iterator[None]:
        """A request: what is made of its answer is our own time."""
        self.check()
        self._began = began = self._clock()
        try:
            yield
        finally:
            self.spent_s += self._clock() - began
            self._began = None

    def check(self) -> None:
        """Raises `ArtifactUnavailable` when the time is over."""
        if self.left_s <= 0:
            raise ArtifactUnavailable(f"the trace server is too slow: not done after {self.allowed_s:.0f} s")


class _Manners:
    """How a server has treated us; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rests_until = float("-inf")
        self._lost_s = 0.0
        self._lost_since = float("-inf")

    def check(self, now: float) -> None:
        """Raises `ArtifactUnavailable` while a server that was too slow is not asked."""
        with self._lock:
            if now < self._rests_until:
                raise ArtifactUnavailable("the trace server was too slow a moment ago, and is not asked for now")

    def note(self, wait: _Wait, now: float, *, is_answered: bool) -> None:
        """What a question came to."""
        with self._lock:
            if now - self._lost_since > _REST_S:
                self._lost_s, self._lost_since = 0.0, now
            if wait.allowed_s <= _PART_S:
                self._lost_s += max(0.0, wait.spent_s - _QUICK_S)
            is_in_vain = not is_answered and wait.spent_s >= min(wait.allowed_s, _WHOLE_S)
            if is_in_vain or self._lost_s > _LOST_S:
                self._rests_until, self._lost_s = now + _REST_S, 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTraceSource:
    """An operator's trace server, see `sworn.web`. ``url`` is its root, ``max_bytes`` bounds one whole trace.

    It is given a time for all that a question takes; one that needs longer is left alone for half an hour.
    """

    url: str
    fetcher: Fetcher
    max_bytes: int
    clock: Callable[[], float] = time.monotonic
    _manners: _Manners = field(default_factory=_Manners, repr=False, compare=False, init=False)

    def show(self, trace_root: bytes, target: Target) -> Disclosure:
        """As `TraceSource.show`."""
        place = f"{int(target.part)}/{target.value}/{target.level}/{target.index}"
        with self._waiting(_PART_S) as wait:
            shown = self._get(f"/v1/traces/{trace_root.hex()}/disclosures/{place}", _MAX_DISCLOSURE_BYTES, wait)
        disclosure = decode_disclosure(shown)
        check(disclosure, target, trace_root)
        return disclosure

    def trace_root_of(self, result_id: ResultId) -> bytes | None:
        """The trace that belongs to a result, as its operator says; None where it has none. Raises as `show` does."""
        with self._waiting(_PART_S) as wait:
            stated = self._json(f"/v1/results/{result_id.hex()}", _MAX_DISCLOSURE_BYTES, wait).get("traceRoot")
        return None if stated is None else _hash(stated)

    def download(self, subject: Subject, result: Result, path: Path) -> Trace:
        """The whole trace that was sworn with a result, in a trace file at ``path``, which appears when all is there.

        One that lies there already is taken, unless it is damaged or another. Raises `ArtifactError` where it cannot be
        had, or not in time, `CodecError` where it is wrong or does not fit the model, `TraceError` where it cannot be
        kept.
        """
        if path.exists():
            with suppress(TraceError, ConfigurationError):
                return _loaded(subject, result, path)
        size = sum(expected_bytes(subject.program.value(value)) for value in range(subject.value_count))
        with self._waiting(_WHOLE_S + min(size, self.max_bytes) / _MIN_BYTES_PER_S) as wait:
            roots = self._data_roots(subject, result.trace_root, wait)
            with _partial(path) as partial:
                self._record(subject, result, roots, partial, wait)
        return _loaded(subject, result, path)

    @contextmanager
    def _waiting(self, allowed_s: float) -> Iterator[_Wait]:
        self._manners.check(self.clock())
        wait, is_answered = _Wait(allowed_s, self.clock), False
        try:
            yield wait
            is_answered = True
        finally:
            self._manners.note(wait, self.clock(), is_answered=is_answered)

    def _data_roots(self, subject: Subject, root: bytes, wait: _Wait) -> tuple[bytes, ...]:
        count = subject.value_count
        summary = self._json(f"/v1/traces/{root.hex()}", _MAX_DISCLOSURE_BYTES + _SUMMARY_BYTES * count, wait)
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

    def _record(self, subject: Subject, result: Result, roots: Sequence[bytes], path: Path, wait: _Wait) -> None:
        kinds = [subject.program.value(value) for value in range(len(roots))]
        bulk = sum(map(expected_bytes, kinds)) >= BULK_BYTES
        with path.open("wb") as file:
            recorder = TraceRecorder(file, len(roots))
            for value, (kind, root) in enumerate(zip(kinds, roots, strict=True)):
                data = self._value(result.trace_root, value, expected_bytes(kind), wait)
                swapped = np.frombuffer(data, kind.dtype.numpy.newbyteorder(">"))
                array = swapped if kind.dtype.itemsize == 1 else swapped.astype(kind.dtype.numpy)
                # INVARIANT: what is kept is what the operator committed to, whatever its server says.
                if recorder.record(array, bulk) != root:
                    raise DisclosureInvalid(f"value {value} is not what was committed to")
            recorder.seal(model_id=subject.model_id, input_root=result.input_root, output_root=result.output_root)
            os.fsync(file.fileno())

    def _value(self, root: bytes, value: int, size: int, wait: _Wait) -> bytes:
        if not size:
            return b""
        data = self._get(f"/v1/traces/{root.hex()}/values/{value}", size, wait)
        if len(data) != size:
            raise DisclosureInvalid(f"value {value} has {len(data)} bytes, not {size}")
        return data

    def _json(self, path: str, limit: int, wait: _Wait) -> dict[str, Any]:
        try:
            document = json.loads(self._get(path, limit, wait))
        except (ValueError, RecursionError) as error:
            raise DisclosureInvalid("the trace server's answer is not JSON") from error
        if not isinstance(document, dict):
            raise DisclosureInvalid("the trace server's answer is no JSON object")
        return document

    def _get(self, path: str, limit: int, wait: _Wait) -> bytes:
        received = bytearray()
        with wait.spending(), closing(self._open(path, wait)) as chunks:
            for chunk in chunks:
                received += chunk
                wait.check()
                if len(received) > limit:
                    raise ArtifactTooLarge(f"the trace server's answer exceeds {limit} bytes")
        return bytes(received)

    def _open(self, path: str, wait: _Wait) -> Generator[bytes, None, None]:
        return opened(self.fetcher, self.url.rstrip("/") + path, Pace(total_s=wait.left_s))


def read_on(
    source: TraceSource,
    search: Search,
    result: Result,
    shown: ShownTrace,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Finding:
    """What a search comes to with all that a source shows, in five minutes, of what it wants.

    The rest has to be demanded on chain.
    """
    until = clock() + _LOOK_S
    finding = search.look(result, shown)
    while isinstance(finding, Wanted):
        try:
            for target in finding.targets:
                if clock() >= until:
                    return search.look(result, shown)
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
