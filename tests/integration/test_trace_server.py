from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.support.subjects import compiled, every_rule, random_inputs

from sworn.codec.dispute_structs import decode_disclosure
from sworn.codec.hashing import Domain, result_digest
from sworn.dispute.disclosure import check
from sworn.errors import ConfigurationError, TraceError
from sworn.model.commitment import trace_root
from sworn.model.trace_file import TraceFile
from sworn.types import ZERO_ADDRESS, Address, Part, RequestId, Result, ResultId, Target
from sworn.verification import CompiledModel
from sworn.watcher.defence.records import Defence
from sworn.watcher.defence.store import DefenceStore, News
from sworn.watcher.jobs import Oath
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.migration import upgrade
from sworn.watcher.traces import FileTraceStore, KeptTrace
from sworn.web.library import WatcherLibrary
from sworn.web.server import serving
from sworn.web.throttle import RateLimit
from sworn.web.traces import TraceLibrary, trace_app

OPERATOR = Address("0x" + "11" * 20)
REQUEST = RequestId(b"\x03" * 32)
SECRET = "a password"
UNKNOWN = f"/v1/traces/{'ab' * 32}"


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """A program with a step of every rule."""
    return compiled(*every_rule())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    database = open_database(f"sqlite:///{tmp_path}/watcher.db")
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def traces(tmp_path: Path) -> FileTraceStore:
    """A place for traces, with something beside it that is nobody's business."""
    (tmp_path / "secret").write_text(SECRET)
    return FileTraceStore(tmp_path / "traces", max_total_bytes=1 << 30)


