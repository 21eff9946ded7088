"""Small steps run by one call: the same bits and the same failures as one by one, with numba and without."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
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
from tests.support.refereeing import refereed, words

from sworn.engine.exact import ExactExecutor, jit
from sworn.engine.exact.functions import BOUND, erf_pieces
from sworn.engine.exact.rounding import evaluate
from sworn.engine.exact.tape import codes, curves, tape
from sworn.errors import EngineError, InputRejected
from sworn.model.program import (
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
    TensorType,
)
from sworn.types import DType

Array = NDArray[Any]
F = Function
Outcome = dict[int, list[int]] | tuple[type[EngineError], str]


def outcome(executor: ExactExecutor, inputs: Sequence[Array], **options: Any) -> Outcome:
    """The bits of every value, or the failure in its words."""
    try:
        return {number: words(array) for number, array in executor.run(inputs, **options).items()}
    except EngineError as error:
        return type(error), str(error)


def joined_steps(executor: ExactExecutor, **options: Any) -> set[int]:
    """The steps that a run makes as parts of stretches."""
    plan = executor._plan_of(options.get("keep", False), include_virtual=options.get("include_virtual", False))
    stretches = [part for part in plan.parts if isinstance(part, tape.Stretch)]
    return {number for stretch in stretches for number in stretch.steps if number >= 0}


def assert_one(
    made: Program, inputs: Sequence[Array], weights: Sequence[Array] = (), *, joined: bool = True
) -> Outcome:
    """All ways to run a program agree, whatever is kept; the outcome with everything kept."""
    together = ExactExecutor(made, weights, accelerate=True)
    others = [ExactExecutor(made, weights, joins=False), ExactExecutor(made, weights, accelerate=False)]
    options: list[dict[str, Any]] = [{}, {"keep": True}, {"keep": True, "include_virtual": True}]
    assert (len(joined_steps(together, **options[2])) == len(made.steps)) is joined
    found: Outcome = {}
    for option in options:
        found = outcome(together, inputs, **option)
        assert all(outcome(other, inputs, **option) == found for other in others)
    return found


@pytest.mark.parametrize("rows", [1, 3, 4, 9])
@pytest.mark.parametrize(("terms", "columns"), [(1, 1), (5, 3), (17, 4), (64, 33), (130, 8), (70, 48)])
@pytest.mark.parametrize("constant", [True, False])
def test_products_of_every_shape_agree_with_the_referee(rows: int, terms: int, columns: int, constant: bool) -> None:
    """Rows and columns that fill no tile, and terms that fill no four, are summed as the rest."""
    generator = np.random.default_rng(rows * terms + columns)
    made = matmul(rows, terms, columns, constant=constant, lower=-1.0 if columns == 8 else None)
    weights, inputs = weights_of(made, generator, spread=4), inputs_of(made, generator, spread=4)
    found = assert_one(made, inputs, weights)
    assert isinstance(found, dict) and found[len(made.inputs)] == refereed(made, inputs, weights)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": 3, "padding": 1},
        {"kernel": 3, "padding": 2, "stride": 2, "upper": 0.5},
        {"kernel": 2, "padding": 3, "dilation": 3},
        {"kernel": 1, "padding": 0, "groups": 2},
        {"kernel": 3, "padding": 1, "groups": 4},
    ],
)
def test_windows_over_edges_agree_with_the_referee(options: dict[str, Any]) -> None:
    """Terms outside of the tensor add nothing, in groups, strides and dilations."""
    generator = np.random.default_rng(7)
    made = convolution(5, 4, 8, **options)
    weights, inputs = weights_of(made, generator), inputs_of(made, generator)
    found = assert_one(made, inputs, weights)
    assert isinstance(found, dict) and found[1] == refereed(made, inputs, weights)


@pytest.mark.parametrize("divisor", [0, 1, 9, 2**31 - 1])
def test_sums_with_any_divisor_agree_with_the_referee(divisor: int) -> None:
    """The number of terms that count differs from row to row; other divisors do not."""
    made = average_pool(5, 3, divisor=divisor)
    inputs = inputs_of(made, np.random.default_rng(divisor % 97), spread=8)
    found = assert_one(made, inputs)
    assert isinstance(found, dict) and found[1] == refereed(made, inputs)


def halfway(columns: int) -> tuple[Program, tuple[Array, ...], tuple[Array, ...]]:
    """Sums halfway between two floats, beside that by the least product, cancelled to subnormals, beyond all floats."""
    made = matmul(2, 4, columns)
    x = np.array([[1.0, 2.0**-24, 2.0**-149, -1.0], [2.0**127, 2.0**127, 2.0**-126, 1.0]], dtype=np.float32)
    rows = [[1, 1, 0, 0], [1, 1, 2.0**-149, 0], [1, 1, -(2.0**-149), 0], [1, 0, 1, 1], [1, 1, 0, 1], [-1, -1, 1, 1]]
    w = np.array([rows[j % len(rows)] for j in range(columns)], dtype=np.float32)
    bias = np.zeros(columns, dtype=np.float32)
    return made, (w, bias), (x,)


@pytest.mark.parametrize("columns", [3, 6, 40])
def test_sums_that_floats_leave_open_are_exact(columns: int) -> None:
    """Ties go to even, and what lies beside one by the least product does not."""
    made, weights, inputs = halfway(columns)
    found = assert_one(made, inputs, weights)
    assert isinstance(found, dict) and found[1] == refereed(made, inputs, weights)


@pytest.mark.parametrize("columns", [2, 9])
def test_infinite_operand_of_a_sum_ends_the_run_with_the_same_words(columns: int) -> None:
    """The step and the element are named as if nothing had been joined, also where a bound would hide it."""
    made = matmul(3, 5, columns, lower=0.0, upper=0.0)
    generator = np.random.default_rng(1)
    x = random_floats(generator, (3, 5))
    x[1, 2] = np.inf
    found = assert_one(made, (x,), weights_of(made, generator))
    assert isinstance(found, tuple) and "step 0 (contract): element" in found[1]


def bytes_product(left: DType, right: DType, zeros: tuple[int, int], *, terms: int, columns: int) -> Program:
    """[3, terms] × [columns, terms]ᵀ + [columns] of bytes."""
    body = Contract(
        left=value(0, (terms, 0)),
        right=weight(0, (0, terms)),
        bias=weight(1, (0, 1)),
        reductions=(Reduction(extent=terms, left_stride=1, right_stride=1),),
        left_zero=zeros[0],
        right_zero=zeros[1],
    )
    types = (tensor((columns, terms), right), tensor((columns,), DType.INT32))
    return program((tensor((3, terms), left),), (step(body, (3, columns), DType.INT32),), types)


@pytest.mark.parametrize("terms", [1, 2, 31, 2000])
@pytest.mark.parametrize(
    ("left", "right", "zeros"),
    [
        (DType.UINT8, DType.INT8, (255, 127)),
        (DType.INT8, DType.INT8, (-128, -128)),
        (DType.UINT8, DType.UINT8, (0, 255)),
    ],
)
def test_sums_of_extreme_bytes_agree_with_the_referee(
    left: DType, right: DType, zeros: tuple[int, int], terms: int
) -> None:
    """Differences of nine bits, the longest sums of them and a bias that makes them wrap."""
    made = bytes_product(left, right, zeros, terms=terms, columns=17)
    generator = np.random.default_rng(terms)
    tables = [np.iinfo(dtype.numpy) for dtype in (left, right)]
    x = generator.choice([tables[0].min, tables[0].max], (3, terms)).astype(left.numpy)
    w = generator.choice([tables[1].min, tables[1].max], (17, terms)).astype(right.numpy)
    x[0], w[0] = tables[0].max if zeros[0] <= 0 else tables[0].min, tables[1].min
    bias = generator.choice([2**31 - 1, -(2**31), 5], 17).astype(np.int32)
    found = assert_one(made, (x,), (w, bias))
    assert isinstance(found, dict) and found[1] == refereed(made, (x,), (w, bias))


@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_windows_of_bytes_over_edges_agree_with_the_referee(dtype: DType, channels: int) -> None:
    """Terms outside of the tensor add nothing, although the zero point is not 0."""
    floats = convolution(5, channels, 6)
    body = floats.steps[0].body
    assert isinstance(body, Contract)
    zeroed = Contract(left=body.left, right=body.right, bias=body.bias, reductions=body.reductions, left_zero=3)
    types = (tensor(floats.weights[0].shape, DType.INT8), tensor((6,), DType.INT32))
    made = program((tensor((1, 5, 5, channels), dtype),), (step(zeroed, floats.steps[0].axes, DType.INT32),), types)
    generator = np.random.default_rng(channels)
    x = generator.integers(0, 127, made.inputs[0].shape).astype(dtype.numpy)
    w = generator.integers(-128, 128, types[0].shape).astype(np.int8)
    bias = np.arange(6, dtype=np.int32)
    found = assert_one(made, (x,), (w, bias))
    assert isinstance(found, dict) and found[1] == refereed(made, (x,), (w, bias))


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.INT8, DType.INT64, DType.BOOL])
def test_copies_of_every_width_agree_with_the_referee(dtype: DType) -> None:
    """Pieces over a fill, backwards and spread out, of one, four and eight bytes."""
    pieces = (
        Piece(source=value(0, (4, 1)), starts=(1, 0), stops=(3, 4), every=(1, 2)),
        Piece(source=value(0, (-4, -1), offset=11), starts=(0, 1), stops=(3, 5), every=(1, 1)),
    )
    made = program((tensor((3, 4), dtype),), (step(Copy(pieces=pieces, fill=1), (4, 6), dtype),))
    x = np.random.default_rng(1).integers(0, 2, (3, 4)).astype(dtype.numpy)
    found = assert_one(made, (x,))
    assert isinstance(found, dict) and found[1] == refereed(made, (x,))


@pytest.mark.parametrize("kind", [DType.INT32, DType.INT64])
@pytest.mark.parametrize("index", [[-6, 5, 0], [6, 0, 1], [0, -7, 1]])
def test_lookups_within_and_outside_of_a_table_are_the_same(kind: DType, index: list[int]) -> None:
    """Negative indices count from the end; one too far ends the run with the same words."""
    body = Lookup(source=weight(0, (0, 1)), index=value(0, (1, 0)), extents=(3, 2), strides=(8, 4))
    made = program((tensor((3,), kind),), (step(body, (3, 4)),), (tensor((6, 4)),))
    table = np.arange(24, dtype=np.float32).reshape(6, 4)
    found = assert_one(made, (np.array(index, dtype=kind.numpy),), (table,))
    assert isinstance(found, dict) is (index == [-6, 5, 0])


def chain() -> Program:
    """A sigmoid, a division by it less an input, and the position of the greatest."""
    body = Extremum(source=value(3, (0,)), reductions=(Reduction(extent=4, left_stride=1),), largest=True)
    steps = (
        step(Pointwise(function=F.SIGMOID, operands=(value(0, (1,)),)), (4,)),
        step(Pointwise(function=F.SUB, operands=(value(1, (1,)), value(0, (1,)))), (4,)),
        step(Pointwise(function=F.DIV, operands=(value(0, (1,)), value(2, (1,)))), (4,)),
        step(body, (1,), DType.INT64),
    )
    made = program((tensor((4,)),), steps)
    return Program(inputs=made.inputs, weights=(), steps=steps, outputs=made.outputs)


def test_what_a_stretch_cannot_decide_is_decided_outside_of_it_and_goes_on() -> None:
    """A sigmoid too near to a midpoint for float64 is computed by decimals; the steps after it see it."""
    x = np.array([-(2.0**-24), 1.0, 2.0, -(2.0**-24)], dtype=np.float32)
    found = assert_one(chain(), (x,))
    assert isinstance(found, dict) and found[1] == refereed(unary(F.SIGMOID, 4), (x,))


def test_failure_within_a_stretch_leaves_the_executor_usable() -> None:
    """The failure names its step; the next run is not touched by what the failed one left."""
    made = program(
        (tensor((4,)),), (*chain().steps[:1], step(Pointwise(function=F.SQRT, operands=(value(0, (1,)),)), (4,)))
    )
    executor = ExactExecutor(made, ())
    good, bad = np.full(4, 2.0, dtype=np.float32), np.array([1, 4, -1, 9], dtype=np.float32)
    before = outcome(executor, (good,), keep=True)
    found = assert_one(made, (bad,))
    assert isinstance(found, tuple) and found[1] == "step 1 (pointwise): element 2: SQRT gave NaN"
    assert outcome(executor, (bad,)) == found
    assert outcome(executor, (good,), keep=True) == before


def test_input_that_is_no_number_is_rejected_by_its_number() -> None:
    """NaN is found wherever it is, before any step."""
    made = program((tensor((3,)), tensor((2, 2))), (step(Pointwise(function=F.NEG, operands=(value(1, (1,)),)), (4,)),))
    x, y = np.zeros(3, dtype=np.float32), np.array([[0, 1], [np.nan, 2]], dtype=np.float32)
    assert assert_one(made, (x, y)) == (InputRejected, "input 1 holds NaN")


def test_inputs_of_any_memory_order_are_read_and_left_alone() -> None:
    """Transposed, strided and read-only arrays are copied; −0 comes back as +0."""
    made = program((tensor((3, 4)),), (step(Pointwise(function=F.NEG, operands=(value(0, (1,)),)), (12,)),))
    base = -np.arange(24, dtype=np.float32).reshape(4, 6)
    base.flags.writeable = False
    seen = base.T[::2]
    executor = ExactExecutor(made, ())
    found = executor.run((seen,))
    assert words(found[0]) == words(np.ascontiguousarray(seen) + np.float32(0))
    assert not np.signbit(found[0].reshape(-1)[0]) and np.signbit(base[0, 0])
    found[0][...] = 7
    assert words(executor.run((seen,))[1]) == words(-np.ascontiguousarray(seen) + np.float32(0))


def random_program(generator: np.random.Generator, length: int) -> Program:
    """Steps over [4, 6] floats, each of random values before it: arithmetic, products, pools, copies, choices."""
    axes, first = (4, 6), 2
    steps: list[Step] = []

    def operand(strides: tuple[int, ...] = (6, 1)) -> Operand:
        return value(int(generator.integers(0, first + len(steps))), strides)

    def contraction() -> Contract:
        reductions = (Reduction(extent=6, left_stride=1, right_stride=1),)
        right = weight(0, (0, 6)) if generator.random() < 0.5 else operand((0, 4))
        reductions = reductions if right.strides == (0, 6) else (Reduction(extent=4, left_stride=1, right_stride=1),)
        return Contract(left=operand((6, 0)), right=right, bias=operand((0, 1)), reductions=reductions, divisor=3)

    def chosen(*functions: Function) -> Function:
        return functions[int(generator.integers(len(functions)))]

    piece = Piece(source=value(0, (-6, 1), offset=7), starts=(0, 1), stops=(2, 5), every=(1, 2))
    makers: list[Callable[[], Any]] = [
        lambda: Pointwise(function=chosen(F.ADD, F.SUB, F.MUL, F.MAX), operands=(operand(), operand((0, 1)))),
        lambda: Pointwise(function=chosen(F.TANH, F.SIGMOID, F.ERF, F.RELU), operands=(operand(),)),
        lambda: Pointwise(function=F.CLIP, operands=(operand(),), alpha=-2.0, beta=3.0),
        lambda: Copy(pieces=(piece, replace(piece, source=operand(), starts=(1, 0), stops=(3, 6))), fill=0),
        contraction,
    ]
    for _ in range(length):
        steps.append(step(makers[int(generator.integers(len(makers)))](), axes))
    return program((tensor(axes), tensor(axes)), steps, (tensor((6, 6)),))


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_give_the_same_bits_every_way(seed: int) -> None:
    """Any mixture of steps, its values read across each other, agrees value by value."""
    generator = np.random.default_rng(seed)
    made = random_program(generator, 25)
    weights, inputs = weights_of(made, generator, spread=2), inputs_of(made, generator, spread=6)
    found = assert_one(made, inputs, weights)
    assert isinstance(found, dict) and len(found) == 27


def mixed() -> Program:
    """A large product between small steps, which no stretch takes in."""
    return program(
        (tensor((256, 128)),),
        (
            step(Pointwise(function=F.TANH, operands=(value(0, (128, 1)),)), (256, 128)),
            step(
                Contract(
                    left=value(1, (128, 0)),
                    right=weight(0, (0, 128)),
                    reductions=(Reduction(extent=128, left_stride=1, right_stride=1),),
                ),
                (256, 64),
            ),
            step(Pointwise(function=F.RELU, operands=(value(2, (64, 1)),)), (256, 64)),
        ),
        (tensor((64, 128)),),
    )


def test_large_steps_stay_outside_and_values_cross_over() -> None:
    """What one side computes the other reads, whatever is kept."""
    generator = np.random.default_rng(3)
    made = mixed()
    weights, inputs = weights_of(made, generator), inputs_of(made, generator)
    found = assert_one(made, inputs, weights, joined=False)
    assert isinstance(found, dict) and joined_steps(ExactExecutor(made, weights)) == {0, 2}


def test_every_value_is_told_in_order_and_stays_as_it_was() -> None:
    """Listeners get inputs first, then each step's value once; later steps and runs do not write into them."""
    generator = np.random.default_rng(4)
    made = random_program(generator, 12)
    weights, inputs = weights_of(made, generator), inputs_of(made, generator)
    executor = ExactExecutor(made, weights)
    told: list[tuple[int, Array]] = []
    executor.run(inputs, include_virtual=True, on_value=lambda number, array: told.append((number, array)))
    expected = executor.run(inputs, keep=True, include_virtual=True)
    executor.run(inputs_of(made, generator))
    assert [number for number, _ in told] == sorted(expected)
    assert {number: words(array) for number, array in told} == {n: words(array) for n, array in expected.items()}


