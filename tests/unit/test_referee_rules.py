from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.support.exact_reals import INFINITY, NEGATIVE_INFINITY, float_bits

from sworn.errors import ConfigurationError, DivisionByZero, IndexOutOfRange, ModelMalformed, RunNotFinite
from sworn.model.program import (
    Body,
    Clip,
    Copy,
    Extremum,
    Function,
    Lookup,
    Operand,
    Piece,
    Pointwise,
    Program,
    ProgramOutput,
    Rank,
    Reduction,
    Space,
    Step,
    TensorType,
    Tree,
)
from sworn.referee import element, integers, step_element
from sworn.types import DType

F, I64 = DType.FLOAT32, DType.INT64
NAN = 0x7FC00000
Tensor = tuple[TensorType, Sequence[int]]


def tensor(dtype: DType, shape: tuple[int, ...], values: Sequence[float]) -> Tensor:
    """A type and the bits of its elements."""
    bits = [float_bits(v) if dtype is F else integers.wrap(int(v), dtype) for v in values]
    return TensorType(dtype=dtype, shape=shape), bits


def program_of(
    body: Body, output: TensorType, axes: tuple[int, ...], inputs: Sequence[Tensor], weights: Sequence[Tensor]
) -> Program:
    """A program of one step."""
    step = Step(output=output, axes=axes, body=body)
    return Program(
        inputs=tuple(kind for kind, _ in inputs),
        weights=tuple(kind for kind, _ in weights),
        steps=(step,),
        outputs=(ProgramOutput(value=len(inputs), shape=output.shape),),
    )


def judge(
    body: Body,
    output: tuple[DType, tuple[int, ...]],
    inputs: Sequence[Tensor],
    *,
    axes: tuple[int, ...] | None = None,
    weights: Sequence[Tensor] = (),
) -> Callable[[int], int]:
    """The referee of a one-step program."""
    kind = TensorType(dtype=output[0], shape=output[1])
    program = program_of(body, kind, output[1] if axes is None else axes, inputs, weights)
    data: Mapping[Space, Sequence[Tensor]] = {Space.VALUE: inputs, Space.WEIGHT: weights}
    return lambda index: element(program, 0, index, lambda space, number, flat: data[space][number][1][flat])


def value(number: int, strides: tuple[int, ...], offset: int = 0) -> Operand:
    """An operand among the inputs."""
    return Operand(space=Space.VALUE, tensor=number, strides=strides, offset=offset)


def test_copy_of_strided_and_padded_pieces_takes_the_first_that_holds() -> None:
    """A transposed block, every second element of a row, an overlap and the fill, against numpy."""
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3) + 1, np.arange(4, dtype=np.float32) + 100
    expected = np.full((5, 4), 7, dtype=np.float32)
    expected[3, 0:4] = b
    expected[0:5:2, 1] = 50 + np.arange(3)
    expected[1:4, 2:4] = a.T
    pieces = (
        Piece(source=value(0, (1, 3)), starts=(1, 2), stops=(4, 4), every=(1, 1)),
        Piece(source=value(2, (1, 0)), starts=(0, 1), stops=(5, 2), every=(2, 1)),
        Piece(source=value(1, (0, 1)), starts=(3, 0), stops=(4, 4), every=(1, 1)),
    )
    inputs = [tensor(F, (2, 3), a.ravel().tolist()), tensor(F, (4,), b.tolist()), tensor(F, (3,), [50, 51, 52])]
    referee = judge(Copy(pieces=pieces, fill=float_bits(7.0)), (F, (5, 4)), inputs)
    assert [referee(i) for i in range(20)] == [float_bits(v) for v in expected.ravel().tolist()]


def test_copy_of_special_values_keeps_infinities_and_refuses_nan() -> None:
    """−0 becomes +0; a fill is no exception."""
    piece = Piece(source=value(0, (1,)), starts=(0,), stops=(4,), every=(1,))
    inputs = [(TensorType(dtype=F, shape=(4,)), [INFINITY, 0x80000000, 1, NAN])]
    referee = judge(Copy(pieces=(piece,), fill=0x80000000), (F, (5,)), inputs)
    assert [referee(0), referee(1), referee(2), referee(4)] == [INFINITY, 0, 1, 0]
    with pytest.raises(RunNotFinite):
        referee(3)


