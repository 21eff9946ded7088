"""`sworn health` and `sworn jobs`: what a probe and a person at night see of a daemon."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import MappingProxyType

import pytest
from sqlalchemy import insert
from tests.support.command_line import CommandLine

from sworn.testing.gateway import MemoryGateway
from sworn.types import Address
from sworn.watcher.challenger.readings import ChallengerReadings, WatchedChallenger
from sworn.watcher.jobs import JobStatus
from sworn.watcher.observer import Observer, Source
from sworn.watcher.status import Component, Reading, Role, broken, fine
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.store.tables import JOBS, ORIGIN
from sworn.watcher.supervision import Pulse, ServiceManager
from sworn.web.health import health_app
from sworn.web.metrics import PrometheusTelemetry, Vocabulary
from sworn.web.server import serving

ACCOUNT = Address("0x" + "11" * 20)
REQUEST = b"\x07" * 32


@pytest.fixture
def sworn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line."""
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def serve() -> Iterator[ExitStack]:
    """Whatever is served ends with the test."""
    with ExitStack() as closing:
        yield closing


def daemon(closing: ExitStack, *parts: Component) -> str:
    """A daemon with these parts; the address of its pages."""
    pulse = Pulse(poll_interval_s=2, manager=ServiceManager(None))
    source = Source(name="parts", every_s=60, read=lambda: Reading(components=parts), advice="")
    observer = Observer(role=Role.WATCHER, version="1", account=None, pulse=pulse, sources=[source])
    observer.look()
    telemetry = PrometheusTelemetry(version="1")
    telemetry.show(observer.status)
    host, port = closing.enter_context(serving(health_app(observer.status, telemetry), host="127.0.0.1", port=0))
    return f"http://{host}:{port}"


def test_health_of_ready_daemon_is_exit_status_zero(sworn: CommandLine, serve: ExitStack) -> None:
    """Containers and scripts judge by the exit status alone."""
    url = daemon(serve, fine("database", "written to"))
    outcome = sworn.run("health", "--url", url, "--json")

    assert (outcome.code, outcome.document["ready"]) == (0, True)
    assert sworn.run("health", "--url", url, "--alive").code == 0


def test_health_finds_a_challenger_by_its_settings(sworn: CommandLine, serve: ExitStack, tmp_path: Path) -> None:
    """Both daemons are asked the same way: a challenger's file has no models, and needs none to say where it is."""
    port = daemon(serve, fine("database", "written to")).rpartition(":")[2]
    file = tmp_path / "challenger.toml"
    file.write_text(f'database_url = "sqlite://"\n[challenge]\nsample = 0.5\n[metrics]\nport = {port}\n')

    assert sworn.run("health", "--config", str(file)).code == 0
    file.write_text('database_url = "sqlite://"\n')
    assert sworn.run("health", "--config", str(file)).code == 3


def test_health_of_failing_part_says_what_to_do(sworn: CommandLine, serve: ExitStack) -> None:
    """Whoever is woken needs the part and the next step, not a number."""
    url = daemon(serve, broken("database", "the disk is full", "Make room."))
    outcome = sworn.run("health", "--url", url)

    assert outcome.code == 1
    assert "the disk is full" in outcome.out
    assert "Make room." in outcome.out
    # Alive all the same: restarting would not help.
    assert sworn.run("health", "--url", url, "--alive").code == 0


def test_health_of_nobody_is_exit_status_of_the_chain(sworn: CommandLine) -> None:
    """No answer is not "not ready": it is 4, says where nobody was, and does not send anybody to the chain's node."""
    outcome = sworn.run("health", "--url", "http://127.0.0.1:9", "--json")
    assert "[metrics]" in outcome.error["hint"]

    assert (outcome.code, "127.0.0.1:9" in outcome.error["message"]) == (4, True)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "127.0.0.1:9464", "ftp://127.0.0.1"])
def test_health_asks_nothing_but_http(sworn: CommandLine, url: str) -> None:
    """A probe that reads files for whoever sets its address is a hole."""
    assert sworn.run("health", "--url", url).code == 3


