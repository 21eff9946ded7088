"""The canonical bytes of a program, and back. `docs/encoding.md` is the norm.

A step says of every tensor that it reads which type it has, so that whoever holds one step and its operands needs
nothing else of the program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sworn.errors import ModelMalformed
from sworn.model.program import (
    Body,
    Clip,
    Contract,
    Copy,
    Extremum,
    Function,
    Lookup,
    Operand,
    Piece,
    Pointwise,
    Program,
    ProgramOutput,
    Rank,
    Reduction,
    Rule,
    Space,
    Step,
    TensorType,
    Tree,
)
from sworn.model.words import WORD_BYTES, WordReader, WordWriter, float_of, float_word
from sworn.types import DType

#: Version of the encoding and of the arithmetic behind it.
PROGRAM_VERSION: Final = 1

_RIGHT, _BIAS, _LOWER, _UPPER = 1, 2, 4, 8

#: Types of the tensors that a step reads, flat.
OperandTypes = Mapping[tuple[Space, int], TensorType]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """A step read from its own bytes, with the element types and sizes (as shapes of rank 1) of what it reads."""

    step: Step
    types: OperandTypes


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A program without its steps."""

    inputs: tuple[TensorType, ...]
    weights: tuple[TensorType, ...]
    #: Which value each output is, and the type in which it is seen.
    outputs: tuple[tuple[int, TensorType], ...]


def encode_step(program: Program, number: int) -> bytes:
    """The bytes of one step. Raises `ModelUnsupported` for numbers that do not fit 32 bits."""
    step = program.steps[number]
    writer = _StepWriter(program)
    writer.unsigned(step.rule, step.virtual)
    _write_type(writer, step.output)
    writer.sized(step.axes)
    writer.body(step.body)
    return writer.to_bytes()


def decode_step(data: bytes) -> StepRecord:
    """One step from its bytes. Raises `ModelMalformed`. Says nothing about whether the step is valid."""
    reader = _StepReader(data)
    rule = _member(Rule, reader.unsigned())
    virtual = reader.flag()
    output = _read_type(reader)
    axes = reader.sized()
    body = reader.body(rule, rank=len(axes))
    reader.finish()
    return StepRecord(step=Step(output=output, axes=axes, body=body, virtual=virtual), types=reader.types)


def encode_interface(program: Program) -> bytes:
    """The bytes of everything but the steps: types of inputs, weights and outputs, and what writes the outputs."""
    writer = WordWriter()
    for types in (program.inputs, program.weights):
        writer.unsigned(len(types))
        for each in types:
            _write_type(writer, each)
    writer.unsigned(len(program.outputs))
    for output in program.outputs:
        writer.unsigned(output.value)
        _write_type(writer, TensorType(dtype=program.value(output.value).dtype, shape=output.shape))
    return writer.to_bytes()


def decode_interface(data: bytes) -> Interface:
    """What `encode_interface` wrote. Raises `ModelMalformed`."""
    reader = WordReader(data)
    inputs = tuple(_read_type(reader) for _ in range(reader.count()))
    weights = tuple(_read_type(reader) for _ in range(reader.count()))
    outputs = tuple((reader.unsigned(), _read_type(reader)) for _ in range(reader.count()))
    reader.finish()
    return Interface(inputs=inputs, weights=weights, outputs=outputs)