def test_many_threads_of_one_executor_do_not_disturb_each_other() -> None:
    """Each run has a memory of its own, although kernels run side by side."""
    generator = np.random.default_rng(5)
    made = random_program(generator, 30)
    weights = weights_of(made, generator)
    cases = [inputs_of(made, generator, spread=4) for _ in range(8)]
    expected = [outcome(ExactExecutor(made, weights, joins=False), case, keep=True) for case in cases]
    executor = ExactExecutor(made, weights)
    wrong: list[int] = []

    def work(number: int) -> None:
        wrong.extend(number for _ in range(40) if outcome(executor, cases[number], keep=True) != expected[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(executor._spare) <= 8


@pytest.mark.parametrize("columns", [8, 64])
def test_sums_that_nothing_but_integers_decide_stay_affordable(columns: int) -> None:
    """Weights that leave every element halfway cost a bounded time per term, in a stretch (8 columns) and outside."""
    made = matmul(8, 8192, columns)
    generator = np.random.default_rng(1)
    x, w = random_floats(generator, (8, 8192)), random_floats(generator, (columns, 8192))
    x[:, 1::2], w[:, 1::2] = x[:, ::2], -w[:, ::2]
    for place, left, right in ((0, 2.0**60, 1), (-1, 2.0**60, -1), (1, 1, 1), (2, 1, 2.0**-24), (3, 0, 0), (-2, 0, 0)):
        x[:, place], w[:, place] = left, right
    executor = ExactExecutor(made, (w, np.zeros(columns, dtype=np.float32)))
    executor.run((x,))
    started = time.thread_time()
    found = executor.run((x,))
    # Measured: 15 ns per term; this leaves room for machines ten times as slow.
    assert time.thread_time() - started < 150e-9 * 8 * 8192 * columns
    # The even one of the two floats that 1 + 2**-24 lies halfway between.
    assert np.array_equal(found[1], np.ones((8, columns), dtype=np.float32))


def test_operands_that_float64_leaves_open_are_decided_once_each() -> None:
    """A request of nothing but the hardest sigmoid takes no decimals per element."""
    count = 100_000
    executor = ExactExecutor(unary(F.SIGMOID, count), ())
    x = np.full(count, -(2.0**-24), dtype=np.float32)
    executor.run((x,))
    started = time.thread_time()
    found = executor.run((x,))
    # Measured: 35 ns per element; decimals take 100 microseconds.
    assert time.thread_time() - started < 2e-6 * count
    assert set(words(found[1])) == set(refereed(unary(F.SIGMOID, 1), (x[:1],)))


def test_windows_that_are_many_and_long_make_no_table() -> None:
    """A table of where every term of every window lies is made only where it is small."""
    body = Extremum(source=value(0, (0, 0)), reductions=(Reduction(extent=4096, left_stride=1),), largest=True)
    made = program((tensor((4096,)),), (step(body, (1 << 12, 2), DType.INT64),))
    executor = ExactExecutor(made, ())
    assert not joined_steps(executor)
    assert executor.run((np.arange(4096, dtype=np.float32),))[1].min() == 4095


@pytest.mark.parametrize("function", sorted(codes.CURVES))
def test_curves_are_eight_times_as_good_as_their_bound(function: Function) -> None:
    """Against decimals, over all sizes of arguments; the bound is what decides every rounded value."""
    generator = np.random.default_rng(int(function))
    sizes = np.exp2(generator.uniform(-40, 8, 1500)) * generator.choice([-1, 1], 1500)
    grid = np.linspace(-7, 7, 548)
    x = np.concatenate([sizes, grid]).astype(np.float32)
    out, rows = np.empty(x.size), np.empty(2 * codes.CHUNK)
    pieces = np.ascontiguousarray(erf_pieces().T).reshape(-1)
    for first in range(0, x.size, codes.CHUNK):
        part = slice(first, min(first + codes.CHUNK, x.size))
        curves.approximate(int(function), x[part], 1.5, pieces, rows, out[part])
    with localcontext() as context:
        context.prec = 80
        for point, found in zip(x.tolist(), out.tolist(), strict=True):
            true = evaluate(function, Decimal(point), Decimal("1.5"))
            if point and abs(true) > Decimal(2.0**-200):
                assert abs(Decimal(found) - true) <= abs(true) * Decimal(BOUND / 8), point


def test_plans_and_memories_do_not_pile_up() -> None:
    """However many sets of values are asked for, only so many plans are kept, and one memory serves run after run."""
    generator = np.random.default_rng(6)
    made = random_program(generator, 9)
    weights, inputs = weights_of(made, generator), inputs_of(made, generator)
    executor = ExactExecutor(made, weights)
    for number in range(300):
        executor.run(inputs, keep={2 + bit for bit in range(9) if number >> bit & 1})
    assert len(executor._plans) <= 64 and len(executor._spare) == 1


def test_kept_kernels_are_named_after_every_source_they_are_made_of() -> None:
    """Numba looks at the file of the outermost function alone, so the digest has to cover all that it calls."""
    folder = Path(jit.__file__).parent
    pattern = re.compile(r"^from sworn\.engine\.exact\.([\w.]+) import", re.MULTILINE)
    seen, waiting = set(), ["tape.loop"]
    while waiting:
        name = waiting.pop()
        path = folder / (name.replace(".", "/") + ".py")
        if name in seen or not path.exists():
            continue
        seen.add(name)
        waiting += pattern.findall(path.read_text())
    assert {name.replace(".", "/") + ".py" for name in seen} == set(jit.TAPE_SOURCES)


def test_type_of_inputs_is_still_checked() -> None:
    """A wrong shape or type never reaches the arena."""
    made = program(
        (TensorType(dtype=DType.FLOAT32, shape=(2, 2)),),
        (step(Pointwise(function=F.NEG, operands=(value(0, row_major((2, 2))),)), (2, 2)),),
    )
    executor = ExactExecutor(made, ())
    for bad in (np.zeros((4,), dtype=np.float32), np.zeros((2, 2))):
        with pytest.raises(InputRejected, match="input 0 is"):
            executor.run((bad,))
    with pytest.raises(InputRejected, match="0 tensors where 1 belong"):
        executor.run(())
