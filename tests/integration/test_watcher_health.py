"""A watcher's health and metrics over HTTP: true, closed to everything else, and adding up to the wei."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.watcher_world import ETHER, WINDOW_S, ReciprocalEngine, WatcherWorld, open_world, served_reciprocal

from sworn.chain.gateway import Gateway
from sworn.chain.signer import LocalSigner
from sworn.errors import ArtifactUnavailable, TransientChainError
from sworn.testing.local_chain import EmbeddedChain
from sworn.types import Request
from sworn.watcher.assembly import Surroundings, assemble
from sworn.watcher.contracts import Contracts
from sworn.watcher.logs import make_logger
from sworn.watcher.looks import Thresholds
from sworn.watcher.observer import Observer
from sworn.watcher.policy import Guards
from sworn.watcher.readings import Watched, WatcherReadings
from sworn.watcher.status import Role
from sworn.watcher.store.census import Census
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.supervision import Pulse, ServiceManager
from sworn.watcher.telemetry import Ensemble
from sworn.watcher.traces import FileTraceStore
from sworn.web.health import health_app
from sworn.web.metrics import PrometheusTelemetry
from sworn.web.server import serving


@dataclass(slots=True, kw_only=True)
class Node:
    """A watcher that is looked at, and works when it is told to."""

    world: WatcherWorld
    database: Database
    folder: Path
    closing: ExitStack
    now: float = 1_000_000.0
    idle_s: float = 0.0
    engine: ReciprocalEngine = field(default_factory=ReciprocalEngine)
    #: Stands between the observer and the chain.
    gateway: Gateway = field(init=False)
    url: str = field(init=False)
    observer: Observer = field(init=False)
    telemetry: PrometheusTelemetry = field(init=False)
    pulse: Pulse = field(init=False)

    def open(self) -> None:
        """Serves its health."""
        self.gateway = self.world.chain.gateway
        self.telemetry = PrometheusTelemetry(version="1.2.3")
        self.pulse = Pulse(poll_interval_s=1, manager=ServiceManager(None), clock=lambda: self.idle_s)
        readings = WatcherReadings(
            Watched(
                contracts=Contracts(gateway=_Borrowed(self), deployment=self.world.deployment),
                database=self.database,
                operator=self.world.operator.address,
                senders=[self.world.transaction_signer.address],
                result_signers=[self.world.result_signer],
                models=[served_reciprocal()],
                trace_folder=self.folder / "traces",
                max_trace_bytes=1 << 30,
                # The embedded chain's time is its own.
                thresholds=Thresholds(max_head_age_s=1e12, min_time_left_s=0),
                clock=lambda: self.now,
            )
        )
        self.closing.callback(readings.close)
        sources = readings.sources(refresh_s=1)
        self.observer = Observer(role=Role.WATCHER, version="1.2.3", account=None, pulse=self.pulse, sources=sources)
        self.telemetry.show(self.observer.status)
        app = health_app(self.observer.status, self.telemetry)
        host, port = self.closing.enter_context(serving(app, host="127.0.0.1", port=0, name="health server"))
        self.url = f"http://{host}:{port}"

    def work(self, *, seconds: float = 0.0) -> None:
        """Everything that can be done now, some seconds later."""
        self.now += seconds
        watcher = assemble(
            Surroundings(
                gateway=self.world.chain.gateway,
                deployment=self.world.deployment,
                operator=self.world.operator.address,
                transaction_signer=self.world.transaction_signer,
                result_signer=self.world.result_signer,
                models=[served_reciprocal()],
                guards=Guards(min_profit_wei=-ETHER),
                engine=self.engine,
                database=self.database,
                fetch=_nothing,
                traces=FileTraceStore(self.folder / "traces", max_total_bytes=1 << 30),
                log=make_logger(io.StringIO()),
                confirmations=0,
                poll_interval_s=0.01,
                clock=lambda: self.now,
                telemetry=Ensemble(self.pulse, self.telemetry),
            )
        )
        watcher.run(Event(), once=True)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page, after everything has been looked at."""
        self.observer.look()
        return self.ask(path)

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and body of a page."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, method=method), timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Every sample by name and label values, in the order of the labels' names."""
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(value for _, value in sorted(sample.labels.items()))] = (
                    sample.value
                )
        return found


