"""Claims about single elements, random and at the edges, for every rule: some right, some wrong, some malformed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from tests.support.programs import program, step, tensor, value, weight
from tests.support.referee_chain import Case
from tests.support.referee_elements import (
    INTEGERS,
    Array,
    Generate,
    Generator,
    any_dtype,
    array_of,
    bounded,
    claims,
    element_bits,
    elements,
    finite_parameter,
    float_bits,
)
from tests.support.referee_functions import pointwise, quantise, real_functions

from sworn.model.program import (
    MAX_TERMS,
    Clip,
    Contract,
    Copy,
    Extremum,
    Function,
    Lookup,
    Operand,
    Piece,
    Rank,
    Reduction,
    Tree,
)
from sworn.model.validation import MAX_ROW
from sworn.types import DType, Profile

_F = Function
#: One case in so many is as long as cases get.
_SELDOM: Final = 150


def _clip(rng: Generator, axis: int, size: int) -> Clip | None:
    if rng.integers(2):
        return None
    dilation = int(rng.choice([-2, -1, 1, 1, 2, 3]))
    return Clip(
        axis=axis, step=int(rng.integers(-1, 3)), dilation=dilation, origin=int(rng.integers(-4, 4)), extent=size
    )


def _long(rng: Generator) -> int:
    """A number of terms up to the greatest, and one beyond."""
    return int(rng.choice([MAX_TERMS, MAX_TERMS + 1, *np.exp2(rng.uniform(6, 13, 6)).astype(int)]))


def _window(rng: Generator, *, right: bool, longest: int) -> tuple[tuple[Reduction, ...], tuple[int, int, int, int]]:
    """Reductions, and how far they reach to the left and the right of where they start: (low, high) of both sides."""
    reductions: list[Reduction] = []
    low, high, low_right, high_right = 0, 0, 0, 0
    short = rng.integers(1, longest, int(rng.integers(4))).tolist()
    for extent in [_long(rng)] if rng.integers(_SELDOM) == 0 else short:
        strides = [int(rng.choice([1, 1, 1, -1, 2, 5, 0])) for _ in range(2)]
        strides[1] *= right
        reach = [stride * (extent - 1) for stride in strides]
        low, high = low + min(reach[0], 0), high + max(reach[0], 0)
        low_right, high_right = low_right + min(reach[1], 0), high_right + max(reach[1], 0)
        clip = _clip(rng, int(rng.integers(2)), int(rng.integers(1, 9))) if extent < longest else None
        reductions.append(Reduction(extent=extent, left_stride=strides[0], right_stride=strides[1], clip=clip))
    return tuple(reductions), (low, high, low_right, high_right)


def _reader(rng: Generator, number: int, low: int, high: int) -> tuple[Operand, int]:
    """An operand over the axes (3, 4) that may move by so much, and the elements that its tensor needs."""
    strides = (int(rng.integers(-2, 3)), int(rng.integers(-2, 3)))
    least = low + min(2 * strides[0], 0) + min(3 * strides[1], 0)
    greatest = high + max(2 * strides[0], 0) + max(3 * strides[1], 0)
    start = int(rng.integers(3)) - least
    # Now and then a tensor is too short for its map.
    count = start + greatest + 1 + int(rng.integers(3)) - int(rng.integers(60) == 0)
    return (value if rng.integers(2) else weight)(number, strides, offset=start), max(count, 1)


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
        operand, count = _reader(rng, 0, low, high)
        place = tensors[bool(operand.space)]
        operands.append(replace(operand, tensor=len(place)))
        place.append((tensor((count,), dtype), bits(dtype, count)))
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

    def bits(dtype: DType, count: int) -> Array:
        if wild or dtype is not DType.FLOAT32:
            return elements(rng, dtype, count)
        found = rng.standard_normal(count) * np.exp2(rng.integers(-spread, spread + 1, count))
        if rng.integers(4) == 0:
            # Few significant bits, so that sums tie and cancel.
            found = np.round(found * 4) / 4
        found = found.astype(np.float32)
        found[rng.random(count) < 0.3] = 0
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
    options: dict[str, Any] = {"divisor": 1 if rng.integers(40) else 2}
    if rng.integers(2):
        options["left_zero"] = int(rng.integers(-128, 256))
        options["right_zero"] = int(rng.integers(-128, 256))
    kinds = (DType.UINT8, DType.INT8)
    left, right = kinds[rng.integers(2)], kinds[rng.integers(2)]
    dtypes = [DType.INT32 if rng.integers(5) == 0 else left, right, DType.INT32]
    yield from _contraction(rng, dtypes, DType.INT32, partial(elements, rng), **options)


def _few(rng: Generator, dtype: DType, count: int) -> Array:
    """Elements of which many are equal."""
    pool = [element_bits(rng, dtype) for _ in range(4)]
    if dtype is DType.FLOAT32 and rng.integers(8):
        pool = [bits for bits in pool if bits & 0x7FFFFFFF <= 0x7F800000] or [0]
    chosen = np.array(pool, dtype=f"u{dtype.itemsize}")[rng.integers(0, len(pool), count)]
    return np.asarray(chosen.view(dtype.numpy))


def copy(rng: Generator) -> Iterator[Case]:
    """Boxes over axes (3, 4), some of which hold the index, some in front of others."""
    dtype = DType.FLOAT64 if rng.integers(30) == 0 else any_dtype(rng)
    pieces, inputs, types = [], [], []
    for number in range(int(rng.integers(4))):
        count = int(rng.integers(20, 400))
        source = dtype if rng.integers(40) else DType.INT8
        starts = [int(rng.integers(extent)) for extent in (3, 4)]
        stops = [start + int(rng.integers(1, 4)) for start in starts]
        every = [int(rng.integers(1, 3)) - int(rng.integers(60) == 0) for _ in range(2)]
        strides = (int(rng.integers(-2, 60)), int(rng.integers(3)))
        operand = value(number, strides, offset=int(rng.integers(0, 12)))
        pieces.append(Piece(source=operand, starts=tuple(starts), stops=tuple(stops), every=tuple(every)))
        types.append(tensor((count,), source))
        inputs.append(elements(rng, source, count))
    made = program(types, (step(Copy(pieces=tuple(pieces), fill=element_bits(rng, dtype)), (3, 4), dtype),))
    yield from claims(rng, Case(program=made, inputs=inputs, weights=(), index=int(rng.integers(12)), claimed=0))


def lookup(rng: Generator) -> Iterator[Case]:
    """Tables of two axes, looked up with indices in and out of range."""
    dtype, kind = any_dtype(rng), DType(int(rng.choice(INTEGERS)))
    extents = (int(rng.integers(1, 5)), int(rng.integers(1, 40)))
    size = extents[0] * extents[1]
    strides = (int(rng.integers(-1, 45)), int(rng.integers(-1, 3)))
    least, greatest = np.iinfo(kind.numpy).min, np.iinfo(kind.numpy).max
    indices = [min(max(int(rng.integers(-size - 1, size + 1)), least), greatest) for _ in range(4)]
    body = Lookup(
        source=value(0, (0, 1), offset=int(rng.integers(50))), index=value(1, (0, 1)), extents=extents, strides=strides
    )
    count = int(rng.integers(1, 400))
    made = program([tensor((count,), dtype), tensor((4,), kind)], (step(body, (2, 4), dtype),))
    inputs = [elements(rng, dtype, count), np.array(indices, dtype=kind.numpy)]
    yield from claims(rng, Case(program=made, inputs=inputs, weights=(), index=int(rng.integers(8)), claimed=0))


def rank(rng: Generator) -> Iterator[Case]:
    """Short rows with many equal elements, rarely longer than a chunk, seldom as long as rows get."""
    dtype = any_dtype(rng)
    extent = 500 if rng.integers(40) == 0 else int(rng.integers(1, 12))
    if rng.integers(20 * _SELDOM) == 0:
        extent = MAX_ROW + int(rng.integers(2))
    stride = int(rng.choice([1, 1, 2, -1]))
    count = abs(stride) * (extent - 1) + 3
    offset = count - 3 if stride < 0 else 0
    body = Rank(
        source=value(0, (1, 0), offset=offset),
        extent=extent,
        stride=stride,
        axis=int(rng.integers(60) != 0),
        largest=bool(rng.integers(2)),
    )
    ranks = int(rng.integers(1, extent + 1 + int(rng.integers(30) == 0)))
    made = program([tensor((count,), dtype)], (step(body, (3, ranks), DType.INT64),))
    index = int(rng.integers(3 * ranks))
    case = Case(program=made, inputs=[_few(rng, dtype, count)], weights=(), index=index, claimed=0)
    for each in claims(rng, case):
        yield each
        yield replace(each, claimed=int(rng.integers(extent + 2)))


def extremum(rng: Generator) -> Iterator[Case]:
    """Windows over a matrix that hang over its edges; any position is claimed, and any is the witness."""
    dtype = any_dtype(rng)
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
    # In the middle every position counts.
    index = 4 if rng.integers(2) else int(rng.integers(9))
    claimed = int(rng.integers(10)) if rng.integers(6) else (1 << int(rng.integers(4, 65))) - 1
    witness = int(rng.integers(10)) if rng.integers(6) and claimed < 9 else 0
    inputs = [_few(rng, dtype, 25)]
    yield Case(program=made, inputs=inputs, weights=(), index=index, claimed=claimed, witness=witness)


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
    index = int(rng.integers(6))
    claimed = int(rng.integers(10)) if rng.integers(8) else (1 << 32) - 1
    witness = int(rng.integers(9)) if rng.integers(6) else 0
    mine = trees[index % 3]
    if mine and rng.integers(4):
        # A leaf below the witness.
        witness = int(rng.integers(len(mine)))
        claimed = int(rng.integers(mine[witness][3], mine[witness][5]))
    yield Case(program=made, inputs=[features], weights=tables, index=index, claimed=claimed, witness=witness)


#: Every family of rules by its name.
FAMILIES: Final[Mapping[str, Generate]] = MappingProxyType(
    {
        "copy": copy,
        "float contraction": float_contraction,
        "integer contraction": integer_contraction,
        "pointwise": pointwise,
        "quantise": quantise,
        "real functions": real_functions,
        "lookup": lookup,
        "extremum": extremum,
        "rank": rank,
        "tree": tree,
    }
)


def generator_of(family: str, profile: Profile) -> Generate:
    """What makes claims about the rules of a family in a profile."""
    return bounded(FAMILIES[family]) if profile is Profile.BOUNDED else FAMILIES[family]
