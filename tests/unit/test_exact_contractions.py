from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.programs import (
    average_pool,
    bits,
    contraction_bits,
    convolution,
    inputs_of,
    matmul,
    program,
    random_floats,
    step,
    tensor,
    value,
    weight,
    weights_of,
)

from sworn.engine.exact import ExactExecutor, execute
from sworn.errors import RunNotFinite
from sworn.model.program import Clip, Contract, Program, Reduction
from sworn.types import DType

Array = NDArray[Any]

ROOT = Path(__file__).resolve().parents[2]

SHAPES: dict[str, Program] = {
    "matrix": matmul(5, 300, 17),
    "vector": matmul(1, 784, 40),
    "two inputs": matmul(6, 33, 9, constant=False),
    "clamped": matmul(6, 33, 9, lower=0.0, upper=6.0),
    "mean": matmul(6, 33, 9, divisor=49),
    "large divisor": matmul(3, 5, 4, divisor=2**31 - 1),
    "convolution": convolution(9, 8, 6),
    "strided groups": convolution(11, 6, 6, stride=2, groups=2, dilation=2, padding=2),
    "wide groups": convolution(7, 16, 16, groups=2),
    "depthwise": convolution(9, 8, 8, groups=8),
    "pointwise": convolution(9, 8, 6, kernel=1, padding=0),
    "counted": convolution(9, 8, 6, divisor=0),
    "counted pool": average_pool(7, 5),
    "divided pool": average_pool(7, 5, divisor=9),
}


def run(made: Program, weights: tuple[Array, ...], inputs: tuple[Array, ...], **options: Any) -> Array:
    """The only step's elements, flat."""
    results = ExactExecutor(made, weights, **options).run(inputs)
    return results[len(made.inputs)].reshape(-1)


def check(made: Program, weights: tuple[Array, ...], inputs: tuple[Array, ...], *, samples: int = 25) -> None:
    """Compares both kernels with each other everywhere, and with rationals at some elements."""
    compiled, interpreted = (run(made, weights, inputs, accelerate=choice) for choice in (None, False))
    assert np.array_equal(bits(compiled), bits(interpreted))
    for index in np.linspace(0, compiled.size - 1, min(samples, compiled.size)).astype(int):
        assert int(bits(compiled)[index]) == contraction_bits(made, weights, inputs, int(index))


@pytest.mark.parametrize("spread", [0, 12, 60])
@pytest.mark.parametrize("name", SHAPES)
def test_contraction_of_any_shape_is_the_rounded_rational(name: str, spread: int) -> None:
    """Matrix products, windows, groups and means give the correctly rounded sum, at any range of exponents."""
    generator = np.random.default_rng(len(name) * 100 + spread)
    made = SHAPES[name]
    check(made, weights_of(made, generator, spread=spread), inputs_of(made, generator, spread=spread))


