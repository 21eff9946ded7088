from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.programs import matmul, program, random_floats, row_major, step, tensor, value, weight
from tests.support.refereeing import executed, refereed, words

from sworn.engine.exact import ExactExecutor, execute
from sworn.errors import IndexOutOfRange, InputRejected, ModelMalformed, RunNotFinite, ShapeMismatch
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
    Program,
    Rank,
    Reduction,
    Step,
    Tree,
)
from sworn.types import DType

Array = NDArray[Any]


def test_copy_of_overlapping_pieces_agrees_with_the_referee() -> None:
    """The first piece wins, gaps take the fill, and strides may run backwards or be spread out."""
    pieces = (
        Piece(source=value(0, (4, 1)), starts=(1, 0), stops=(3, 4), every=(1, 2)),
        Piece(source=value(0, (-4, -1), offset=11), starts=(0, 1), stops=(3, 5), every=(1, 1)),
    )
    made = program((tensor((3, 4)),), (step(Copy(pieces=pieces, fill=0x40490FDB), (4, 6)),))
    x = random_floats(np.random.default_rng(1), (3, 4))
    assert executed(made, (x,)) == refereed(made, (x,))


def pool(size: int, channels: int, *, largest: bool, dtype: DType = DType.FLOAT32) -> tuple[Step, Step]:
    """A virtual extremum over padded 3×3 windows of [size, size, channels], and the lookup of its elements."""
    clips = [Clip(axis=k, step=2, dilation=1, origin=-1, extent=size) for k in (0, 1)]
    strides = (size * channels, channels)
    source = value(0, (2 * strides[0], 2 * strides[1], 1), offset=-strides[0] - strides[1])
    windows = tuple(
        Reduction(extent=3, left_stride=stride, clip=clip) for stride, clip in zip(strides, clips, strict=True)
    )
    axes = ((size + 1) // 2, (size + 1) // 2, channels)
    body = Extremum(source=source, reductions=windows, largest=largest)
    lookup = Lookup(source=source, index=value(1, row_major(axes)), extents=(3, 3), strides=strides)
    return step(body, axes, DType.INT64, virtual=True), step(lookup, axes, dtype)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.INT8])
def test_pool_with_and_without_positions_gives_the_same_elements(dtype: DType, largest: bool) -> None:
    """The direct maximum equals the lookup at the first greatest element, with equals and infinities around."""
    generator = np.random.default_rng(4)
    steps = pool(7, 3, largest=largest, dtype=dtype)
    made = program((tensor((7, 7, 3), dtype),), steps)
    x = generator.integers(-2, 3, (7, 7, 3)).astype(dtype.numpy)
    if dtype is DType.FLOAT32:
        x[x == -2] = -np.inf
        x[x == 2] = np.inf
        x[:3, :3] = -np.inf if largest else np.inf
    else:
        x[:3, :3] = -128 if largest else 127
    executor = ExactExecutor(made, ())
    plain, traced = executor.run((x,), keep=True), executor.run((x,), keep=True, include_virtual=True)
    assert set(plain) == {0, 2} and set(traced) == {0, 1, 2}
    assert words(plain[2]) == words(traced[2])
    alone = program(made.inputs, steps[:1])
    assert words(traced[1]) == refereed(alone, (x,))


@pytest.mark.parametrize("largest", [True, False])
def test_extremum_of_rows_is_the_first(largest: bool) -> None:
    """Of equal elements the first one counts, without windows too."""
    x = np.random.default_rng(2).integers(-3, 4, (5, 100)).astype(np.float32) + np.float32(0)
    body = Extremum(source=value(0, (100,)), reductions=(Reduction(extent=100, left_stride=1),), largest=largest)
    made = program((tensor((5, 100)),), (step(body, (5,), DType.INT64),))
    assert executed(made, (x,)) == refereed(made, (x,))


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.INT8, DType.UINT64, DType.INT64])
def test_rank_among_equals_agrees_with_the_referee(dtype: DType, largest: bool) -> None:
    """Earlier elements come first among equals, limits of the type included."""
    generator = np.random.default_rng(3)
    x = generator.integers(0, 4, (3, 9)).astype(dtype.numpy)
    x[0, ::3] = -np.inf if dtype is DType.FLOAT32 else np.iinfo(dtype.numpy).min
    x[1, ::4] = np.inf if dtype is DType.FLOAT32 else np.iinfo(dtype.numpy).max
    body = Rank(source=value(0, (0, 9)), extent=9, stride=1, axis=0, largest=largest)
    made = program((tensor((3, 9), dtype),), (step(body, (5, 3), DType.INT64),))
    assert executed(made, (x,)) == refereed(made, (x,))


