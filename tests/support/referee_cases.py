"""Claims about single elements, random and at the edges, for every rule: some right, some wrong, some malformed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tests.support.programs import program, step, tensor, value, weight
from tests.support.referee_chain import Case

from sworn.errors import SwornError
from sworn.model.program import (
    Clip,
    Contract,
    Copy,
    Extremum,
    Function,
    Lookup,
    Operand,
    Piece,
    Pointwise,
    Rank,
    Reduction,
    Tree,
)
from sworn.model.typing_rules import arity
from sworn.referee.floats import order_key
from sworn.types import DType

Array = NDArray[Any]
Generator = np.random.Generator

#: Bits of floats at which something changes: zeros, subnormals, ones, halves, integers, the greatest, infinities, NaN.
EDGES: Final = (
    *(0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x80800001, 0x3F800000, 0xBF800000),
    *(0x3F7FFFFF, 0x3F800001, 0x3F000000, 0xBF000000, 0x3FC00000, 0x40200000, 0xC0200000, 0x4B7FFFFF, 0x4B800001),
    *(0x4EFFFFFF, 0x4F000000, 0xCF000000, 0x5F000000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000),
)
INTEGERS: Final = tuple(d for d in DType if d not in (DType.FLOAT32, DType.FLOAT64, DType.BOOL))
_F = Function
#: Functions whose result has the type of their operands, by what they take.
_ALIKE: Final = tuple(f for f in _F if f not in (_F.WHERE, _F.CAST, _F.QUANTIZE, _F.DEQUANTIZE, _F.REQUANTIZE))
_REAL: Final = (*(_F.EXP, _F.LOG, _F.TANH, _F.SIGMOID, _F.ERF, _F.SOFTPLUS, _F.ELU, _F.SIN, _F.COS, _F.POW),)


def float_bits(rng: Generator) -> int:
    """A float32 of any kind: an edge, any bits, or an ordinary number."""
    kind = rng.integers(8)
    if kind == 0:
        return int(rng.choice(EDGES))
    if kind <= 2:
        return int(rng.integers(1 << 32))
    if kind == 3:
        return int(np.float32(rng.integers(-300, 300) / rng.choice([1, 2, 4])).view(np.uint32))
    return int(np.float32(rng.standard_normal() * 2.0 ** rng.integers(-12, 12)).view(np.uint32))


def finite_parameter(rng: Generator) -> float:
    """A float32 that may stand in a step, seldom infinite."""
    bits = float_bits(rng)
    found = float(np.array(bits, np.uint32).view(np.float32))
    return 0.5 if math.isnan(found) else found + 0.0


def element_bits(rng: Generator, dtype: DType) -> int:
    """The bits of an element of a type."""
    if dtype is DType.FLOAT32:
        return float_bits(rng)
    width = 8 * dtype.itemsize
    if dtype is DType.BOOL:
        return int(rng.integers(2))
    if rng.integers(4) == 0:
        return (0, 1, (1 << width) - 1, 1 << width - 1, (1 << width - 1) - 1)[rng.integers(5)]
    return int(rng.integers(1 << min(width, 62))) ^ int(rng.integers(2)) << width - 1


def array_of(bits: Sequence[int], dtype: DType) -> Array:
    """Elements from their bits."""
    return np.array(bits, dtype=f"u{dtype.itemsize}").view(dtype.numpy)


def claims(rng: Generator, case: Case) -> Iterator[Case]:
    """The case with the right claim and with wrong ones: a bit off, and anything."""
    width = 8 * case.program.steps[0].output.dtype.itemsize
    wrong = int(rng.integers(1 << min(width, 62)))
    try:
        right = case.value()
    except SwornError:
        yield replace(case, claimed=wrong)
        return
    yield replace(case, claimed=right)
    yield replace(case, claimed=right ^ 1 << int(rng.integers(width)))


def pointwise(rng: Generator) -> Iterator[Case]:
    """Functions without a series, of every type, now and then of types for which they are not defined."""
    function = _F(int(rng.choice([f for f in _F if f not in _REAL])))
    types, output = _types(rng, function)
    if rng.integers(40) == 0:
        types = [*types[:-1], DType(int(rng.choice(list(DType))))]
    if rng.integers(40) == 0:
        types = types[:-1] or [output, output]
    yield from _function(rng, function, types, output)


def real_functions(rng: Generator) -> Iterator[Case]:
    """Functions by series, of one float."""
    yield from _function(rng, _F(int(rng.choice(_REAL))), [DType.FLOAT32], DType.FLOAT32)


def _function(rng: Generator, function: Function, types: Sequence[DType], output: DType) -> Iterator[Case]:
    alpha, beta = finite_parameter(rng), finite_parameter(rng)
    if function is _F.CLIP and output is not DType.FLOAT32 and rng.integers(8):
        alpha, beta = float(rng.integers(-5, 50)), float(rng.integers(0, 200))
    if function is _F.POW and rng.integers(2):
        alpha = float(rng.choice([-2.0, -1.0, -0.5, 0.25, 0.5, 0.75, 1.5, 2.0, 3.0, 7.0, 15.0, 17.0]))
    if function not in (_F.CLIP, _F.POW, _F.ELU, _F.HARD_SIGMOID, _F.LEAKY_RELU):
        # No valid step has an infinite parameter that its function does not look at.
        alpha, beta = 0.5, 0.0
    operands = tuple(value(number, (1,)) for number in range(len(types)))
    body = Pointwise(function=function, operands=operands, alpha=alpha, beta=beta)
    made = program([tensor((1,), dtype) for dtype in types], (step(body, (1,), output),))
    arrays = [array_of([element_bits(rng, dtype)], dtype) for dtype in types]
    if len(arrays) > 1 and types[0] == types[1] and rng.integers(6) == 0:
        arrays[1] = arrays[0]
    yield from claims(rng, Case(program=made, inputs=arrays, weights=(), index=0, claimed=0))


def _types(rng: Generator, function: Function) -> tuple[list[DType], DType]:
    quantized = DType(int(rng.choice([DType.UINT8, DType.INT8, DType.UINT16, DType.INT16])))
    anything = DType(int(rng.choice([*INTEGERS, DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, DType.BOOL])))
    operands = int(rng.choice(list(arity(function))))
    match function:
        case _F.CAST:
            return [anything], DType(int(rng.choice([*INTEGERS, DType.FLOAT32, DType.BOOL])))
        case _F.WHERE:
            return [DType.BOOL, anything, anything], anything
        case _F.QUANTIZE:
            return [DType.FLOAT32, DType.FLOAT32, quantized][:operands], quantized
        case _F.DEQUANTIZE:
            source = DType.INT32 if rng.integers(4) == 0 else quantized
            return [source, DType.FLOAT32, source][:operands], DType.FLOAT32
        case _F.REQUANTIZE:
            return [DType.INT32, DType.FLOAT32, quantized][:operands], quantized
        case _F.AND | _F.OR | _F.XOR | _F.NOT:
            return [DType.BOOL] * operands, DType.BOOL
        case _F.EQUAL | _F.LESS | _F.LESS_OR_EQUAL | _F.GREATER | _F.GREATER_OR_EQUAL:
            return [anything] * operands, DType.BOOL
        case _:
            kind = DType.FLOAT32 if anything is DType.BOOL else anything
            return [kind] * operands, kind


def _clip(rng: Generator, axis: int, size: int) -> Clip | None:
    if rng.integers(2):
        return None
    dilation = int(rng.choice([-2, -1, 1, 1, 2, 3]))
    return Clip(
        axis=axis, step=int(rng.integers(-1, 3)), dilation=dilation, origin=int(rng.integers(-4, 4)), extent=size
    )


def _window(rng: Generator, *, right: bool, longest: int) -> tuple[tuple[Reduction, ...], tuple[int, int, int, int]]:
    """Reductions, and how far they reach to the left and the right of where they start: (low, high) of both sides."""
    reductions: list[Reduction] = []
    low, high, low_right, high_right = 0, 0, 0, 0
    for _ in range(int(rng.integers(4))):
        extent = int(rng.integers(1, longest))
        strides = [int(rng.choice([1, 1, 1, -1, 2, 5, 0])) for _ in range(2)]
        strides[1] *= right
        reach = [stride * (extent - 1) for stride in strides]
        low, high = low + min(reach[0], 0), high + max(reach[0], 0)
        low_right, high_right = low_right + min(reach[1], 0), high_right + max(reach[1], 0)
        clip = _clip(rng, int(rng.integers(2)), int(rng.integers(1, 9)))
        reductions.append(Reduction(extent=extent, left_stride=strides[0], right_stride=strides[1], clip=clip))
    return tuple(reductions), (low, high, low_right, high_right)


def _reader(rng: Generator, number: int, low: int, high: int) -> tuple[Operand, int]:
    """An operand over the axes (3, 4) that may move by so much, and the elements that its tensor needs."""
    strides = (int(rng.integers(-2, 3)), int(rng.integers(-2, 3)))
    least = low + min(2 * strides[0], 0) + min(3 * strides[1], 0)
    greatest = high + max(2 * strides[0], 0) + max(3 * strides[1], 0)
    start = int(rng.integers(3)) - least
    # Now and then a tensor is too short for its map.
    elements = start + greatest + 1 + int(rng.integers(3)) - int(rng.integers(60) == 0)
    return (value if rng.integers(2) else weight)(number, strides, offset=start), max(elements, 1)


def _contraction(
    rng: Generator, dtypes: Sequence[DType], output: DType, bits: Callable[[DType, int], Array], **options: Any
) -> Iterator[Case]:
    """A contraction of one to three operands of these types over axes (3, 4)."""
    left_dtype, right_dtype, bias_dtype = dtypes
    right, bias = bool(rng.integers(4)), bool(rng.integers(2))
    reductions, reach = _window(rng, right=right, longest=14)
    wanted = [(left_dtype, *reach[:2])]
    wanted += [(right_dtype, *reach[2:])] if right else []
    wanted += [(bias_dtype, 0, 0)] if bias else []
    tensors: dict[bool, list[Any]] = {False: [], True: []}
    operands: list[Operand] = []
    for dtype, low, high in wanted:
        operand, elements = _reader(rng, 0, low, high)
        place = tensors[bool(operand.space)]
        operands.append(replace(operand, tensor=len(place)))
        place.append((tensor((elements,), dtype), bits(dtype, elements)))
    body = Contract(
        left=operands[0],
        right=operands[1] if right else None,
        bias=operands[-1] if bias else None,
        reductions=reductions,
        **options,
    )
    made = program(
        [each for each, _ in tensors[False]], (step(body, (3, 4), output),), [each for each, _ in tensors[True]]
    )
    arrays = [[array for _, array in tensors[space]] for space in (False, True)]
    index = int(rng.integers(12))
    yield from claims(rng, Case(program=made, inputs=arrays[0], weights=arrays[1], index=index, claimed=0))


def float_contraction(rng: Generator) -> Iterator[Case]:
    """Sums of products of floats, of any magnitude or near to each other, seldom with what is not finite."""
    spread = int(rng.choice([0, 2, 20, 60, 125]))
    wild = rng.integers(12) == 0

    def bits(_: DType, elements: int) -> Array:
        if wild:
            return array_of([float_bits(rng) for _ in range(elements)], DType.FLOAT32)
        found = rng.standard_normal(elements) * np.exp2(rng.integers(-spread, spread + 1, elements))
        if rng.integers(4) == 0:
            # Few significant bits, so that sums tie and cancel.
            found = np.round(found * 4) / 4
        found = found.astype(np.float32)
        found[rng.random(elements) < 0.3] = 0
        return found

    options: dict[str, Any] = {"divisor": int(rng.choice([1, 1, 1, 0, 3, 7, 49, (1 << 31) - 1]))}
    if rng.integers(4) == 0:
        options["lower"] = finite_parameter(rng)
    if rng.integers(4) == 0:
        options["upper"] = finite_parameter(rng)
    dtypes = [DType.FLOAT32, DType.FLOAT32, DType.INT32 if rng.integers(60) == 0 else DType.FLOAT32]
    yield from _contraction(rng, dtypes, DType.FLOAT32, bits, **options)


def integer_contraction(rng: Generator) -> Iterator[Case]:
    """Sums of products of bytes, and sums of integers."""

    def bits(dtype: DType, elements: int) -> Array:
        return array_of([element_bits(rng, dtype) for _ in range(elements)], dtype)

    options: dict[str, Any] = {"divisor": 1 if rng.integers(40) else 2}
    if rng.integers(2):
        options["left_zero"] = int(rng.integers(-128, 256))
        options["right_zero"] = int(rng.integers(-128, 256))
    kinds = (DType.UINT8, DType.INT8)
    left, right = kinds[rng.integers(2)], kinds[rng.integers(2)]
    dtypes = [DType.INT32 if rng.integers(5) == 0 else left, right, DType.INT32]
    yield from _contraction(rng, dtypes, DType.INT32, bits, **options)


def _any_dtype(rng: Generator) -> DType:
    return DType(int(rng.choice([*INTEGERS, DType.FLOAT32, DType.FLOAT32, DType.FLOAT32, DType.BOOL])))


def _few(rng: Generator, dtype: DType, elements: int) -> Array:
    """Elements of which many are equal."""
    pool = [element_bits(rng, dtype) for _ in range(4)]
    if dtype is DType.FLOAT32 and rng.integers(8):
        pool = [bits for bits in pool if bits & 0x7FFFFFFF <= 0x7F800000] or [0]
    return array_of([pool[rng.integers(len(pool))] for _ in range(elements)], dtype)


def copy(rng: Generator) -> Iterator[Case]:
    """Boxes over axes (3, 4), some of which hold the index, some in front of others."""
    dtype = DType.FLOAT64 if rng.integers(30) == 0 else _any_dtype(rng)
    pieces, inputs, types = [], [], []
    for number in range(int(rng.integers(4))):
        elements = int(rng.integers(20, 400))
        source = dtype if rng.integers(40) else DType.INT8
        starts = [int(rng.integers(extent)) for extent in (3, 4)]
        stops = [start + int(rng.integers(1, 4)) for start in starts]
        every = [int(rng.integers(1, 3)) - int(rng.integers(60) == 0) for _ in range(2)]
        strides = (int(rng.integers(-2, 60)), int(rng.integers(3)))
        operand = value(number, strides, offset=int(rng.integers(0, 12)))
        pieces.append(Piece(source=operand, starts=tuple(starts), stops=tuple(stops), every=tuple(every)))
        types.append(tensor((elements,), source))
        inputs.append(array_of([element_bits(rng, source) for _ in range(elements)], source))
    made = program(types, (step(Copy(pieces=tuple(pieces), fill=element_bits(rng, dtype)), (3, 4), dtype),))
    yield from claims(rng, Case(program=made, inputs=inputs, weights=(), index=int(rng.integers(12)), claimed=0))


def lookup(rng: Generator) -> Iterator[Case]:
    """Tables of two axes, looked up with indices in and out of range."""
    dtype, kind = _any_dtype(rng), DType(int(rng.choice(INTEGERS)))
    extents = (int(rng.integers(1, 5)), int(rng.integers(1, 40)))
    size = extents[0] * extents[1]
    strides = (int(rng.integers(-1, 45)), int(rng.integers(-1, 3)))
    least, greatest = np.iinfo(kind.numpy).min, np.iinfo(kind.numpy).max
    indices = [min(max(int(rng.integers(-size - 1, size + 1)), least), greatest) for _ in range(4)]
    body = Lookup(
        source=value(0, (0, 1), offset=int(rng.integers(50))), index=value(1, (0, 1)), extents=extents, strides=strides
    )
    elements = int(rng.integers(1, 400))
    made = program([tensor((elements,), dtype), tensor((4,), kind)], (step(body, (2, 4), dtype),))
    table = array_of([element_bits(rng, dtype) for _ in range(elements)], dtype)
    inputs = [table, np.array(indices, dtype=kind.numpy)]
    yield from claims(rng, Case(program=made, inputs=inputs, weights=(), index=int(rng.integers(8)), claimed=0))


def rank(rng: Generator) -> Iterator[Case]:
    """Short rows with many equal elements, rarely longer than a chunk."""
    dtype = _any_dtype(rng)
    extent = 500 if rng.integers(40) == 0 else int(rng.integers(1, 12))
    stride = int(rng.choice([1, 1, 2, -1]))
    elements = abs(stride) * (extent - 1) + 3
    offset = elements - 3 if stride < 0 else 0
    body = Rank(
        source=value(0, (1, 0), offset=offset),
        extent=extent,
        stride=stride,
        axis=int(rng.integers(60) != 0),
        largest=bool(rng.integers(2)),
    )
    ranks = int(rng.integers(1, extent + 1 + int(rng.integers(30) == 0)))
    made = program([tensor((elements,), dtype)], (step(body, (3, ranks), DType.INT64),))
    index = int(rng.integers(3 * ranks))
    case = Case(program=made, inputs=[_few(rng, dtype, elements)], weights=(), index=index, claimed=0)
    for each in claims(rng, case):
        yield each
        yield replace(each, claimed=int(rng.integers(extent + 2)))


def extremum(rng: Generator) -> Iterator[Case]:
    """Windows over a matrix that hang over its edges; any position is claimed, and any is the witness."""
    dtype = _any_dtype(rng)
    clips = [Clip(axis=k, step=int(rng.integers(1, 3)), dilation=1, origin=-1, extent=5) for k in (0, 1)]
    reductions = [
        Reduction(extent=3, left_stride=stride, clip=clip) for stride, clip in zip((5, 1), clips, strict=True)
    ]
    if rng.integers(8) == 0:
        reductions = [Reduction(extent=4, left_stride=2), Reduction(extent=3, left_stride=1)][: rng.integers(3)]
    body = Extremum(
        source=value(0, (5 * clips[0].step, clips[1].step), offset=-6),
        reductions=tuple(reductions),
        largest=bool(rng.integers(2)),
    )
    made = program([tensor((25,), dtype)], (step(body, (3, 3), DType.INT64),))
    claimed = [*range(10), (1 << 64) - 1, 1 << 63, int(rng.integers(1 << 62))][rng.integers(13)]
    witness = int(rng.integers(10)) if rng.integers(4) else 0
    yield Case(
        program=made,
        inputs=[_few(rng, dtype, 25)],
        weights=(),
        index=int(rng.integers(9)),
        claimed=claimed,
        witness=witness,
    )


def _grown(rng: Generator, leaves: int, first: int = 0) -> list[tuple[int, ...]]:
    """The inner nodes, in preorder, of a random tree with so many leaves."""
    if leaves < 2:
        return []
    left = int(rng.integers(1, leaves))
    modes = (_F.LESS_OR_EQUAL, _F.LESS, _F.GREATER_OR_EQUAL, _F.GREATER, _F.EQUAL, _F.NOT)
    mode = _F.ADD if rng.integers(60) == 0 else modes[rng.integers(6)]
    threshold = int(array_of([float_bits(rng)], DType.FLOAT32).view(np.int32)[0])
    node = (int(rng.integers(4)), int(mode), threshold, first, first + left, first + leaves)
    return [node, *_grown(rng, left, first), *_grown(rng, leaves - left, first + left)]


def tree(rng: Generator) -> Iterator[Case]:
    """Random trees of up to nine leaves; any leaf is claimed, and any node is the witness."""
    trees = [_grown(rng, int(rng.integers(1, 10))) for _ in range(3)]
    nodes = [node for each in trees for node in each] or [(0, 66, 0, 0, 1, 2)]
    starts = list(itertools.accumulate((len(each) for each in trees), initial=0))
    roots = [(starts[k], len(each)) for k, each in enumerate(trees)]
    body = Tree(features=value(0, (4, 0)), feature_stride=1, nodes=0, roots=1, tree_axis=1)
    tables = (np.array(nodes, dtype=np.int32), np.array(roots, dtype=np.int32))
    made = program(
        [tensor((2, 4))],
        (step(body, (2, 3), DType.INT32),),
        [tensor(table.shape, DType.INT32) for table in tables],
    )
    features = array_of([float_bits(rng) for _ in range(8)], DType.FLOAT32).reshape(2, 4)
    if rng.integers(4) == 0:
        features.view(np.int32)[...] = tables[0][rng.integers(len(nodes)), 2]
    claimed = int(rng.integers(10)) if rng.integers(8) else (1 << 32) - 1
    yield Case(
        program=made,
        inputs=[features],
        weights=tables,
        index=int(rng.integers(6)),
        claimed=claimed,
        witness=int(rng.integers(9)) if rng.integers(6) else 0,
    )


def bounded(generate: Callable[[Generator], Iterator[Case]]) -> Callable[[Generator], Iterator[Case]]:
    """The same claims in profile `bounded`, and the outermost ones that it admits with their neighbours."""

    def claims_of(rng: Generator) -> Iterator[Case]:
        for case in generate(rng):
            wide = replace(case, bounded=True)
            yield wide
            if case.expected() is False and case.program.steps[0].output.dtype is DType.FLOAT32:
                yield from _at_bounds(wide, 1 if rng.integers(2) else -1)

    claims_of.__name__ = f"bounded_{generate.__name__}"
    return claims_of


def _at_bounds(case: Case, way: int) -> Iterator[Case]:
    """The last claim from here in one direction that is admitted, the next, and an infinity."""
    start = order_key(case.claimed)

    def claim(distance: int) -> Case:
        key = min(max(start + way * distance, -0x7F800000), 0x7F800000)
        return replace(case, claimed=key if key >= 0 else -key | 1 << 31)

    inside, outside = 0, 1
    while claim(outside).expected() is False and outside < 1 << 32:
        inside, outside = outside, 2 * outside
    while outside - inside > 1:
        middle = (inside + outside) // 2
        inside, outside = (inside, middle) if claim(middle).expected() else (middle, outside)
    yield from (claim(inside), claim(outside), claim(1 << 33))


bounded_float_contraction = bounded(float_contraction)
bounded_pointwise = bounded(pointwise)
bounded_real_functions = bounded(real_functions)