def cancelling(rows: int, terms: int, columns: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Operands whose products cancel in pairs, exactly or but for one unit in the last place of one factor."""
    half = random_floats(generator, (rows, terms // 2), spread=20)
    left = np.concatenate([half, half], axis=1)
    factors = random_floats(generator, (columns, terms // 2), spread=20)
    negated = -factors
    negated[::2, 0] = np.nextafter(negated[::2, 0], np.float32(np.inf))
    return left, np.concatenate([factors, negated], axis=1)


def test_contraction_with_cancelling_terms_is_the_rounded_rational() -> None:
    """Where no float64 sum decides any element, all are still right, and exact zeros are +0."""
    generator = np.random.default_rng(7)
    left, right = cancelling(6, 200, 8, generator)
    made = matmul(6, 200, 8)
    weights = (right, np.zeros(8, dtype=np.float32))
    check(made, weights, (left,), samples=48)
    assert np.all(bits(run(made, weights, (left,)).reshape(6, 8)[:, 1::2]) == 0)


@pytest.mark.parametrize("divisor", [1, 3, 64])
def test_contraction_at_ties_goes_to_the_even_neighbour(divisor: int) -> None:
    """Sums halfway between two floats, also among subnormals and next to overflow, round to even."""
    halves = [2.0**24 + 1, 2.0**24 + 3, -(2.0**24) - 1, 2.0**-150, 3 * 2.0**-150, -(2.0**-150), 2.0**128 - 2.0**103]
    halves += [-(2.0**128) + 2.0**103, 2.0**128 - 2.0**103 - 2.0**70, 5 * 2.0**-150, 2.0**-126 - 2.0**-150]
    for half in halves:
        wanted = half * divisor
        big = math.ldexp(math.trunc(math.ldexp(wanted, -math.frexp(wanted)[1] + 20)), math.frexp(wanted)[1] - 20)
        scale = 2.0 ** (math.frexp(wanted)[1] // 2)
        left = np.array([[big / scale, (wanted - big) / scale, 1.0, -1.0]], dtype=np.float32)
        right = np.array([[scale, scale, 3.0, 3.0]], dtype=np.float32)
        assert float(left[0, 0]) * scale + float(left[0, 1]) * scale == wanted
        check(matmul(1, 4, 1, divisor=divisor), (right, np.zeros(1, dtype=np.float32)), (left,))


def test_contraction_just_off_a_tie_goes_to_the_nearer_neighbour() -> None:
    """One term 2**250 times smaller than the sum decides a tie."""
    for sign, expected in ((1.0, 2.0**24 + 2), (-1.0, 2.0**24)):
        left = np.array([[2.0**24, 1.0, sign * 2.0**-149]], dtype=np.float32)
        right = np.array([[1.0, 1.0, 2.0**-80]], dtype=np.float32)
        made = matmul(1, 3, 1)
        weights = (right, np.zeros(1, dtype=np.float32))
        check(made, weights, (left,))
        assert run(made, weights, (left,))[0] == expected


def test_contraction_of_subnormals_keeps_every_bit() -> None:
    """Products far below the least float32 add up to what they are."""
    left = np.full((1, 4096), 2.0**-149, dtype=np.float32)
    right = np.full((1, 4096), 2.0**-11, dtype=np.float32)
    result = run(matmul(1, 4096, 1), (right, np.zeros(1, dtype=np.float32)), (left,))
    assert bits(result)[0] == 2


def test_contraction_that_overflows_is_infinite() -> None:
    """A finite sum beyond the greatest float32 rounds to an infinity."""
    left, right = np.full((1, 2), 3e38, dtype=np.float32), np.array([[1.0, 1.0], [-1.0, -1.0]], dtype=np.float32)
    result = run(matmul(1, 2, 2), (right, np.zeros(2, dtype=np.float32)), (left,))
    assert result.tolist() == [math.inf, -math.inf]


@pytest.mark.parametrize("accelerate", [None, False])
def test_contraction_of_an_infinite_operand_is_refused_where_it_counts(accelerate: bool | None) -> None:
    """An infinity among the terms makes the run a failure; one that no window reaches does not."""
    made = matmul(2, 4, 3)
    weights = (np.zeros((3, 4), dtype=np.float32), np.zeros(3, dtype=np.float32))
    broken = np.array([[1, 2, 3, 4], [1, 2, np.inf, 4]], dtype=np.float32)
    with pytest.raises(RunNotFinite):
        run(made, weights, (broken,), accelerate=accelerate)
    skipping = convolution(4, 2, 2, kernel=1, stride=2, padding=0)
    image = np.ones((1, 4, 4, 2), dtype=np.float32)
    image[0, 1, 1] = np.inf
    ones = (np.ones((2, 1, 1, 2), dtype=np.float32), np.zeros(2, dtype=np.float32))
    assert np.all(run(skipping, ones, (image,), accelerate=accelerate) == 2.0)


def test_contraction_on_any_number_of_threads_has_the_same_bits() -> None:
    """BLAS may split a product as it likes."""
    generator = np.random.default_rng(3)
    made = matmul(300, 700, 90)
    weights, inputs = weights_of(made, generator), inputs_of(made, generator)
    one, two, eight = (bits(execute(made, weights, inputs, threads=threads)[1]) for threads in (1, 2, 8))
    assert np.array_equal(one, two) and np.array_equal(one, eight)


_DIGEST = """
import hashlib, numpy as np
from sworn.engine.exact import execute
from sworn.model.program import Function
from tests.support.programs import convolution, inputs_of, matmul, unary, weights_of
digest = hashlib.sha256()
for made in (matmul(37, 700, 41), convolution(14, 24, 18), unary(Function.EXP, 5000), unary(Function.TANH, 5000)):
    generator = np.random.default_rng(1)
    weights = weights_of(made, generator)
    digest.update(execute(made, weights, inputs_of(made, generator))[1].tobytes())
print(digest.hexdigest())
"""


def test_executor_under_other_instruction_sets_gives_the_same_bits() -> None:
    """Neither the BLAS kernels that are chosen, nor numpy's vector code, nor numba's, shows in a result."""
    base = {**os.environ, "PYTHONPATH": f"{ROOT / 'sdk'}{os.pathsep}{ROOT}"}
    changes: list[dict[str, str]] = [
        {},
        {"OPENBLAS_CORETYPE": "Nehalem"},
        {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3 AVX512_ICL"},
    ]
    digests = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST], env={**base, **change}, capture_output=True, text=True, check=True
        ).stdout
        for change in changes
    }
    assert len(digests) == 1


def test_contraction_with_every_element_undecided_stays_within_its_cost() -> None:
    """The worst that weights can do to the compiled path is 2,000 times a plain product; measured: 300 to 400."""
    pytest.importorskip("numba")
    generator = np.random.default_rng(5)
    left, right = cancelling(40, 4096, 40, generator)
    executor = ExactExecutor(matmul(40, 4096, 40), (right, np.zeros(40, dtype=np.float32)), accelerate=True)
    plain = ExactExecutor(matmul(40, 4096, 40), (random_floats(generator, (40, 4096)), np.zeros(40, dtype=np.float32)))
    costs = []
    for runner in (plain, executor):
        runner.run((left,))
        start = time.thread_time()
        runner.run((left,))
        costs.append(time.thread_time() - start)
    assert costs[1] < 2000 * costs[0]


def integer_matmul(terms: int, left: DType, right: DType, *, zeros: tuple[int, int]) -> Program:
    """[3, terms] × [4, terms]ᵀ + [4] of bytes, int32."""
    body = Contract(
        left=value(0, (terms, 0)),
        right=weight(0, (0, terms)),
        bias=weight(1, (0, 1)),
        reductions=(Reduction(extent=terms, left_stride=1, right_stride=1),),
        left_zero=zeros[0],
        right_zero=zeros[1],
    )
    types = (tensor((4, terms), right), tensor((4,), DType.INT32))
    return program((tensor((3, terms), left),), (step(body, (3, 4), DType.INT32),), types)


@pytest.mark.parametrize("terms", [5, 700, 8192])
@pytest.mark.parametrize("types", [(DType.UINT8, DType.INT8, (255, -128)), (DType.INT8, DType.UINT8, (-7, 3))])
def test_contraction_of_bytes_is_exact_and_wraps(terms: int, types: tuple[DType, DType, tuple[int, int]]) -> None:
    """Sums of products of bytes lose nothing, at extreme zero points too, and the bias wraps."""
    generator = np.random.default_rng(terms)
    left, right, zeros = types
    limits = [np.iinfo(dtype.numpy) for dtype in (left, right)]
    a = generator.choice([limits[0].min, limits[0].max], (3, terms)).astype(left.numpy)
    b = generator.choice([limits[1].min, limits[1].max], (4, terms)).astype(right.numpy)
    bias = np.array([2**31 - 1, -(2**31), 0, 5], dtype=np.int32)
    expected = (a.astype(object) - zeros[0]) @ (b.astype(object) - zeros[1]).T + bias.astype(object)
    wrapped = (expected + 2**31) % 2**32 - 2**31
    result = execute(integer_matmul(terms, left, right, zeros=zeros), (b, bias), (a,))[1]
    assert result.astype(object).tolist() == wrapped.tolist()


def test_contraction_of_padded_bytes_leaves_padding_out() -> None:
    """Where a window is clipped nothing counts, not even minus the zero point."""
    generator = np.random.default_rng(2)
    made = convolution(6, 4, 3)
    body = made.steps[0].body
    assert isinstance(body, Contract)
    zeroed = Contract(
        left=body.left, right=body.right, reductions=body.reductions, left_zero=11, right_zero=-3, bias=None
    )
    types = (tensor((3, 3, 3, 4), DType.INT8),)
    integer = program((tensor((1, 6, 6, 4), DType.UINT8),), (step(zeroed, (1, 6, 6, 1, 3), DType.INT32),), types)
    x = generator.integers(0, 256, (1, 6, 6, 4)).astype(np.uint8)
    w = generator.integers(-128, 128, (3, 3, 3, 4)).astype(np.int8)
    padded = np.pad(x.astype(int) - 11, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((6, 6, 3), dtype=int)
    for i in range(3):
        for j in range(3):
            expected += padded[0, i : i + 6, j : j + 6] @ (w[:, i, j].astype(int) + 3).T
    assert np.array_equal(execute(integer, (w,), (x,))[1].reshape(6, 6, 3), expected)


def random_map(generator: np.random.Generator) -> Program:
    """A contraction with any strides and clips, over tensors that are just large enough."""
    axes = tuple(int(size) for size in generator.integers(1, 5, generator.integers(1, 4)))
    reductions = []
    for _ in range(generator.integers(1, 4)):
        strides = [int(stride) for stride in generator.integers(-3, 4, 2)]
        clip = None
        if generator.random() < 0.6:
            step_size, dilation, origin = (int(n) for n in (*generator.integers(1, 3, 2), generator.integers(-2, 2)))
            axis = int(generator.integers(len(axes)))
            clip = Clip(
                axis=axis, step=step_size, dilation=dilation, origin=origin, extent=int(generator.integers(1, 6))
            )
        extent = int(generator.integers(1, 4))
        reductions.append(Reduction(extent=extent, left_stride=strides[0], right_stride=strides[1], clip=clip))

    def operand(place: Any, moves: list[int]) -> tuple[Any, int]:
        strides = [int(stride) for stride in generator.integers(-3, 4, len(axes))]
        pairs = [*zip(strides, axes, strict=True), *zip(moves, (r.extent for r in reductions), strict=True)]
        below = -sum(min(0, stride * (size - 1)) for stride, size in pairs)
        above = sum(max(0, stride * (size - 1)) for stride, size in pairs)
        return place(0, strides, offset=below), below + above + 1

    left, left_size = operand(value, [r.left_stride for r in reductions])
    right, right_size = operand(weight, [r.right_stride for r in reductions])
    body = Contract(left=left, right=right, reductions=tuple(reductions), divisor=int(generator.integers(1, 4)))
    return program((tensor((left_size,)),), (step(body, axes),), (tensor((right_size,)),))


def test_contraction_by_random_maps_is_the_rounded_rational() -> None:
    """Whatever strides and clips say, matrix products and term by term sums are the same sums."""
    generator = np.random.default_rng(12)
    for _ in range(120):
        made = random_map(generator)
        check(made, weights_of(made, generator, spread=8), inputs_of(made, generator, spread=8), samples=12)