def test_copy_that_changes_type_or_leaves_its_source_is_refused() -> None:
    """Bits have no meaning in another type, and a negative element is not the last one."""
    piece = Piece(source=value(0, (1,)), starts=(0,), stops=(4,), every=(1,))
    inputs = [tensor(DType.INT32, (4,), [1, 2, 3, 4])]
    with pytest.raises(ModelMalformed):
        judge(Copy(pieces=(piece,)), (F, (4,)), inputs)(0)
    for offset, index in ((-1, 0), (1, 3)):
        moved = replace(piece, source=value(0, (1,), offset))
        with pytest.raises(ModelMalformed):
            judge(Copy(pieces=(moved,)), (DType.INT32, (4,)), inputs)(index)


def test_pointwise_of_broadcast_operands_reads_by_strides() -> None:
    """[2, 3] − [3], over axes that the output's shape does not have."""
    a, b = tensor(F, (2, 3), [1, 2, 3, 4, 5, 6]), tensor(F, (3,), [10, 20, 30])
    body = Pointwise(function=Function.SUB, operands=(value(0, (3, 1)), value(1, (0, 1))))
    referee = judge(body, (F, (6, 1)), [a, b], axes=(2, 3))
    assert [referee(i) for i in range(6)] == [float_bits(v) for v in (-9, -18, -27, -6, -15, -24)]


def test_pointwise_without_a_value_names_why() -> None:
    """The typed failures of functions come through."""
    body = Pointwise(function=Function.DIV, operands=(value(0, (1,)), value(1, (1,))))
    with pytest.raises(DivisionByZero):
        judge(body, (I64, (1,)), [tensor(I64, (1,), [1]), tensor(I64, (1,), [0])])(0)
    with pytest.raises(RunNotFinite):
        judge(body, (F, (1,)), [tensor(F, (1,), [0]), tensor(F, (1,), [0])])(0)


def test_lookup_with_negative_and_multidimensional_indices_finds_its_element() -> None:
    """Gather on axis 1 of [2, 6], where 6 is seen as 3 × 2 in reversed order of strides."""
    table = tensor(F, (2, 6), list(range(12)))
    index = tensor(I64, (4,), [0, -1, 5, -6])
    plain = Lookup(source=value(0, (6, 0)), index=value(1, (0, 1)), extents=(6,), strides=(1,))
    referee = judge(plain, (F, (2, 4)), [table, index])
    assert [referee(i) for i in range(8)] == [float_bits(v) for v in (0, 5, 5, 0, 6, 11, 11, 6)]
    folded = replace(plain, extents=(3, 2), strides=(1, 3))
    referee = judge(folded, (F, (2, 4)), [table, index])
    assert [referee(i) for i in range(4)] == [float_bits(v) for v in (0, 5, 5, 0)]


@pytest.mark.parametrize("index", [6, -7, 2**62])
def test_lookup_with_an_index_out_of_range_is_a_typed_failure(index: int) -> None:
    """Nothing is clamped."""
    body = Lookup(source=value(0, ()), index=value(1, ()), extents=(6,), strides=(1,))
    with pytest.raises(IndexOutOfRange):
        judge(body, (F, ()), [tensor(F, (6,), [0] * 6), tensor(I64, (), [index])])(0)


def test_extremum_of_a_padded_window_gives_the_first_position() -> None:
    """Positions count all of the window, also what the clip leaves out; equals and zeros go to the first."""
    source = (TensorType(dtype=F, shape=(6,)), [float_bits(2.0), 0x80000000, 0, INFINITY, NEGATIVE_INFINITY, INFINITY])
    reduction = Reduction(extent=3, left_stride=1, clip=Clip(axis=0, step=1, dilation=1, origin=-1, extent=6))
    body = Extremum(source=value(0, (1,), -1), reductions=(reduction,), largest=True)
    referee = judge(body, (I64, (6,)), [source])
    assert [referee(i) for i in range(6)] == [1, 0, 2, 1, 0, 1]
    referee = judge(replace(body, largest=False), (I64, (6,)), [source])
    assert [referee(i) for i in range(6)] == [2, 1, 0, 2, 1, 0]