def encode_program(program: Program) -> bytes:
    """The bytes of a whole program. Raises `ModelUnsupported` for numbers that do not fit 32 bits."""
    parts = [encode_interface(program), *(encode_step(program, number) for number in range(len(program.steps)))]
    head = WordWriter()
    head.unsigned(PROGRAM_VERSION, len(program.steps))
    lengths = ((len(part) // WORD_BYTES).to_bytes(WORD_BYTES) for part in parts)
    return head.to_bytes() + b"".join(length + part for length, part in zip(lengths, parts, strict=True))


def decode_program(data: bytes) -> Program:
    """A program from its bytes: the only bytes that encode it. Raises `ModelMalformed`, `ModelUnsupported`.

    Says nothing about whether the program is valid: `sworn.model.validation.validate` does.
    """
    reader = WordReader(data)
    version, count = reader.unsigned(), reader.unsigned()
    if version != PROGRAM_VERSION:
        raise ModelMalformed(f"version {version} of the program encoding is unknown")
    interface = decode_interface(reader.take(reader.unsigned()))
    reader.check_left(count)
    steps = tuple(decode_step(reader.take(reader.unsigned())).step for _ in range(count))
    reader.finish()
    outputs = tuple(ProgramOutput(value=value, shape=seen.shape) for value, seen in interface.outputs)
    program = Program(inputs=interface.inputs, weights=interface.weights, steps=steps, outputs=outputs)
    check_references(program)
    # Steps and outputs repeat the types of what they read; writing them again from the program finds any that differ.
    if encode_program(program) != data:
        raise ModelMalformed("not the canonical bytes of a program")
    return program


def check_references(program: Program) -> None:
    """Raises `ModelMalformed` unless every tensor that is named exists before it is read."""
    for number, step in enumerate(program.steps):
        readable = {Space.VALUE: len(program.inputs) + number, Space.WEIGHT: len(program.weights)}
        for space, tensor in references(step.body):
            if not 0 <= tensor < readable[space]:
                raise ModelMalformed(f"step {number} reads {space.name.lower()} {tensor}, which is not before it")
    for output in program.outputs:
        if not 0 <= output.value < len(program.inputs) + len(program.steps):
            raise ModelMalformed(f"an output is value {output.value}, which does not exist")


def references(body: Body) -> list[tuple[Space, int]]:
    """Every tensor that a step reads, in the order of its fields, possibly more than once."""
    found = [(operand.space, operand.tensor) for operand in operands(body)]
    if isinstance(body, Tree):
        found += [(Space.WEIGHT, body.nodes), (Space.WEIGHT, body.roots)]
    return found


def operands(body: Body) -> list[Operand]:
    """Every operand of a body, in the order of its fields."""
    match body:
        case Copy():
            return [piece.source for piece in body.pieces]
        case Contract():
            return [operand for operand in (body.left, body.right, body.bias) if operand is not None]
        case Pointwise():
            return list(body.operands)
        case Lookup():
            return [body.source, body.index]
        case Extremum() | Rank():
            return [body.source]
        case Tree():
            return [body.features]


def _write_type(writer: WordWriter, tensor: TensorType) -> None:
    writer.unsigned(tensor.dtype)
    writer.sized(tensor.shape)


def _read_type(reader: WordReader) -> TensorType:
    return TensorType(dtype=_member(DType, reader.unsigned()), shape=reader.sized())


def _member(enum: Any, value: int) -> Any:
    try:
        return enum(value)
    except ValueError as error:
        raise ModelMalformed(f"{value} is no {enum.__name__}") from error


class _StepWriter(WordWriter):
    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program = program

    def body(self, body: Body) -> None:
        write: Callable[[Any], None] = getattr(self, f"_{type(body).__name__.lower()}")
        write(body)

    def _operand(self, operand: Operand) -> None:
        tensor = self._program.type_of(operand)
        self.unsigned(operand.space, operand.tensor, tensor.dtype, tensor.elements)
        self.signed(operand.offset, *operand.strides)

    def _reductions(self, reductions: tuple[Reduction, ...]) -> None:
        self.unsigned(len(reductions))
        for reduction in reductions:
            self.unsigned(reduction.extent)
            self.signed(reduction.left_stride, reduction.right_stride)
            clip = reduction.clip or Clip(axis=0, step=0, dilation=0, origin=0, extent=0)
            self.unsigned(reduction.clip is not None, clip.axis)
            self.signed(clip.step, clip.dilation, clip.origin)
            self.unsigned(clip.extent)

    def _copy(self, body: Copy) -> None:
        self.long(body.fill)
        self.unsigned(len(body.pieces))
        for piece in body.pieces:
            self._operand(piece.source)
            self.unsigned(*piece.starts, *piece.stops, *piece.every)

    def _contract(self, body: Contract) -> None:
        optional = ((body.right, _RIGHT), (body.bias, _BIAS), (body.lower, _LOWER), (body.upper, _UPPER))
        self.unsigned(sum(flag for field, flag in optional if field is not None), body.divisor)
        self.signed(body.left_zero, body.right_zero)
        self.unsigned(*(0 if bound is None else float_word(bound) for bound in (body.lower, body.upper)))
        self._reductions(body.reductions)
        for operand in (body.left, body.right, body.bias):
            if operand is not None:
                self._operand(operand)

    def _pointwise(self, body: Pointwise) -> None:
        self.unsigned(body.function, float_word(body.alpha), float_word(body.beta), len(body.operands))
        for operand in body.operands:
            self._operand(operand)

    def _lookup(self, body: Lookup) -> None:
        self.sized(body.extents)
        self.signed(*body.strides)
        self._operand(body.source)
        self._operand(body.index)

    def _extremum(self, body: Extremum) -> None:
        self.unsigned(body.largest)
        self._reductions(body.reductions)
        self._operand(body.source)

    def _rank(self, body: Rank) -> None:
        self.unsigned(body.largest, body.axis, body.extent)
        self.signed(body.stride)
        self._operand(body.source)

    def _tree(self, body: Tree) -> None:
        self.unsigned(body.tree_axis)
        self.signed(body.feature_stride)
        for number in (body.nodes, body.roots):
            tensor = self._program.weights[number]
            self.unsigned(number, tensor.dtype, tensor.elements)
        self._operand(body.features)


class _StepReader(WordReader):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.types: dict[tuple[Space, int], TensorType] = {}
        self._rank_of_axes = 0

    def body(self, rule: Rule, *, rank: int) -> Body:
        self._rank_of_axes = rank
        read: Callable[[], Body] = getattr(self, f"_{rule.name.lower()}")
        return read()

    def _reference(self, space: Space) -> int:
        tensor, dtype, elements = self.unsigned(), _member(DType, self.unsigned()), self.unsigned()
        stated = TensorType(dtype=dtype, shape=(elements,))
        if self.types.setdefault((space, tensor), stated) != stated:
            raise ModelMalformed(f"{space.name.lower()} {tensor} has two types")
        return tensor

    def _operand(self) -> Operand:
        space = _member(Space, self.unsigned())
        tensor = self._reference(space)
        return Operand(
            space=space, tensor=tensor, offset=self.signed(), strides=self.several_signed(self._rank_of_axes)
        )

    def _reductions(self) -> tuple[Reduction, ...]:
        return tuple(self._reduction() for _ in range(self.count()))

    def _reduction(self) -> Reduction:
        extent, left, right, clipped = self.unsigned(), self.signed(), self.signed(), self.flag()
        axis, (step, dilation, origin), bound = self.unsigned(), self.several_signed(3), self.unsigned()
        clip = Clip(axis=axis, step=step, dilation=dilation, origin=origin, extent=bound)
        if not clipped and any((axis, step, dilation, origin, bound)):
            raise ModelMalformed("a reduction that is not clipped states a clip")
        return Reduction(extent=extent, left_stride=left, right_stride=right, clip=clip if clipped else None)

    def _copy(self) -> Copy:
        fill = self.long()
        return Copy(fill=fill, pieces=tuple(self._piece() for _ in range(self.count())))

    def _piece(self) -> Piece:
        source, rank = self._operand(), self._rank_of_axes
        return Piece(source=source, starts=self.several(rank), stops=self.several(rank), every=self.several(rank))

    def _contract(self) -> Contract:
        flags, divisor = self.unsigned(), self.unsigned()
        if flags > _RIGHT | _BIAS | _LOWER | _UPPER:
            raise ModelMalformed(f"{flags} are no flags of a contraction")
        left_zero, right_zero = self.signed(), self.signed()
        bounds = self._bound(flags & _LOWER), self._bound(flags & _UPPER)
        return Contract(
            reductions=self._reductions(),
            left=self._operand(),
            right=self._operand() if flags & _RIGHT else None,
            bias=self._operand() if flags & _BIAS else None,
            divisor=divisor,
            left_zero=left_zero,
            right_zero=right_zero,
            lower=bounds[0],
            upper=bounds[1],
        )

    def _bound(self, present: int) -> float | None:
        bits = self.unsigned()
        if not present and bits:
            raise ModelMalformed("a contraction states a bound that its flags deny")
        return _float(bits) if present else None

    def _pointwise(self) -> Pointwise:
        function, alpha, beta = _member(Function, self.unsigned()), _float(self.unsigned()), _float(self.unsigned())
        operands_ = tuple(self._operand() for _ in range(self.count()))
        return Pointwise(function=function, alpha=alpha, beta=beta, operands=operands_)

    def _lookup(self) -> Lookup:
        extents = self.sized()
        strides = self.several_signed(len(extents))
        return Lookup(extents=extents, strides=strides, source=self._operand(), index=self._operand())

    def _extremum(self) -> Extremum:
        return Extremum(largest=self.flag(), reductions=self._reductions(), source=self._operand())

    def _rank(self) -> Rank:
        largest, axis, extent, stride = self.flag(), self.unsigned(), self.unsigned(), self.signed()
        return Rank(largest=largest, axis=axis, extent=extent, stride=stride, source=self._operand())

    def _tree(self) -> Tree:
        axis, stride = self.unsigned(), self.signed()
        nodes, roots = self._reference(Space.WEIGHT), self._reference(Space.WEIGHT)
        return Tree(tree_axis=axis, feature_stride=stride, nodes=nodes, roots=roots, features=self._operand())


def _float(bits: int) -> float:
    value = float_of(bits)
    if math.isnan(value) or bits == 1 << 31:
        raise ModelMalformed("a parameter is NaN or −0")
    return value
