"""What a watcher's pages say, read as Prometheus and load balancers read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_S: Final = 5.0
#: A sample: its name, and its labels.
Series = tuple[str, frozenset[tuple[str, str]]]


def series(name: str, **labels: str) -> Series:
    """How a sample is told apart."""
    return name, frozenset(labels.items())


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of ``/metrics``."""

    samples: Mapping[Series, float]

    def total(self, name: str, **labels: str) -> float:
        """The sum over all samples of a name that have these labels."""
        return sum(value for (each, has), value in self.samples.items() if each == name and labels.items() <= set(has))

    def family(self, name: str) -> dict[Series, float]:
        """Every sample of a name."""
        return {each: value for each, value in self.samples.items() if each[0] == name}

    def with_changed(self, sample: Series, value: float) -> Scrape:
        """The same with one sample that is something else."""
        return Scrape({**self.samples, sample: value})


def scrape(address: str) -> Scrape:
    """Asks for ``/metrics``. Raises `requests.RequestException`."""
    answer = _get(f"{address}/metrics")
    answer.raise_for_status()
    families = text_string_to_metric_families(answer.text)
    return Scrape({series(each.name, **each.labels): each.value for family in families for each in family.samples})


@dataclass(frozen=True, slots=True)
class Readiness:
    """One answer of ``/readyz``."""

    ready: bool
    #: By part: how it is, and what it says.
    parts: Mapping[str, Mapping[str, str]]

    @property
    def failing(self) -> set[str]:
        """The parts that do not do their work."""
        return {name for name, part in self.parts.items() if part["standing"] == "fail"}

    @property
    def leads(self) -> bool | None:
        """Whether it says that it leads; None when it does not say."""
        part = self.parts.get("lead")
        return None if part is None else part["detail"].startswith("leads")


def readiness(address: str, *, timeout_s: float = _TIMEOUT_S) -> Readiness | None:
    """Asks for ``/readyz``; None when nobody answers: it was killed, is stopped, or starts."""
    try:
        answer = _get(f"{address}/readyz", timeout_s=timeout_s)
    except requests.RequestException:
        return None
    body: dict[str, Any] = answer.json()
    assert (answer.status_code == 200) is body["ready"], body
    return Readiness(body["ready"], body["components"])


def _get(url: str, *, timeout_s: float = _TIMEOUT_S) -> requests.Response:
    with requests.Session() as session:
        # No proxy settings from the environment: it is on this machine.
        session.trust_env = False
        return session.get(url, timeout=timeout_s)