def test_extremum_over_two_axes_counts_in_row_major_order() -> None:
    """The position in [2, 3], of signed bytes."""
    source = tensor(DType.INT8, (2, 3), [-5, 3, -128, 3, 127, -1])
    reductions = (Reduction(extent=2, left_stride=3), Reduction(extent=3, left_stride=1))
    body = Extremum(source=value(0, ()), reductions=reductions, largest=True)
    assert judge(body, (I64, ()), [source])(0) == 4
    assert judge(replace(body, largest=False), (I64, ()), [source])(0) == 2


def test_extremum_of_nothing_or_nan_is_refused() -> None:
    """A window in which nothing counts is malformed; a NaN has no order."""
    clip = Clip(axis=0, step=1, dilation=1, origin=9, extent=2)
    body = Extremum(source=value(0, (0,)), reductions=(Reduction(extent=2, left_stride=1, clip=clip),), largest=True)
    source = (TensorType(dtype=F, shape=(2,)), [NAN, 0])
    with pytest.raises(ModelMalformed):
        judge(body, (I64, (1,)), [source])(0)
    with pytest.raises(RunNotFinite):
        judge(replace(body, reductions=(Reduction(extent=2, left_stride=1),)), (I64, (1,)), [source])(0)


@pytest.mark.parametrize("largest", [True, False])
def test_rank_of_rows_with_equals_is_stable(largest: bool) -> None:
    """As numpy's stable argsort of the values, or of their negatives."""
    chance = random.Random(5)
    values = [chance.choice([-2.0, -0.0, 0.0, 1.0, float("inf")]) for _ in range(40)]
    rows = np.array(values).reshape(4, 10)
    body = Rank(source=value(0, (0, 1)), extent=4, stride=10, axis=0, largest=largest)
    referee = judge(body, (I64, (3, 10)), [tensor(F, (4, 10), values)])
    expected = np.argsort(-rows if largest else rows, axis=0, kind="stable")[:3]
    assert [referee(i) for i in range(30)] == expected.ravel().tolist()


def node(feature: int, mode: Function, threshold: float, leaves: tuple[int, int, int]) -> list[int]:
    """A row of a node table."""
    return [feature, mode, float_bits(threshold), *leaves]


def forest() -> list[Tensor]:
    """Three trees: four nodes and five leaves, a bare leaf, one node for each remaining mode in a chain."""
    first = [
        node(0, Function.LESS_OR_EQUAL, 1.0, (0, 3, 5)),
        node(1, Function.LESS, 0.0, (0, 2, 3)),
        node(0, Function.EQUAL, -4.0, (0, 1, 2)),
        node(2, Function.GREATER, -0.0, (3, 4, 5)),
    ]
    second = [
        node(0, Function.GREATER_OR_EQUAL, 2.0, (0, 1, 4)),
        node(1, Function.NOT, 5.0, (1, 3, 4)),
        node(2, Function.LESS, 1.0, (1, 2, 3)),
    ]
    rows = first + second
    nodes = tensor(DType.INT32, (len(rows), 6), [word for row in rows for word in row])
    return [nodes, tensor(DType.INT32, (3, 2), [0, 4, 0, 0, 4, 3])]