def gather() -> Program:
    """Rows of a [6, 4] weight by two indices each over (3, 2)."""
    body = Lookup(source=weight(0, (0, 1)), index=value(0, (1, 0)), extents=(3, 2), strides=(8, 4))
    return program((tensor((5,), DType.INT64),), (step(body, (5, 4)),), (tensor((6, 4)),))


def test_lookup_by_negative_indices_agrees_with_the_referee() -> None:
    """Negative indices count from the end; indices are decomposed over the extents."""
    table = random_floats(np.random.default_rng(6), (6, 4))
    x = np.array([0, 5, -1, -6, 3], dtype=np.int64)
    assert executed(gather(), (x,), (table,)) == refereed(gather(), (x,), (table,))


@pytest.mark.parametrize("wrong", [6, -7, 2**62, -(2**63)])
def test_lookup_out_of_range_is_a_typed_failure(wrong: int) -> None:
    """An index beyond the table ends the run."""
    x = np.array([0, 1, wrong, 2, 3], dtype=np.int64)
    with pytest.raises(IndexOutOfRange):
        executed(gather(), (x,), (np.zeros((6, 4), dtype=np.float32),))


def grow(generator: np.random.Generator, leaves: int, first: int, features: int) -> list[list[int]]:
    """Node records of a random tree in preorder, thresholds as bits."""
    if leaves == 1:
        return []
    left = int(generator.integers(1, leaves))
    modes = (Function.LESS_OR_EQUAL, Function.LESS, Function.GREATER_OR_EQUAL, Function.GREATER, Function.EQUAL)
    mode = int(generator.choice([*modes, Function.NOT]))
    threshold = np.array(generator.integers(-4, 5) / 2 + 0.0, dtype=np.float32)
    node = [int(generator.integers(features)), mode, int(threshold.view(np.int32)), first, first + left, first + leaves]
    below = grow(generator, left, first, features), grow(generator, leaves - left, first + left, features)
    return [node, *below[0], *below[1]]


def forest(generator: np.random.Generator, sizes: list[int], rows: int) -> tuple[Program, tuple[Array, Array]]:
    """Trees with so many leaves each over rows of five features."""
    trees = [grow(generator, size, 0, 5) for size in sizes]
    starts = np.cumsum([0, *(len(tree) for tree in trees)])
    nodes = np.array([node for tree in trees for node in tree], dtype=np.int32).reshape(-1, 6)
    roots = np.array([(start, len(tree)) for start, tree in zip(starts, trees, strict=False)], dtype=np.int32)
    body = Tree(features=value(0, (5, 0)), feature_stride=1, nodes=0, roots=1, tree_axis=1)
    types = (tensor(nodes.shape, DType.INT32), tensor(roots.shape, DType.INT32))
    return program((tensor((rows, 5)),), (step(body, (rows, len(sizes)), DType.INT32),), types), (nodes, roots)


def test_tree_of_any_shape_agrees_with_the_referee() -> None:
    """Leaves are the referee's for all modes, for deep trees and for trees that are a single leaf."""
    generator = np.random.default_rng(8)
    made, weights = forest(generator, [1, 2, 40, 7, 1, 25], 30)
    x = (generator.integers(-4, 5, (30, 5)) / 2).astype(np.float32) + np.float32(0)
    expected = refereed(made, (x,), weights)
    assert executed(made, (x,), weights) == expected == executed(made, (x,), weights, accelerate=False)


