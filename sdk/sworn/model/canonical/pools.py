"""Windows of one operand: sums as AveragePool, greatest elements as MaxPool, both over the tensor's own order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from sworn.model.canonical.convolutions import Kernel, Windowed, output_digit, windowed
from sworn.model.canonical.epilogue import add_bias, clamp
from sworn.model.canonical.forms import Axes, Form, Moves
from sworn.model.canonical.products import reduced_dimensions
from sworn.model.canonical.reading import Aligned, Reader
from sworn.model.canonical.windows import effective
from sworn.model.canonical.writer import MICROSOFT
from sworn.model.program import Contract, Extremum, Operand, Reduction, Space, Step

_MAX_SPATIAL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """An operand laid out for a pool."""

    window: Windowed
    aligned: Aligned
    outer: Axes
    kernel: Kernel
    data: str
    shape: Axes
    is_last: bool = False


def _lay_out(
    reader: Reader,
    step: Step,
    operand: Operand,
    reductions: Sequence[Reduction],
    *,
    square: bool = False,
    is_last: bool = False,
) -> _Pool | None:
    strides = [reduction.left_stride for reduction in reductions]
    digits = reader.forms[operand.tensor].digits if operand.space is Space.VALUE else ()
    window = windowed(step.axes, operand, reductions, strides, tiles=True, digits=digits)
    if window is None or not window.slides or any(size > 1 for size in window.sizes[len(step.axes) :]):
        return None
    aligned = reader.align([(operand, window.moves)])
    if aligned is None or (len(aligned.sizes) > len(window.sizes) and _is_cut(window, aligned)):
        return None
    source = aligned.sources[0]
    if any(size > 1 and not any(aligned.origins[a] == k for a in source.axes) for k, size in enumerate(step.axes)):
        return None
    outer, spatial = _divide(window, aligned, source.axes)
    if is_last or len(spatial) > _MAX_SPATIAL:
        outer, spatial = _apart(window, aligned, source.axes)
    if len(spatial) > _MAX_SPATIAL:
        return None
    kernel = Kernel(step, window, aligned, spatial)
    if is_last:
        return _last(reader, window, aligned, outer, kernel, spatial)
    batch = _batch_shape(source.form, kernel, prod(aligned.sizes[axis] for axis in outer))
    order = (*outer, *(axis for part in spatial for axis in part))
    data = reader.take(source, order, (*batch, *kernel.input))
    if square:
        data = reader.writer.node("Mul", [data, data])
    return _Pool(window=window, aligned=aligned, outer=outer, kernel=kernel, data=data, shape=(*batch, *kernel.output))


def _last(
    reader: Reader, window: Windowed, aligned: Aligned, outer: Axes, kernel: Kernel, spatial: tuple[Axes, ...]
) -> _Pool:
    """The layout with channels last; all that does not slide is a channel."""
    order = (*(axis for part in spatial for axis in part), *outer)
    channels = prod(aligned.sizes[axis] for axis in outer)
    data = reader.take(aligned.sources[0], order, (1, *kernel.input, channels))
    shape = (1, *kernel.output, channels)
    return _Pool(window=window, aligned=aligned, outer=outer, kernel=kernel, data=data, shape=shape, is_last=True)


def _is_cut(window: Windowed, aligned: Aligned) -> bool:
    return any(sum(origin == axis for origin in aligned.origins) > 1 for axis in window.slides)


def _divide(window: Windowed, aligned: Aligned, axes: Axes) -> tuple[Axes, tuple[Axes, ...]]:
    """Axes before the first window, and from there on; neighbours without windows as one."""
    slid = [aligned.origins[axis] in window.slides for axis in axes]
    first = slid.index(True)
    spatial: list[list[int]] = []
    for place in range(first, len(axes)):
        if spatial and not slid[place] and not slid[place - 1]:
            spatial[-1].append(axes[place])
        else:
            spatial.append([axes[place]])
    return axes[:first], tuple(tuple(part) for part in spatial)


def _apart(window: Windowed, aligned: Aligned, axes: Axes) -> tuple[Axes, tuple[Axes, ...]]:
    """Axes without windows, and those with them."""
    outer = tuple(axis for axis in axes if aligned.origins[axis] not in window.slides)
    return outer, tuple((axis,) for axis in axes if aligned.origins[axis] in window.slides)


def _batch_shape(form: Form | None, kernel: Kernel, size: int) -> Axes:
    """The two dimensions before the spatial ones, as the tensor has them where it does."""
    if form is not None and len(form.shape) == 2 + len(kernel.input) and list(form.shape[2:]) == kernel.input:
        return form.shape[:2] if prod(form.shape[:2]) == size else (1, size)
    return (1, size)


def _form(step: Step, pool: _Pool, name: str) -> Form:
    digits = [output_digit(step, pool.aligned, axis) for axis in pool.outer]
    found = (*pool.kernel.digits, *digits) if pool.is_last else (*digits, *pool.kernel.digits)
    return Form(name=name, shape=pool.shape, digits=found)


def emit_average(reader: Reader, step: Step, body: Contract) -> Form | None:
    """Writes a sum over windows, divided by their size or by what counts in them; None where it is none."""
    is_square = body.right is not None
    if is_square and (
        body.right != body.left or any(reduction.left_stride != reduction.right_stride for reduction in body.reductions)
    ):
        return None
    if body.bias is not None and body.divisor != 1:
        return None
    pool = _lay_out(reader, step, body.left, effective(step.axes, body.reductions), square=is_square)
    if pool is None:
        return None
    terms = prod(pool.kernel.kernel)
    divisor = body.divisor
    if divisor not in (0, terms):
        return None
    name = reader.writer.node(
        "AveragePool", [pool.data], count_include_pad=0 if divisor == 0 else 1, **pool.kernel.attributes
    )
    bare = _form(step, pool, name)
    form = bare if body.bias is None else add_bias(reader, step, body.bias, bare)
    return None if form is None else clamp(reader, body, form)


def emit_extreme(reader: Reader, step: Step, body: Extremum, *, is_bytes: bool) -> Form | None:
    """Writes the greatest (or least) element of each window; None where no node gives it.

    Windows of bytes are taken over tensors with channels last, as their convolutions give them.
    """
    reductions = effective(step.axes, body.reductions)
    whole = _emit_rows(reader, step, body, reductions, "ReduceMax" if body.largest else "ReduceMin")
    if whole is not None or not body.largest:
        return whole
    pool = _lay_out(reader, step, body.source, reductions, is_last=is_bytes)
    if pool is None:
        return None
    operator, domain = ("NhwcMaxPool", MICROSOFT) if is_bytes else ("MaxPool", "")
    return _form(step, pool, reader.writer.node(operator, [pool.data], domain=domain, **pool.kernel.attributes))


def emit_position(reader: Reader, step: Step, body: Extremum) -> Form | None:
    """Writes the position of the first greatest (or least) element of rows; None where no node gives it."""
    reductions = effective(step.axes, body.reductions)
    operator = "ArgMax" if body.largest else "ArgMin"
    return _emit_rows(reader, step, body, reductions, operator, is_position=True)


def _emit_rows(
    reader: Reader,
    step: Step,
    body: Extremum,
    reductions: Sequence[Reduction],
    operator: str,
    *,
    is_position: bool = False,
) -> Form | None:
    """A reduction of whole dimensions, where no windows tile or overlap."""
    if any(reduction.clip is not None for reduction in reductions):
        return None
    sizes = (*step.axes, *(r.extent for r in reductions))
    strides = (*body.source.strides, *(r.left_stride for r in reductions))
    aligned = reader.align([(body.source, Moves(offset=body.source.offset, sizes=sizes, strides=strides))])
    if aligned is None:
        return None
    source, count = aligned.sources[0], len(step.axes)
    held = {aligned.origins[axis] for axis in source.axes}
    if any(size > 1 and k not in held for k, size in enumerate(sizes)):
        return None
    terms = [axis for axis in range(len(aligned.sizes)) if aligned.origins[axis] >= count and aligned.sizes[axis] > 1]
    if len(reductions) > 1 and not is_position and _is_tiled(source.axes, terms):
        return None
    kept = [axis for axis in source.axes if axis not in terms]
    attributes: dict[str, Any] = {"keepdims": 0}
    result = tuple(aligned.sizes[axis] for axis in kept)
    if is_position:
        # Positions count over the reductions in their own order, which the last dimension then has.
        inputs = [
            reader.take(
                source, (*kept, *terms), (*(aligned.sizes[a] for a in kept), prod(aligned.sizes[a] for a in terms))
            )
        ]
        attributes["axis"] = len(kept)
    else:
        shape, groups = reduced_dimensions(source, aligned, set(terms))
        places = [place for place, group in enumerate(groups) if group and group[0] in terms]
        inputs = [reader.take(source, source.axes, shape), reader.writer.shape(places)]
        attributes["keepdims"] = 1
        result = tuple(1 if place in places else size for place, size in enumerate(shape))
    name = reader.writer.node(operator, inputs, **attributes)
    digits = tuple(output_digit(step, aligned, axis) for axis in kept)
    return Form(name=name, shape=result, digits=digits)


def _is_tiled(axes: Axes, terms: Sequence[int]) -> bool:
    """Whether reduced dimensions lie apart in memory: then a pool walks them better than a reduction."""
    places = [place for place, axis in enumerate(axes) if axis in terms]
    return places[-1] - places[0] + 1 != len(places)
