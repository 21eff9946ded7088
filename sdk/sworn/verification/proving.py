"""Builds fault proofs: runs the referee once and opens what it looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sworn.codec.openings import open_leaves
from sworn.codec.trees import CHUNK_BYTES, HASH_BYTES, tree_levels
from sworn.errors import EngineError
from sworn.model.commitment import program_head, step_leaves
from sworn.model.encoding import encode_interface, encode_step
from sworn.model.program import Extremum, Program, Space, Step, TensorType, Tree
from sworn.model.typing_rules import canonical
from sworn.referee import integers
from sworn.referee.proof import FaultKind, FaultProof, ProgramOpening, TensorsOpening
from sworn.referee.rules import step_element
from sworn.referee.witness import refutes
from sworn.types import DType
from sworn.verification.trace import Trace, element_bits, open_tensors

_ROOT_WORDS, _NODE_WORDS = 2, 6


def prove(trace: Trace, *, kind: FaultKind, value: int = 0, index: int = 0) -> FaultProof:
    """A proof of a fault that `audit` found."""
    statement, subject = trace.statement, trace.subject
    inputs = range(len(subject.program.inputs))
    step = value - len(inputs) if value >= len(inputs) else None
    witness, weights = None, None
    match kind:
        case FaultKind.ELEMENT if step is not None:
            program = _open_program(subject.program, step=step)
            witness, values, weights = _open_element(trace, step, index)
        case FaultKind.LENGTH:
            program = _open_program(subject.program, step=step, interface=step is None)
            values = trace.open_chunks({value: ()})
        case FaultKind.PORT:
            program = _open_program(subject.program, interface=True)
            values = trace.open_chunks({value: (_chunk(trace.values[value].itemsize, index),)})
        case FaultKind.COUNT:
            program, values = _open_program(subject.program), trace.open_chunks({})
        case _:
            linked = inputs if kind is FaultKind.INPUT_LINK else [each.value for each in subject.program.outputs]
            program, values = _open_program(subject.program, interface=True), _open_roots(trace, set(linked))
    return FaultProof(
        kind=kind,
        statement=statement,
        statement_digest=statement.digest(),
        model=subject.model,
        value=value,
        index=index,
        witness=witness,
        program=program,
        values=values,
        weights=weights,
    )


def _open_program(program: Program, *, step: int | None = None, interface: bool = False) -> ProgramOpening:
    chosen = [] if step is None else [step]
    return ProgramOpening(
        head=program_head(program),
        interface=encode_interface(program) if interface else b"",
        step=None if step is None else (step, encode_step(program, step)),
        siblings=open_leaves(tree_levels(step_leaves(program)), chosen, count=len(program.steps)),
    )


def _open_roots(trace: Trace, values: set[int]) -> TensorsOpening:
    roots = trace.data_roots
    levels = tree_levels(b"".join(roots))
    return TensorsOpening(
        count=len(roots),
        tensors={value: roots[value] for value in sorted(values)},
        siblings=open_leaves(levels, values, count=len(levels[0]) // HASH_BYTES),
    )


def _open_element(trace: Trace, number: int, index: int) -> tuple[int | None, TensorsOpening, TensorsOpening | None]:
    program = trace.subject.program
    step, value = program.steps[number], len(program.inputs) + number
    looked = _Looked(trace)
    claimed = looked(Space.VALUE, value, index)
    witness = None
    if canonical(step.output.dtype, claimed):
        witness = find_witness(trace, step, index, claimed=claimed)
        try:
            if witness is None:
                step_element(step, looked.type_of, index, looked)
            else:
                refutes(step, looked.type_of, index, witness, claimed=claimed, read=looked)
        except EngineError:
            # The operands give no value; the referee has looked at the ones that show it.
            pass
    subject = trace.subject
    weights = looked.chunks[Space.WEIGHT]
    opened = open_tensors(subject.weights, subject.weight_roots, weights) if weights else None
    return witness, trace.open_chunks(looked.chunks[Space.VALUE]), opened


def find_witness(trace: Trace, step: Step, index: int, *, claimed: int) -> int | None:
    """What refutes a wrong extremum or leaf; None for steps that are judged as a whole."""
    looked = _Looked(trace)
    stated = integers.decode(claimed, step.output.dtype)
    match step.body:
        case Extremum():
            if refutable_alone(step, looked, index, claimed):
                return 0
            return step_element(step, looked.type_of, index, looked)
        case Tree() as body:
            return _node_above(step, body, looked, index, stated)
        case _:
            return None


def refutable_alone(step: Step, looked: _Looked, index: int, claimed: int) -> bool:
    """Whether a claim is no position in its window at all."""
    seen = _Looked(looked.trace)
    refutes(step, seen.type_of, index, 0, claimed=0, read=seen)
    return False


class _Looked:
    """Reads elements of a trace and of its model, and notes in which chunks they lie."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.chunks: dict[Space, dict[int, set[int]]] = {space: {} for space in Space}
