"""Sums of products of bytes with their requantisation as one node, channels last as the program stores them."""

from __future__ import annotations

from collections import Counter
from math import prod

import numpy as np

from sworn.model.canonical.convolutions import Convolution, recognise
from sworn.model.canonical.forms import Digit, Form, Moves, row_major, stored
from sworn.model.canonical.reading import Aligned, Reader, flat_strides
from sworn.model.canonical.writer import MICROSOFT, Array
from sworn.model.encoding import references
from sworn.model.program import Contract, Function, Operand, Pointwise, Program, Space, Step
from sworn.types import DType

_BYTES = frozenset({DType.UINT8, DType.INT8})


def requantisations_of(program: Program) -> dict[int, int]:
    """Steps that requantise sums of products of bytes and constants, with the step that sums; nothing else reads it."""
    readers = Counter(
        tensor for step in program.steps for space, tensor in set(references(step.body)) if space is Space.VALUE
    )
    outputs = {output.value for output in program.outputs}
    found: dict[int, int] = {}
    for number, step in enumerate(program.steps):
        body = step.body
        if isinstance(body, Pointwise) and body.function is Function.REQUANTIZE:
            value = body.operands[0].tensor
            index = value - len(program.inputs)
            is_alone = body.operands[0].space is Space.VALUE and index >= 0 and readers[value] == 1
            if is_alone and value not in outputs and _is_pair(program, step, body, program.steps[index]):
                found[number] = index
    return found


def _is_pair(program: Program, step: Step, body: Pointwise, summing: Step) -> bool:
    sums = summing.body
    if not isinstance(sums, Contract) or sums.right is None or summing.virtual:
        return False
    kinds = [program.type_of(operand).dtype for operand in (sums.left, sums.right)]
    is_constant = {sums.left.space, sums.right.space} == {Space.VALUE, Space.WEIGHT}
    return (
        is_constant
        and set(kinds) <= _BYTES
        and step.output.dtype in _BYTES
        and all(operand.space is Space.WEIGHT for operand in body.operands[1:])
        and (sums.bias is None or sums.bias.space is Space.WEIGHT)
        and _is_whole(body.operands[0], step, summing)
        and not any(any(operand.strides) for operand in body.operands[2:])
    )


def _is_whole(operand: Operand, step: Step, summing: Step) -> bool:
    """Whether a step reads all sums in their order."""
    moves = zip(step.axes, operand.strides, row_major(step.axes), strict=True)
    return (
        operand.offset == 0
        and step.output.elements == summing.output.elements
        and all(size == 1 or stride == expected for size, stride, expected in moves)
    )


def emit_requantised(
    reader: Reader, program: Program, step: Step, body: Pointwise, summing: Step, sums: Contract
) -> Form | None:
    """Writes a pair of `requantisations_of`; None where no node gives it."""
    found = recognise(reader, summing, sums)
    if found is not None:
        return _emit_convolution(reader, program, step, body, summing, sums, found)
    return _emit_matrices(reader, program, step, body, summing, sums)


def _zeros(program: Program, sums: Contract) -> tuple[Array, Array]:
    """Zero points of data and weights, as scalars of their types."""
    assert sums.right is not None, "INVARIANT: pairs are products"  # noqa: S101
    sides = [(sums.left, sums.left_zero), (sums.right, sums.right_zero)]
    if sums.left.space is Space.WEIGHT:
        sides.reverse()
    first, second = (np.array(zero, dtype=program.type_of(operand).dtype.numpy) for operand, zero in sides)
    return first, second


