"""Contractions without windows as Gemm, MatMul and reductions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from sworn.model.canonical.epilogue import add_bias, clamp, single_clamp
from sworn.model.canonical.forms import Axes, Digit, Form, Moves
from sworn.model.canonical.pointwise import Broadcast, split_axes
from sworn.model.canonical.reading import Aligned, Reader, Source, flat_strides
from sworn.model.canonical.writer import MICROSOFT
from sworn.model.program import Contract, Operand, Space, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roles:
    """Fine axes by what they are in a matrix product of two operands."""

    batch: Axes
    rows: Axes
    columns: Axes
    terms: Axes


def emit_product(reader: Reader, step: Step, body: Contract) -> Form | None:
    """Writes a float contraction whose terms all count; None where it is no matrix product and no reduction."""
    reductions = [r for r in body.reductions if r.extent > 1]
    sizes = (*step.axes, *(r.extent for r in reductions))
    strides = (*body.left.strides, *(r.left_stride for r in reductions))
    operands = [(body.left, Moves(offset=body.left.offset, sizes=sizes, strides=strides))]
    if body.right is not None:
        strides = (*body.right.strides, *(r.right_stride for r in reductions))
        operands.append((body.right, Moves(offset=body.right.offset, sizes=sizes, strides=strides)))
    if len(operands) > 1 and body.left.space is Space.WEIGHT:
        operands.reverse()
    aligned = reader.align(operands)
    if aligned is None:
        return None
    terms = prod(r.extent for r in body.reductions)
    if len(operands) == 1:
        return _emit_sum(reader, step, body, aligned, terms)
    if operands[0] == operands[1]:
        return _emit_squares(reader, step, body, aligned)
    return _emit_matrices(reader, step, body, aligned)


def _is_term(step: Step, aligned: Aligned, axis: int) -> bool:
    return aligned.origins[axis] >= len(step.axes)


def _finish(
    reader: Reader, step: Step, body: Contract, name: str, order: Sequence[int], shape: Axes, aligned: Aligned
) -> Form | None:
    """Bias and bounds after a kernel that gave the bare sum."""
    strides = flat_strides(step.axes, aligned)
    digits = tuple(Digit(size=aligned.sizes[axis], stride=strides[axis]) for axis in order)
    bare = Form(name=name, shape=shape, digits=digits)
    form = bare if body.bias is None else add_bias(reader, step, body.bias, bare)
    return None if form is None else clamp(reader, body, form)


def _divided(reader: Reader, name: str, divisor: int) -> str:
    if divisor == 1:
        return name
    return reader.writer.node("Div", [name, reader.writer.constant(np.array(divisor, dtype=np.float32))])


def _reduced(
    reader: Reader, step: Step, body: Contract, aligned: Aligned, *, operator: str, divisor: int
) -> Form | None:
    """A reduction of the first operand; the bias is added before a division only by programs that nobody writes."""
    source = aligned.sources[0]
    terms = {axis for axis in range(len(aligned.sizes)) if aligned.sizes[axis] > 1 and _is_term(step, aligned, axis)}
    if not terms <= set(source.axes) or (body.bias is not None and body.divisor != 1):
        return None
    if divisor > EXACT_DIVISOR:
        return None
    shape, groups = reduced_dimensions(source, aligned, terms)
    name = reader.take(source, source.axes, shape)
    places = [place for place, group in enumerate(groups) if group and group[0] in terms]
    name = reader.writer.node(operator, [name, reader.writer.shape(places)], keepdims=1) if places else name
    kept = [axis for axis in source.axes if axis not in terms]
    shape = tuple(1 if place in places else size for place, size in enumerate(shape))
    missing = [k for k in range(len(step.axes)) if k not in {aligned.origins[a] for a in kept} and step.axes[k] > 1]
    if missing:
        return None
    return _finish(reader, step, body, _divided(reader, name, divisor), kept, shape, aligned)


def reduced_dimensions(source: Source, aligned: Aligned, terms: set[int]) -> tuple[Axes, list[list[int]]]:
    """A shape whose dimensions are each reduced or not, with the axes in each: the tensor's own where it is so."""
    starts = {
        axis for place, axis in enumerate(source.axes) if place and (axis in terms) != (source.axes[place - 1] in terms)
    }
    natural = source.natural
    groups = None if natural is None else split_axes(natural, source.axes, aligned.sizes, starts)
    if natural is not None and groups is not None:
        return natural, groups
    return tuple(aligned.sizes[axis] for axis in source.axes), [[axis] for axis in source.axes]


#: Every integer up to this is a float32.
EXACT_DIVISOR = 1 << 24


def _emit_sum(reader: Reader, step: Step, body: Contract, aligned: Aligned, terms: int) -> Form | None:
    divisor = terms if body.divisor == 0 else body.divisor
    extents = prod(r.extent for r in body.reductions if r.left_stride or r.extent == 1)
    if extents != terms:
        return None
    if divisor == terms and terms > 1:
        return _reduced(reader, step, body, aligned, operator="ReduceMean", divisor=1)
    return _reduced(reader, step, body, aligned, operator="ReduceSum", divisor=divisor)


def _emit_squares(reader: Reader, step: Step, body: Contract, aligned: Aligned) -> Form | None:
    terms = prod(r.extent for r in body.reductions)
    if terms == 1:
        return None
    divisor = terms if body.divisor == 0 else body.divisor
    return _reduced(reader, step, body, aligned, operator="ReduceSumSquare", divisor=divisor)


