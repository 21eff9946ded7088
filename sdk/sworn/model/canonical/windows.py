"""Windows that slide along a tensor: which reduced axis moves with which axis of the output."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import gcd

from sworn.model.program import Reduction

#: Instead of a reduction, where a window is a single element.
NO_REDUCTION = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """A spatial dimension: ``size`` elements ``stride`` apart, from ``offset`` before or after the operand's own."""

    axis: int
    reduction: int
    size: int
    stride: int
    offset: int
    kernel: int
    step: int
    dilation: int
    before: int
    after: int


def effective(axes: Sequence[int], reductions: Sequence[Reduction]) -> tuple[Reduction, ...]:
    """The reductions without clips that never exclude anything."""
    return tuple(replace(r, clip=None) if _never_cuts(r, axes) else r for r in reductions)


def split_reductions(reductions: Sequence[Reduction], bounds: Collection[int], *, of_left: bool) -> list[Reduction]:
    """Reductions cut where one leaves a dimension of a tensor: ``bounds`` are the strides of its dimensions."""
    result: list[Reduction] = []
    for reduction in reductions:
        stride = reduction.left_stride if of_left else reduction.right_stride
        rest = reduction
        cuts = [] if reduction.clip is not None or stride < 1 else sorted(bounds, reverse=True)
        for bound in cuts:
            inner = bound // stride
            if bound % stride == 0 and 1 < inner < rest.extent and rest.extent % inner == 0:
                result.append(
                    replace(
                        rest,
                        extent=rest.extent // inner,
                        left_stride=rest.left_stride * inner,
                        right_stride=rest.right_stride * inner,
                    )
                )
                rest = replace(rest, extent=inner)
        result.append(rest)
    return result


def _never_cuts(reduction: Reduction, axes: Sequence[int]) -> bool:
    clip = reduction.clip
    if clip is None:
        return True
    reach = ((axes[clip.axis] - 1) * clip.step, (reduction.extent - 1) * clip.dilation)
    least = clip.origin + sum(min(0, each) for each in reach)
    return least >= 0 and clip.origin + sum(max(0, each) for each in reach) < clip.extent


def clipped_slide(number: int, reduction: Reduction, *, axis_stride: int, stride: int, positions: int) -> Slide | None:
    """The dimension along which a clipped reduction slides; None where its moves do not fit its clip."""
    clip = reduction.clip
    if clip is None or clip.dilation < 1 or clip.step < 1:
        return None
    unit = stride // clip.dilation if reduction.extent > 1 else axis_stride // clip.step
    if unit < 1 or (reduction.extent > 1 and unit * clip.dilation != stride):
        return None
    if positions > 1 and unit * clip.step != axis_stride:
        return None
    reach = (positions - 1) * clip.step + (reduction.extent - 1) * clip.dilation + 1
    first, last = max(clip.origin, 0), min(clip.origin + reach, clip.extent)
    if last <= first:
        return None
    return Slide(
        axis=clip.axis,
        reduction=number,
        size=last - first,
        stride=unit,
        offset=unit * (first - clip.origin),
        kernel=reduction.extent,
        step=clip.step,
        dilation=clip.dilation,
        before=first - clip.origin,
        after=clip.origin + reach - last,
    )


def _free_slide(
    number: int, reduction: Reduction, *, axis: int, axis_stride: int, stride: int, positions: int
) -> Slide:
    """The dimension that an axis and an unclipped reduction share."""
    unit = gcd(axis_stride, stride)
    step, dilation = axis_stride // unit, stride // unit
    return Slide(
        axis=axis,
        reduction=number,
        size=(positions - 1) * step + (reduction.extent - 1) * dilation + 1,
        stride=unit,
        offset=0,
        kernel=reduction.extent,
        step=step,
        dilation=dilation,
        before=0,
        after=0,
    )


def slides_of(
    axes: Sequence[int],
    reductions: Sequence[Reduction],
    *,
    axis_strides: Sequence[int],
    strides: Sequence[int],
    tiles: bool,
) -> list[Slide] | None:
    """The dimensions along which windows slide: clipped, overlapping, and with ``tiles`` also those side by side.

    None where windows are irregular.
    """
    slides: list[Slide] = []
    taken: set[int] = set()
    for number, reduction in enumerate(reductions):
        if reduction.clip is not None:
            axis = reduction.clip.axis
            slide = clipped_slide(
                number, reduction, axis_stride=axis_strides[axis], stride=strides[number], positions=axes[axis]
            )
            if slide is None or axis in taken:
                return None
            taken.add(axis)
            slides.append(slide)
    for number, reduction in enumerate(reductions):
        if reduction.clip is None:
            partner = _partner(axes, axis_strides, reduction, strides[number], taken=taken, tiles=tiles)
            if partner is not None:
                taken.add(partner)
                slides.append(
                    _free_slide(
                        number,
                        reduction,
                        axis=partner,
                        axis_stride=axis_strides[partner],
                        stride=strides[number],
                        positions=axes[partner],
                    )
                )
    return slides


def _partner(
    axes: Sequence[int], axis_strides: Sequence[int], reduction: Reduction, stride: int, *, taken: set[int], tiles: bool
) -> int | None:
    """The axis whose steps are shorter than a reduction's reach, or the other way round."""
    if reduction.extent == 1 or stride < 1:
        return None
    reach = stride * reduction.extent
    for axis, (size, moved) in enumerate(zip(axes, axis_strides, strict=True)):
        if size == 1 or moved < 1 or axis in taken:
            continue
        overlaps = moved % stride == 0 and (moved < reach or (tiles and moved == reach))
        if overlaps or (stride % moved == 0 and moved < stride < moved * size):
            return axis
    return None


def strided_slides(
    axes: Sequence[int],
    *,
    axis_strides: Sequence[int],
    strides: Sequence[int],
    dimensions: Sequence[tuple[int, int]],
    taken: Collection[int],
) -> list[Slide]:
    """The dimensions, given as (size, stride), of which an axis leaves elements out that nothing else takes."""
    slides = []
    for axis, (size, moved) in enumerate(zip(axes, axis_strides, strict=True)):
        if axis in taken or size == 1:
            continue
        unit = next((unit for count, unit in dimensions if unit < moved < unit * count and moved % unit == 0), None)
        others = [*(axis_strides[k] for k in range(len(axes)) if k != axis and axes[k] > 1), *strides]
        if unit is None or any(unit <= other < moved for other in others):
            continue
        step = moved // unit
        slides.append(
            Slide(
                axis=axis,
                reduction=NO_REDUCTION,
                size=(size - 1) * step + 1,
                stride=unit,
                offset=0,
                kernel=1,
                step=step,
                dilation=1,
                before=0,
                after=0,
            )
        )
    return slides
