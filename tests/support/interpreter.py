"""A plain interpreter of programs over index arrays, in float64 and numpy: slow, to tolerance, and easy to believe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import erf
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from sworn.errors import RunFailed, RunNotFinite
from sworn.model.program import (
    Clip,
    Contract,
    Copy,
    Extremum,
    Function,
    Lookup,
    Operand,
    Pointwise,
    Program,
    Rank,
    Reduction,
    Space,
    Step,
)

Array = npt.NDArray[Any]
F = Function


def interpret(program: Program, weights: Sequence[Array], inputs: Sequence[Array]) -> list[Array]:
    """Every value tensor, inputs included. Raises `RunNotFinite` for NaN and `RunFailed` for a bad index."""
    values = [np.asarray(array) for array in inputs]
    for step in program.steps:
        with np.errstate(all="ignore"):
            flat = _Run(step, values, weights).elements()
        result = np.ascontiguousarray(flat).astype(step.output.dtype.numpy).reshape(step.output.shape)
        if result.dtype.kind == "f":
            if np.isnan(result).any():
                raise RunNotFinite("NaN")
            result = np.where(result == 0, np.float32(0), result)
        values.append(result)
    return values


class _Run:
    """One step at work."""

    def __init__(self, step: Step, values: Sequence[Array], weights: Sequence[Array]) -> None:
        self.step = step
        self.spaces = {Space.VALUE: values, Space.WEIGHT: weights}
        self.indices = np.indices(step.axes).reshape(len(step.axes), -1)

    def elements(self) -> Array:
        match self.step.body:
            case Copy() as body:
                return self._copy(body)
            case Contract() as body:
                return self._contract(body)
            case Pointwise() as body:
                wide = [self._read(operand, self._flat(operand)) for operand in body.operands]
                return _pointwise(body, wide, self.step.output.dtype.numpy)
            case Lookup() as body:
                return self._lookup(body)
            case Extremum() as body:
                return self._extremum(body)
            case Rank() as body:
                return self._rank(body)
            case _:
                raise RunFailed("trees are not interpreted here")

    def _flat(self, operand: Operand) -> Array:
        moves: Array = np.tensordot(np.array(operand.strides, np.int64), self.indices, 1)
        flat: Array = operand.offset + moves
        return flat

    def _read(self, operand: Operand, flat: Array) -> Array:
        tensor: Array = self.spaces[operand.space][operand.tensor].reshape(-1)
        assert flat.size == 0 or (flat.min() >= 0 and flat.max() < tensor.size), "an operand leaves its tensor"
        return tensor[flat]

    def _copy(self, body: Copy) -> Array:
        dtype = self.step.output.dtype.numpy
        result: Array = np.full(self.indices.shape[1], np.array(body.fill, f"u{dtype.itemsize}").view(dtype))
        for piece in reversed(body.pieces):
            begin, every = np.array(piece.starts)[:, None], np.array(piece.every)[:, None]
            shifted = self.indices - begin
            inside = ((shifted >= 0) & (self.indices < np.array(piece.stops)[:, None]) & (shifted % every == 0)).all(0)
            places = (shifted // every)[:, inside]
            flat = piece.source.offset + np.tensordot(np.array(piece.source.strides, np.int64), places, 1)
            result[inside] = self._read(piece.source, flat)
        return result

    def _terms(self, reductions: Sequence[Reduction]) -> tuple[Array, Array, Array]:
        """Displacements left and right [terms], and which terms count [elements, terms]."""
        r = np.indices([reduction.extent for reduction in reductions]).reshape(len(reductions), -1)
        left = np.tensordot(np.array([x.left_stride for x in reductions], np.int64), r, 1)
        right = np.tensordot(np.array([x.right_stride for x in reductions], np.int64), r, 1)
        counts = np.ones((self.indices.shape[1], r.shape[1]), bool)
        for k, reduction in enumerate(reductions):
            if reduction.clip is not None:
                counts &= self._inside(reduction.clip, r[k])
        return left, right, counts

    def _inside(self, clip: Clip, r: Array) -> Array:
        place = self.indices[clip.axis][:, None] * clip.step + r * clip.dilation + clip.origin
        inside: Array = (place >= 0) & (place < clip.extent)
        return inside

    def _contract(self, body: Contract) -> Array:
        left, right, counts = self._terms(body.reductions)
        assert counts.shape[1] <= 8192
        wide: type[Any] = np.float64 if self.step.output.dtype.numpy.kind == "f" else np.int64
        terms: Array = self._window(body.left, left, counts).astype(wide) - body.left_zero
        if body.right is not None:
            terms = terms * (self._window(body.right, right, counts).astype(wide) - body.right_zero)
        if wide is np.float64 and not np.isfinite(terms).all():
            raise RunNotFinite("an operand of a contraction is infinite")
        total: Array = np.where(counts, terms, 0).sum(axis=1)
        if body.bias is not None:
            total = total + self._read(body.bias, self._flat(body.bias))
        if wide is np.int64:
            return total
        rounded = (total / (body.divisor or counts.sum(axis=1))).astype(np.float32)
        lower = -np.inf if body.lower is None else body.lower
        return np.clip(rounded, lower, np.inf if body.upper is None else body.upper)

    def _window(self, operand: Operand, moves: Array, counts: Array) -> Array:
        flat = np.where(counts, self._flat(operand)[:, None] + moves, 0)
        return self._read(operand, flat)

    def _lookup(self, body: Lookup) -> Array:
        index = self._read(body.index, self._flat(body.index)).astype(np.int64)
        extent = int(np.prod(body.extents))
        index = np.where(index < 0, index + extent, index)
        if index.size and not (index.min() >= 0 and index.max() < extent):
            raise RunFailed("an index is out of range")
        places = np.array(np.unravel_index(index, body.extents))
        flat = self._flat(body.source) + np.tensordot(np.array(body.strides, np.int64), places, 1)
        return self._read(body.source, flat)

    def _extremum(self, body: Extremum) -> Array:
        moves, _, counts = self._terms(body.reductions)
        assert counts.any(axis=1).all(), "an empty window"
        rows = self._window(body.source, moves, counts)
        rows = rows.astype(np.float64 if rows.dtype.kind == "f" else object)
        worst = -np.inf if body.largest else np.inf
        rows = np.where(counts, rows, worst)
        best: Array = rows.max(axis=1) if body.largest else rows.min(axis=1)
        places: Array = ((rows == best[:, None]) & counts).argmax(axis=1)
        return places

    def _rank(self, body: Rank) -> Array:
        moves = np.arange(body.extent) * body.stride
        rows = self._read(body.source, self._flat(body.source)[:, None] + moves)
        keys = -rows.astype(np.float64) if body.largest else rows
        order = np.argsort(keys, axis=1, kind="stable")
        ranked: Array = order[np.arange(len(order)), self.indices[body.axis]]
        return ranked


def _pointwise(body: Pointwise, wide: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    name, a = body.function, wide[0]
    if name in _EXACT:
        return _EXACT[name](*wide)
    if name is F.DIV and a.dtype.kind != "f":
        quotient = np.abs(a.astype(np.int64)) // np.abs(wide[1].astype(np.int64))
        return np.where((a < 0) != (wide[1] < 0), -quotient, quotient)
    if name is F.DIV:
        return np.divide(*wide)
    if name is F.RELU:
        return np.maximum(a, 0)
    if name is F.CAST:
        return a.astype(dtype)
    x = a.astype(np.float64)
    if name in _WITH_PARAMETERS:
        return _WITH_PARAMETERS[name](x, body.alpha, body.beta)
    return _REAL[name](x)


_EXACT: Mapping[Function, Callable[..., Array]] = MappingProxyType(
    {
        F.ADD: np.add,
        F.SUB: np.subtract,
        F.MUL: np.multiply,
        F.MIN: np.minimum,
        F.MAX: np.maximum,
        F.MOD: np.mod,
        F.FMOD: np.fmod,
        F.NEG: np.negative,
        F.ABS: np.abs,
        F.SIGN: np.sign,
        F.EQUAL: np.equal,
        F.LESS: np.less,
        F.LESS_OR_EQUAL: np.less_equal,
        F.GREATER: np.greater,
        F.GREATER_OR_EQUAL: np.greater_equal,
        F.AND: np.logical_and,
        F.OR: np.logical_or,
        F.XOR: np.logical_xor,
        F.NOT: np.logical_not,
        F.WHERE: np.where,
        F.PRELU: lambda a, b: np.where(a >= 0, a, a * b),
    }
)
_REAL: Mapping[Function, Callable[[Array], Array]] = MappingProxyType(
    {
        F.SQRT: np.sqrt,
        F.RECIPROCAL: np.reciprocal,
        F.FLOOR: np.floor,
        F.CEIL: np.ceil,
        F.ROUND: np.rint,
        F.EXP: np.exp,
        F.LOG: np.log,
        F.TANH: np.tanh,
        F.SIGMOID: lambda x: 1 / (1 + np.exp(-x)),
        F.ERF: np.vectorize(erf, otypes=[np.float64]),
        F.SOFTPLUS: lambda x: np.logaddexp(0, x),
        F.SIN: np.sin,
        F.COS: np.cos,
    }
)
_WITH_PARAMETERS: Mapping[Function, Callable[[Array, float, float], Array]] = MappingProxyType(
    {
        F.POW: lambda x, alpha, _: np.power(x, alpha),
        F.ELU: lambda x, alpha, _: np.where(x >= 0, x, alpha * np.expm1(x)),
        F.HARD_SIGMOID: lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
        F.LEAKY_RELU: lambda x, alpha, _: np.where(x >= 0, x, alpha * x),
        F.CLIP: lambda x, alpha, beta: np.minimum(np.maximum(x, alpha), beta),
    }
)
