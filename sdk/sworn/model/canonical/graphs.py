"""Turns a stretch of a program's steps into one ONNX graph: a value, a tensor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from sworn.model.canonical.convolutions import emit_convolution
from sworn.model.canonical.forms import Form, Moves, flat_form, joined, storage_of
from sworn.model.canonical.guards import Guard, GuardKind
from sworn.model.canonical.integers import emit_requantised
from sworn.model.canonical.pointwise import emit_pointwise, is_pointwise_expressible
from sworn.model.canonical.pools import emit_average, emit_extreme, emit_position
from sworn.model.canonical.products import emit_product
from sworn.model.canonical.reading import Reader
from sworn.model.canonical.selection import emit_copy, emit_lookup
from sworn.model.canonical.windows import effective
from sworn.model.canonical.writer import GraphWriter, Kind
from sworn.model.encoding import references
from sworn.model.program import Contract, Copy, Extremum, Lookup, Pointwise, Program, Space, Step
from sworn.types import DType

Array = NDArray[Any]

_COPIED = frozenset({DType.FLOAT32, DType.INT32, DType.INT64, DType.UINT8, DType.INT8, DType.BOOL})
_COMPARED = frozenset({DType.FLOAT32, DType.INT32, DType.INT64, DType.UINT8, DType.INT8})
_BYTES = frozenset({DType.UINT8, DType.INT8})
_INDICES = frozenset({DType.INT32, DType.INT64})


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphModel:
    """An ONNX model with the constants that stand beside its bytes, by name."""

    artifact: bytes
    constants: Mapping[str, Array]
    #: Value tensors that it takes, by the input's name.
    inputs: Mapping[str, int]
    #: Names of what it gives: tensors of values, then guards.
    outputs: tuple[str, ...]


class Graph:
    """The graph of some steps. ``forms`` says where each value lies; steps that no node gives are in ``refused``."""

    def __init__(
        self, program: Program, weights: Sequence[Array], steps: Sequence[int], *, fused: Mapping[int, int]
    ) -> None:
        self._program, self._fused = program, fused
        self._writer = GraphWriter()
        self._reader = Reader(self._writer, weights)
        self._inputs: dict[str, tuple[int, Kind]] = {}
        self.refused: set[int] = set()
        self._guards: dict[str, Guard] = {}
        own = {len(program.inputs) + number for number in steps}
        for number in steps:
            for value in values_read(program, number, fused):
                if value not in own:
                    self._take(value)
            form = self._emit(number, program.steps[number])
            if form is None:
                self.refused.add(number)
                return
            self._reader.forms[len(program.inputs) + number] = joined(form)

    @property
    def forms(self) -> Mapping[int, Form]:
        """Where the values lie, those that the graph takes included."""
        return self._reader.forms

    @property
    def takes(self) -> tuple[int, ...]:
        """The values that it takes."""
        return tuple(value for value, _ in self._inputs.values())

    def guard(self, value: int, guard: Guard) -> None:
        """Adds a scalar output by which a value is judged."""
        form, writer = self._reader.forms[value], self._writer
        match guard.kind:
            case GuardKind.NUMBER:
                name = writer.node("ReduceSum", [form.name], keepdims=0)
            case GuardKind.BOUND:
                name = writer.node("ReduceL1", [form.name], keepdims=0)
            case GuardKind.LEAST:
                name = writer.node("ReduceMin", [form.name], keepdims=0)
            case GuardKind.GREATEST:
                name = writer.node("ReduceMax", [form.name], keepdims=0)
            case GuardKind.APART:
                name = writer.node("ReduceMin", [writer.node("Abs", [form.name])], keepdims=0)
        self._guards[name] = guard

    @property
    def guards(self) -> tuple[Guard, ...]:
        """What is demanded of the last outputs of every model, in their order."""
        return tuple(self._guards.values())

    def model(self, values: Collection[int]) -> GraphModel:
        """The graph as a model that gives the tensors of some values, and the guards."""
        program, forms = self._program, self._reader.forms
        named = {forms[value].name: value for value in sorted(values) if forms[value].name not in self._inputs}
        outputs: dict[str, Kind] = {
            name: (storage_of(program.value(value).dtype), forms[value].shape) for name, value in named.items()
        }
        outputs |= dict.fromkeys(self._guards, (DType.FLOAT32, ()))
        written = self._writer.finish({name: kind for name, (_, kind) in self._inputs.items()}, outputs)
        inputs = {name: self._inputs[name][0] for name in written.inputs}
        return GraphModel(artifact=written.artifact, constants=written.constants, inputs=inputs, outputs=tuple(outputs))

    def _take(self, value: int) -> None:
        if value not in self._reader.forms:
            kind = self._program.value(value)
            name = f"v{value}"
            self._inputs[name] = (value, (storage_of(kind.dtype), kind.shape))
            self._reader.forms[value] = flat_form(name, kind.shape)

    def _emit(self, number: int, step: Step) -> Form | None:
        reader, program = self._reader, self._program
        match step.body:
            case Copy() as body:
                return emit_copy(reader, step, body) if step.output.dtype in _COPIED else None
            case Pointwise() as body if number in self._fused:
                summing = program.steps[self._fused[number]]
                sums = summing.body
                if not isinstance(sums, Contract):
                    return None
                return emit_requantised(reader, program, step, body, summing, sums)
            case Pointwise() as body:
                is_possible = is_pointwise_expressible(program, step, body)
                kinds = [program.type_of(operand).dtype for operand in body.operands]
                return emit_pointwise(reader, step, body, kinds) if is_possible else None
            case Contract() as body:
                return self._contract(step, body) if step.output.dtype is DType.FLOAT32 else None
            case Extremum() as body:
                dtype = program.type_of(body.source).dtype
                return emit_position(reader, step, body) if dtype is DType.FLOAT32 else None
            case Lookup() as body:
                return self._look_up(number, step, body)
            case _:
                return None

    def _look_up(self, number: int, step: Step, body: Lookup) -> Form | None:
        if number in self._fused:
            found = self._program.steps[self._fused[number]]
            if not isinstance(found.body, Extremum) or step.output.dtype not in _COMPARED:
                return None
            return emit_extreme(self._reader, found, found.body, is_bytes=step.output.dtype in _BYTES)
        is_possible = self._program.type_of(body.index).dtype in _INDICES and step.output.dtype in _COPIED
        return emit_lookup(self._reader, step, body) if is_possible else None

    def _contract(self, step: Step, body: Contract) -> Form | None:
        reader = self._reader
        is_clipped = any(r.clip is not None for r in effective(step.axes, body.reductions))
        if not is_clipped and not self._is_channels_first(step, body):
            form = emit_product(reader, step, body)
            if form is not None:
                return form
        form = emit_convolution(reader, step, body)
        if form is None:
            form = emit_average(reader, step, body)
        return emit_product(reader, step, body) if form is None and not is_clipped else form

    def _is_channels_first(self, step: Step, body: Contract) -> bool:
        """Whether a product with constant weights has all reduced dimensions just before rows in memory."""
        if body.right is None or body.left.space is not Space.VALUE or body.right.space is not Space.WEIGHT:
            return False
        sizes = (*step.axes, *(r.extent for r in body.reductions))
        strides = (*body.left.strides, *(r.left_stride for r in body.reductions))
        aligned = self._reader.align([(body.left, Moves(offset=body.left.offset, sizes=sizes, strides=strides))])
        if aligned is None:
            return False
        marks = [aligned.origins[axis] >= len(step.axes) for axis in aligned.sources[0].axes]
        # Terms, all together, and rows behind them.
        behind = marks[marks.index(True) :] if True in marks else []
        return False in behind and behind == sorted(behind, reverse=True)


def values_read(program: Program, number: int, fused: Mapping[int, int]) -> tuple[int, ...]:
    """Value tensors that a step reads; one that is fused with another reads the other one's operands, not its value."""
    read = {tensor for space, tensor in references(program.steps[number].body) if space is Space.VALUE}
    if number in fused:
        read.discard(len(program.inputs) + fused[number])
        read |= {t for space, t in references(program.steps[fused[number]].body) if space is Space.VALUE}
    return tuple(sorted(read))
