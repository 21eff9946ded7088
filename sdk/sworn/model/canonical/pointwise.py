"""Functions of elements as ONNX nodes, in the memory order of the operand that has every element."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from types import MappingProxyType

import numpy as np

from sworn.model.canonical.forms import Axes, Digit, Form, stored
from sworn.model.canonical.reading import Aligned, Reader, Source, flat_strides, operand_moves
from sworn.model.program import Function, Pointwise, Program, Step
from sworn.types import DType

#: Functions whose node needs nothing but the operands.
_PLAIN = MappingProxyType(
    {
        Function.ADD: "Add",
        Function.SUB: "Sub",
        Function.MUL: "Mul",
        Function.DIV: "Div",
        Function.MIN: "Min",
        Function.MAX: "Max",
        Function.NEG: "Neg",
        Function.ABS: "Abs",
        Function.SQRT: "Sqrt",
        Function.RECIPROCAL: "Reciprocal",
        Function.FLOOR: "Floor",
        Function.CEIL: "Ceil",
        Function.ROUND: "Round",
        Function.EXP: "Exp",
        Function.LOG: "Log",
        Function.TANH: "Tanh",
        Function.SIGMOID: "Sigmoid",
        Function.ERF: "Erf",
        Function.RELU: "Relu",
        Function.PRELU: "PRelu",
        Function.EQUAL: "Equal",
        Function.LESS: "Less",
        Function.LESS_OR_EQUAL: "LessOrEqual",
        Function.GREATER: "Greater",
        Function.GREATER_OR_EQUAL: "GreaterOrEqual",
        Function.AND: "And",
        Function.OR: "Or",
        Function.XOR: "Xor",
        Function.NOT: "Not",
        Function.WHERE: "Where",
    }
)
_FLOAT = frozenset({DType.FLOAT32})
_NUMBERS = frozenset({DType.FLOAT32, DType.INT32, DType.INT64})
_BOOL = frozenset({DType.BOOL})
_BYTES = frozenset({DType.UINT8, DType.INT8})
#: Operand types, where they are not float32 alone.
_TYPES = MappingProxyType(
    {
        Function.MIN: _NUMBERS,
        Function.MAX: _NUMBERS,
        Function.EQUAL: _NUMBERS | _BOOL,
        Function.LESS: _NUMBERS,
        Function.LESS_OR_EQUAL: _NUMBERS,
        Function.GREATER: _NUMBERS,
        Function.GREATER_OR_EQUAL: _NUMBERS,
        Function.AND: _BOOL,
        Function.OR: _BOOL,
        Function.XOR: _BOOL,
        Function.NOT: _BOOL,
        Function.WHERE: _BOOL | _NUMBERS | {DType.UINT8},
    }
)
#: Operands of quantisation without a zero point.
_SCALED = 2
_CAST_FROM = frozenset({DType.INT32, DType.INT64, DType.UINT8, DType.BOOL})


def is_pointwise_expressible(program: Program, step: Step, body: Pointwise) -> bool:
    """Whether a node gives the function of the operands' types; not how exactly."""
    types = [program.type_of(operand).dtype for operand in body.operands]
    match body.function:
        case Function.CLIP | Function.LEAKY_RELU:
            return types == [DType.FLOAT32]
        case Function.CAST:
            return types[0] in _CAST_FROM and step.output.dtype in (DType.FLOAT32, DType.INT64)
        case Function.QUANTIZE:
            return step.output.dtype in _BYTES and _is_unit_scale(body)
        case Function.DEQUANTIZE:
            return types[0] in _BYTES
        case function:
            return function in _PLAIN and set(types) <= _TYPES.get(function, _FLOAT)


def _is_unit_scale(body: Pointwise) -> bool:
    return not any(any(operand.strides) for operand in body.operands[1:])


def emit_pointwise(reader: Reader, step: Step, body: Pointwise, kinds: Sequence[DType]) -> Form | None:
    """Writes the node of a step that `is_pointwise_expressible`; ``kinds`` are the operands' types."""
    aligned = reader.align([(operand, operand_moves(operand, step.axes)) for operand in body.operands], gather=True)
    if aligned is None:
        return None
    scalars = 1 if body.function in (Function.QUANTIZE, Function.DEQUANTIZE) else len(body.operands)
    plan = Broadcast(aligned, scalars)
    if not plan.is_possible:
        return None
    names = plan.take(reader)
    name = _node(reader, step, body, names, kinds)
    return plan.form(name, step.axes)


