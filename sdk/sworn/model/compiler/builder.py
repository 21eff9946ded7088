"""The draft of a program: constants and steps, as lowerings write them.

Every step is brought to its one form, steps that are equal are written once, and a step that reads constants only is
run at once and becomes a constant. What is left unused is dropped when the program is assembled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sworn.errors import EngineError, ModelTooLarge, ModelUnsupported
from sworn.model.compiler.simplification import operands, simplified, with_operands
from sworn.model.compiler.values import Axes, Value, reshaped, row_major, transposed
from sworn.model.lowered import Evaluator
from sworn.model.program import (
    Body,
    Contract,
    Copy,
    Extremum,
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

if TYPE_CHECKING:
    from sworn.model.compiler.conversions import Quantised

#: Elements of one tensor.
MAX_ELEMENTS = 1 << 27
#: Bytes of all constants made during compilation, and how many there may be beside those of the file itself, which a
#: model derives others from: a small file cannot ask for much memory.
MAX_CONSTANT_BYTES, FREE_CONSTANT_BYTES, CONSTANT_BYTES_PER_BYTE = 4 << 30, 128 << 20, 16
#: Steps of a draft; unrolled recurrences make many.
MAX_STEPS = 1 << 18

Array = npt.NDArray[Any]


class Builder:
    """Collects constants and steps. ``label`` says where the steps being written come from."""

    def __init__(self, inputs: Sequence[TensorType], *, evaluate: Evaluator, artifact_bytes: int) -> None:
        self.inputs = tuple(inputs)
        self.constants: list[Array] = []
        self.steps: list[Step] = []
        self.labels: list[str] = []
        self.label = ""
        #: By tensor: the floats that `conversions.dequantized` made, and what of.
        self.origins: dict[tuple[Space, int], tuple[Value, Quantised]] = {}
        self._evaluate = evaluate
        self._known_constants: dict[tuple[str, Axes, bytes], int] = {}
        self._known_steps: dict[Step, int] = {}
        self._constant_bytes = 0
        allowed = FREE_CONSTANT_BYTES + CONSTANT_BYTES_PER_BYTE * artifact_bytes
        self._most_constant_bytes = min(MAX_CONSTANT_BYTES, allowed)

    def input(self, number: int) -> Value:
        """A model input."""
        kind = self.inputs[number]
        return Value(
            dtype=kind.dtype, shape=kind.shape, space=Space.VALUE, tensor=number, strides=row_major(kind.shape)
        )

    def constant(self, array: Array) -> Value:
        """A constant tensor. −0 becomes +0. Raises `ModelUnsupported` for NaN and for types without arithmetic."""
        dtype = self._dtype(array)
        clean = np.array(array, order="C", copy=True)
        if dtype is DType.FLOAT32:
            if np.isnan(clean).any():
                raise ModelUnsupported(f"{self.label}: a constant is not a number (NaN)")
            clean[clean == 0] = 0
        shape = tuple(map(int, clean.shape))
        key = (dtype.name, shape, hashlib.sha256(clean.reshape(-1).view(np.uint8).data).digest())
        if key not in self._known_constants:
            self._constant_bytes += clean.nbytes
            self._check_room(0)
            self._known_constants[key] = len(self.constants)
            self.constants.append(clean)
        number = self._known_constants[key]
        return Value(dtype=dtype, shape=shape, space=Space.WEIGHT, tensor=number, strides=row_major(shape))

    def scalar(self, number: float, *, dtype: DType = DType.FLOAT32) -> Value:
        """A constant without axes; a float is rounded to float32."""
        return self.constant(np.array(number, dtype.numpy))

    def array(self, value: Value) -> Array | None:
        """The elements of a constant, None for a value that depends on the inputs."""
        if value.space is Space.VALUE:
            return None
        return strided(self.constants[value.tensor], value.shape, offset=value.offset, strides=value.strides)

    def emit(
        self,
        dtype: DType,
        shape: Sequence[int],
        *,
        axes: Sequence[int],
        body: Body,
        virtual: bool = False,
        fold: bool = True,
    ) -> Value:
        """A new tensor, stored in row-major order of ``shape``. ``axes`` factor that order.

        Without ``fold`` a step that reads constants only stays a step.
        """
        kind = TensorType(dtype=dtype, shape=tuple(shape))
        self._check(kind)
        if isinstance(body, Contract | Extremum) and any(reduction.extent == 0 for reduction in body.reductions):
            raise ModelUnsupported(f"{self.label}: a reduction over nothing")
        axes, body = simplified(axes, body)
        step = Step(output=kind, axes=axes, body=body, virtual=virtual)
        if fold and all(operand.space is Space.WEIGHT for operand in operands(body)):
            return self.constant(self._folded(step))
        if step not in self._known_steps:
            if len(self.steps) >= MAX_STEPS:
                raise ModelTooLarge(f"{self.label}: the program has more than {MAX_STEPS} steps")
            self._known_steps[step] = len(self.inputs) + len(self.steps)
            self.steps.append(step)
            self.labels.append(f"{self.label}: {_part(body)}")
        number = self._known_steps[step]
        return Value(dtype=dtype, shape=kind.shape, space=Space.VALUE, tensor=number, strides=row_major(kind.shape))

    def materialised(self, value: Value, *, order: Sequence[int] | None = None) -> Value:
        """The same value with its elements side by side, its axes stored in ``order`` (row-major when omitted)."""
        order = tuple(range(value.rank)) if order is None else tuple(order)
        stored = transposed(value, order)
        if stored.contiguous:
            return value
        piece = Piece(
            source=stored.operand(stored.strides),
            starts=(0,) * value.rank,
            stops=stored.shape,
            every=(1,) * value.rank,
        )
        copy = self.emit(value.dtype, stored.shape, axes=stored.shape, body=Copy(pieces=(piece,)))
        return transposed(copy, sorted(range(value.rank), key=lambda axis: order[axis]))

    def reshaped(self, value: Value, shape: Sequence[int]) -> Value:
        """The same elements in row-major order under another shape; copies only when no view does it."""
        view = reshaped(value, shape)
        return view if view is not None else self.materialised(value).view(shape, row_major(shape))

    def _dtype(self, array: Array) -> DType:
        try:
            dtype = DType[array.dtype.name.upper()]
        except KeyError as error:
            raise ModelUnsupported(f"{self.label}: element type {array.dtype.name} is not supported") from error
        if dtype is DType.FLOAT64:
            raise ModelUnsupported(f"{self.label}: float64 is not supported; convert the model to float32")
        return dtype

    def _check(self, kind: TensorType) -> None:
        if kind.dtype is DType.FLOAT64:
            raise ModelUnsupported(f"{self.label}: float64 is not supported; convert the model to float32")
        if kind.elements == 0:
            raise ModelUnsupported(f"{self.label}: a tensor without elements, of shape {kind.shape}")
        if kind.elements > MAX_ELEMENTS:
            raise ModelTooLarge(f"{self.label}: a tensor of shape {kind.shape} has more than {MAX_ELEMENTS} elements")

    def _check_room(self, more: int) -> None:
        if self._constant_bytes + more > self._most_constant_bytes:
            raise ModelTooLarge(f"{self.label}: constants exceed {self._most_constant_bytes} bytes")

    def _folded(self, step: Step) -> Array:
        self._check_room(step.output.elements * step.output.dtype.itemsize)
        if isinstance(step.body, Copy):
            return self._copied(step, step.body)
        used = sorted({operand.tensor for operand in operands(step.body)} | set(_tables(step.body)))
        weights = [self.constants[number] for number in used]
        body = _renumbered(step.body, {number: place for place, number in enumerate(used)})
        program = Program(
            inputs=(),
            weights=tuple(TensorType(dtype=self._dtype(w), shape=tuple(w.shape)) for w in weights),
            steps=(Step(output=step.output, axes=step.axes, body=body),),
            outputs=(ProgramOutput(value=0, shape=step.output.shape),),
        )
        try:
            return self._evaluate(program, weights, [])[0]
        except EngineError as error:
            raise ModelUnsupported(f"{self.label}: constants cannot be computed: {error}") from error

    def _copied(self, step: Step, body: Copy) -> Array:
        dtype = step.output.dtype.numpy
        bits = np.array(body.fill, np.dtype(f"u{dtype.itemsize}"))
        result = np.full(step.axes, bits.view(dtype))
        for piece in reversed(body.pieces):
            box = tuple(map(slice, piece.starts, piece.stops, piece.every))
            source = self.constants[piece.source.tensor]
            strides = piece.source.strides
            result[box] = strided(source, result[box].shape, offset=piece.source.offset, strides=strides)
        return result.reshape(step.output.shape)


def strided(array: Array, shape: Sequence[int], *, offset: int, strides: Sequence[int]) -> Array:
    """A view of a C-contiguous array; offset and strides in elements."""
    if 0 in shape:
        return np.zeros(shape, array.dtype)
    flat = array.reshape(-1)[offset:]
    return np.lib.stride_tricks.as_strided(flat, shape, [stride * array.itemsize for stride in strides])


def _tables(body: Body) -> tuple[int, ...]:
    return (body.nodes, body.roots) if isinstance(body, Tree) else ()


def _renumbered(body: Body, places: dict[int, int]) -> Body:
    def move(operand: Operand) -> Operand:
        return replace(operand, tensor=places[operand.tensor])

    changed = with_operands(body, move)
    if isinstance(changed, Tree):
        return replace(changed, nodes=places[changed.nodes], roots=places[changed.roots])
    return changed


def _part(body: Body) -> str:
    name = body.function.name if isinstance(body, Pointwise) else type(body).__name__
    return name.lower().replace("_", " ")
