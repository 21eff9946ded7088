"""Trace servers that would rather be slow than show what convicts their operators."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.searching import URL, ServedTrace, payload_of, result_with
from tests.support.subjects import compiled, every_rule, random_inputs

from sworn.dispute.search import NoFault, Search, Wanted, search_of
from sworn.dispute.shown_trace import ShownTrace
from sworn.dispute.trace_source import HttpTraceSource, read_on
from sworn.errors import ArtifactUnavailable, DisclosureInvalid
from sworn.storage.web import Pace
from sworn.types import Part, Profile, Target
from sworn.verification import CompiledModel, Trace

ROOT = Target(part=Part.VALUES)
#: What a server may take for a trace of a few bytes.
WHOLE_S = 60.0


@dataclass(slots=True)
class SlowServer:
    """A server whose answers each take ``cost_s`` of a clock of its own; ``paces`` are those it was asked at."""

    served: ServedTrace
    cost_s: float
    now: float = 0.0
    asked: int = 0
    paces: list[Pace] = field(default_factory=list)
    schemes: frozenset[str] = frozenset({"https"})

    def open(self, uri: str) -> Generator[bytes, None, None]:
        """Unused where a pace can be kept."""
        raise NotImplementedError

    def open_at(self, uri: str, pace: Pace) -> Generator[bytes, None, None]:
        """The answer, late, unless the pace cuts it short."""
        self.asked += 1
        self.paces.append(pace)
        self.now += min(self.cost_s, pace.total_s)
        if self.cost_s >= pace.total_s:
            raise ArtifactUnavailable("cut")
        yield from self.served.open(uri)

    def source(self) -> HttpTraceSource:
        """A challenger's view of it."""
        return HttpTraceSource(url=URL, fetcher=self, max_bytes=1 << 20, clock=lambda: self.now)


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule(), profile=Profile.BOUNDED)


@pytest.fixture(scope="module")
def honest(model: CompiledModel) -> Trace:
    """One run of it."""
    return model.trace(random_inputs(model))


@pytest.fixture
def search(model: CompiledModel) -> Search:
    """A search on the same inputs."""
    return search_of(model, payload_of(model, random_inputs(model)))


@pytest.mark.parametrize("cost_s", [9.0, 600.0], ids=["every value late", "one that never ends"])
def test_server_cannot_outlast_a_dispute_with_a_slow_download(
    model: CompiledModel, honest: Trace, tmp_path: Path, cost_s: float
) -> None:
    """All its values together have one time; then the challenger demands on chain, and asks no more for half an hour.

    Ten minutes for each of hundreds of values outlast every clock of a dispute.
    """
    server = SlowServer(ServedTrace(trace=honest), cost_s)
    source, result = server.source(), result_with(honest)
    with pytest.raises(ArtifactUnavailable):
        source.download(model.subject, result, tmp_path / "trace")
    assert server.now <= WHOLE_S + 1 and list(tmp_path.iterdir()) == []
    assert [pace.total_s for pace in server.paces] == sorted((pace.total_s for pace in server.paces), reverse=True)
    asked = server.asked
    for question in (
        lambda: source.download(model.subject, result, tmp_path / "trace"),
        lambda: source.show(honest.root, ROOT),
    ):
        with pytest.raises(ArtifactUnavailable, match="not asked for now"):
            question()
    assert server.asked == asked
    server.now += 1_800.0
    server.cost_s = 0.1
    assert source.download(model.subject, result, tmp_path / "trace").root == honest.root


def test_server_with_a_wrong_answer_at_once_is_asked_again(model: CompiledModel, honest: Trace, tmp_path: Path) -> None:
    """A wrong answer that comes at once costs nothing and may be a fault that is soon mended."""
    server = SlowServer(ServedTrace(trace=honest, changed={"summary": b"{}"}), 1.0)
    source = server.source()
    for _ in range(2):
        with pytest.raises(DisclosureInvalid):
            source.download(model.subject, result_with(honest), tmp_path / "trace")
    assert server.asked == 2


def test_own_work_between_requests_is_not_held_against_a_server(
    model: CompiledModel, honest: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing a large trace takes longer than fetching it."""
    server = SlowServer(ServedTrace(trace=honest), 0.1)
    source = server.source()
    whole = HttpTraceSource._value

    def slow_hashing(self: HttpTraceSource, *args: object) -> bytes:
        server.now += 100.0
        return whole(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(HttpTraceSource, "_value", slow_hashing)
    assert source.download(model.subject, result_with(honest), tmp_path / "trace").root == honest.root


def test_server_with_slow_parts_is_left_for_the_chain(search: Search, honest: Trace) -> None:
    """Part by part it has a minute in all beyond what is quick: then the rest is demanded, and it is left alone."""
    server = SlowServer(ServedTrace(trace=honest), 15.0)
    source = server.source()
    finding = read_on(source, search, result_with(honest), ShownTrace(honest.root), clock=lambda: server.now)
    assert isinstance(finding, Wanted)
    assert server.now <= 80.0
    asked = server.asked
    read_on(source, search, result_with(honest), ShownTrace(honest.root), clock=lambda: server.now)
    assert server.asked == asked
    server.now, server.cost_s = server.now + 1_800.0, 0.1
    found = read_on(source, search, result_with(honest), ShownTrace(honest.root), clock=lambda: server.now)
    assert isinstance(found, NoFault)


def test_one_part_that_never_comes_costs_seconds(honest: Trace) -> None:
    """A part has a few kilobytes: it is waited for as long as those take on any line."""
    server = SlowServer(ServedTrace(trace=honest), 600.0)
    with pytest.raises(ArtifactUnavailable):
        server.source().show(honest.root, ROOT)
    assert server.now <= 20.0


def test_look_at_very_many_quick_parts_ends_in_time(search: Search, honest: Trace) -> None:
    """Each of them is quick enough; all together they still have an end, and what was shown counts."""
    server = SlowServer(ServedTrace(trace=honest), 0.4)
    ticks = iter([0.0, 1.0, 2.0])
    shown = ShownTrace(honest.root)
    finding = read_on(server.source(), search, result_with(honest), shown, clock=lambda: next(ticks, 301.0))
    assert isinstance(finding, Wanted) and server.asked == 2
