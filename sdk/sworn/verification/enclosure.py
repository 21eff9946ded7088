"""Where every admissible run of one input must lie in profile ``bounded``: what is outside no trace can explain.

Interval arithmetic over the steps, outwards everywhere: whatever places all elements before take in their bounds, an
element lies in its span. Spans add up by magnitudes, so that behind many layers they say little; but what they do say
holds for every machine, and nobody's trace is needed for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.codec.tensors import decode_tensors, encode_tensors
from sworn.errors import ConfigurationError
from sworn.model.encoding import references
from sworn.model.program import Contract, Copy, Extremum, Lookup, Operand, Pointwise, Program, Space, Step
from sworn.referee.bounded import kappa_of
from sworn.types import DType, Profile, Tensors
from sworn.verification.compiled import CompiledModel
from sworn.verification.enclosure_functions import Span, applied, limited
from sworn.verification.slack_contractions import UNIT, Contraction
from sworn.verification.slack_runs import is_free
from sworn.verification.slack_selections import copied, looked_up, selections
from sworn.verification.slack_windows import Side, greatest, slices, taps, whole

Array = NDArray[Any]

#: Work beyond which nothing is said: steps, elements of all values (and of any array besides) and weights, products,
#: windows that are clipped. SAFETY: strangers make models, and all is done in this process, in float64.
_MAX_STEPS: Final = 1 << 12
_MAX_ELEMENTS: Final = 1 << 22
_MAX_WEIGHTS: Final = 1 << 23
_MAX_PRODUCTS: Final = 1 << 28
_MAX_TAPS: Final = 1 << 14
#: Room for float64's own roundings: sums have at most 2¹³ terms.
_ROOM: Final = 1.0 + 2.0**-10


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """An element of an output that no admissible run has."""

    name: str
    index: tuple[int, ...]
    claimed: float
    low: float
    high: float


def is_enclosable(program: Program) -> bool:
    """Whether a program is small enough."""
    windows = [(step, step.body) for step in program.steps if isinstance(step.body, Contract | Extremum)]
    works = [math.prod(step.axes) * math.prod(r.extent for r in body.reductions) for step, body in windows]
    clipped = [math.prod(r.extent for r in body.reductions if r.clip is not None) for _, body in windows]
    return (
        len(program.steps) <= _MAX_STEPS
        and sum(step.output.elements for step in program.steps) <= _MAX_ELEMENTS
        and sum(weight.elements for weight in program.weights) <= _MAX_WEIGHTS
        and sum(works) <= _MAX_PRODUCTS
        and sum(clipped) <= _MAX_TAPS
        and all(_copied(step, body) <= _MAX_ELEMENTS for step, body in windows)
    )


def _copied(step: Step, body: Contract | Extremum) -> int:
    """Elements of the largest array that a window is laid out in."""
    loops = body.reductions
    sizes = (*step.axes, *(1 if r.clip is not None else r.extent for r in loops))
    if isinstance(body, Extremum):
        return math.prod(sizes)
    sides = [(*body.left.strides, *(r.left_stride for r in loops))]
    if body.right is not None:
        sides.append((*body.right.strides, *(r.right_stride for r in loops)))
    return max(math.prod(size for size, move in zip(sizes, side, strict=True) if move) for side in sides)


def enclose(compiled: CompiledModel, inputs: Tensors) -> dict[str, Span]:
    """The span of every element of every output, flat.

    Raises `ConfigurationError` for a model in another profile or of too much work, `CodecError` for inputs that do not
    fit, and `EngineError` where no machine has an answer.
    """
    if compiled.model.profile is not Profile.BOUNDED:
        raise ConfigurationError("only runs in profile bounded have spans: in the others an element has one value")
    if not is_enclosable(compiled.program):
        raise ConfigurationError("the model is too large for spans")
    specs = compiled.schema.inputs
    canonical = decode_tensors(encode_tensors(inputs, specs), specs)
    with np.errstate(all="ignore"):
        spans = Walk(compiled, [canonical[spec.name] for spec in specs]).run()
    ports = zip(compiled.schema.outputs, compiled.program.outputs, strict=True)
    return {spec.name: spans[port.value] for spec, port in ports}


def outside(spans: dict[str, Span], outputs: Tensors) -> Outside | None:
    """The first element of some outputs that no admissible run has; None where there may be one that has them all."""
    for name, span in spans.items():
        claimed = np.asarray(outputs[name])
        flat = claimed.reshape(-1).astype(np.float64)
        wrong = np.flatnonzero(~((flat >= span.low) & (flat <= span.high)))
        if wrong.size:
            place = int(wrong[0])
            return Outside(
                name=name,
                index=tuple(int(axis) for axis in np.unravel_index(place, claimed.shape)),
                claimed=float(flat[place]),
                low=float(span.low[place]),
                high=float(span.high[place]),
            )
    return None


class Walk:
    """One pass over a program; all spans are flat."""

    def __init__(self, compiled: CompiledModel, inputs: list[Array]) -> None:
        self._program, self._weights, self._checker = compiled.program, compiled.weights, compiled.checker
        self._selections = selections(compiled.program)
        self._spans = [Span.point(array) for array in inputs]
        #: Values that are the same on every machine, as they are.
        self._known: dict[int, Array] = dict(enumerate(array.reshape(-1) for array in inputs))

    def let_move(self, number: int, span: Span) -> None:
        """Leaves open where an input lies."""
        self._spans[number] = span
        self._known.pop(number, None)

    def run(self) -> list[Span]:
        """The spans of all values."""
        for number, step in enumerate(self._program.steps):
            value, exact = len(self._spans), None if is_free(step) else self._exact(number, step)
            if exact is not None:
                self._known[value] = exact
                self._spans.append(Span.point(exact))
            else:
                found = self._step(number, step)
                self._spans.append(limited(found, step.output.dtype, step.output.elements))
        return self._spans

    def _exact(self, number: int, step: Step) -> Array | None:
        """A step of which every machine knows the operands. Raises `EngineError` where it has no value on any."""
        read = {tensor for space, tensor in references(step.body) if space is Space.VALUE}
        if not read <= self._known.keys():
            return None
        operands = {value: self._known[value].reshape(self._program.value(value).shape) for value in read}
        return self._checker.run_step(number, operands).reshape(-1)

    def _step(self, number: int, step: Step) -> Span | None:
        match step.body:
            case Contract() as body:
                return self._contract(step, body)
            case Pointwise() as body:
                seen = [self._seen(operand, step) for operand in body.operands]
                return applied(body, seen, step.output.dtype, is_square=len(set(body.operands)) < len(body.operands))
            case Copy() as body:
                return self._copy(step, body)
            case Lookup() as body if number in self._selections:
                extremum = self._program.steps[self._selections[number]]
                return None if not isinstance(extremum.body, Extremum) else self._greatest(extremum, extremum.body)
            case Lookup() as body:
                return self._lookup(step, body)
            case Extremum() as body:
                return self._positions(step, body)
            case _:
                return None

    def _of(self, operand: Operand) -> Span:
        if operand.space is Space.VALUE:
            return self._spans[operand.tensor]
        return Span.point(self._weights[operand.tensor])

    def _seen(self, operand: Operand, step: Step) -> Span:
        span, box = self._of(operand), whole(step.axes)
        low, high = (
            np.broadcast_to(Side.of(operand, flat).over(box), step.axes).reshape(-1) for flat in (span.low, span.high)
        )
        return Span(low=low, high=high)

    def _contract(self, step: Step, body: Contract) -> Span:
        contraction = Contraction(step=step, body=body)
        ends = self._sum(contraction) if body.right is None else self._products(contraction)
        lower, upper = contraction.bounds
        low, high = (np.minimum(np.maximum(end, lower), upper).reshape(-1) for end in ends)
        return Span(low=np.where(np.isnan(low), lower, low), high=np.where(np.isnan(high), upper, high))

    def _sum(self, contraction: Contraction) -> tuple[Array, Array]:
        """The ends of a sum: those of its terms, and the bound for the largest that they can be in size."""
        low, _ = contraction.interval(lambda operand: self._of(operand).low)
        high, _ = contraction.interval(lambda operand: self._of(operand).high)
        _, allowed = contraction.interval(lambda operand: self._of(operand).size)
        reach = allowed * _ROOM if contraction.step.output.dtype is DType.FLOAT32 else np.zeros(allowed.shape)
        return low - reach, high + reach

    def _products(self, contraction: Contraction) -> tuple[Array, Array]:
        """The same around the sum of the products of the operands' centres."""
        value, allowed = contraction.interval(lambda operand: self._of(operand).centre)
        reach = contraction.reach(lambda operand: self._of(operand).centre, lambda operand: self._of(operand).radius)
        if contraction.step.output.dtype is DType.FLOAT32:
            # The bound grows with the operands, which are at most their centre and radius in size.
            reach = reach + (allowed + kappa_of(contraction.body) * UNIT * reach)
        reach = reach * _ROOM + np.abs(value) * 2.0**-40
        return value - reach, value + reach

    def _copy(self, step: Step, body: Copy) -> Span:
        fill = float(np.array(body.fill, dtype="<u8").reshape(1).view(step.output.dtype.numpy)[0])
        taken = copied(step, body, lambda operand: np.ones(self._program.type_of(operand).elements)) == 1
        low, high = (
            np.where(taken, copied(step, body, read), fill)
            for read in (lambda operand: self._of(operand).low, lambda operand: self._of(operand).high)
        )
        return Span(low=low, high=high)

    def _greatest(self, step: Step, body: Extremum) -> Span:
        """The extreme elements of windows."""
        span, moves = self._of(body.source), [reduction.left_stride for reduction in body.reductions]

        def most(flat: Array) -> Array:
            return greatest(step.axes, body.reductions, Side.of(body.source, flat, moves)).reshape(-1)

        if body.largest:
            return Span(low=most(span.low), high=most(span.high))
        return Span(low=-most(-span.low), high=-most(-span.high))

    def _lookup(self, step: Step, body: Lookup) -> Span | None:
        span, index = self._of(body.source), self._of(body.index)
        extent = math.prod(body.extents)
        if index.is_point and ((index.low >= -extent) & (index.low < extent)).all():
            low, high = (looked_up(step, body, lambda _: index.low, flat) for flat in (span.low, span.high))
            return Span(low=low, high=high)
        if not span.low.size:
            return None
        # Wherever it points, it is an element of the source.
        shape = (step.output.elements,)
        return Span(low=np.full(shape, span.low.min()), high=np.full(shape, span.high.max()))

    def _positions(self, step: Step, body: Extremum) -> Span:
        """The first and the last position that may be the extreme one."""
        span, moves = self._of(body.source), [reduction.left_stride for reduction in body.reductions]
        low, high = (span.low, span.high) if body.largest else (-span.high, -span.low)
        sure = greatest(step.axes, body.reductions, Side.of(body.source, low, moves))
        able, axes = Side.of(body.source, high, moves), len(step.axes)
        extents = [reduction.extent for reduction in body.reductions]
        ends = tuple(range(axes, axes + len(extents)))
        positions = np.arange(math.prod(extents), dtype=np.float64).reshape(extents)
        first, last = np.full(step.axes, np.inf), np.full(step.axes, -np.inf)
        for box in taps(step.axes, body.reductions):
            part, here = slices(box[:axes]), positions[slices(box[axes:])]
            wins = able.over(box) >= np.expand_dims(sure[part], ends)
            first[part] = np.minimum(first[part], np.where(wins, here, np.inf).min(axis=ends))
            last[part] = np.maximum(last[part], np.where(wins, here, -np.inf).max(axis=ends))
        return Span(low=first.reshape(-1), high=last.reshape(-1))
