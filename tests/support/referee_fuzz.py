"""Puts the same claims before both referees and counts what they say, by rule, profile and function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from tests.support.referee_cases import generator_of
from tests.support.referee_chain import Case, Verdict

from sworn.model.program import Contract, Pointwise
from sworn.types import Profile

#: What was claimed and judged: the kind of step, and the verdict.
Key = tuple[str, bool | None]


class RefereesDiffer(AssertionError):
    """The referee on the chain says another thing than the one in Python, or panics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Verdicts by kind of step: conviction, acquittal, refusal."""

    counts: Counter[Key] = field(default_factory=Counter)

    def add(self, kind: str, verdict: bool | None) -> None:
        """Counts one."""
        self.counts[kind, verdict] += 1

    @property
    def total(self) -> int:
        """All claims."""
        return self.counts.total()

    def of(self, verdict: bool | None) -> int:
        """All claims with a verdict."""
        return sum(count for (_, found), count in self.counts.items() if found is verdict)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of steps that were judged."""
        return tuple(sorted({kind for kind, _ in self.counts}))

    def of_kind(self, kind: str) -> tuple[int, int, int]:
        """Convictions, acquittals and refusals of a kind."""
        return self.counts[kind, True], self.counts[kind, False], self.counts[kind, None]


def kind_of(case: Case) -> str:
    """The rule of a case's step; of a pointwise step, its function."""
    step = case.program.steps[0]
    if isinstance(step.body, Pointwise):
        return step.body.function.name
    if isinstance(step.body, Contract):
        return f"CONTRACT {step.output.dtype.name}"
    return step.rule.name


def put_before_both(case: Case) -> Verdict:
    """What both say. Raises `RefereesDiffer` where they differ, or where the chain refuses without a reason."""
    encoded = case.encoded()
    answer, expected = case.asked(encoded), case.expected(encoded)
    if answer.faulty != expected or (answer.faulty is None and answer.error in ("", "Panic")):
        raise RefereesDiffer(f"chain {answer}, Python {expected}: {case}")
    return answer


def endless_cases(family: str, profile: Profile, *, seed: int) -> Iterator[Case]:
    """Claims about a family's rules, the same ones for a seed."""
    generate, generator = generator_of(family, profile), np.random.default_rng(seed)
    while True:
        yield from generate(generator)


def compare(family: str, profile: Profile, cases: int, *, seed: int) -> Tally:
    """Puts so many claims before both referees. Raises `RefereesDiffer`."""
    tally = Tally()
    for case in endless_cases(family, profile, seed=seed):
        tally.add(kind_of(case), put_before_both(case).faulty)
        if tally.total == cases:
            break
    return tally