@pytest.mark.parametrize(
    ("row", "leaves"),
    [
        ([1.0, -1.0, 0.0], [1, 0, 1]),
        ([-4.0, -1.0, 0.0], [0, 0, 1]),
        ([0.0, 0.0, 0.0], [2, 0, 1]),
        ([2.0, 0.0, 0.0], [4, 0, 0]),
        ([2.0, 0.0, 0.5], [3, 0, 0]),
        ([1.5, 5.0, -1.0], [4, 0, 3]),
        ([1.5, 4.0, 1.0], [3, 0, 2]),
    ],
)
def test_tree_of_each_mode_reaches_its_leaf(row: list[float], leaves: list[int]) -> None:
    """Inner nodes lie in preorder; leaves are counted from each tree's first."""
    body = Tree(features=value(0, (3, 0)), feature_stride=1, nodes=0, roots=1, tree_axis=1)
    inputs = [tensor(F, (2, 3), [9.0, 9.0, 9.0, *row])]
    referee = judge(body, (DType.INT32, (2, 3)), inputs, weights=forest())
    assert [referee(3 + tree) for tree in range(3)] == leaves


def test_tree_with_broken_tables_is_refused() -> None:
    """No endless walk, no feature before the first, no mode that compares nothing."""
    body = Tree(features=value(0, (0,)), feature_stride=1, nodes=0, roots=1, tree_axis=0)
    inputs = [tensor(F, (2,), [0.0, 0.0])]
    broken = [
        node(0, Function.LESS, 1.0, (0, 0, 2)),
        node(0, Function.LESS, 1.0, (0, 3, 4)),
        node(-1, Function.LESS, 1.0, (0, 1, 2)),
        node(0, Function.ADD, 1.0, (0, 1, 2)),
        [0, 99, 0, 0, 1, 2],
    ]
    for row in broken:
        weights = [tensor(DType.INT32, (1, 6), row), tensor(DType.INT32, (1, 2), [0, 1])]
        with pytest.raises(ModelMalformed):
            judge(body, (DType.INT32, (1,)), inputs, weights=weights)(0)


@pytest.mark.parametrize(
    "body",
    [
        Copy(pieces=(Piece(source=value(0, (1,)), starts=(0,), stops=(4,), every=(0,)),)),
        Copy(pieces=(Piece(source=value(0, (1,)), starts=(0, 0), stops=(4, 1), every=(1, 1)),)),
        Copy(pieces=(Piece(source=value(1, (1,)), starts=(0,), stops=(4,), every=(1,)),)),
        Copy(pieces=(Piece(source=value(-1, (1,)), starts=(0,), stops=(4,), every=(1,)),)),
        Lookup(source=value(0, (0,)), index=value(0, (0,)), extents=(4,), strides=(1, 1)),
        Rank(source=value(0, (0,)), extent=4, stride=1, axis=1, largest=True),
        Rank(source=value(0, (0,)), extent=0, stride=1, axis=0, largest=True),
        Extremum(source=value(0, (0,)), reductions=(), largest=True),
        Tree(features=value(0, (0,)), feature_stride=1, nodes=0, roots=0, tree_axis=0),
        Pointwise(function=Function.ADD, operands=()),
    ],
    ids=lambda body: type(body).__name__,
)
def test_rule_that_contradicts_itself_is_refused(body: Body) -> None:
    """A malformed step is a typed error, whatever is wrong with it."""
    with pytest.raises(ModelMalformed):
        judge(body, (DType.INT32, (4,)), [tensor(DType.INT32, (4,), [0, 1, 2, 3])])(0)


def test_element_outside_of_a_program_is_refused() -> None:
    """A step or an element that does not exist is the caller's mistake."""
    kind, data = tensor(F, (2,), [1.0, 2.0])
    body = Pointwise(function=Function.NEG, operands=(value(0, (1,)),))
    program = program_of(body, kind, (2,), [(kind, data)], [])
    for step, index in ((1, 0), (-1, 0), (0, 2), (0, -1)):
        with pytest.raises(ConfigurationError):
            element(program, step, index, lambda *_: 0)


def test_step_element_without_a_program_knows_types_alone() -> None:
    """A proof carries one step and the flat types of its operands."""
    kind = TensorType(dtype=F, shape=(2,))
    step = Step(output=kind, axes=(2,), body=Pointwise(function=Function.NEG, operands=(value(5, (1,)),)))
    types = {(Space.VALUE, 5): kind}
    bits = step_element(step, lambda space, number: types[space, number], 1, lambda _space, _number, flat: [1, 2][flat])
    assert bits == 2 | 0x80000000
