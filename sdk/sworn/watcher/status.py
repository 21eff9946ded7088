"""What is known of a running daemon: its parts, each well or not and with what to do, and its figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any


class Role(Enum):
    """Which daemon it is."""

    WATCHER = "watcher"
    CHALLENGER = "challenger"


class Standing(IntEnum):
    """How a part is; a higher one is worse."""

    #: Works.
    OK = 0
    #: Works, but somebody should look.
    WARN = 1
    #: Does not do its work.
    FAIL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of a daemon and how it is."""

    name: str
    standing: Standing
    detail: str
    #: What to do about it; empty when nothing is to be done.
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number at one moment; `sworn.watcher.figures` says what it means."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one look gave."""

    components: tuple[Component, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A daemon at one moment."""

    role: Role
    version: str
    #: Whom it works for; None for a challenger that only observes.
    account: str | None
    #: Whether its loop turns.
    alive: bool
    components: tuple[Component, ...]
    figures: tuple[Figure, ...]

    @property
    def ready(self) -> bool:
        """Whether it does all of its work."""
        return self.alive and not self.failing

    @property
    def failing(self) -> tuple[Component, ...]:
        """The parts that do not do their work."""
        return tuple(each for each in self.components if each.standing is Standing.FAIL)

    def plain(self) -> dict[str, Any]:
        """The status for machines."""
        return {
            "role": self.role.value,
            "version": self.version,
            "account": self.account,
            "alive": self.alive,
            "ready": self.ready,
            "components": plain_components(self.components),
            "figures": plain_figures(self.figures),
        }


def plain_components(components: Sequence[Component]) -> dict[str, dict[str, str]]:
    """Components by name."""
    return {
        each.name: {"standing": each.standing.name.lower(), "detail": each.detail}
        | ({"advice": each.advice} if each.advice else {})
        for each in components
    }


def plain_figures(figures: Sequence[Figure]) -> dict[str, Any]:
    """Figures by name; those with labels as lists."""
    plain: dict[str, Any] = {}
    for each in figures:
        if each.labels:
            plain.setdefault(each.name, []).append({**each.labels, "value": each.value})
        else:
            plain[each.name] = each.value
    return plain


def fine(name: str, detail: str) -> Component:
    """A part that works."""
    return Component(name=name, standing=Standing.OK, detail=detail)


def doubtful(name: str, detail: str, advice: str) -> Component:
    """A part that somebody should look at."""
    return Component(name=name, standing=Standing.WARN, detail=detail, advice=advice)


def broken(name: str, detail: str, advice: str) -> Component:
    """A part that does not do its work."""
    return Component(name=name, standing=Standing.FAIL, detail=detail, advice=advice)
