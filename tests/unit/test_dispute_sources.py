from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.searching import URL, ServedTrace, payload_of, result_with
from tests.support.subjects import compiled, corrupted, every_rule, random_inputs

from sworn.codec.dispute_structs import encode_disclosure
from sworn.dispute.disclosure import show
from sworn.dispute.search import FaultFound, NoFault, Search, Wanted, audit_trace, search_of
from sworn.dispute.shown_trace import ShownTrace
from sworn.dispute.trace_source import HttpTraceSource, read_on
from sworn.errors import ArtifactError, ArtifactTooLarge, DisclosureInvalid
from sworn.types import Part, Profile, ResultId, Target
from sworn.verification import CompiledModel, Trace


@pytest.fixture(scope="module", params=[Profile.EXACT, Profile.BOUNDED], ids=["exact", "bounded"])
def model(request: pytest.FixtureRequest) -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule(), profile=request.param)


@pytest.fixture(scope="module")
def honest(model: CompiledModel) -> Trace:
    """One run of it."""
    return model.trace(random_inputs(model))


@pytest.fixture(scope="module")
def lie(honest: Trace) -> Trace:
    """The same with half of one element."""
    return corrupted(honest, 8, 3, honest.bits(8, 3) ^ 1 << 23)


@pytest.fixture
def search(model: CompiledModel) -> Search:
    """A search on the same inputs."""
    return search_of(model, payload_of(model, random_inputs(model)))


def source_of(served: ServedTrace, *, max_bytes: int = 1 << 20) -> HttpTraceSource:
    """A source behind a fetcher."""
    return HttpTraceSource(url=URL + "/", fetcher=served, max_bytes=max_bytes)


def test_source_of_a_server_shows_all_that_a_search_wants(search: Search, honest: Trace, lie: Trace) -> None:
    """Nothing has to be demanded on chain."""
    for trace, kind in ((lie, FaultFound), (honest, NoFault)):
        source = source_of(ServedTrace(trace=trace))
        assert isinstance(read_on(source, search, result_with(trace), ShownTrace(trace.root)), kind)


def test_source_without_chunks_leaves_them_to_be_demanded(search: Search, lie: Trace) -> None:
    """What was shown before counts all the same."""
    source = source_of(ServedTrace(trace=lie, gone=frozenset({"disclosures"})))
    finding = read_on(source, search, result_with(lie), ShownTrace(lie.root))
    assert isinstance(finding, Wanted) and finding.targets[0].part is Part.VALUES


def test_server_that_shows_another_trace_is_not_believed(search: Search, honest: Trace, lie: Trace) -> None:
    """Its answers are checked against what the operator committed to."""
    target = Target(part=Part.CHUNKS, value=8)
    liar = ServedTrace(trace=lie, changed={"disclosures": encode_disclosure(show(honest, target))})
    with pytest.raises(DisclosureInvalid):
        source_of(liar).show(lie.root, target)
    assert isinstance(read_on(source_of(liar), search, result_with(lie), ShownTrace(lie.root)), Wanted)


def test_downloaded_trace_is_the_operators_and_can_be_audited(
    model: CompiledModel, honest: Trace, lie: Trace, tmp_path: Path
) -> None:
    """All of it in one file, kept for the next time."""
    for number, (trace, kind) in enumerate(((lie, FaultFound), (honest, NoFault))):
        source, path = source_of(ServedTrace(trace=trace)), tmp_path / str(number)
        downloaded = source.download(model.subject, result_with(trace), path)
        assert downloaded.statement == trace.statement
        assert isinstance(audit_trace(model, downloaded, result_with(trace)), kind)
        again = source_of(ServedTrace(trace=trace, gone=frozenset({"summary", "values"})))
        assert again.download(model.subject, result_with(trace), path).root == trace.root


@pytest.mark.parametrize(
    "changed",
    [
        {"values": b"\x00" * 100},
        {"values": b"\x00" * 1000},
        {"summary": b"[]"},
        {"summary": b'{"dataRoots": "0x"}'},
        {"summary": b'{"dataRoots": [1]}'},
        {"summary": b"[" * 100_000},
        {"summary": b"\xff"},
    ],
)
def test_download_of_what_was_not_committed_to_is_refused_and_leaves_nothing(
    model: CompiledModel, lie: Trace, tmp_path: Path, changed: dict[str, bytes]
) -> None:
    """Wrong bytes, wrong sizes, no JSON: no file stays behind."""
    with pytest.raises((DisclosureInvalid, ArtifactError)):
        source_of(ServedTrace(trace=lie, changed=changed)).download(model.subject, result_with(lie), tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


def test_download_that_is_too_large_or_of_other_sizes_is_refused(
    model: CompiledModel, honest: Trace, tmp_path: Path
) -> None:
    """Before any of its values is fetched."""
    with pytest.raises(ArtifactTooLarge):
        source_of(ServedTrace(trace=honest), max_bytes=100).download(model.subject, result_with(honest), tmp_path / "t")
    longer = Trace.of(model.subject, [*honest.values, honest.values[0]])
    with pytest.raises(DisclosureInvalid):
        source_of(ServedTrace(trace=longer)).download(model.subject, result_with(longer), tmp_path / "t")


def test_server_says_which_trace_belongs_to_a_result(honest: Trace) -> None:
    """Or that none does; anything else is no answer."""
    result_id = ResultId(b"\x01" * 32)
    assert source_of(ServedTrace(trace=honest)).trace_root_of(result_id) == honest.root
    none = ServedTrace(trace=honest, changed={"summary": b'{"traceRoot": null}'})
    assert source_of(none).trace_root_of(result_id) is None
    with pytest.raises(DisclosureInvalid):
        source_of(ServedTrace(trace=honest, changed={"summary": b'{"traceRoot": "0x12"}'})).trace_root_of(result_id)


def test_two_results_that_share_a_trace_are_told_apart(model: CompiledModel, honest: Trace, tmp_path: Path) -> None:
    """One is the truth, the other swears to another output over the same run."""
    source, path = source_of(ServedTrace(trace=honest)), tmp_path / "trace"
    true = result_with(honest)
    false = replace(true, output_root=b"\x07" * 32)
    for result, kind in ((true, NoFault), (false, FaultFound), (true, NoFault)):
        assert isinstance(audit_trace(model, source.download(model.subject, result, path), result), kind)


def test_downloaded_trace_that_is_damaged_or_another_is_fetched_again(
    model: CompiledModel, honest: Trace, lie: Trace, tmp_path: Path
) -> None:
    """A disk may fail; the operator's server still has it."""
    path = tmp_path / "trace"
    source_of(ServedTrace(trace=lie)).download(model.subject, result_with(lie), path)
    source = source_of(ServedTrace(trace=honest))
    assert source.download(model.subject, result_with(honest), path).root == honest.root
    path.write_bytes(path.read_bytes()[:-40] + bytes(40))
    assert source.download(model.subject, result_with(honest), path).root == honest.root
