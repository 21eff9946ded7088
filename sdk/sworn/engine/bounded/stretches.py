"""Divides a program into stretches: those that onnxruntime computes, and those that the exact executor does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sworn.model.canonical import values_read
from sworn.model.program import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Steps that are computed together, in their order."""

    steps: tuple[int, ...]
    is_exact: bool


def divide(
    program: Program, *, exact: frozenset[int], fused: Mapping[int, int], deferred: frozenset[int]
) -> tuple[Stretch, ...]:
    """The stretches of all steps that an answer needs, as few as data dependencies allow.

    ``exact`` are the steps for the exact executor; virtual and
    ``deferred`` ones are computed only where it needs them.
    """
    needed = _needed(program, fused, deferred)
    attempts = [_walk(program, needed, exact, fused, is_exact=is_exact) for is_exact in (False, True)]
    return min(attempts, key=len)


def _needed(program: Program, fused: Mapping[int, int], deferred: frozenset[int]) -> tuple[int, ...]:
    needed = {number for number, step in enumerate(program.steps) if not step.virtual and number not in deferred}
    for number in range(len(program.steps) - 1, -1, -1):
        if number in needed:
            inputs = len(program.inputs)
            needed |= {value - inputs for value in values_read(program, number, fused) if value >= inputs}
    return tuple(sorted(needed))


def _walk(
    program: Program, needed: Sequence[int], exact: frozenset[int], fused: Mapping[int, int], *, is_exact: bool
) -> tuple[Stretch, ...]:
    done = set(range(len(program.inputs)))
    stretches: list[Stretch] = []
    left = list(needed)
    while left:
        taken: list[int] = []
        later: list[int] = []
        for number in left:
            is_ready = all(value in done for value in values_read(program, number, fused))
            if is_ready and (number in exact or program.steps[number].virtual) == is_exact:
                taken.append(number)
                done.add(len(program.inputs) + number)
            else:
                later.append(number)
        if taken:
            stretches.append(Stretch(steps=tuple(taken), is_exact=is_exact))
        left, is_exact = later, not is_exact
    return tuple(stretches)
