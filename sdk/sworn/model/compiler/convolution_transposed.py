"""ConvTranspose: zeros between the elements, then an ordinary convolution with the kernel turned around."""

from __future__ import annotations

from sworn.model.compiler.arithmetic import require_float
from sworn.model.compiler.contractions import channel_bias
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.padding import spaced
from sworn.model.compiler.steps import Sum, contract
from sworn.model.compiler.values import Axes, Value, sliced, transposed
from sworn.model.program import Reduction


@lowers("ConvTranspose", 1, 11, 22)
def conv_transpose(call: Call) -> Value:
    """Transposed convolution in any number of spatial dimensions."""
    value, weight, bias = call.value(0), call.value(1), call.optional(2)
    require_float(call, value)
    spatial, groups = value.rank - 2, call.integer("group", 1)
    if spatial < 1 or weight.rank != value.rank or groups < 1:
        raise call.refused(f"shapes {value.shape} and {weight.shape} do not convolve")
    if weight.shape[0] != value.shape[1] or value.shape[1] % groups:
        raise call.refused(f"{groups} groups do not fit shapes {value.shape} and {weight.shape}")
    kernel, outer = weight.shape[2:], weight.shape[1]
    if call.has("kernel_shape") and call.integers("kernel_shape") != kernel:
        raise call.refused(f"kernel_shape {call.integers('kernel_shape')} is not {kernel}")
    if bias is not None and bias.shape != (groups * outer,):
        raise call.refused(f"the bias has shape {bias.shape}, not {(groups * outer,)}")
    strides, dilations = call.integers("strides", (1,) * spatial), call.integers("dilations", (1,) * spatial)
    if len(strides) != spatial or len(dilations) != spatial or min(strides + dilations) < 1:
        raise call.refused(f"strides {strides} and dilations {dilations} do not fit {spatial} spatial dimensions")
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    full = tuple((n - 1) * s + span for n, s, span in zip(value.shape[2:], strides, spans, strict=True))
    before, after = _cuts(call, value.shape[2:], strides, full)
    pads = [(span - 1 - cut, span - 1 - end) for span, cut, end in zip(spans, before, after, strict=True)]
    # Where more is cut off than the kernel reaches, spread first and cut after.
    extra = [(max(0, -low), max(0, -high)) for low, high in pads]
    margins = [(0, 0), *((max(0, low), max(0, high)) for low, high in pads), (0, 0)]
    order = (0, *range(2, value.rank), 1)
    stored = transposed(call.build.materialised(value, order=order), order)
    wide = spaced(call.build, stored, every=(1, *strides, 1), pads=margins)
    for axis, (low, high) in enumerate(extra, start=1):
        wide = sliced(wide, axis, start=low, count=wide.shape[axis] - low - high)
    return _convolved(call, wide, weight, bias, groups=groups, dilations=dilations)


def _cuts(call: Call, size: Axes, strides: Axes, full: Axes) -> tuple[Axes, Axes]:
    """How much of the full result is left out before and after; negative for output padding."""
    rank, mode = len(size), call.text("auto_pad", "NOTSET")
    extra, pads = call.integers("output_padding", (0,) * rank), call.integers("pads", (0,) * (2 * rank))
    wanted: tuple[int, ...] | None = None
    if call.has("output_shape"):
        wanted = call.integers("output_shape")[-rank:]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(n * s for n, s in zip(size, strides, strict=True))
    if wanted is None:
        pads = pads if mode == "NOTSET" else (0,) * (2 * rank)
        if len(pads) != 2 * rank or len(extra) != rank or min(pads + extra, default=0) < 0:
            raise call.refused(f"pads {pads} and output_padding {extra} do not fit {rank} spatial dimensions")
        return pads[:rank], tuple(p - e for p, e in zip(pads[rank:], extra, strict=True))
    if len(wanted) != rank or len(extra) != rank or min(wanted) < 1:
        raise call.refused(f"output_shape {wanted} does not fit {rank} spatial dimensions")
    totals = [f + e - w for f, e, w in zip(full, extra, wanted, strict=True)]
    # What is missing to a larger result is put behind it.
    extra = tuple(e - min(0, t) for e, t in zip(extra, totals, strict=True))
    totals = [max(0, t) for t in totals]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    # SAME_UPPER puts the odd one at the end; without a mode ONNX puts it there too only when asked.
    before, after = (small, large) if mode == "SAME_UPPER" else (large, small)
    return tuple(before), tuple(a - e for a, e in zip(after, extra, strict=True))


def _convolved(call: Call, wide: Value, weight: Value, bias: Value | None, *, groups: int, dilations: Axes) -> Value:
    """Every place of ``wide`` [N, …, C] where the kernel [C, M/g, …], turned around, fits."""
    build, spatial = call.build, len(dilations)
    for axis in range(2, weight.rank):
        weight = sliced(weight, axis, start=weight.shape[axis] - 1, count=weight.shape[axis], step=-1)
    inner, outer, kernel = weight.shape[0] // groups, weight.shape[1], weight.shape[2:]
    # [g, C/g, M/g, …] stored as [g, M/g, …, C/g].
    split = weight.view(
        (groups, inner, *weight.shape[1:]),
        (weight.strides[0] * inner, weight.strides[0], *weight.strides[1:]),
    )
    split = build.materialised(split, order=(0, 2, *range(3, 3 + spatial), 1))
    output = tuple(wide.shape[1 + k] - (kernel[k] - 1) * dilations[k] for k in range(spatial))
    if min(output) < 1:
        raise call.refused("the result is empty")
    none = (0,) * (1 + spatial)
    reductions = tuple(
        Reduction(extent=kernel[k], left_stride=wide.strides[1 + k] * dilations[k], right_stride=split.strides[3 + k])
        for k in range(spatial)
    )
    given = Sum(
        shape=(wide.shape[0], *output, groups * outer),
        axes=(wide.shape[0], *output, groups, outer),
        left=wide.operand((*wide.strides[: 1 + spatial], inner * wide.strides[-1], 0)),
        right=split.operand((*none, split.strides[0], split.strides[2])),
        bias=channel_bias(bias, spatial=spatial, outer=outer),
        reductions=(
            *reductions,
            Reduction(extent=inner, left_stride=wide.strides[-1], right_stride=split.strides[1]),
        ),
    )
    return transposed(contract(build, given), (0, 1 + spatial, *range(1, 1 + spatial)))
