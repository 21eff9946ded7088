"""Traces that are wrong in every way, and the proofs of it."""

from __future__ import annotations

import numpy as np
from tests.support.subjects import corrupted, faults_of

from sworn.referee import FaultProof
from sworn.types import Profile
from sworn.verification import CompiledModel, Fault, Trace


def resized(trace: Trace, number: int, size: int) -> Trace:
    """The trace with another number of elements in one tensor."""
    values = list(trace.values)
    values[number] = np.resize(values[number].reshape(-1), size)
    return Trace.of(trace.subject, values)


def second_best(trace: Trace, index: int) -> int:
    """The position in a full 3 × 3 window that only the best element refutes."""
    y, x, channel = np.unravel_index(index, (3, 3, 6))
    window = trace.values[3].reshape(6, 6, 6)[2 * y - 1 : 2 * y + 2, 2 * x - 1 : 2 * x + 2, channel]
    assert window.shape == (3, 3)
    return int(np.argsort(window.reshape(-1))[-2])


def faulty_traces(trace: Trace) -> dict[str, Trace]:
    """One trace for every kind of fault and every form of proof."""
    values, subject = trace.values, trace.subject
    # Where a tolerance would swallow one unit in the last place, half of an element is no tolerance's.
    bit = 1 if subject.model.profile is Profile.EXACT else 1 << 23
    return {
        "contraction": corrupted(trace, 3, 20, trace.bits(3, 20) ^ bit),
        "extremum": corrupted(trace, 5, 30, second_best(trace, 30)),
        "extremum that is no position": corrupted(trace, 5, 30, 1 << 63),
        "extremum in the padding": corrupted(trace, 5, 0, 0),
        "lookup": corrupted(trace, 6, 1, trace.bits(6, 1) ^ 1),
        "copy": corrupted(trace, 7, 0, 0x3F800000),
        "function": corrupted(trace, 8, 3, trace.bits(8, 3) ^ bit),
        "not canonical": corrupted(trace, 8, 3, 0x80000000),
        "rank": corrupted(trace, 9, 0, (trace.bits(9, 0) + 1) % 4),
        "tree": corrupted(trace, 10, 3, (trace.bits(10, 3) + 1) % 4),
        "leaf that is none": corrupted(trace, 10, 3, 4),
        "leaf of a tree without nodes": corrupted(trace, 10, 2, 1),
        "integers": corrupted(trace, 11, 4, trace.bits(11, 4) ^ 1),
        "input that is not finite": corrupted(trace, 0, 5, 0x7F800000),
        "output that is not finite": corrupted(trace, 13, 5, 0x7F800000),
        "short input": resized(trace, 1, 19),
        "long step": resized(trace, 8, 300),
        "tensor too many": Trace.of(subject, [*values, values[0]]),
        "tensor too few": Trace.of(subject, values[:-1], input_root=trace.input_root, output_root=trace.output_root),
        "other input": Trace.of(subject, values, input_root=bytes(31) + b"\x01"),
        "other output": Trace.of(subject, values, output_root=bytes(31) + b"\x01"),
    }


def all_proofs(model: CompiledModel, trace: Trace) -> dict[str, FaultProof]:
    """One proof of every form."""
    found = {}
    for name, lie in faulty_traces(trace).items():
        faults = faults_of(model, lie)
        changed = [n for n, value in enumerate(trace.values) if n < len(lie.values) and value is not lie.values[n]]
        mine: list[Fault] = [f for f in faults if not changed or f.value in changed] or faults
        found[name] = mine[0].proof()
    return found
