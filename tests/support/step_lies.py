"""One false element for every kind of step of a model, chosen so that its proof is the dearest of its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from tests.support.referee_chain import RefereeChain, intrinsic_gas
from tests.support.trial import falsified

from sworn.model.program import Contract, Pointwise, Step
from sworn.referee import FaultKind, encode_proof
from sworn.types import DType, Profile
from sworn.verification import CompiledModel, Trace
from sworn.verification.proving import prove

#: Elements of a step that are tried: some claims cannot be wrong, such as the second of two equal positions.
_TRIED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """A false run, and where it is false."""

    trace: Trace
    value: int
    index: int
    #: What the referee takes for the proof, its calldata included.
    gas: int


def kind_of(step: Step) -> str:
    """What people call a step: its rule and type, or the name of its function."""
    if isinstance(step.body, Pointwise):
        return step.body.function.name.lower()
    rule = step.rule.name.lower()
    return f"{rule}_{step.output.dtype.name.lower()}" if isinstance(step.body, Contract) else rule


def dearest_lies(model: CompiledModel, honest: Trace, referee: RefereeChain) -> Mapping[str, Lie]:
    """By kind of step, over all steps of the model, the lie about a middle element with the dearest proof."""
    found: dict[str, Lie] = {}
    for number, step in enumerate(model.program.steps):
        lie = next(_lies(model, honest, number, referee), None)
        kind = kind_of(step)
        if lie is not None and (kind not in found or lie.gas > found[kind].gas):
            found[kind] = lie
    return found


def dearest_lie(model: CompiledModel, honest: Trace, referee: RefereeChain) -> Lie:
    """The one with the dearest proof of all."""
    return max(dearest_lies(model, honest, referee).values(), key=lambda lie: lie.gas)


def _lies(model: CompiledModel, honest: Trace, number: int, referee: RefereeChain) -> Iterator[Lie]:
    step, value = model.program.steps[number], len(model.program.inputs) + number
    elements = step.output.elements
    for place in range(min(elements, _TRIED)):
        # From the middle on: at the edges a window has fewer terms.
        index = (elements // 2 + place) % elements
        bits = _wrong(step.output.dtype, honest.bits(value, index), model.model.profile)
        trace = falsified(honest, value=value, index=index, bits=bits)
        proof = prove(trace, kind=FaultKind.ELEMENT, value=value, index=index)
        verdict = referee.check(proof)
        if verdict.faulty:
            yield Lie(trace=trace, value=value, index=index, gas=verdict.gas + intrinsic_gas(encode_proof(proof)))


def _wrong(dtype: DType, bits: int, profile: Profile) -> int:
    """Another value: the next one where every bit counts, else one that no bound admits."""
    if dtype is not DType.FLOAT32 or profile is Profile.EXACT:
        return bits ^ 1
    moved = np.float32(2) * np.uint32(bits).view(np.float32) + np.float32(1000)
    return int(moved.view(np.uint32))