@pytest.fixture
def trace(model: CompiledModel, traces: FileTraceStore) -> TraceFile:
    """The trace of a run for a request."""
    draft = traces.draft(REQUEST)
    root = model.trace(random_inputs(model), path=draft).root
    kept = KeptTrace(request_id=REQUEST, trace_root=root)
    traces.keep(kept, draft)
    path = traces.find(kept)
    assert path is not None
    return TraceFile.load(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """The content as JSON."""
        return json.loads(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Somebody who reads over a real socket, and sends paths as they are."""

    host: str
    port: int

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Reply:
        """One request on a connection of its own."""
        with closing(HTTPConnection(self.host, self.port, timeout=30)) as connection:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(status=answer.status, headers=found, content=answer.read())


@contextmanager
def reading(library: TraceLibrary, **options: Any) -> Iterator[Reader]:
    """A server in a thread, and somebody who reads from it."""
    with serving(trace_app(library, **options), host="127.0.0.1", port=0) as (host, port):
        yield Reader(host=host, port=port)


@pytest.fixture
def library(traces: FileTraceStore, database: Database) -> WatcherLibrary:
    """What a watcher keeps."""
    return WatcherLibrary(traces=traces, database=database, operator=OPERATOR)


@pytest.fixture
def client(library: WatcherLibrary) -> Iterator[Reader]:
    """Somebody who reads."""
    with reading(library) as reader:
        yield reader


def swear(database: Database, *, root: bytes) -> ResultId:
    """Journals a result with a trace root."""
    result = Result(
        request_id=REQUEST,
        model_id=b"\x01" * 32,  # type: ignore[arg-type]
        input_root=bytes(32),
        output_root=bytes(32),
        trace_root=root,
        operator=OPERATOR,
        expiry=1,
    )
    digest = result_digest(result, Domain(chain_id=1, oracle=ZERO_ADDRESS))
    oath = Oath(
        request_id=REQUEST, operator=OPERATOR, digest=digest, output_root=bytes(32), trace_root=root, output=b""
    )
    JobStore(database=database).swear(oath)
    return digest


def test_summary_of_trace_leads_to_its_root(client: Reader, trace: TraceFile) -> None:
    """Data roots and lengths of every value; the roots are those under the trace root."""
    found = client.get(f"/v1/traces/{trace.trace_root.hex()}").json()
    assert found["traceRoot"] == "0x" + trace.trace_root.hex()
    assert found["values"] == len(trace.lengths) and found["lengths"] == list(trace.lengths)
    assert trace_root([bytes.fromhex(root[2:]) for root in found["dataRoots"]]) == trace.trace_root


def test_value_is_served_whole_and_in_ranges(client: Reader, trace: TraceFile) -> None:
    """The committed bytes, all of them, or one range of them."""
    value = max(range(len(trace.lengths)), key=trace.lengths.__getitem__)
    length, url = trace.lengths[value], f"/v1/traces/{trace.trace_root.hex()}/values/{value}"
    whole = trace.read(value, 0, length)
    answer = client.get(url)
    assert (answer.status, answer.content) == (200, whole)
    assert answer.headers["content-type"] == "application/octet-stream"
    for header, start, stop in (("0-9", 0, 10), ("5-", 5, length), ("-7", length - 7, length), ("3-999999", 3, length)):
        part = client.get(url, Range=f"bytes={header}")
        assert (part.status, part.content) == (206, whole[start:stop])
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{length}"
    beyond = client.get(url, Range=f"bytes={length}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{length}")
    # A form that is not served is answered by everything, as the norm has it.
    assert client.get(url, Range="bytes=0-1,4-5").content == whole


def test_every_disclosure_convinces_who_knows_the_root(client: Reader, trace: TraceFile) -> None:
    """What is served is what a contract would take."""
    for target in (
        Target(part=Part.VALUES, level=2, index=1),
        Target(part=Part.NODES, value=3),
        Target(part=Part.CHUNKS, value=5),
        Target(part=Part.CHUNKS, value=5, index=99),
    ):
        place = f"{int(target.part)}/{target.value}/{target.level}/{target.index}"
        answer = client.get(f"/v1/traces/{trace.trace_root.hex()}/disclosures/{place}")
        assert answer.status == 200
        check(decode_disclosure(answer.content), target, trace.trace_root)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/traces/{root}/values/4294967296",
        "/v1/traces/{root}/values/-1",
        "/v1/traces/{root}/values/01",
        "/v1/traces/{root}/values/%D9%A3",
        "/v1/traces/{root}/disclosures/3/0/0/0",
        "/v1/traces/{root}/disclosures/2/0/1/0",
        "/v1/traces/{root}/disclosures/0/1/0/0",
        "/v1/traces/{root}/disclosures/9/0/0/0",
        "/v1/traces/0x{root}",
        "/v1/traces/..%2f..%2fsecret",
        "/v1/traces/../../secret",
        "/v1/results/{root}00",
    ],
)
def test_malformed_path_is_refused_in_json(client: Reader, trace: TraceFile, path: str) -> None:
    """Whatever is asked for that is no root, number or part: a reason, and nothing else."""
    answer = client.get(path.format(root=trace.trace_root.hex()))
    assert answer.status in (400, 404)
    assert set(answer.json()) == {"error", "detail"} and SECRET not in answer.text


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/traces", "/v1/traces/", "/v1/results", "/secret", "/drafts"])
def test_nothing_is_listed_to_strangers(client: Reader, trace: TraceFile, path: str) -> None:
    """Who knows no root finds nothing."""
    answer = client.get(path)
    assert answer.status in (307, 400, 404) and trace.trace_root.hex() not in answer.text


def test_unknown_trace_and_value_are_not_found(client: Reader, trace: TraceFile) -> None:
    """404, and why."""
    assert client.get(f"/v1/traces/{'ab' * 32}").status == 404
    answer = client.get(f"/v1/traces/{trace.trace_root.hex()}/values/{len(trace.lengths)}")
    assert (answer.status, answer.json()["error"]) == (404, "not found")


def test_trace_that_was_dropped_is_not_served_any_more(
    client: Reader, traces: FileTraceStore, trace: TraceFile
) -> None:
    """What has been open stays no longer than its file."""
    url = f"/v1/traces/{trace.trace_root.hex()}"
    assert client.get(url).status == 200
    traces.drop(KeptTrace(request_id=REQUEST, trace_root=trace.trace_root))
    assert client.get(url).status == 404


def test_damaged_trace_is_unavailable_instead_of_wrong(
    client: Reader, traces: FileTraceStore, trace: TraceFile
) -> None:
    """A byte that changed on disk: 503 without a word about files."""
    path = traces.find(KeptTrace(request_id=REQUEST, trace_root=trace.trace_root))
    assert path is not None
    data = bytearray(path.read_bytes())
    data[trace._starts[5]] ^= 1
    path.write_bytes(data)
    answer = client.get(f"/v1/traces/{trace.trace_root.hex()}/disclosures/2/5/0/0")
    assert (answer.status, answer.json()["error"]) == (503, "unavailable")
    assert str(path.parent) not in answer.text


def test_result_names_its_trace_as_far_as_it_is_kept(client: Reader, database: Database, trace: TraceFile) -> None:
    """The root that was sworn; null for a stranger's result."""
    result_id = swear(database, root=trace.trace_root)
    assert client.get(f"/v1/results/{result_id.hex()}").json() == {"traceRoot": "0x" + trace.trace_root.hex()}
    assert client.get(f"/v1/results/{'00' * 32}").json() == {"traceRoot": None}


def test_result_without_trace_names_the_one_that_was_made_when_challenged(
    client: Reader, database: Database, trace: TraceFile
) -> None:
    """In profile exact there is none before; then there is."""
    result_id = swear(database, root=bytes(32))
    url = f"/v1/results/{result_id.hex()}"
    assert client.get(url).json() == {"traceRoot": None}
    defences = DefenceStore(database=database)
    defences.advance(history=(), news=News(opened=(Defence(result_id=result_id, block_number=1),)))
    assert client.get(url).json() == {"traceRoot": None}
    defences.swear(result_id, trace.trace_root)
    assert client.get(url).json() == {"traceRoot": "0x" + trace.trace_root.hex()}


def test_client_that_asks_too_much_is_slowed_down(library: WatcherLibrary) -> None:
    """After its burst a client gets 429 until time has passed; writes are refused at any time."""
    now = [0.0]
    with reading(library, limit=RateLimit(burst=3, per_second=1.0), clock=lambda: now[0]) as client:
        assert [client.get(UNKNOWN).status for _ in range(5)] == [404, 404, 404, 429, 429]
        now[0] += 2
        assert [client.get(UNKNOWN).status for _ in range(3)] == [404, 404, 429]
        assert client.get(UNKNOWN, method="POST").status == 405


def test_server_ends_with_its_block_and_frees_its_port(library: WatcherLibrary, trace: TraceFile) -> None:
    """While it runs its port is taken, which is said; afterwards it is free."""
    with reading(library) as client:
        found = client.get(f"/v1/traces/{trace.trace_root.hex()}")
        assert found.json()["values"] == len(trace.lengths) and "server" not in found.headers
        with pytest.raises(ConfigurationError), serving(trace_app(library), host=client.host, port=client.port):
            pass
    with pytest.raises(ConnectionRefusedError):
        client.get(UNKNOWN)
    with serving(trace_app(library), host=client.host, port=client.port):
        assert client.get(UNKNOWN).status == 404


def test_library_that_fails_is_unavailable_to_clients() -> None:
    """Trouble with the disk is told as trouble, not as absence."""

    class Broken:
        def find(self, trace_root: bytes) -> TraceFile | None:
            raise TraceError("cannot read /var/lib/sworn/traces")

        def trace_root_of(self, result_id: ResultId) -> bytes | None:
            raise TraceError("cannot read /var/lib/sworn/traces")

    with reading(Broken()) as client:
        answer = client.get(f"/v1/results/{'ab' * 32}")
    assert answer.status == 503 and "/var/lib" not in answer.text