@pytest.mark.parametrize("column", [3, 4, 5])
def test_tree_with_a_table_that_is_no_tree_is_refused(column: int) -> None:
    """A walk through a damaged table could go anywhere, so none begins."""
    made, (nodes, roots) = forest(np.random.default_rng(9), [30, 8], 4)
    damaged = nodes.copy()
    damaged[5, column] += 1
    with pytest.raises(ModelMalformed):
        ExactExecutor(made, (damaged, roots))


def softmax(rows: int, columns: int) -> Program:
    """Max (virtual position and lookup), subtract, exp, sum, divide."""
    row = (Reduction(extent=columns, left_stride=1),)
    wide, narrow = (columns, 1), (1, 0)
    axes = (rows, columns)

    def over(function: Function, *operands: Operand) -> Step:
        return step(Pointwise(function=function, operands=operands), axes)

    position = Extremum(source=value(0, (columns,)), reductions=row, largest=True)
    greatest = Lookup(source=value(0, (columns,)), index=value(1, (1,)), extents=(columns,), strides=(1,))
    steps = (
        step(position, (rows,), DType.INT64, virtual=True),
        step(greatest, (rows,)),
        over(Function.SUB, value(0, wide), value(2, narrow)),
        over(Function.EXP, value(3, wide)),
        step(Contract(left=value(4, (columns,)), reductions=row), (rows,)),
        over(Function.DIV, value(4, wide), value(5, narrow)),
    )
    return program((tensor(axes),), steps)


def test_executor_keeps_only_what_it_is_asked_to_keep() -> None:
    """Without `keep` inputs and outputs come back; virtual steps only where they are named or included."""
    x = random_floats(np.random.default_rng(1), (3, 20))
    executor = ExactExecutor(softmax(3, 20), ())
    assert set(executor.run((x,))) == {0, 6}
    assert set(executor.run((x,), keep=(3,))) == {0, 3, 6}
    assert set(executor.run((x,), keep=True)) == {0, 2, 3, 4, 5, 6}
    assert set(executor.run((x,), keep=(1,))) == {0, 1, 6}
    everything = executor.run((x,), keep=True, include_virtual=True)
    assert set(everything) == set(range(7))
    assert words(everything[6]) == words(executor.run((x,))[6])
    assert np.allclose(everything[6].sum(axis=1), 1.0)


def test_executor_frees_values_after_their_last_reader() -> None:
    """Memory holds what later steps read, not the whole run."""
    executor = ExactExecutor(softmax(2, 8), ())
    schedule = executor._plan_of(False, include_virtual=False).schedule
    freed = {number: set(values) for number, values in schedule.freed.items()}
    assert schedule.fused == {1} and freed == {2: {2}, 3: {3}, 5: {4, 5}}


def test_executor_names_step_and_element_of_a_failure() -> None:
    """What is not finite is found where it arises."""
    body = Pointwise(function=Function.SUB, operands=(value(0, (1,)), value(0, (1,))))
    made = program((tensor((3,)),), (step(body, (3,)),))
    with pytest.raises(RunNotFinite) as caught:
        execute(made, (), (np.array([1, np.inf, 2], dtype=np.float32),))
    assert "step 0" in str(caught.value) and "element 1" in str(caught.value)


def test_executor_of_unfit_tensors_refuses_them() -> None:
    """Types, shapes and numbers of tensors are the program's; NaN is no input, and −0 is +0."""
    made = matmul(2, 3, 4)
    weights = (np.ones((4, 3), dtype=np.float32), np.zeros(4, dtype=np.float32))
    x = np.ones((2, 3), dtype=np.float32)
    for wrong in ((), (x.astype(np.float64),), (x.T,), (x, x), (x * np.float32(np.nan),)):
        with pytest.raises(InputRejected):
            execute(made, weights, wrong)
    with pytest.raises(ShapeMismatch):
        execute(made, weights[:1], (x,))
    assert words(execute(made, weights, (x * np.float32(-0.0),))[0]) == [0] * 6
