"""Sliding windows of convolutions and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np

from sworn.model.compiler.builder import MAX_ELEMENTS
from sworn.model.compiler.operators import Call
from sworn.model.compiler.values import Axes
from sworn.model.program import Clip, Reduction
from sworn.model.ranges import MAX_CLIPPED_AXIS

#: Greatest size, step, distance or padding of a window: products of two fit 64 bits.
MAX_REACH: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window per output place; everything has one entry per spatial axis."""

    input: Axes
    kernel: Axes
    strides: Axes
    dilations: Axes
    before: Axes
    after: Axes
    output: Axes

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel)

    def scaled(self, strides: Axes) -> Axes:
        """What a step of the output moves a tensor's element by."""
        return tuple(stride * step for stride, step in zip(strides, self.strides, strict=True))

    def origin(self, strides: Axes) -> int:
        """Offset of the first window's first element; negative when it lies in the padding."""
        return -sum(stride * pad for stride, pad in zip(strides, self.before, strict=True))

    def reductions(self, left: Axes, right: Axes | None = None, *, first_axis: int) -> tuple[Reduction, ...]:
        """One reduction per spatial axis, clipped to the input; spatial axes begin at ``first_axis`` of the step."""
        return tuple(
            Reduction(
                extent=self.kernel[k],
                left_stride=left[k] * self.dilations[k],
                right_stride=right[k] if right is not None else 0,
                clip=Clip(
                    axis=first_axis + k,
                    step=self.strides[k],
                    dilation=self.dilations[k],
                    origin=-self.before[k],
                    extent=self.input[k],
                ),
            )
            for k in range(self.rank)
        )

    @property
    def overhangs(self) -> bool:
        """Whether a window reaches beyond the padding after the input, as rounding up can make it."""
        return any(
            (self.output[k] - 1) * self.strides[k] + (self.kernel[k] - 1) * self.dilations[k]
            >= self.before[k] + self.input[k] + self.after[k]
            for k in range(self.rank)
        )

    @property
    def empty(self) -> bool:
        """Whether some window holds no element of the input."""
        return any(self._is_empty_along(k) for k in range(self.rank))

    def _is_empty_along(self, k: int) -> bool:
        starts = np.arange(self.output[k], dtype=np.int64) * self.strides[k] - self.before[k]
        first = np.maximum(0, -(starts // self.dilations[k]))
        held = (first < self.kernel[k]) & (starts + first * self.dilations[k] < self.input[k])
        return not bool(held.all())


def window_of(call: Call, size: Sequence[int], kernel: Sequence[int], *, ceil: bool = False) -> Window:
    """The windows that a node's kernel_shape, strides, dilations, pads and auto_pad ask for."""
    rank = len(size)
    if call.has("kernel_shape") and call.integers("kernel_shape") != tuple(kernel):
        raise call.refused(f"kernel_shape {call.integers('kernel_shape')} is not {tuple(kernel)}")
    strides = call.integers("strides", (1,) * rank)
    dilations = call.integers("dilations", (1,) * rank)
    for name, values in (("kernel", tuple(kernel)), ("strides", strides), ("dilations", dilations)):
        if len(values) != rank or min(values) < 1 or max(values) > MAX_REACH:
            raise call.refused(f"{name} {values} do not fit {rank} spatial dimensions")
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    before, after = _pads(call, tuple(size), strides, spans)
    output = tuple(
        _places(size[k] + before[k] + after[k] - spans[k], strides[k], size[k] + before[k], ceil=ceil)
        for k in range(rank)
    )
    if prod(output) > MAX_ELEMENTS or max(output, default=1) > MAX_CLIPPED_AXIS:
        raise call.refused(f"a result of shape {output} is not possible")
    if min(output, default=1) < 1:
        raise call.refused(f"the window {spans} is larger than the padded input {tuple(size)}")
    return Window(
        input=tuple(size),
        kernel=tuple(kernel),
        strides=strides,
        dilations=dilations,
        before=before,
        after=after,
        output=output,
    )


def _places(room: int, stride: int, beyond: int, *, ceil: bool) -> int:
    places = (-(-room // stride) if ceil else room // stride) + 1
    # A last window that begins in the padding after the input is not counted.
    return places - 1 if ceil and (places - 1) * stride >= beyond else places


def _pads(call: Call, size: Axes, strides: Axes, spans: Axes) -> tuple[Axes, Axes]:
    rank, mode = len(size), call.text("auto_pad", "NOTSET")
    pads = call.integers("pads", (0,) * (2 * rank))
    if mode == "NOTSET":
        if len(pads) != 2 * rank or min(pads, default=0) < 0 or max(pads, default=0) > MAX_REACH:
            raise call.refused(f"pads {pads} do not fit {rank} spatial dimensions")
        return pads[:rank], pads[rank:]
    if mode == "VALID":
        return (0,) * rank, (0,) * rank
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise call.refused(f"auto_pad {mode!r} is unknown")
    totals = [max(0, (-(-n // s) - 1) * s + span - n) for n, s, span in zip(size, strides, spans, strict=True)]
    small = tuple(total // 2 for total in totals)
    large = tuple(total - total // 2 for total in totals)
    return (small, large) if mode == "SAME_UPPER" else (large, small)
