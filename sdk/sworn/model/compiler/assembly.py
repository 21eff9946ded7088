"""From a draft to the canonical program.

Steps come in the order of a walk from the outputs that visits what a step reads, operand by operand, before the step
itself: the order of a file's nodes plays no part, and what no output needs is never visited. Weights are numbered as
the steps first read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sworn.model.compiler.builder import Array, Builder
from sworn.model.compiler.simplification import operands, with_operands
from sworn.model.compiler.values import Value, row_major
from sworn.model.program import (
    Body,
    Contract,
    Copy,
    Function,
    Operand,
    Piece,
    Pointwise,
    Program,
    ProgramOutput,
    Space,
    Step,
    TensorType,
    Tree,
)
from sworn.types import DType


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assembled:
    """A program with its weights and the labels of its steps."""

    program: Program
    weights: tuple[Array, ...]
    labels: tuple[str, ...]


def assembled(build: Builder, outputs: Sequence[Value]) -> Assembled:
    """The program that computes the outputs."""
    tensors = [_whole_tensor(build, output) for output in outputs]
    steps, labels = _with_bounds(build, tensors)
    order = _walk(steps, tensors, inputs=len(build.inputs))
    used = list(dict.fromkeys(number for step in order for number in _weights(_step(build, steps, step).body)))
    weight_places = {number: place for place, number in enumerate(used)}
    value_places = {number: number for number in range(len(build.inputs))}
    value_places |= {number: len(build.inputs) + place for place, number in enumerate(order)}
    program = Program(
        inputs=build.inputs,
        weights=tuple(_type(build.constants[number]) for number in used),
        steps=tuple(_moved(_step(build, steps, number), value_places, weight_places) for number in order),
        outputs=tuple(
            ProgramOutput(value=value_places[tensor], shape=output.shape)
            for tensor, output in zip(tensors, outputs, strict=True)
        ),
    )
    return Assembled(
        program=program,
        weights=tuple(build.constants[number] for number in used),
        labels=tuple(labels[number - len(build.inputs)] for number in order),
    )


def _step(build: Builder, steps: Sequence[Step], number: int) -> Step:
    return steps[number - len(build.inputs)]


def _type(array: Array) -> TensorType:
    return TensorType(dtype=DType[array.dtype.name.upper()], shape=tuple(map(int, array.shape)))


def _whole_tensor(build: Builder, output: Value) -> int:
    """The number of a value tensor that is the output in row-major order, copied if need be."""
    if output.space is Space.VALUE and output.offset == 0 and output.contiguous:
        tensor, inputs = output.tensor, build.inputs
        known = inputs[tensor] if tensor < len(inputs) else build.steps[tensor - len(inputs)].output
        if known.elements == output.elements:
            return tensor
    piece = Piece(
        source=output.operand(output.strides),
        starts=(0,) * output.rank,
        stops=output.shape,
        every=(1,) * output.rank,
    )
    return build.emit(output.dtype, output.shape, axes=output.shape, body=Copy(pieces=(piece,)), fold=False).tensor


def _with_bounds(build: Builder, outputs: Sequence[int]) -> tuple[list[Step], list[str]]:
    """Steps and labels, with a Relu or Clip that alone reads a float contraction moved into it."""
    steps, labels, first = list(build.steps), list(build.labels), len(build.inputs)
    readers = _readers(steps, outputs, inputs=first)
    for place, step in enumerate(steps):
        source = _bounded(step)
        if source is None or source < first or readers.get(first + place, 0) == 0 or readers[source] != 1:
            continue
        joined = _joined(steps[source - first], step)
        if joined is not None:
            steps[place] = joined
            labels[place] = f"{labels[source - first]}, {labels[place]}"
    return steps, labels


def _bounded(step: Step) -> int | None:
    """The value that a Relu or Clip bounds element by element."""
    if not isinstance(step.body, Pointwise) or _bounds(step.body) is None:
        return None
    source = step.body.operands[0]
    whole = source.offset == 0 and source.strides == (row_major(step.axes) if step.axes != (1,) else (0,))
    return source.tensor if source.space is Space.VALUE and whole else None


def _joined(contract: Step, bound: Step) -> Step | None:
    body, bounds = contract.body, _bounds(bound.body)
    if not isinstance(body, Contract) or bounds is None or contract.output.dtype is not DType.FLOAT32:
        return None
    if (body.lower, body.upper) != (None, None) or contract.output.elements != bound.output.elements:
        return None
    return replace(contract, output=bound.output, body=replace(body, lower=bounds[0], upper=bounds[1]))


def _bounds(body: Body) -> tuple[float | None, float | None] | None:
    if not isinstance(body, Pointwise):
        return None
    if body.function is Function.RELU:
        return 0.0, None
    if body.function is Function.CLIP and body.alpha <= body.beta:
        lower = None if body.alpha == -float("inf") else body.alpha
        upper = None if body.beta == float("inf") else body.beta
        return lower, upper
    return None


def _readers(steps: Sequence[Step], outputs: Sequence[int], *, inputs: int) -> dict[int, int]:
    """How many live steps and outputs read each value."""
    counts: dict[int, int] = {}
    for number in outputs:
        counts[number] = counts.get(number, 0) + 1
    for place in reversed(range(len(steps))):
        if inputs + place in counts:
            for number in _reads(steps[place].body):
                counts[number] = counts.get(number, 0) + 1
    return counts


def _reads(body: Body) -> list[int]:
    return list(dict.fromkeys(operand.tensor for operand in operands(body) if operand.space is Space.VALUE))


def _weights(body: Body) -> list[int]:
    numbers = [operand.tensor for operand in operands(body) if operand.space is Space.WEIGHT]
    return [*numbers, body.nodes, body.roots] if isinstance(body, Tree) else numbers


def _walk(steps: Sequence[Step], outputs: Sequence[int], *, inputs: int) -> list[int]:
    order: dict[int, None] = {}
    for output in outputs:
        pending = [(output, False)]
        while pending:
            number, expanded = pending.pop()
            if number < inputs or number in order:
                continue
            if expanded:
                order[number] = None
                continue
            pending.append((number, True))
            pending.extend((source, False) for source in reversed(_reads(steps[number - inputs].body)))
    return list(order)


def _moved(step: Step, values: dict[int, int], weights: dict[int, int]) -> Step:
    def move(operand: Operand) -> Operand:
        places = values if operand.space is Space.VALUE else weights
        return replace(operand, tensor=places[operand.tensor])

    body: Body = with_operands(step.body, move)
    if isinstance(body, Tree):
        body = replace(body, nodes=weights[body.nodes], roots=weights[body.roots])
    return replace(step, body=body)
