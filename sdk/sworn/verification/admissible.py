"""Which elements of a step lie outside of their bounds in profile `bounded`, many at a time.

Float64 tells what is clearly inside from what is clearly outside; the referee decides the few that are neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.errors import EngineError
from sworn.model.program import Contract, Function, Operand, Pointwise, Step
from sworn.referee.bounded import admits, kappa_of
from sworn.referee.elements import Read, TypeOf
from sworn.referee.tolerances import TOLERANCES
from sworn.types import DType
from sworn.verification.reals import values
from sworn.verification.trace import same_bits

Array = NDArray[Any]
#: (inside, outside): what is clearly either, of the elements that were asked for.
Verdicts = tuple[Array, Array]

#: 2**−24: half the distance between 1 and the next float32.
_UNIT: Final = 2.0**-24
_LEAST: Final = 2.0**-149
#: Part of a bound within which float64 may err. A sum of K products is off by (K + 8) · 2**−53 of Σ |left · right|;
#: this part of (K + 1) · 2**−24 of it is more.
_MARGIN: Final = 2.0**-26
#: Terms that are looked at together.
_TERMS: Final = 1 << 20
_MINUS_ZERO: Final = 0x80000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a step wrote and what it read; all arrays are flat."""

    step: Step
    claimed: Array
    #: What it writes in profile `exact`.
    expected: Array
    #: The tensor of an operand, without NaN.
    load: Callable[[Operand], Array]
    type_of: TypeOf
    read: Read

    def outside(self) -> Iterator[int]:
        """Indices of elements that the step may not have written, rising."""
        body, differs = self.step.body, ~same_bits(self.claimed, self.expected)
        if self.step.output.dtype is DType.FLOAT32 and isinstance(body, Contract):
            suspects = np.isinf(self.claimed) | (differs & ~_near_sums(body, self.claimed, self.expected))
            terms = _Terms(self.step, body, self.load)
            yield from self._settle(np.flatnonzero(suspects), terms.verdicts, terms.count)
        elif isinstance(body, Pointwise) and self.step.output.dtype is DType.FLOAT32 and body.function in TOLERANCES:
            inside, _ = _near_values(body.function, self.claimed, self.expected)
            around = _Values(self.step, body, self.load, self.expected)
            yield from self._settle(np.flatnonzero(differs & ~inside), around.verdicts, len(body.operands))
        else:
            yield from np.flatnonzero(differs).tolist()

    def _settle(self, suspects: Array, verdicts: Callable[[Array, Array], Verdicts], terms: int) -> Iterator[int]:
        size = max(1, _TERMS // terms)
        for start in range(0, suspects.size, size):
            chosen = suspects[start : start + size]
            inside, outside = verdicts(chosen, self.claimed[chosen])
            for place in np.flatnonzero(~inside).tolist():
                index = int(chosen[place])
                if outside[place] or not self._admits(index):
                    yield index

    def _admits(self, index: int) -> bool:
        claimed = int(self.claimed[index : index + 1].view(np.uint32)[0])
        try:
            return admits(self.step, self.type_of, index, self.read, claimed=claimed)
        except EngineError:
            return False


def _widened(array: Array) -> Array:
    """The same numbers in float64; what is NaN stays NaN, whatever kind it is of."""
    with np.errstate(invalid="ignore"):
        return array.astype(np.float64)


def _is_number(claimed: Array) -> Array:
    """Finite, and not −0."""
    return np.asarray(np.isfinite(claimed) & (claimed.view(np.uint32) != _MINUS_ZERO))


def _near_sums(body: Contract, claimed: Array, expected: Array) -> Array:
    """Which elements are clearly within the bounds of a sum, seen from the sum alone.

    |y − c| ≤ |y − e| + |e − c|, where the exact value e is off by one unit of c at most, and Σ |left · right| is no
    less than |c|. Where e is clamped nothing is known of c.
    """
    lower, upper = _clamp(body)
    y, e = _widened(claimed), _widened(expected)
    with np.errstate(invalid="ignore"):
        near = np.abs(y - e) <= (kappa_of(body) - 1) * (_UNIT * (1 - 2.0**-20)) * np.abs(e)
    free = (lower < e) & (e < upper) & (lower <= y) & (y <= upper)
    return np.asarray(near & free & np.isfinite(expected) & _is_number(claimed))


def _near_values(function: Function, claimed: Array, expected: Array) -> Verdicts:
    """Which elements clearly are, and are not, within the tolerance of a function's value, seen from the exact bits.

    Those are off by 2**−24 of the value and by half of the least subnormal at most. ELU hands on what is not negative.
    """
    y, e = _widened(claimed), _widened(expected)
    known = np.isfinite(claimed) & np.isfinite(expected)
    if function is Function.ELU:
        known &= e < 0
    grown, margin = _parts(function, e)
    size, reach = _UNIT * np.abs(e), grown + margin
    with np.errstate(invalid="ignore"):
        distance, slack = np.abs(y - e), size + _LEAST
        inside = known & _is_number(claimed) & (distance <= reach * (1 - 2.0**-20) - slack)
        outside = known & (distance > reach * (1 + 2.0**-20) + slack)
    return inside, outside | np.isnan(claimed) | (claimed.view(np.uint32) == _MINUS_ZERO)


def _parts(function: Function, value: Array) -> tuple[Array, float]:
    """The tolerance around values of a function: what grows with them, and what is added."""
    tolerance = TOLERANCES[function]
    margin = 0.0 if tolerance.abs_exponent is None else 2.0**tolerance.abs_exponent
    return tolerance.rel * _UNIT * np.abs(value), margin


class _Values:
    """Elements of a function that has a tolerance."""

    def __init__(self, step: Step, body: Pointwise, load: Callable[[Operand], Array], expected: Array) -> None:
        self._step, self._body, self._load, self._expected = step, body, load, expected

    def verdicts(self, chosen: Array, claimed: Array) -> Verdicts:
        """Which of the chosen elements are clearly near enough to the function's value, and which are not."""
        body, expected = self._body, self._expected[chosen]
        inside, outside = _near_values(body.function, claimed, expected)
        index = np.unravel_index(chosen, self._step.axes) if self._step.axes else ()
        operands = [_widened(self._load(each)[_places(each, index)]) for each in body.operands]
        found = values(body.function, operands, _widened(expected))
        if found is None:
            return inside, outside
        value, settled = found
        known = np.isfinite(claimed) & np.isfinite(expected) & np.isfinite(value)
        parts = _parts(body.function, value)
        # A settled value is certain, and floats may stand right on its bound: either part of it is exact.
        near = np.where(settled, np.maximum(*parts), (parts[0] + parts[1]) * (1 - 2.0**-20))
        with np.errstate(invalid="ignore"):
            distance = np.abs(_widened(claimed) - value)
            inside |= known & _is_number(claimed) & (distance <= near)
            outside |= known & (distance > (parts[0] + parts[1]) * (1 + 2.0**-20))
        return inside, outside


def _clamp(body: Contract) -> tuple[float, float]:
    return -inf if body.lower is None else body.lower, inf if body.upper is None else body.upper


class _Terms:
    """Elements of a float contraction, term by term."""

    def __init__(self, step: Step, body: Contract, load: Callable[[Operand], Array]) -> None:
        self._step, self._body, self._load = step, body, load
        self.count = prod(reduction.extent for reduction in body.reductions)
        self._at = np.indices([reduction.extent for reduction in body.reductions]).reshape(len(body.reductions), -1)

    def verdicts(self, chosen: Array, claimed: Array) -> Verdicts:
        """Which of the chosen elements clearly lie within clamp(c ± tol), and which outside."""
        body = self._body
        index = np.unravel_index(chosen, self._step.axes) if self._step.axes else ()
        counts = self._counting(index, chosen.size)
        products = self._gather(body.left, index, counts, [each.left_stride for each in body.reductions])
        if body.right is not None:
            products *= self._gather(body.right, index, counts, [each.right_stride for each in body.reductions])
        bias = self._load(body.bias)[_places(body.bias, index)].astype(np.float64) if body.bias is not None else 0.0
        divisor = body.divisor or np.maximum(counts.sum(axis=1), 1)
        centre = (products.sum(axis=1) + bias) / divisor
        size = (np.abs(products, out=products).sum(axis=1) + np.abs(bias)) / divisor
        reach = kappa_of(body) * (_UNIT * size + _LEAST)
        lower, upper = _clamp(body)
        y = _widened(claimed)

        def within(reach: Array) -> Array:
            low, high = (np.minimum(np.maximum(end, lower), upper) for end in (centre - reach, centre + reach))
            return np.asarray((low <= y) & (y <= high) & _is_number(claimed))

        return within(reach * (1 - _MARGIN)), ~within(reach * (1 + _MARGIN))

    def _counting(self, index: Sequence[Array], elements: int) -> Array:
        counts = np.ones((elements, self.count), dtype=np.bool_)
        for reduction, r in zip(self._body.reductions, self._at, strict=True):
            clip = reduction.clip
            if clip is not None:
                x = (index[clip.axis] * clip.step + clip.origin)[:, None] + r * clip.dilation
                counts &= (x >= 0) & (x < clip.extent)
        return counts

    def _gather(self, operand: Operand, index: Sequence[Array], counts: Array, strides: Sequence[int]) -> Array:
        """An operand's terms as float64 [elements, terms]; 0 where they do not count."""
        flat = self._load(operand)
        if not flat.size:
            return np.zeros(counts.shape)
        moves = np.tensordot(np.array(strides, dtype=np.int64), self._at, axes=1)
        places = _places(operand, index)[:, None] + moves
        terms: Array = flat[np.where(counts, places, 0)].astype(np.float64)
        terms[~counts] = 0.0
        return terms


def _places(operand: Operand, index: Sequence[Array]) -> Array:
    """The flat element that an operand names at each index."""
    place = np.array([operand.offset], dtype=np.int64)
    for axis, stride in zip(index, operand.strides, strict=True):
        place = place + stride * axis.astype(np.int64)
    return np.asarray(place)
