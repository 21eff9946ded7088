from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.searching import payload_of, result_with
from tests.support.subjects import compiled, corrupted, every_rule, random_inputs

from sworn.dispute.search import FaultFound, audit_trace, search_of
from sworn.dispute.shown_trace import ShownTrace
from sworn.dispute.trace_source import HttpTraceSource, read_on
from sworn.errors import ArtifactUnavailable
from sworn.model.trace_file import TraceFile
from sworn.storage import HttpFetcher
from sworn.types import Part, Profile, ResultId, Target
from sworn.verification import CompiledModel, Trace
from sworn.verification.subject import OnValue
from sworn.web.server import serving
from sworn.web.traces import trace_app

RESULT_ID = ResultId(b"\x05" * 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTrace:
    """A `TraceLibrary` with one trace."""

    file: TraceFile

    def find(self, trace_root: bytes) -> TraceFile | None:
        return self.file if trace_root == self.file.trace_root else None

    def trace_root_of(self, result_id: ResultId) -> bytes | None:
        return self.file.trace_root if result_id == RESULT_ID else None


@pytest.fixture(scope="module", params=[Profile.EXACT, Profile.BOUNDED], ids=["exact", "bounded"])
def model(request: pytest.FixtureRequest) -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule(), profile=request.param)


@pytest.fixture(scope="module")
def filed(model: CompiledModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lying operator's trace, in its file."""
    honest = model.trace(random_inputs(model))
    wrong = corrupted(honest, 8, 3, honest.bits(8, 3) ^ 1 << 23)

    def run(on_value: OnValue) -> None:
        for number, array in enumerate(wrong.values):
            on_value(number, array)

    path = tmp_path_factory.mktemp("operator") / "trace"
    Trace.record(model.subject, run, path=path)
    return path


@pytest.fixture(scope="module")
def lie(model: CompiledModel, filed: Path) -> Trace:
    """The same, to be compared with."""
    return model.load_trace(filed)


@pytest.fixture(scope="module")
def source(filed: Path) -> Iterator[HttpTraceSource]:
    """The operator's real server, and a real client."""
    with serving(trace_app(OneTrace(file=TraceFile.load(filed))), host="127.0.0.1", port=0) as (host, port):
        fetcher = HttpFetcher(allow_private_hosts=True)
        yield HttpTraceSource(url=f"http://{host}:{port}", fetcher=fetcher, max_bytes=1 << 20)


def test_trace_from_a_real_server_is_downloaded_and_convicts(
    model: CompiledModel, lie: Trace, source: HttpTraceSource, tmp_path: Path
) -> None:
    """Over HTTP, value by value, each held against the root."""
    result = result_with(lie)
    downloaded = source.download(model.subject, result, tmp_path / "trace")
    assert downloaded.root == lie.root
    assert isinstance(audit_trace(model, downloaded, result), FaultFound)


def test_parts_from_a_real_server_lead_a_search_to_the_fault(
    model: CompiledModel, lie: Trace, source: HttpTraceSource
) -> None:
    """What would else be demanded on chain costs nothing."""
    search = search_of(model, payload_of(model, random_inputs(model)))
    finding = read_on(source, search, result_with(lie), ShownTrace(lie.root))
    assert isinstance(finding, FaultFound) and finding.value == 8


def test_real_server_without_the_trace_says_so(source: HttpTraceSource, lie: Trace) -> None:
    """Which trace belongs to a result is told; of others there is nothing."""
    assert source.trace_root_of(RESULT_ID) == lie.root
    assert source.trace_root_of(ResultId(b"\x06" * 32)) is None
    with pytest.raises(ArtifactUnavailable, match="404"):
        source.show(b"\x07" * 32, Target(part=Part.VALUES))


def test_server_in_a_private_network_is_not_asked_unless_allowed(source: HttpTraceSource, lie: Trace) -> None:
    """Whoever names servers decides whether they may lie there."""
    public = HttpTraceSource(url=source.url, fetcher=HttpFetcher(), max_bytes=1 << 20)
    with pytest.raises(ArtifactUnavailable, match="public internet"):
        public.show(lie.root, Target(part=Part.VALUES))
