from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.bounded_runs import check_run, prefer_kernels
from tests.support.programs import (
    average_pool,
    convolution,
    inputs_of,
    matmul,
    program,
    random_floats,
    row_major,
    step,
    tensor,
    unary,
    value,
    weight,
    weights_of,
)

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
    Reduction,
    Step,
)
from sworn.types import DType

Array = NDArray[Any]


@pytest.fixture(autouse=True)
def _kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    prefer_kernels(monkeypatch)


def check(made: Program, *, exact: int = 0, seed: int = 1) -> None:
    """Runs a program on random numbers, and expects ``exact`` of its steps to be left to the exact executor."""
    generator = np.random.default_rng(seed)
    executor = check_run(made, weights_of(made, generator), inputs_of(made, generator))
    shown = [number for number, each in enumerate(made.steps) if not each.virtual]
    assert len(set(shown) - executor.plan.kernel_steps) == exact


CONVOLUTIONS = {
    "padded": convolution(5, 3, 4),
    "strided": convolution(7, 3, 4, stride=2),
    "valid": convolution(6, 3, 4, padding=0),
    "dilated": convolution(8, 2, 3, dilation=2, padding=2),
    "dilated and valid": convolution(9, 2, 3, dilation=2, padding=0),
    "grouped": convolution(5, 6, 4, groups=2),
    "depthwise": convolution(5, 4, 4, groups=4),
    "pointwise": convolution(4, 5, 3, kernel=1, padding=0),
    "strided pointwise": convolution(5, 4, 3, kernel=1, padding=0, stride=2),
    "wide padding": convolution(3, 2, 3, kernel=5, padding=4),
    "one channel": convolution(5, 1, 3),
    "one filter": convolution(5, 3, 1),
    "patches": convolution(8, 3, 4, kernel=4, stride=4, padding=0),
    "relu": convolution(5, 3, 4, lower=0.0),
    "bounded": convolution(5, 3, 4, lower=-0.5, upper=0.25),
    "over all": convolution(3, 2, 4, kernel=3, padding=0),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_in_kernels_is_admissible(name: str) -> None:
    """Every element of every kind of convolution is within its bound, and no step is left over."""
    check(CONVOLUTIONS[name])


def asymmetric(before: int, after: int, *, step_: int = 1) -> Program:
    """A row of 9 by 3 channels, convolved with a kernel of 4 and different paddings."""
    positions = (9 + before + after - 4) // step_ + 1
    clip = Clip(axis=0, step=step_, dilation=1, origin=-before, extent=9)
    body = Contract(
        left=value(0, (3 * step_, 0), offset=-3 * before),
        right=weight(0, (0, 12)),
        bias=weight(1, (0, 1)),
        reductions=(
            Reduction(extent=4, left_stride=3, right_stride=3, clip=clip),
            Reduction(extent=3, left_stride=1, right_stride=1),
        ),
    )
    return program((tensor((9, 3)),), (step(body, (positions, 5)),), (tensor((5, 4, 3)), tensor((5,))))


@pytest.mark.parametrize(("before", "after", "every"), [(0, 3, 1), (2, 0, 1), (3, 1, 2), (0, 0, 3), (1, 2, 5)])
def test_convolution_of_one_dimension_with_uneven_padding_is_admissible(before: int, after: int, every: int) -> None:
    """One spatial dimension, padded differently on both sides."""
    check(asymmetric(before, after, step_=every))


def test_convolution_beside_a_dimension_of_one_element_is_right() -> None:
    """Padding around a single element, which has no place in memory of its own, is left to the exact executor."""
    check(convolution(1, 3, 4), exact=1)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(("rows", "terms", "columns"), [(1, 7, 5), (6, 1, 5), (6, 7, 1), (6, 70, 33), (1, 1, 4)])
def test_matrix_product_is_admissible(rows: int, terms: int, columns: int, *, constant: bool) -> None:
    """Products with constant and with computed matrices and biases, thin ones too."""
    check(matmul(rows, terms, columns, constant=constant))


@pytest.mark.parametrize("transposed", [False, True])
def test_batched_product_of_values_is_admissible(*, transposed: bool) -> None:
    """Heads lie between positions and features, as in attention."""
    heads, positions, features = 3, 4, 5
    width = heads * features
    moves = (1, features, width) if transposed else (features, width, 1)
    body = Contract(
        left=value(0, (features, width, 0)),
        right=value(1, (features, 0, width)),
        reductions=(Reduction(extent=features, left_stride=1, right_stride=1),),
    )
    scores = step(body, (heads, positions, positions))
    mix = Contract(
        left=value(2, (positions * positions, positions, 0)),
        right=value(1, (features, 0, 1)),
        reductions=(Reduction(extent=positions, left_stride=1, right_stride=width),),
    )
    mixed = step(mix, (heads, positions, features))
    strides = dict(zip(moves, row_major((heads, positions, features)), strict=True))
    order = step(
        Copy(
            pieces=(
                Piece(
                    source=value(3, [strides[stride] for stride in sorted(strides, reverse=True)]),
                    starts=(0, 0, 0),
                    stops=tuple(
                        size for _, size in sorted(zip(moves, (heads, positions, features), strict=True), reverse=True)
                    ),
                    every=(1, 1, 1),
                ),
            )
        ),
        [size for _, size in sorted(zip(moves, (heads, positions, features), strict=True), reverse=True)],
    )
    check(program((tensor((positions, width)),) * 2, (scores, mixed, order)))


@pytest.mark.parametrize("divisor", [0, 9])
@pytest.mark.parametrize("padding", [0, 1])
def test_average_pool_is_admissible(divisor: int, padding: int) -> None:
    """Means over windows, with and without their padding."""
    check(average_pool(6, 3, padding=padding, divisor=divisor))


def test_average_pool_by_another_number_is_left_to_the_exact_executor() -> None:
    """No kernel divides a window's sum by anything but its size."""
    check(average_pool(6, 3, padding=1, divisor=7), exact=1)


@pytest.mark.parametrize("divisor", [1, 5, 0, 3])
def test_sum_of_rows_is_admissible(divisor: int) -> None:
    """Sums and means, over the inner and over the outer axis."""
    inner = Contract(left=value(0, (5,)), reductions=(Reduction(extent=5, left_stride=1),), divisor=divisor)
    outer = Contract(left=value(0, (1,)), reductions=(Reduction(extent=4, left_stride=5),), divisor=divisor)
    check(program((tensor((4, 5)),), (step(inner, (4,)), step(outer, (5,)))))


def test_sum_of_squares_and_of_products_is_admissible() -> None:
    """A tensor with itself, and two tensors element by element."""
    reduction = Reduction(extent=6, left_stride=1, right_stride=1)
    squares = Contract(left=value(0, (6,)), right=value(0, (6,)), reductions=(reduction,), divisor=6)
    products = Contract(left=value(0, (6,)), right=value(1, (6,)), reductions=(reduction,))
    check(program((tensor((4, 6)),) * 2, (step(squares, (4,)), step(products, (4,)))))


def maximum(*, windows: bool, dtype: DType = DType.FLOAT32) -> Program:
    """The greatest elements of windows of 3 × 3 with padding, or of rows, by a virtual position."""
    if windows:
        clips = [Clip(axis=k, step=2, dilation=1, origin=-1, extent=6) for k in (0, 1)]
        reductions = [
            Reduction(extent=3, left_stride=stride, clip=clip) for stride, clip in zip((24, 4), clips, strict=True)
        ]
        return selecting(reductions, (3, 3, 4), value(0, (48, 8, 1), offset=-28), dtype)
    return selecting([Reduction(extent=6, left_stride=4)], (6, 4), value(0, (24, 1)), dtype)


def selecting(reductions: Sequence[Reduction], axes: Sequence[int], source: Operand, dtype: DType) -> Program:
    """A virtual position, and the element there."""
    found = Extremum(source=source, reductions=tuple(reductions), largest=True)
    taken = Lookup(
        source=source,
        index=value(1, row_major(axes)),
        extents=tuple(r.extent for r in reductions),
        strides=tuple(r.left_stride for r in reductions),
    )
    steps = (step(found, axes, DType.INT64, virtual=True), step(taken, axes, dtype))
    return program((tensor((6, 6, 4), dtype),), steps)


@pytest.mark.parametrize("windows", [True, False])
@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.INT8, DType.UINT8])
def test_greatest_elements_of_windows_and_rows_are_right(dtype: DType, *, windows: bool) -> None:
    """The fused form needs no positions; a trace has them all the same."""
    made = maximum(windows=windows, dtype=dtype)
    generator = np.random.default_rng(3)
    taken = generator.integers(0, 50, (6, 6, 4)).astype(dtype.numpy)
    executor = check_run(made, (), (taken,))
    assert executor.plan.kernel_steps == {1}