def _rescaling(
    reader: Reader, step: Step, body: Pointwise, columns: list[tuple[int, int]]
) -> tuple[Array, Array] | None:
    """Multiplier, one or one per channel, and zero point; ``columns`` are sizes and output strides of the channels."""
    multiplier = body.operands[1]
    held = {
        k: stride
        for k, (size, stride) in enumerate(zip(step.axes, multiplier.strides, strict=True))
        if stride and size > 1
    }
    zero = np.array(0, dtype=step.output.dtype.numpy)
    if len(body.operands) > 2:
        zero = reader.spread_all(body.operands[2], (), ())
    if not held:
        return reader.spread_all(multiplier, (), ()), zero
    outer = row_major(step.axes)
    moves = []
    for size, stride in columns:
        axis = next((k for k in held if outer[k] <= stride < outer[k] * step.axes[k]), None)
        if axis is None or stride % outer[axis] or outer[axis] * step.axes[axis] < stride * size:
            return None
        moves.append((size, held[axis] * (stride // outer[axis])))
    if prod(size for size, _ in columns) != prod(step.axes[k] for k in held):
        return None
    return reader.spread_all(multiplier, [s for s, _ in moves], [m for _, m in moves]).reshape(-1), zero


def _emit_convolution(
    reader: Reader, program: Program, step: Step, body: Pointwise, summing: Step, sums: Contract, found: Convolution
) -> Form | None:
    channels = found.channel_digits(summing)
    rescaling = _rescaling(reader, step, body, [(digit.size, digit.stride) for digit in channels])
    if rescaling is None or (sums.bias is not None and found.bias is None):
        return None
    plan, kernel = found.plan, found.kernel
    order = (*plan.outer, *(axis for part in plan.spatial for axis in part), *plan.groups, *plan.channels)
    data = reader.take(found.source, order, (found.batch, *kernel.input, found.channels))
    data_zero, weight_zero = _zeros(program, sums)
    one, result_zero = np.float32(1), stored(rescaling[1])
    constants = [one, stored(data_zero), found.weights, rescaling[0], weight_zero, one, result_zero]
    if found.bias is not None:
        constants.append(found.bias)
    inputs = [data, *(reader.writer.constant(np.asarray(constant)) for constant in constants)]
    attributes = {**kernel.attributes, "group": found.groups, "channels_last": 1}
    name = reader.writer.node("QLinearConv", inputs, domain=MICROSOFT, **attributes)
    digits = (*found.outer_digits(summing), *kernel.digits, *channels)
    return Form(name=name, shape=(found.batch, *kernel.output, len(found.weights)), digits=digits)


def _emit_matrices(
    reader: Reader, program: Program, step: Step, body: Pointwise, summing: Step, sums: Contract
) -> Form | None:
    """A product of two matrices, the second one constant."""
    is_left = sums.left.space is Space.VALUE
    data, weight = (sums.left, sums.right) if is_left else (sums.right, sums.left)
    if data is None or weight is None or any(r.clip is not None for r in sums.reductions):
        return None
    sizes = (*summing.axes, *(r.extent for r in sums.reductions))
    moves = [
        Moves(offset=operand.offset, sizes=sizes, strides=(*operand.strides, *strides))
        for operand, strides in (
            (data, [r.left_stride if is_left else r.right_stride for r in sums.reductions]),
            (weight, [r.right_stride if is_left else r.left_stride for r in sums.reductions]),
        )
    ]
    aligned = reader.align([(data, moves[0]), (weight, moves[1])])
    if aligned is None:
        return None
    return _emit_gemm(reader, program, step, body, summing, sums, aligned)


def _emit_gemm(
    reader: Reader, program: Program, step: Step, body: Pointwise, summing: Step, sums: Contract, aligned: Aligned
) -> Form | None:
    left, right = aligned.sources
    sizes, count = aligned.sizes, len(summing.axes)
    wide = [axis for axis, size in enumerate(sizes) if size > 1]
    terms = [axis for axis in left.axes if aligned.origins[axis] >= count]
    rows = [axis for axis in left.axes if aligned.origins[axis] < count]
    columns = [axis for axis in right.axes if aligned.origins[axis] < count]
    if set(terms) != {axis for axis in right.axes if axis not in columns} or {*terms, *rows, *columns} != set(wide):
        return None
    if set(rows) & set(columns):
        return None
    strides = flat_strides(summing.axes, aligned)
    rescaling = _rescaling(reader, step, body, [(sizes[axis], strides[axis]) for axis in columns])
    if rescaling is None:
        return None
    shape = [prod(sizes[axis] for axis in part) for part in (rows, terms, columns)]
    data_zero, weight_zero = _zeros(program, sums)
    one, matrix = np.float32(1), reader.constant(right, (*terms, *columns), (shape[1], shape[2]))
    # Zero points come in as many as multipliers.
    weight_zero = np.broadcast_to(weight_zero, rescaling[0].shape)
    constants = [
        one,
        stored(data_zero),
        matrix,
        rescaling[0],
        weight_zero,
        _bias(reader, summing, sums, aligned, columns),
        one,
    ]
    if constants[5] is None:
        return None
    inputs = [
        reader.take(left, (*rows, *terms), (shape[0], shape[1])),
        *(reader.writer.constant(np.asarray(constant)) for constant in (*constants, stored(rescaling[1]))),
    ]
    name = reader.writer.node("QGemm", inputs, domain=MICROSOFT)
    digits = tuple(Digit(size=sizes[axis], stride=strides[axis]) for axis in (*rows, *columns))
    return Form(name=name, shape=(shape[0], shape[2]), digits=digits)


def _bias(reader: Reader, summing: Step, sums: Contract, aligned: Aligned, columns: list[int]) -> Array | None:
    """One int32 per column, zeros where there is no bias; None where it differs between rows."""
    sizes = tuple(aligned.sizes[axis] for axis in columns)
    if sums.bias is None:
        return np.zeros(prod(sizes), dtype=np.int32)
    held = {
        k for k, (size, stride) in enumerate(zip(summing.axes, sums.bias.strides, strict=True)) if stride and size > 1
    }
    if not held <= {aligned.origins[axis] for axis in columns}:
        return None
    strides = [sums.bias.strides[aligned.origins[axis]] * aligned.inner[axis] for axis in columns]
    return reader.spread_all(sums.bias, sizes, strides).reshape(-1)