class _Borrowed:
    """Whatever gateway the node has at the moment."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node.gateway, name)


class _Silent:
    """A chain that does not answer."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fail(*args: object, **options: object) -> Any:
            raise TransientChainError("no answer from https://***")

        return fail


def _nothing(uri: str, max_bytes: int) -> bytes:
    raise ArtifactUnavailable("there is nothing")


@pytest.fixture(scope="module")
def stage() -> WatcherWorld:
    """Contracts, operator and model on an embedded chain, once for all tests here."""
    return open_world(EmbeddedChain())


@pytest.fixture
def node(stage: WatcherWorld, tmp_path: Path) -> Iterator[Node]:
    """A node with an empty database; what a test does to the chain is undone."""
    mark = stage.chain.snapshot()
    with ExitStack() as closing:
        database = open_database(f"sqlite:///{tmp_path}/watcher.db")
        closing.callback(database.close)
        upgrade(database)
        opened = Node(world=stage, database=database, folder=tmp_path, closing=closing)
        opened.open()
        opened.work()
        yield opened
    stage.chain.revert(mark)


def test_pages_of_a_node_that_works_say_so(node: Node) -> None:
    """A page that cannot be asked, or is not ready for no reason, is an alarm that is switched off."""
    status, body = node.get("/readyz")
    assert (status, json.loads(body)["ready"]) == (200, True), body
    assert node.ask("/healthz") == (200, '{"alive":true}')
    whole = json.loads(node.ask("/status")[1])
    assert whole["role"] == "watcher"
    assert whole["components"]["key"]["standing"] == "ok"
    assert whole["figures"]["sworn_models_served"] == 1


@pytest.mark.parametrize(
    ("path", "method"), [("/", "POST"), ("/metrics", "DELETE"), ("/admin", "GET"), ("/../x", "GET")]
)
def test_pages_are_only_read(node: Node, path: str, method: str) -> None:
    """What is reachable over a network must not be able to do anything."""
    assert node.ask(path, method)[0] in (404, 405)


def test_pages_of_a_hung_loop_are_dead_although_the_server_lives(node: Node) -> None:
    """The server has a thread of its own: that it answers says nothing about the loop."""
    node.get("/readyz")
    node.idle_s += node.pulse.patience_s + 1

    assert node.ask("/healthz") == (503, '{"alive":false}')
    assert node.ask("/readyz")[0] == 503
    assert node.metrics()["sworn_up"] == {(): 0.0}


def test_node_without_chain_is_alive_and_not_ready(node: Node) -> None:
    """Restarting does not bring a node's chain back; and its last balance must not stand there as if it were new."""
    assert "sworn_balance_wei" in node.metrics()
    node.gateway = _Silent()
    status, body = node.get("/readyz")

    assert status == 503
    assert json.loads(body)["components"]["rpc"]["standing"] == "fail"
    assert "endpoint" in json.loads(body)["components"]["rpc"]["advice"]
    assert node.ask("/healthz")[0] == 200
    metrics = node.metrics()
    assert "sworn_balance_wei" not in metrics
    assert metrics["sworn_component_standing"]["rpc",] == 2.0


def test_node_with_key_of_no_authority_is_not_ready(node: Node) -> None:
    """A result key that was revoked, or never authorised, answers nothing: seen before the first request, not after."""
    stranger = LocalSigner.from_key(bytes([77]) * 32)
    readings = WatcherReadings(
        Watched(
            contracts=node.world.contracts,
            database=node.database,
            operator=node.world.operator.address,
            senders=[stranger.address],
            result_signers=[stranger],
            models=[],
        )
    )
    parts = {part.name: part for part in readings.chain().components}
    readings.close()

    assert (parts["signer"].standing.name, parts["funds"].standing.name) == ("FAIL", "FAIL")