def _roles(step: Step, aligned: Aligned) -> _Roles | None:
    left, right = aligned.sources
    wide = [axis for axis, size in enumerate(aligned.sizes) if size > 1]
    terms = [axis for axis in wide if _is_term(step, aligned, axis)]
    if not all(left.holds(axis) and right.holds(axis) for axis in terms):
        return None
    outer = [axis for axis in wide if axis not in terms]
    if not all(left.holds(axis) or right.holds(axis) for axis in outer):
        return None
    by_left = [axis for axis in left.axes if axis in outer]
    return _Roles(
        batch=tuple(axis for axis in by_left if right.holds(axis)),
        rows=tuple(axis for axis in by_left if not right.holds(axis)),
        columns=tuple(axis for axis in right.axes if axis in outer and not left.holds(axis)),
        terms=tuple(axis for axis in left.axes if axis in terms),
    )


def _emit_matrices(reader: Reader, step: Step, body: Contract, aligned: Aligned) -> Form | None:
    roles = _roles(step, aligned)
    if roles is None or body.divisor != 1:
        return None
    if not roles.batch and roles.terms:
        form = _emit_gemm(reader, step, body, aligned, roles)
        if form is not None:
            return form
    if not roles.terms or not (roles.rows or roles.columns):
        return _emit_elements(reader, step, body, aligned, roles)
    sizes = aligned.sizes
    batch = tuple(sizes[axis] for axis in roles.batch)
    rows, columns, terms = (prod(sizes[k] for k in part) for part in (roles.rows, roles.columns, roles.terms))
    left = reader.take(aligned.sources[0], (*roles.batch, *roles.rows, *roles.terms), (*batch, rows, terms))
    right = reader.take(aligned.sources[1], (*roles.batch, *roles.terms, *roles.columns), (*batch, terms, columns))
    name = reader.writer.node("MatMul", [left, right])
    order = (*roles.batch, *roles.rows, *roles.columns)
    return _finish(reader, step, body, name, order, (*batch, rows, columns), aligned)


def _emit_elements(reader: Reader, step: Step, body: Contract, aligned: Aligned, roles: _Roles) -> Form | None:
    """Products of elements, and their sums where there is more than one each: matrices of one row and one column."""
    plan = Broadcast(aligned, 2)
    if not plan.is_possible:
        return None
    names = plan.take(reader)
    name = reader.writer.node("Mul", names)
    if not roles.terms:
        return _finish(reader, step, body, name, plan.order, plan.shape, aligned)
    sizes = tuple(aligned.sizes[axis] for axis in plan.order)
    name = reader.reshape(name, plan.shape, sizes)
    places = [place for place, axis in enumerate(plan.order) if axis in roles.terms]
    name = reader.writer.node("ReduceSum", [name, reader.writer.shape(places)], keepdims=0)
    kept = [axis for axis in plan.order if axis not in roles.terms]
    return _finish(reader, step, body, name, kept, tuple(aligned.sizes[axis] for axis in kept), aligned)


def _emit_gemm(reader: Reader, step: Step, body: Contract, aligned: Aligned, roles: _Roles) -> Form | None:
    """One product of two matrices, with bias per column and lower bound inside the kernel where they are so."""
    sizes = aligned.sizes
    rows, columns, terms = (prod(sizes[k] for k in part) for part in (roles.rows, roles.columns, roles.terms))
    right = reader.take(aligned.sources[1], (*roles.terms, *roles.columns), (terms, columns))
    shape = _left_shape(aligned.sources[0], roles, rows=rows, terms=terms, is_flat=body.bias is not None)
    left = reader.take(aligned.sources[0], (*roles.rows, *roles.terms), shape)
    order = (*roles.rows, *roles.columns)
    bias = None if body.bias is None else column_bias(reader, body.bias, aligned, roles.columns, step)
    if bias is None:
        name = reader.writer.node("MatMul", [left, right])
        return _finish(reader, step, body, name, order, (*shape[:-1], columns), aligned)
    strides = flat_strides(step.axes, aligned)
    digits = tuple(Digit(size=sizes[axis], stride=strides[axis]) for axis in order)
    activation = single_clamp(body)
    if activation == "Relu":
        name = reader.writer.node("FusedGemm", [left, right, bias], domain=MICROSOFT, activation="Relu")
        return Form(name=name, shape=(rows, columns), digits=digits)
    name = reader.writer.node("Gemm", [left, right, bias])
    return clamp(reader, body, Form(name=name, shape=(rows, columns), digits=digits))


def _left_shape(source: Source, roles: _Roles, *, rows: int, terms: int, is_flat: bool) -> Axes:
    """The left matrix in the shape that its tensor has, where a product takes it as it is."""
    in_place = source.axes == (*roles.rows, *roles.terms)
    natural = source.natural if in_place else None
    if natural and natural[-1] == terms and (not is_flat or len(natural) == 2):
        return natural
    return (rows, terms)


def column_bias(reader: Reader, bias: Operand, aligned: Aligned, columns: Axes, step: Step) -> str | None:
    """A constant bias as one number per column; None where it is something else."""
    if bias.space is not Space.WEIGHT:
        return None
    held = {axis for axis, stride in enumerate(bias.strides) if stride and step.axes[axis] > 1}
    if not held <= {aligned.origins[axis] for axis in columns}:
        return None
    strides = tuple(
        bias.strides[origin] * inner if origin < len(step.axes) else 0
        for origin, inner in zip(aligned.origins, aligned.inner, strict=True)
    )
    others = {axis for axis in range(len(aligned.sizes)) if aligned.sizes[axis] > 1 and axis not in columns}
    if any(strides[axis] for axis in others):
        return None
    return reader.writer.constant(reader.spread(bias, aligned.sizes, strides, columns))
