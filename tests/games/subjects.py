"""What games are about: runs of two programs, true and false, and the proofs that the real referee takes for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tests.games.shown_model import ShownModel
from tests.games.walk import full_walk, guided_walk
from tests.support.court import ShownTrace, Target
from tests.support.lies import faulty_traces
from tests.support.programs import program, row_major, step, tensor, value
from tests.support.subjects import compiled, corrupted, every_rule, faults_of, random_inputs

from sworn.codec.payload import tensor_header
from sworn.codec.trees import payload_root
from sworn.model.program import Copy, Function, Piece, Pointwise, Program
from sworn.referee import encode_proof
from sworn.referee.proof import FaultKind
from sworn.types import Model, Profile
from sworn.verification import CompiledModel, Trace, prove

#: Floats in every value of the tall program: 20 chunks, so that a walk goes down a tree of chunks too.
TALL_SIZE: Final = 5000
TALL_STEPS: Final = 20
_SHOWN: Final = 16

Where = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A proof, and what the referee must say of it."""

    kind: int
    value: int
    index: int
    proof: bytes
    statement: bytes
    #: Whether it shows a fault.
    faulty: bool

    @property
    def where(self) -> Where:
        """What a commitment hides."""
        return self.kind, self.value, self.index


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One run as its operator tells it."""

    name: str
    model: Model
    input_root: bytes
    output_root: bytes
    #: The payload of the output; empty where no payload has that root.
    output: bytes
    trace: ShownTrace
    statement: bytes
    #: Proofs about this very run: the first convicts if anything does.
    findings: tuple[Finding, ...]
    #: What somebody who knows the true run asks to see, in this order, before the first proof can be built.
    walk: tuple[Target, ...]
    #: Whether each of them depends on the answer to the one before.
    guided: bool

    @property
    def false(self) -> bool:
        """Whether there is something to prove."""
        return self.findings[0].faulty


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model with one input: what is true of it, and what may be claimed."""

    name: str
    model: Model
    shown_model: ShownModel
    truth: Story
    lies: tuple[Story, ...]


def make_subjects() -> tuple[Subject, ...]:
    """A program with a step of every rule in both profiles, and one with more than an answer shows."""
    found = []
    for profile in (Profile.EXACT, Profile.BOUNDED):
        model = compiled(*every_rule(), profile=profile)
        honest = model.trace(random_inputs(model))
        traces = faulty_traces(honest)
        # Nobody can propose an output that is the root of nothing: the honest output of another run.
        others = [other.copy() for other in _outputs(honest)]
        others[0] += np.float32(1)
        traces["other output"] = Trace.of(
            honest.subject, list(honest.values), output_root=payload_root(_payload(honest, others))
        )
        found.append(_subject(f"wide {profile.name.lower()}", model, honest, traces, outputs={"other output": others}))
    found.append(_tall_subject())
    return tuple(found)


def tall_program() -> Program:
    """x, then x + x, then that + x, and so on; the output is the end of the last."""
    size = (TALL_SIZE,)
    steps = [
        step(Pointwise(function=Function.ADD, operands=(value(number, (1,)), value(0, (1,)))), size)
        for number in range(TALL_STEPS)
    ]
    source = value(TALL_STEPS, (1,), offset=TALL_SIZE - _SHOWN)
    piece = Piece(source=source, starts=(0,), stops=(_SHOWN,), every=(1,))
    steps.append(step(Copy(pieces=(piece,)), (_SHOWN,)))
    return program((tensor(size),), steps)


