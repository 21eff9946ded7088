"""Counts for Prometheus what a daemon tells, and shows its state beside it (only this module imports its client)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sworn.watcher.figures import COUNTERS, GAUGES, HISTOGRAMS
from sworn.watcher.readings import short_id
from sworn.watcher.status import Figure, NodeStatus

#: Different values that a label which is not a fixed set may take; the rest is called "other".
_MAX_VALUES: Final = 64


class Vocabulary:
    """Keeps a label from growing without end: the first values that come are its values."""

    def __init__(self, limit: int = _MAX_VALUES) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self._words: set[str] = set()

    def word(self, value: str) -> str:
        """The value, or "other" when there are too many already."""
        with self._lock:
            if value not in self._words and len(self._words) >= self._limit:
                return "other"
            self._words.add(value)
            return value


class PrometheusTelemetry:
    """A `Telemetry` that counts, in a registry of its own."""

    def __init__(self, *, version: str) -> None:
        # When each series began is nothing that anybody asks: it would double what is scraped.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        self.registry.register(_Build(version))
        self._kinds, self._endpoints = Vocabulary(), Vocabulary()
        self._models, self._words = Vocabulary(), Vocabulary()
        self._counters = {
            name: Counter(name, count.meaning, count.labels, registry=self.registry) for name, count in COUNTERS.items()
        }
        self._spreads = {
            name: Histogram(name, spread.meaning, spread.labels, buckets=spread.buckets, registry=self.registry)
            for name, spread in HISTOGRAMS.items()
        }
        self._begun: set[tuple[str, ...]] = set()
        self._begin("sworn_claims_checked")
        self._endpoints_known = _Endpoints()
        self.registry.register(self._endpoints_known)

    def show(self, status: Callable[[], NodeStatus]) -> None:
        """Exposes a status beside what is counted."""
        self.registry.register(_State(status))

    def transaction(self, kind: str, event: str) -> None:
        self._count("sworn_transaction_events", self._kinds.word(kind), self._words.word(event))

    def fees_paid(self, kind: str, wei: int) -> None:
        self._counters["sworn_fees_wei"].labels(self._kinds.word(kind)).inc(max(wei, 0))

    def reorg(self, depth: int) -> None:
        self._counters["sworn_reorgs"].inc()
        self._spreads["sworn_reorg_depth_blocks"].observe(depth)

    def rpc(self, endpoint: str, outcome: str, seconds: float) -> None:
        name = self._endpoints.word(endpoint)
        self._count("sworn_rpc_requests", name, self._words.word(outcome))
        self._spreads["sworn_rpc_seconds"].labels(name).observe(seconds)

    def endpoint_health(self, endpoint: str, healthy: bool, lag: int) -> None:
        self._endpoints_known.put(self._endpoints.word(endpoint), healthy=healthy, lag=lag)

    def run_ended(self, model_id: bytes, seconds: float, outcome: str) -> None:
        model = self._models.word(short_id(model_id))
        self._counters["sworn_runs"].labels(model, self._words.word(outcome)).inc()
        self._spreads["sworn_inference_seconds"].labels(model).observe(seconds)

    def proposed(self, blocks: int, seconds: float) -> None:
        self._spreads["sworn_request_to_proposed_blocks"].observe(blocks)
        self._spreads["sworn_request_to_proposed_seconds"].observe(seconds)

    def turn(self, seconds: float, failed: bool, led: bool = True) -> None:
        self._counters["sworn_turns"].labels("failed" if failed else "ended").inc()
        self._spreads["sworn_turn_seconds"].observe(seconds)

    def claim_checked(self, verdict: str) -> None:
        self._count("sworn_claims_checked", self._words.word(verdict))

    def _begin(self, name: str, *others: str) -> None:
        """Shows at zero what alerts wait for."""
        if (name, *others) not in self._begun:
            self._begun.add((name, *others))
            for awaited in COUNTERS[name].awaited:
                self._counters[name].labels(*others, self._words.word(awaited))

    def _count(self, name: str, *labels: str) -> None:
        self._begin(name, *labels[:-1])
        self._counters[name].labels(*labels).inc()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Everything in the form that the scraper asks for, and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type


class _Build(Collector):
    """Which sworn this is."""

    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterator[Metric]:
        yield from _families([Figure(name="sworn_build_info", value=1, labels={"version": self._version})])


class _Endpoints(Collector):
    """Which nodes are used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[bool, int]] = {}

    def put(self, endpoint: str, *, healthy: bool, lag: int) -> None:
        """What was last heard of a node."""
        with self._lock:
            self._known[endpoint] = (healthy, lag)

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            known = dict(self._known)
        figures = []
        for endpoint, (healthy, lag) in known.items():
            labels = {"endpoint": endpoint}
            figures.append(Figure(name="sworn_endpoint_healthy", value=float(healthy), labels=labels))
            figures.append(Figure(name="sworn_endpoint_lag_blocks", value=lag, labels=labels))
        yield from _families(figures)


class _State(Collector):
    """A daemon's status as gauges."""

    def __init__(self, status: Callable[[], NodeStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        figures = [*status.figures, Figure(name="sworn_ready", value=float(status.ready))]
        for each in status.components:
            labels = {"component": each.name}
            figures.append(Figure(name="sworn_component_standing", value=float(each.standing), labels=labels))
        yield from _families(figures)


def _families(figures: Iterable[Figure]) -> Iterator[Metric]:
    families: dict[str, GaugeMetricFamily] = {}
    for figure in figures:
        gauge = GAUGES[figure.name]
        family = families.setdefault(figure.name, GaugeMetricFamily(figure.name, gauge.meaning, labels=gauge.labels))
        family.add_metric([figure.labels[label] for label in gauge.labels], figure.value)
    yield from families.values()
