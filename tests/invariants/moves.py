"""How a walk declares its kinds of moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """How often a kind of move is made, when it makes sense, and what is drawn for it."""

    weight: int
    when: Callable[[Any], Any]
    drawn: Mapping[str, st.SearchStrategy[Any]]


def move(*, weight: int = 1, when: Callable[[Any], Any] = lambda walk: True, **drawn: Any) -> Callable[[Any], Any]:
    """Marks a method as a kind of move.

    Not as a `rule` of its own: a state machine switches most of its rules off in most runs, and a walk without
    proposals or without time leads nowhere.
    """

    def mark(method: Any) -> Any:
        method.option = Option(weight=weight, when=when, drawn=drawn)
        return method

    return mark