def _tall_subject() -> Subject:
    model = compiled(tall_program(), ())
    honest = model.trace(random_inputs(model))
    traces = {
        f"value {number} wrong at {index}": _told(honest, number, index)
        for number, index in ((1, 0), (7, TALL_SIZE - 1), (16, TALL_SIZE // 2), (TALL_STEPS, TALL_SIZE - 3))
    }
    traces["slip that nothing follows from"] = corrupted(honest, 9, 4096, honest.bits(9, 4096) ^ 1)
    return _subject("tall exact", model, honest, traces, outputs={})


def _told(honest: Trace, number: int, index: int) -> Trace:
    """A lie told well: everything after it is computed from it."""
    wrong = corrupted(honest, number, index, honest.bits(number, index) ^ 1)
    values = [np.asarray(each) for each in wrong.values]
    for later in range(number + 1, TALL_STEPS + 1):
        values[later] = values[later - 1] + values[0]
    values[TALL_STEPS + 1] = values[TALL_STEPS][TALL_SIZE - _SHOWN :].copy()
    return Trace.of(honest.subject, values)


def _subject(
    name: str,
    model: CompiledModel,
    honest: Trace,
    traces: Mapping[str, Trace],
    *,
    outputs: Mapping[str, Sequence[NDArray[Any]]],
) -> Subject:
    own = _shown(honest)
    truth = _story("truth", model, honest, own=own, outputs=None)
    lies = tuple(_story(title, model, trace, own=own, outputs=outputs.get(title)) for title, trace in traces.items())
    shown_model = ShownModel(model.model, model.program, model.weights)
    return Subject(name=name, model=model.model, shown_model=shown_model, truth=truth, lies=lies)


def _story(
    name: str, model: CompiledModel, trace: Trace, *, own: ShownTrace, outputs: Sequence[NDArray[Any]] | None
) -> Story:
    shown = _shown(trace)
    output = _payload(trace, outputs or _outputs(trace)) if len(trace.values) >= model.subject.value_count else b""
    findings = tuple(_findings(model, trace, own=own))
    exact = model.model.profile is Profile.EXACT
    walk = guided_walk(shown, own) if exact else full_walk(shown)
    return Story(
        name=name,
        model=model.model,
        input_root=trace.input_root,
        output_root=trace.output_root,
        output=output if output and payload_root(output) == trace.output_root else b"",
        trace=shown,
        statement=trace.statement.digest(),
        findings=findings,
        walk=tuple(walk),
        guided=exact,
    )


def _findings(model: CompiledModel, trace: Trace, *, own: ShownTrace) -> list[Finding]:
    roots = trace.data_roots
    first = next((n for n, pair in enumerate(zip(roots, own.data_roots, strict=False)) if pair[0] != pair[1]), None)
    faults = faults_of(model, trace)
    mine = [fault for fault in faults if fault.value == first] or faults
    found = [_finding(trace, fault.kind, fault.value, fault.index, faulty=True) for fault in mine[:2]]
    if trace.values and not found:
        # Steps that need no witness, so that there is something to open where nothing is wrong.
        places = [(n, 0) for n in range(len(roots)) if n >= len(model.program.inputs)]
        for place, _ in places:
            if not model.program.steps[place - len(model.program.inputs)].virtual:
                found.append(_finding(trace, FaultKind.ELEMENT, place, 1, faulty=False))
        found.append(_finding(trace, FaultKind.COUNT, 0, 0, faulty=False))
        found.append(_finding(trace, FaultKind.INPUT_LINK, 0, 0, faulty=False))
        found.append(_finding(trace, FaultKind.OUTPUT_LINK, 0, 0, faulty=False))
    return found


def _finding(trace: Trace, kind: FaultKind, number: int, index: int, *, faulty: bool) -> Finding:
    proof = prove(trace, kind=kind, value=number, index=index)
    return Finding(
        kind=int(kind),
        value=number,
        index=index,
        proof=encode_proof(proof),
        statement=proof.statement_digest,
        faulty=faulty,
    )


def _shown(trace: Trace) -> ShownTrace:
    shown = ShownTrace([each.astype(each.dtype.newbyteorder(">")).tobytes() for each in trace.values])
    assert shown.root == trace.root
    return shown


def _outputs(trace: Trace) -> list[NDArray[Any]]:
    return [np.asarray(trace.values[each.value]) for each in trace.subject.program.outputs]


def _payload(trace: Trace, outputs: Sequence[NDArray[Any]]) -> bytes:
    """Also of what no honest party would encode."""
    parts = [bytes([len(outputs)])]
    for spec, array in zip(trace.subject.program.outputs, outputs, strict=True):
        dtype = trace.subject.program.value(spec.value).dtype
        parts += [tensor_header(dtype, spec.shape), array.astype(array.dtype.newbyteorder(">")).tobytes()]
    return b"".join(parts)


__all__ = ["Finding", "Story", "Subject", "make_subjects", "row_major", "tall_program"]