def test_metrics_add_up_to_requests_and_to_the_wei(node: Node) -> None:
    """What is counted must be what happened: requests by end, runs, transactions, and every wei of gas."""
    world = node.world
    sender = world.transaction_signer.address
    before = world.chain.gateway.balance(sender)
    cheap: Callable[[Request], Request] = lambda request: replace(request, fee_wei=0)  # noqa: E731
    for number in range(3):
        world.request(world.payload(2.0, number + 1.0), salt=number)
    world.request(world.payload(1.0, 0.0), salt=3)
    world.request(world.payload(1.0, 2.0), salt=4, change=cheap)
    node.work(seconds=10)
    node.work(seconds=10)
    world.chain.advance(WINDOW_S + 1)
    node.work(seconds=WINDOW_S)
    node.work(seconds=10)
    shown = node.metrics()

    jobs = {status: count for (status,), count in shown["sworn_jobs"].items() if count}
    assert jobs == {"finalized": 3, "failed": 1, "ignored": 1}
    assert shown["sworn_database_rows"]["jobs",] == sum(jobs.values()) == 5
    runs = {outcome: count for (_, outcome), count in shown["sworn_runs_total"].items()}
    assert runs == {"computed": 3, "not_finite": 1}
    assert shown["sworn_request_to_proposed_blocks_count"] == {(): 3.0}
    assert sum(shown["sworn_inference_seconds_count"].values()) == 4
    events = shown["sworn_transaction_events_total"]
    submitted = sum(count for (event, _), count in events.items() if event == "submitted")
    ended = sum(count for (event, _), count in events.items() if event in ("confirmed", "reverted", "abandoned"))
    assert submitted > 0
    assert submitted == ended + shown["sworn_pending_transactions"][()] == shown["sworn_transactions"]["confirmed",]
    paid_wei = before - world.chain.gateway.balance(sender)
    assert sum(shown["sworn_fees_wei_total"].values()) == paid_wei
    assert sum(Census(database=node.database).gas_paid().values()) == paid_wei
    assert sum(shown["sworn_gas_paid_wei"].values()) == paid_wei
    assert set(shown["sworn_nonce"].values()) == {float(world.chain.gateway.nonce(sender))}
    assert sum(shown["sworn_overdue_jobs"].values()) == 0
    assert Census(database=node.database).discrepancies(sender) == []
    assert shown["sworn_ready"] == {(): 1.0}


def test_work_that_nobody_does_makes_a_node_not_ready(node: Node) -> None:
    """A node that answers its probes and none of its requests is the worst kind: it looks well."""
    node.world.request(node.world.payload(1.0, 2.0), salt=9)
    node.work()
    node.world.chain.advance(WINDOW_S + 1_000)
    node.get("/readyz")
    status, body = node.get("/readyz")

    assert status == 503
    assert "unfinished" in json.loads(body)["components"]["work"]["detail"]


def test_replica_that_stands_by_is_ready_and_says_so(node: Node) -> None:
    """Two replicas that look the same leave nobody to ask who sends; one that waits is not one that fails."""
    leads = [True]
    readings = WatcherReadings(
        Watched(
            contracts=node.world.contracts,
            database=node.database,
            operator=node.world.operator.address,
            senders=[node.world.transaction_signer.address],
            result_signers=[],
            models=[],
            leads=lambda: leads[0],
        )
    )
    said = []
    for each in (True, False):
        leads[0] = each
        reading = readings.database()
        (part,) = (part for part in reading.components if part.name == "lead")
        (figure,) = (figure.value for figure in reading.figures if figure.name == "sworn_leader")
        said.append((part.standing.name, part.detail.partition(":")[0], figure))
    readings.close()

    assert said == [("OK", "leads", 1.0), ("OK", "stands by", 0.0)]
