"""Contractions over windows as Conv and AveragePool, extrema over windows as MaxPool and ReduceMax."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from sworn.model.canonical.epilogue import add_bias, bounds_of, clamp, single_clamp
from sworn.model.canonical.forms import Axes, Digit, Form, Moves, row_major
from sworn.model.canonical.reading import Aligned, Reader, Source
from sworn.model.canonical.windows import NO_REDUCTION, Slide, effective, slides_of, split_reductions, strided_slides
from sworn.model.canonical.writer import MICROSOFT, Array
from sworn.model.program import Contract, Operand, Reduction, Space, Step

#: Spatial dimensions for which onnxruntime has kernels.
_MAX_SPATIAL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Windowed:
    """A step's operand with its windows taken apart.

    Virtual axes are those of the step, then the reductions; an axis that windows slide along stands for the whole
    dimension of the operand, and its reduction is gone.
    """

    slides: dict[int, Slide]
    sizes: Axes
    moves: Moves


def windowed(
    axes: Sequence[int],
    operand: Operand,
    reductions: Sequence[Reduction],
    strides: Sequence[int],
    *,
    tiles: bool,
    digits: Sequence[Digit] = (),
) -> Windowed | None:
    """Takes an operand's windows apart; None where they are irregular.

    With ``digits``, those of the tensor, windows of single elements may leave elements out.
    """
    found = slides_of(axes, reductions, axis_strides=operand.strides, strides=strides, tiles=tiles)
    # A dimension of one element has no place in memory that would show it.
    if found is None or any(slide.size == 1 for slide in found):
        return None
    found += strided_slides(
        axes,
        axis_strides=operand.strides,
        strides=[stride for stride, reduction in zip(strides, reductions, strict=True) if reduction.extent > 1],
        dimensions=[(digit.size, digit.stride) for digit in digits],
        taken={slide.axis for slide in found},
    )
    offset = operand.offset + sum(slide.offset for slide in found)
    gone = {slide.reduction for slide in found}
    slid = {slide.axis for slide in found}
    units = {slide.stride for slide in found}
    units |= {stride for k, stride in enumerate(operand.strides) if k not in slid}
    units |= {stride for j, stride in enumerate(strides) if j not in gone}
    slides = {slide.axis: _filled(slide, offset, digits, units) for slide in found}
    sizes = [slides[k].size if k in slides else size for k, size in enumerate(axes)]
    moves = [slides[k].stride if k in slides else stride for k, stride in enumerate(operand.strides)]
    sizes += [1 if j in gone else reduction.extent for j, reduction in enumerate(reductions)]
    moves += [0 if j in gone else stride for j, stride in enumerate(strides)]
    seen = Moves(offset=offset, sizes=tuple(sizes), strides=tuple(moves))
    return Windowed(slides=slides, sizes=tuple(sizes), moves=seen)


def _filled(slide: Slide, offset: int, digits: Sequence[Digit], units: Collection[int]) -> Slide:
    """The dimension with what is left at its end, too little for one more window: so that nothing need be cut off.

    ``units`` are the strides of all that moves: where the next coarser one begins, this dimension ends.
    """
    digit = next((digit for digit in digits if digit.stride == slide.stride), None)
    if digit is None or slide.after or offset < 0:
        return slide
    size = min([digit.size, *(unit // slide.stride for unit in units if unit > slide.stride)])
    room = size - offset // digit.stride % size - slide.size
    return replace(slide, size=slide.size + max(0, min(room, slide.step - 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Fine axes of the data, by their part in a convolution or a pool."""

    outer: Axes
    groups: Axes
    channels: Axes
    spatial: tuple[Axes, ...]

    @property
    def order(self) -> Axes:
        return (*self.outer, *self.groups, *self.channels, *(axis for part in self.spatial for axis in part))


class Kernel:
    """Attributes of a sliding window over spatial dimensions, and what comes out."""

    def __init__(self, step: Step, window: Windowed, aligned: Aligned, spatial: Sequence[Axes]) -> None:
        self._aligned, self._window = aligned, window
        self.kernel: list[int] = []
        self.strides: list[int] = []
        self.dilations: list[int] = []
        self.pads: tuple[list[int], list[int]] = ([], [])
        self.input: list[int] = []
        self.output: list[int] = []
        self.digits: list[Digit] = []
        outer = row_major(step.axes)
        for part in spatial:
            slide = window.slides.get(aligned.origins[part[0]])
            size = prod(aligned.sizes[axis] for axis in part)
            self.input.append(size)
            self.kernel.append(slide.kernel if slide else 1)
            self.strides.append(slide.step if slide else 1)
            self.dilations.append(slide.dilation if slide else 1)
            self.pads[0].append(slide.before if slide else 0)
            self.pads[1].append(slide.after if slide else 0)
            self.output.append(step.axes[slide.axis] if slide else size)
            if slide:
                if step.axes[slide.axis] > 1:
                    self.digits.append(Digit(size=step.axes[slide.axis], stride=outer[slide.axis]))
            else:
                self.digits += [output_digit(step, aligned, axis) for axis in part]

    @property
    def attributes(self) -> dict[str, Any]:
        return {
            "kernel_shape": self.kernel,
            "strides": self.strides,
            "dilations": self.dilations,
            "pads": [*self.pads[0], *self.pads[1]],
        }