class Broadcast:
    """One order of axes for all operands, and shapes in it that broadcast to the result's."""

    def __init__(self, aligned: Aligned, leading: int) -> None:
        self._aligned = aligned
        self._wide = [k for k, size in enumerate(aligned.sizes) if size > 1]
        sources = aligned.sources[:leading]
        full = [source for source in sources if all(source.holds(axis) for axis in self._wide)]
        values = [source for source in full if source.form is not None]
        self._primary: Source | None = values[0] if values else None
        self.order: Axes = tuple(self._wide) if self._primary is None else self._primary.axes
        self._ranks = sources
        self.shape, self._groups = self._grouped()

    @property
    def is_possible(self) -> bool:
        """Whether a node's broadcasting covers what the operands do."""
        return all(any(source.holds(axis) for source in self._ranks) for axis in self._wide)

    def _grouped(self) -> tuple[Axes, list[list[int]]]:
        """The result's shape, and the axes in each dimension of it."""
        groups: list[list[int]] = []
        for axis in self.order:
            if groups and all(source.holds(axis) == source.holds(groups[-1][-1]) for source in self._aligned.sources):
                groups[-1].append(axis)
            else:
                groups.append([axis])
        sizes = self._aligned.sizes
        primary = self._primary
        natural = None if primary is None else primary.natural
        if natural is not None:
            finer = split_axes(natural, self.order, sizes, {group[0] for group in groups})
            if finer is not None:
                return natural, finer
        return tuple(prod(sizes[axis] for axis in group) for group in groups), groups

    def take(self, reader: Reader) -> list[str]:
        """The operands, ready for a node that broadcasts."""
        rank = 0 if self._primary is None else len(self.shape)
        return [reader.take(source, *self.place(source), rank=rank) for source in self._aligned.sources]

    def place(self, source: Source) -> tuple[Axes, Axes]:
        """In which order and shape an operand is taken."""
        order = tuple(axis for axis in self.order if source.holds(axis))
        shape = [prod(self._aligned.sizes[axis] for axis in group if source.holds(axis)) for group in self._groups]
        first = next((k for k, size in enumerate(shape) if size > 1), len(shape))
        lean = shape if source is self._primary or self._primary is None else shape[first:]
        return order, tuple(lean)

    def form(self, name: str, axes: Sequence[int]) -> Form:
        """The result's form."""
        strides = flat_strides(axes, self._aligned)
        digits = tuple(Digit(size=self._aligned.sizes[axis], stride=strides[axis]) for axis in self.order)
        return Form(name=name, shape=self.shape, digits=digits)


def split_axes(shape: Axes, order: Axes, sizes: Axes, starts: set[int]) -> list[list[int]] | None:
    """The axes in each dimension of a shape; None where a dimension would mix what must stay apart."""
    groups: list[list[int]] = []
    rest = list(order)
    for size in shape:
        group: list[int] = []
        while rest and size > 1 and prod(sizes[axis] for axis in group) < size:
            group.append(rest.pop(0))
        if prod(sizes[axis] for axis in group) != size or any(axis in starts for axis in group[1:]):
            return None
        groups.append(group)
    return None if rest else groups


def _zero(reader: Reader, names: list[str], dtype: DType) -> list[str]:
    """The zero point 0, where none is among the operands."""
    return [] if len(names) > _SCALED else [reader.writer.constant(stored(np.array(0, dtype=dtype.numpy)))]


def _node(reader: Reader, step: Step, body: Pointwise, names: list[str], kinds: Sequence[DType]) -> str:
    writer = reader.writer
    match body.function:
        case Function.CLIP:
            bounds = [writer.constant(np.array(bound, dtype=np.float32)) for bound in (body.alpha, body.beta)]
            return writer.node("Clip", [*names, *bounds])
        case Function.LEAKY_RELU:
            return writer.node("LeakyRelu", names, alpha=body.alpha)
        case Function.CAST:
            return writer.node("Cast", names, to=int(step.output.dtype))
        case Function.QUANTIZE:
            return writer.node("QuantizeLinear", [*names, *_zero(reader, names, step.output.dtype)])
        case Function.DEQUANTIZE:
            return writer.node("DequantizeLinear", [*names, *_zero(reader, names, kinds[0])])
        case function:
            return writer.node(_PLAIN[function], names)