def test_position_of_the_first_of_equal_elements_is_found() -> None:
    """Greatest and least, with ties everywhere."""
    steps = [
        step(Extremum(source=value(0, (9,)), reductions=(Reduction(extent=9, left_stride=1),), largest=largest), (40,))
        for largest in (True, False)
    ]
    steps = [replace(each, output=tensor((40,), DType.INT64)) for each in steps]
    taken = np.random.default_rng(2).integers(0, 3, (40, 9)).astype(np.float32)
    executor = check_run(program((tensor((40, 9)),), steps), (), (taken,))
    assert executor.plan.kernel_steps == {0, 1}


def viewed(generator: np.random.Generator, shape: tuple[int, ...], number: int) -> tuple[Operand, list[int]]:
    """A random view of a tensor: some axes cut, some gone, the rest in any order; and the axes' sizes."""
    strides, offset = row_major(shape), 0
    axes: list[tuple[int, int]] = []
    for size, stride in zip(shape, strides, strict=True):
        start = int(generator.integers(0, size))
        count = int(generator.integers(1, size - start + 1))
        if generator.integers(0, 2):
            start, count = 0, size
        offset += start * stride
        axes.append((count, stride))
    order = generator.permutation(len(axes))
    return value(number, [axes[k][1] for k in order], offset=offset), [axes[k][0] for k in order]