def output_digit(step: Step, aligned: Aligned, axis: int) -> Digit:
    """The dimension of the result that a fine axis is."""
    stride = row_major(step.axes)[aligned.origins[axis]] * aligned.inner[axis]
    return Digit(size=aligned.sizes[axis], stride=stride)


def _is_spatial(window: Windowed, aligned: Aligned, axis: int) -> bool:
    return aligned.origins[axis] in window.slides


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """A contraction seen as a convolution with constant weights."""

    source: Source
    aligned: Aligned
    plan: _Plan
    kernel: Kernel
    #: Axes of the step that only the weights move along.
    filters: Axes
    #: [groups · filters, channels of a group, …]
    weights: Array
    #: [groups · filters]; None where there is none, or one that is no constant per channel.
    bias: Array | None
    batch: int
    groups: int

    @property
    def channels(self) -> int:
        """Channels of the data, of all groups."""
        return self.groups * int(self.weights.shape[1])

    def outer_digits(self, step: Step) -> list[Digit]:
        """The dimensions of the result before channels and pixels."""
        return [output_digit(step, self.aligned, axis) for axis in self.plan.outer]

    def channel_digits(self, step: Step) -> list[Digit]:
        """The dimensions that make up the result's channels."""
        strides = row_major(step.axes)
        digits = [output_digit(step, self.aligned, axis) for axis in self.plan.groups]
        return [*digits, *(Digit(size=step.axes[k], stride=strides[k]) for k in self.filters)]


def recognise(reader: Reader, step: Step, body: Contract) -> Convolution | None:
    """A contraction of a value with constant weights as a convolution; None where it is none."""
    if body.right is None or body.divisor != 1 or {body.left.space, body.right.space} != {Space.VALUE, Space.WEIGHT}:
        return None
    is_left = body.left.space is Space.VALUE
    data, weight = (body.left, body.right) if is_left else (body.right, body.left)
    dimensions = reader.forms[data.tensor].digits
    bounds = {digit.stride for digit in dimensions}
    reductions = split_reductions(effective(step.axes, body.reductions), bounds, of_left=is_left)
    lefts, rights = [r.left_stride for r in reductions], [r.right_stride for r in reductions]
    strides, weight_strides = (lefts, rights) if is_left else (rights, lefts)
    window = windowed(step.axes, data, reductions, strides, tiles=False, digits=dimensions)
    if window is None or any(weight.strides[axis] for axis in window.slides):
        return None
    aligned = reader.align([(data, window.moves)])
    if aligned is None or any(aligned.origins.count(axis) > 1 for axis in window.slides):
        return None
    plan = _conv_plan(step, window, aligned, weight, weight_strides)
    return None if plan is None else _assembled(reader, step, body, window, aligned, plan, weight, weight_strides)


def emit_convolution(reader: Reader, step: Step, body: Contract) -> Form | None:
    """Writes a float contraction as a Conv over channels before pixels; None where it is none."""
    found = recognise(reader, step, body)
    if found is None:
        return None
    kernel, plan = found.kernel, found.plan
    inputs = [
        reader.take(found.source, plan.order, (found.batch, found.channels, *kernel.input)),
        reader.writer.constant(found.weights),
    ]
    if found.bias is not None:
        inputs.append(reader.writer.constant(found.bias))
    attributes = {**kernel.attributes, "group": found.groups}
    activation = single_clamp(body) if body.bias is None or found.bias is not None else None
    if activation is None:
        name = reader.writer.node("Conv", inputs, **attributes)
    else:
        parameters = list(bounds_of(body)) if activation == "Clip" else None
        name = reader.writer.node(
            "FusedConv", inputs, domain=MICROSOFT, activation=activation, activation_params=parameters, **attributes
        )
    digits = (*found.outer_digits(step), *found.channel_digits(step), *kernel.digits)
    form = Form(name=name, shape=(found.batch, len(found.weights), *kernel.output), digits=digits)
    if body.bias is None or found.bias is not None:
        return form
    biased = add_bias(reader, step, body.bias, form)
    return None if biased is None else clamp(reader, body, biased)


