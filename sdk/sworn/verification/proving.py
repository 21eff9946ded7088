"""Builds fault proofs: runs the referee once and opens what it looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from sworn.codec.openings import open_leaves
from sworn.codec.trees import CHUNK_BYTES, tree_levels
from sworn.errors import EngineError, ProofMalformed
from sworn.model.commitment import program_head, step_leaves
from sworn.model.encoding import encode_interface, encode_step
from sworn.model.program import Extremum, Program, Space, Step, TensorType, Tree
from sworn.model.typing_rules import canonical
from sworn.referee import integers
from sworn.referee.elements import Element
from sworn.referee.proof import FaultKind, FaultProof, ProgramOpening, Statement, TensorsOpening, agrees
from sworn.referee.rules import step_element
from sworn.referee.witness import coordinates, refutes, sends_true
from sworn.types import DType
from sworn.verification.subject import Subject
from sworn.verification.trace import open_weights
from sworn.verification.trace_values import element_bits

_ROOT_WORDS, _NODE_WORDS = 2, 6


class Evidence(Protocol):
    """As much of a trace as a proof needs: a `Trace`, or what somebody has been shown of one."""

    @property
    def subject(self) -> Subject: ...
    @property
    def statement(self) -> Statement: ...
    def bits(self, value: int, index: int) -> int:
        """An element as unsigned bits, by its flat index."""
        ...

    def open_chunks(self, chunks: Mapping[int, Iterable[int]]) -> TensorsOpening:
        """Opens chunks of several values, by the value's number."""
        ...

    def open_roots(self, values: Collection[int]) -> TensorsOpening:
        """Opens no more than the data roots of some values."""
        ...


def prove(trace: Evidence, *, kind: FaultKind, value: int = 0, index: int = 0) -> FaultProof:
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
            values = trace.open_chunks({value: (_chunk(subject.program.value(value).dtype.itemsize, index),)})
        case FaultKind.COUNT:
            program, values = _open_program(subject.program), trace.open_chunks({})
        case _:
            linked = inputs if kind is FaultKind.INPUT_LINK else [each.value for each in subject.program.outputs]
            program, values = _open_program(subject.program, interface=True), trace.open_roots(set(linked))
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


def _open_element(trace: Evidence, number: int, index: int) -> tuple[int | None, TensorsOpening, TensorsOpening | None]:
    subject = trace.subject
    step, value = subject.program.steps[number], len(subject.program.inputs) + number
    looked = _Looked(trace)
    claimed = looked(Space.VALUE, value, index)
    witness = None
    if canonical(step.output.dtype, claimed):
        witness = _witness(trace, step, index, claimed=claimed)
        # Where the operands give no value, the referee has looked at those that show it; of what is right, a proof
        # shows whatever it can, and convicts nobody.
        with suppress(EngineError, ProofMalformed):
            if witness is None:
                agrees(subject.model.profile, step, looked.type_of, index, looked, claimed=claimed)
            else:
                refutes(step, looked.type_of, index, witness, claimed=claimed, read=looked)
    weights = looked.chunks[Space.WEIGHT]
    opened = open_weights(subject, weights) if weights else None
    return witness, trace.open_chunks(looked.chunks[Space.VALUE]), opened


def _witness(trace: Evidence, step: Step, index: int, *, claimed: int) -> int | None:
    """What refutes a wrong extremum or leaf; None for steps that are judged as a whole."""
    looked = _Looked(trace)
    if isinstance(step.body, Tree):
        return _parting(step, step.body, looked, index, claimed=integers.decode(claimed, step.output.dtype))
    if not isinstance(step.body, Extremum):
        return None
    best = step_element(step, looked.type_of, index, looked)
    try:
        refutes(step, looked.type_of, index, best, claimed=claimed, read=looked)
    except ProofMalformed:
        # What is claimed is no position in the window, and needs no better one.
        return 0
    return best


def _parting(step: Step, body: Tree, looked: _Looked, index: int, *, claimed: int) -> int:
    """The first node above a claimed leaf that sends the row to its other side; 0 where none does."""
    place = Element(step=step, index=coordinates(step.axes, index), type_of=looked.type_of, read=looked)
    tree = place.index[body.tree_axis]
    first, nodes = looked.words(body.roots, _ROOT_WORDS * tree, _ROOT_WORDS)
    node = 0
    while 0 <= claimed <= nodes and node < nodes:
        row = looked.words(body.nodes, _NODE_WORDS * (first + node), _NODE_WORDS)
        feature, mode, threshold, start, middle, end = row
        value = place.bits(body.features, feature * body.feature_stride)
        if sends_true(mode, value, integers.wrap(threshold, DType.INT32)) != (claimed < middle):
            return node
        left, right = (start, middle) if claimed < middle else (middle, end)
        if right - left == 1:
            break
        node += 1 if claimed < middle else middle - start
    return 0


def _chunk(itemsize: int, index: int) -> int:
    # INVARIANT: element sizes divide the size of a chunk, so no element lies in two.
    return index * itemsize // CHUNK_BYTES


class _Looked:
    """Reads elements of a trace and of its model, and notes in which chunks they lie."""

    def __init__(self, trace: Evidence) -> None:
        self._trace = trace
        self.chunks: dict[Space, dict[int, set[int]]] = {space: {} for space in Space}

    def __call__(self, space: Space, tensor: int, index: int) -> int:
        itemsize = self.type_of(space, tensor).dtype.itemsize
        self.chunks[space].setdefault(tensor, set()).add(_chunk(itemsize, index))
        if space is Space.VALUE:
            return self._trace.bits(tensor, index)
        return element_bits(self._trace.subject.weights[tensor], index)

    def type_of(self, space: Space, tensor: int) -> TensorType:
        program = self._trace.subject.program
        return program.value(tensor) if space is Space.VALUE else program.weights[tensor]

    def words(self, weight: int, start: int, count: int) -> list[int]:
        """int32 values of a weight tensor."""
        return [integers.decode(self(Space.WEIGHT, weight, start + i), DType.INT32) for i in range(count)]