def test_health_of_another_server_is_no_health(sworn: CommandLine, serve: ExitStack) -> None:
    """A port that somebody else has taken must not count as a node that works."""

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    server = serve.enter_context(HTTPServer(("127.0.0.1", 0), Other))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    serve.callback(server.shutdown)

    assert sworn.run("health", "--url", f"http://127.0.0.1:{server.server_port}").code == 3


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database with one parked job."""
    opened = open_database(f"sqlite:///{tmp_path / 'watcher.db'}")
    upgrade(opened)
    row = {
        "request_id": REQUEST,
        "model_id": bytes(32),
        "input_root": bytes(32),
        **dict.fromkeys(("requester", "operator", "refund_to"), ACCOUNT),
        **dict.fromkeys(("fee_wei", "value_at_risk_wei", "callback_gas", "window_s", "assurance", "due_at"), 0),
        "deadline": 2_000_000_000,
        "salt": bytes(32),
        "input": b"",
        "block_number": 1,
        "block_hash": bytes(32),
        "transaction_hash": bytes(32),
        "status": JobStatus.PARKED.value,
        "reason": "TraceMissing: it is gone",
        "attempts": 8,
        "retry_at": 0.0,
        "created_at": 0.0,
        "updated_at": 0.0,
    }
    with opened.transaction() as connection:
        connection.execute(insert(JOBS).values(**row))
        connection.execute(insert(ORIGIN).values(chain_id=1, oracle=ACCOUNT))
    yield opened
    opened.close()


def test_jobs_lists_why_and_retries_once(
    sworn: CommandLine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parked job that nobody can see, or start again without SQL, is lost."""
    monkeypatch.setenv("SWORN_DATABASE_URL", f"sqlite:///{database.engine.url.database}")
    listed = sworn.run("jobs", "list", "--json").document
    assert listed["counts"] == {"parked": 1}
    assert listed["jobs"][0]["reason"] == "TraceMissing: it is gone"
    identity = "0x" + REQUEST.hex()
    assert identity in sworn.run("jobs", "list", "--status", "parked").out
    assert sworn.run("jobs", "show", identity, "--json").document["attempts"] == 8

    assert sworn.run("jobs", "retry", identity).code == 0
    assert sworn.run("jobs", "list", "--json").document["counts"] == {"seen": 1}
    # Nothing that runs is touched.
    assert sworn.run("jobs", "retry", identity).code == 3
    assert sworn.run("jobs", "retry", "0x12").code == 3


def test_challenger_is_looked_at_as_a_watcher_is(database: Database) -> None:
    """A challenger whose checks stand still lets false results pass, and nobody pays for that but the consumers."""
    gateway = MemoryGateway()
    readings = ChallengerReadings(
        WatchedChallenger(gateway=gateway, database=database, sender=ACCOUNT, max_exposure_wei=10)
    )
    parts = {part.name: part.standing.name for part in readings.database().components}
    chain = readings.chain()
    readings.close()

    assert parts == dict.fromkeys(("database", "work", "disputes", "transactions"), "OK")
    assert {part.name for part in chain.components} == {"rpc", "funds"}
    assert {figure.name for figure in chain.figures} >= {"sworn_head_block", "sworn_balance_wei"}


def test_labels_stop_growing_at_a_limit() -> None:
    """A label that strangers can make new values of would fill the memory of node and Prometheus."""
    vocabulary = Vocabulary(limit=2)

    assert [vocabulary.word(word) for word in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]
    telemetry = PrometheusTelemetry(version="1")
    for number in range(1_000):
        telemetry.rpc(f"https://host-{number}", "ok", 0.1)
        telemetry.run_ended(number.to_bytes(4, "big"), 0.1, "computed")
        telemetry.transaction(f"kind-{number}", "submitted")
        telemetry.fees_paid(f"kind-{number}", 1)
    body, _ = telemetry.exposition("")
    assert len(body.splitlines()) < 5_000


def test_exposition_has_the_form_that_is_asked_for() -> None:
    """Scrapers old and new must both be able to read it."""
    telemetry = PrometheusTelemetry(version="1")
    forms = MappingProxyType(
        {"": "text/plain", "application/openmetrics-text; version=1.0.0": "application/openmetrics"}
    )
    for accept, form in forms.items():
        body, media_type = telemetry.exposition(accept)
        assert media_type.startswith(form)
        assert b"sworn_turn_seconds_bucket" in body