def _conv_plan(
    step: Step, window: Windowed, aligned: Aligned, weight: Operand, weight_strides: Sequence[int]
) -> _Plan | None:
    source, count = aligned.sources[0], len(step.axes)
    axes = list(source.axes)
    channels = tuple(axis for axis in axes if aligned.origins[axis] >= count)
    groups = tuple(axis for axis in axes if aligned.origins[axis] < count and weight.strides[aligned.origins[axis]])
    free = [j for j, r in enumerate(weight_strides) if window.sizes[count + j] > 1]
    if {aligned.origins[axis] - count for axis in channels} != set(free):
        return None
    marks = [axes.index(axis) for axis in (*channels, *groups)]
    slid = [place for place, axis in enumerate(axes) if _is_spatial(window, aligned, axis)]
    first = min(marks) if marks else min(slid, default=len(axes))
    outer, spatial = [], []
    for place, axis in enumerate(axes):
        if axis in channels or axis in groups:
            continue
        if place > first or place in slid:
            spatial.append((axis,))
        else:
            outer.append(axis)
    if not spatial or len(spatial) > _MAX_SPATIAL:
        return None
    return _Plan(outer=tuple(outer), groups=groups, channels=channels, spatial=tuple(spatial))


def _assembled(
    reader: Reader,
    step: Step,
    body: Contract,
    window: Windowed,
    aligned: Aligned,
    plan: _Plan,
    weight: Operand,
    weight_strides: Sequence[int],
) -> Convolution | None:
    """The convolution, unless an axis belongs to neither data nor weights."""
    source, count, sizes = aligned.sources[0], len(step.axes), aligned.sizes
    kernel = Kernel(step, window, aligned, plan.spatial)
    still = [k for k, size in enumerate(step.axes) if size > 1 and not _moves(source, aligned, k)]
    filters = tuple(k for k in still if weight.strides[k])
    if any(not weight.strides[k] or k in window.slides for k in still):
        return None
    # The weights' own axes: groups and channels as fine as the data's, filters, and one per spatial dimension.
    fine = [(sizes[a], weight.strides[aligned.origins[a]] * aligned.inner[a]) for a in plan.groups]
    fine += [(step.axes[k], weight.strides[k]) for k in filters]
    fine += [(sizes[a], weight_strides[aligned.origins[a] - count] * aligned.inner[a]) for a in plan.channels]
    for part in plan.spatial:
        slide = window.slides.get(aligned.origins[part[0]])
        has_taps = slide is not None and slide.reduction != NO_REDUCTION
        fine.append((slide.kernel, weight_strides[slide.reduction]) if slide and has_taps else (1, 0))
    batch, groups, channels = (prod(sizes[a] for a in part) for part in (plan.outer, plan.groups, plan.channels))
    shape = (groups * prod(step.axes[k] for k in filters), channels, *kernel.kernel)
    weights = reader.spread_all(weight, [size for size, _ in fine], [stride for _, stride in fine])
    return Convolution(
        source=source,
        aligned=aligned,
        plan=plan,
        kernel=kernel,
        filters=filters,
        weights=weights.reshape(shape),
        bias=_channel_bias(reader, step, body, aligned, plan, filters),
        batch=batch,
        groups=groups,
    )


def _moves(source: Source, aligned: Aligned, axis: int) -> bool:
    """Whether the data moves along an axis of the step."""
    return any(aligned.origins[fine] == axis for fine in source.axes)


def _channel_bias(
    reader: Reader, step: Step, body: Contract, aligned: Aligned, plan: _Plan, filters: Sequence[int]
) -> Array | None:
    """A constant bias as one number per channel of the result; None where there is none, or something else."""
    bias = body.bias
    if bias is None or bias.space is not Space.WEIGHT:
        return None
    allowed = {aligned.origins[axis] for axis in plan.groups} | set(filters)
    if any(stride and step.axes[axis] > 1 and axis not in allowed for axis, stride in enumerate(bias.strides)):
        return None
    fine = [(aligned.sizes[a], bias.strides[aligned.origins[a]] * aligned.inner[a]) for a in plan.groups]
    fine += [(step.axes[k], bias.strides[k]) for k in filters]
    return reader.spread_all(bias, [size for size, _ in fine], [stride for _, stride in fine]).reshape(-1)