@pytest.mark.parametrize("seed", range(30))
def test_function_of_any_views_gives_exact_bits(seed: int) -> None:
    """Sums of views of a convolution's result, which lies channels first, and of inputs and weights."""
    generator = np.random.default_rng(seed)
    base = convolution(6, 2, 4)
    shape = (6, 6, 4)
    steps: list[Step] = [base.steps[0]]
    for _ in range(4):
        left, sizes = viewed(generator, shape, 1)
        kept = [int(generator.integers(0, 2)) for _ in sizes]
        right = weight(2, [stride * keep for stride, keep in zip(row_major(sizes), kept, strict=True)])
        function = [Function.ADD, Function.SUB, Function.MUL, Function.MAX][int(generator.integers(0, 4))]
        operands = (left, right) if generator.integers(0, 2) else (right, left)
        steps.append(step(Pointwise(function=function, operands=operands), sizes))
    weights = (*base.weights, tensor((6 * 6 * 4,)))
    check(replace(base, steps=tuple(steps), weights=weights), seed=seed)


@pytest.mark.parametrize("seed", range(20))
def test_copies_of_any_views_give_exact_bits(seed: int) -> None:
    """Copies, paddings and concatenations of views of a result that lies channels first."""
    generator = np.random.default_rng(seed)
    base = convolution(4, 2, 3)
    source, sizes = viewed(generator, (4, 4, 3), 1)
    whole = Piece(source=source, starts=(0, 0, 0), stops=tuple(sizes), every=(1, 1, 1))
    every = [int(generator.integers(1, 3)) for _ in sizes]
    before = [int(generator.integers(0, 3)) for _ in sizes]
    stops = [start + (size - 1) * each + 1 for start, size, each in zip(before, sizes, every, strict=True)]
    padded = Piece(source=source, starts=tuple(before), stops=tuple(stops), every=tuple(every))
    axis = int(generator.integers(0, 3))
    long = [2 * size if k == axis else size for k, size in enumerate(sizes)]
    start = tuple(size if k == axis else 0 for k, size in enumerate(sizes))
    pair = (replace(whole, stops=tuple(sizes)), replace(whole, starts=start, stops=tuple(long)))
    steps = (
        base.steps[0],
        step(Copy(pieces=(whole,)), sizes),
        step(Copy(pieces=(padded,), fill=0x3FC00000), [stop + int(generator.integers(0, 3)) for stop in stops]),
        step(Copy(pieces=pair), long),
    )
    made = replace(base, steps=steps)
    executor = check_run(made, weights_of(made, generator), inputs_of(made, generator))
    assert {0, 1} <= executor.plan.kernel_steps


def test_lookup_in_a_table_is_right() -> None:
    """Rows of a constant and of a computed table, chosen by an index that counts from either end."""
    index = value(1, (1, 0))
    constant = Lookup(source=weight(0, (0, 1)), index=index, extents=(7,), strides=(4,))
    computed = Lookup(source=value(0, (0, 7)), index=index, extents=(7,), strides=(1,))
    made = program(
        (tensor((4, 7)), tensor((5,), DType.INT64)),
        (step(constant, (5, 4)), step(computed, (5, 4))),
        (tensor((7, 4)),),
    )
    generator = np.random.default_rng(1)
    taken = (random_floats(generator, (4, 7)), np.array([0, -1, 6, 3, -7]))
    executor = check_run(made, (random_floats(generator, (7, 4)),), taken)
    assert executor.plan.kernel_steps == {0, 1}


KERNEL_FUNCTIONS = {
    Function.EXP: 1,
    Function.TANH: 1,
    Function.SIGMOID: 1,
    Function.ERF: 1,
    Function.ROUND: 1,
    Function.FLOOR: 1,
    Function.CEIL: 1,
    Function.RELU: 1,
    Function.NEG: 1,
    Function.ABS: 1,
    Function.CLIP: 1,
    Function.LEAKY_RELU: 1,
    Function.SOFTPLUS: 0,
    Function.ELU: 0,
    Function.SIN: 0,
    Function.HARD_SIGMOID: 0,
}


@pytest.mark.parametrize("function", KERNEL_FUNCTIONS)
def test_function_is_admissible_in_kernels_or_left_out(function: Function) -> None:
    """Functions whose kernels are known to be right are computed by them, all others exactly."""
    check(unary(function, 3000, alpha=0.25, beta=0.875), exact=1 - KERNEL_FUNCTIONS[function])
