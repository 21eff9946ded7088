"""One step as a program of its own: what is left when somebody looks at a single step and its operands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sworn.errors import ConfigurationError
from sworn.model.encoding import references
from sworn.model.program import (
    Body,
    Contract,
    Copy,
    Extremum,
    Lookup,
    Operand,
    Pointwise,
    Program,
    Rank,
    Reduction,
    Space,
    Step,
    TensorType,
    Tree,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolated:
    """A program of one step; ``values[i]`` and ``weights[i]`` were the numbers of its inputs and weights."""

    program: Program
    values: tuple[int, ...]
    weights: tuple[int, ...]

    def origin(self, space: Space, tensor: int) -> int:
        """The number that a tensor had in the program that the step comes from."""
        return (self.values if space is Space.VALUE else self.weights)[tensor]

    def type_of(self, space: Space, tensor: int) -> TensorType:
        """The type of a tensor that the step reads."""
        return (self.program.inputs if space is Space.VALUE else self.program.weights)[tensor]


def isolate(step: Step, types: Mapping[tuple[Space, int], TensorType]) -> Isolated:
    """A step alone; ``types`` holds the type of every tensor that it reads."""
    read = sorted(set(references(step.body)))
    values = tuple(tensor for space, tensor in read if space is Space.VALUE)
    weights = tuple(tensor for space, tensor in read if space is Space.WEIGHT)
    numbers = {(Space.VALUE, tensor): number for number, tensor in enumerate(values)}
    numbers |= {(Space.WEIGHT, tensor): number for number, tensor in enumerate(weights)}
    program = Program(
        inputs=tuple(types[Space.VALUE, tensor] for tensor in values),
        weights=tuple(types[Space.WEIGHT, tensor] for tensor in weights),
        steps=(replace(step, body=renumbered(step.body, numbers)),),
        outputs=(),
    )
    return Isolated(program=program, values=values, weights=weights)


def isolate_step(program: Program, number: int) -> Isolated:
    """One step of a program alone."""
    step = program.steps[number]
    types = {
        (space, tensor): program.value(tensor) if space is Space.VALUE else program.weights[tensor]
        for space, tensor in references(step.body)
    }
    return isolate(step, types)


def renumbered(body: Body, numbers: Mapping[tuple[Space, int], int]) -> Body:
    """A body whose tensors have other numbers; ``numbers`` has every tensor that it reads."""

    def moved(operand: Operand) -> Operand:
        return replace(operand, tensor=numbers[operand.space, operand.tensor])

    match body:
        case Copy():
            return replace(body, pieces=tuple(replace(piece, source=moved(piece.source)) for piece in body.pieces))
        case Contract():
            right = None if body.right is None else moved(body.right)
            bias = None if body.bias is None else moved(body.bias)
            return replace(body, left=moved(body.left), right=right, bias=bias)
        case Pointwise():
            return replace(body, operands=tuple(moved(operand) for operand in body.operands))
        case Lookup():
            return replace(body, source=moved(body.source), index=moved(body.index))
        case Extremum() | Rank():
            return replace(body, source=moved(body.source))
        case Tree():
            nodes, roots = numbers[Space.WEIGHT, body.nodes], numbers[Space.WEIGHT, body.roots]
            return replace(body, features=moved(body.features), nodes=nodes, roots=roots)


def narrow(alone: Isolated, axis: int, start: int, stop: int) -> Isolated:
    """The same step for output indices from ``start`` to ``stop`` on one axis only: contractions and pointwise steps.

    Raises `ConfigurationError` for other steps.
    """
    step = alone.program.steps[0]
    axes = (*step.axes[:axis], stop - start, *step.axes[axis + 1 :])

    def moved(operand: Operand) -> Operand:
        return replace(operand, offset=operand.offset + operand.strides[axis] * start)

    match step.body:
        case Contract() as body:
            narrowed: Body = replace(
                body,
                left=moved(body.left),
                right=None if body.right is None else moved(body.right),
                bias=None if body.bias is None else moved(body.bias),
                reductions=tuple(_shifted(reduction, axis, start) for reduction in body.reductions),
            )
        case Pointwise() as body:
            narrowed = replace(body, operands=tuple(moved(operand) for operand in body.operands))
        case _:
            raise ConfigurationError(f"a {step.rule.name.lower()} step cannot be narrowed")
    part = replace(step, output=replace(step.output, shape=axes), axes=axes, body=narrowed)
    return replace(alone, program=replace(alone.program, steps=(part,)))


def _shifted(reduction: Reduction, axis: int, start: int) -> Reduction:
    clip = reduction.clip
    if clip is None or clip.axis != axis:
        return reduction
    return replace(reduction, clip=replace(clip, origin=clip.origin + clip.step * start))
