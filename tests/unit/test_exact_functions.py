from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.ieee754 import BINARY32
from tests.support.programs import bits, program, random_floats, step, tensor, unary, value
from tests.support.refereeing import executed, refereed

from sworn.engine.exact import ExactExecutor, functions
from sworn.engine.exact.rounding import round_function
from sworn.errors import ConfigurationError
from sworn.model.program import Function, Pointwise, Program, TensorType
from sworn.types import DType

Array = NDArray[Any]

F = Function

REFERENCES = {
    F.EXP: mpmath.exp,
    F.LOG: mpmath.log,
    F.TANH: mpmath.tanh,
    F.SIGMOID: lambda x: 1 / (1 + mpmath.exp(-x)),
    F.ERF: mpmath.erf,
    F.SOFTPLUS: lambda x: mpmath.log1p(mpmath.exp(x)),
    F.SIN: mpmath.sin,
    F.COS: mpmath.cos,
}
EDGE_WORDS = [0, 1, 2, 0x7FFFFF, 0x800000, 0x33000000, 0x33800000, 0x34000000, 0x3EFFFFFF, 0x3F000000, 0x3F7FFFFF]
EDGE_WORDS += [0x3F800000, 0x3F800001, 0x40200000, 0x40490FDB, 0x42B17218, 0x42CFF1B5, 0x4B000000, 0x4F000000]
EDGE_WORDS += [0x7F7FFFFF, 0x7F800000]
EDGES = np.array(EDGE_WORDS + [word | 0x80000000 for word in EDGE_WORDS[1:]], dtype=np.uint32).view(np.float32)


def samples(generator: np.random.Generator, count: int) -> Array:
    """Finite floats of ordinary and of any size."""
    wild = generator.integers(0, 2**32, count // 4, dtype=np.uint64).astype(np.uint32).view(np.float32)
    ordinary = random_floats(generator, (count - count // 4,), spread=6)
    return np.concatenate([ordinary, wild[np.isfinite(wild)]]) + np.float32(0)


def reference_bits(function: Function, x: float) -> int:
    """RN of the function by 120 digits of mpmath."""
    with mpmath.workdps(120):
        # Farther out all but softplus, sine and cosine are 0, 1 or beyond the greatest float; so is exp of it.
        if function is F.SOFTPLUS and x > 300:
            return int(np.float32(x).view(np.uint32))
        far = x if function in (F.LOG, F.SIN, F.COS) else min(max(x, -300.0), 300.0)
        true = REFERENCES[function](mpmath.mpf(far))
        if true > 2.0**129:
            return BINARY32.infinity
        sign, mantissa, exponent, _ = true._mpf_
    rational = Fraction(-int(mantissa) if sign else int(mantissa)) * Fraction(2) ** int(exponent)
    nearest = BINARY32.nearest(rational)
    return BINARY32.infinity if nearest is None else nearest


@pytest.mark.parametrize("function", REFERENCES)
def test_function_of_random_floats_is_the_rounded_real(function: Function) -> None:
    """Every result is what 120 digits round to, by both kernels."""
    generator = np.random.default_rng(int(function))
    x = samples(generator, 400)
    x = np.abs(x) + np.float32(1e-45) if function is F.LOG else x
    made = unary(function, x.size)
    expected = [reference_bits(function, float(item)) for item in x]
    assert executed(made, (x,)) == expected == executed(made, (x,), accelerate=False)


@pytest.mark.parametrize("function", REFERENCES)
def test_function_by_decimals_alone_is_the_rounded_real(function: Function) -> None:
    """The slow path, which ordinary numbers do not need, is right about them too."""
    x = samples(np.random.default_rng(1000 + int(function)), 40)
    x = np.abs(x) + np.float32(1e-45) if function is F.LOG else x
    slow = np.array([round_function(function, float(item), 0.0) for item in x], dtype=np.float32)
    assert bits(slow).tolist() == [reference_bits(function, float(item)) for item in x]


def test_sigmoid_closest_to_a_midpoint_is_decided_by_decimals() -> None:
    """At −2**-24 the sigmoid is 2**-76.6 of itself away from halfway between two floats."""
    x = np.array([-(2.0**-24)], dtype=np.float32)
    assert executed(unary(F.SIGMOID, 1), (x,)) == [reference_bits(F.SIGMOID, float(x[0]))]


UNARY = [F.NEG, F.ABS, F.SIGN, F.SQRT, F.RECIPROCAL, F.FLOOR, F.CEIL, F.ROUND, F.EXP, F.LOG, F.TANH, F.SIGMOID]
UNARY += [F.ERF, F.SOFTPLUS, F.SIN, F.COS, F.RELU]
SETTINGS = [(function, 0.0, 0.0) for function in UNARY]
SETTINGS += [(F.POW, alpha, 0.0) for alpha in (0.0, 0.5, -0.5, 1.0, 2.0, 3.0, -1.0, -2.0, 1.5, 0.25, -3.0, 2.5)]
SETTINGS += [(F.ELU, alpha, 0.0) for alpha in (1.0, 0.0, -1.5)] + [(F.LEAKY_RELU, alpha, 0.0) for alpha in (0.0, -2.0)]
SETTINGS += [(F.HARD_SIGMOID, float(np.float32(0.2)), 0.5), (F.HARD_SIGMOID, float(np.float32(1 / 6)), 0.5)]
SETTINGS += [(F.CLIP, -1.5, math.inf), (F.CLIP, 0.0, 6.0)]


def compare(made: Program, inputs: tuple[Array, ...]) -> None:
    """The referee's bits wherever it has any, and its failures one by one."""
    expected = refereed(made, inputs)
    good = [index for index, item in enumerate(expected) if isinstance(item, int)]
    if good:
        assert executed(resized(made, len(good)), tuple(array[good] for array in inputs)) == [expected[i] for i in good]
    for index in [index for index, item in enumerate(expected) if not isinstance(item, int)][:20]:
        failure = expected[index]
        assert isinstance(failure, type)
        with pytest.raises(failure):
            executed(resized(made, 1), tuple(array[index : index + 1] for array in inputs))


def resized(made: Program, elements: int) -> Program:
    """The same pointwise step over another number of elements."""
    inputs = [TensorType(dtype=item.dtype, shape=(elements,)) for item in made.inputs]
    return program(inputs, (step(made.steps[0].body, (elements,), made.steps[0].output.dtype),))


def pointwise(function: Function, inputs: tuple[Array, ...], output: DType, **parameters: float) -> Program:
    """A function of equally long vectors."""
    operands = tuple(value(number, (1,)) for number in range(len(inputs)))
    types = [tensor(array.shape, DType[array.dtype.name.upper()]) for array in inputs]
    body = Pointwise(function=function, operands=operands, **parameters)
    return program(types, (step(body, inputs[0].shape, output),))


@pytest.mark.parametrize(("function", "alpha", "beta"), SETTINGS)
def test_function_at_edges_agrees_with_the_referee(function: Function, alpha: float, beta: float) -> None:
    """Zeros, subnormals, infinities and failures are the referee's."""
    x = np.concatenate([EDGES, samples(np.random.default_rng(5), 60)])
    compare(unary(function, x.size, alpha=alpha, beta=beta), (x,))


@pytest.mark.parametrize("function", [F.ADD, F.SUB, F.MUL, F.DIV, F.MIN, F.MAX, F.FMOD, F.PRELU])
def test_operation_on_float_pairs_agrees_with_the_referee(function: Function) -> None:
    """One IEEE operation is one rounding; what is −0 becomes +0 and what is NaN ends the run."""
    generator = np.random.default_rng(int(function))
    pool = np.concatenate([EDGES, samples(generator, 60)])
    pairs = generator.choice(pool, (2, 1200))
    compare(pointwise(function, (pairs[0], pairs[1]), DType.FLOAT32), (pairs[0], pairs[1]))


def integers(dtype: DType, generator: np.random.Generator, count: int) -> Array:
    """Integers of a type, its limits and what lies around zero among them."""
    limits = np.iinfo(dtype.numpy)
    edges = [limits.min, limits.max, limits.max - 1, limits.min + 1, 0, 1, 2, 3, *([-1, -2] if limits.min else [])]
    edges += [2**62, 2**53 + 1, 2**60 + 2**36, 2**60 + 2**36 + 1] if dtype.itemsize == 8 else []
    wild = generator.integers(limits.min, limits.max, 30, dtype=dtype.numpy, endpoint=True)
    return generator.choice(np.concatenate([np.array(edges, dtype=dtype.numpy), wild]), count)


INTEGERS = (DType.INT8, DType.UINT8, DType.INT16, DType.UINT16, DType.INT32, DType.UINT32, DType.INT64, DType.UINT64)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_operations_on_integers_agree_with_the_referee(dtype: DType) -> None:
    """Wrapping, truncation, signs of remainders, divisions by zero, and casts of every kind."""
    generator = np.random.default_rng(int(dtype))
    a, b = integers(dtype, generator, 200), integers(dtype, generator, 200)
    for function in (F.ADD, F.SUB, F.MUL, F.DIV, F.MIN, F.MAX, F.MOD, F.FMOD):
        compare(pointwise(function, (a, b), dtype), (a, b))
    for function in (F.NEG, F.ABS, F.SIGN, F.RELU):
        compare(pointwise(function, (a,), dtype), (a,))
    for output in (DType.FLOAT32, DType.BOOL, DType.INT8, DType.UINT64):
        compare(pointwise(F.CAST, (a,), output), (a,))
    x = np.concatenate([EDGES, random_floats(generator, (100,), spread=9)])
    compare(pointwise(F.CAST, (x,), dtype), (x,))
    compare(pointwise(F.LESS, (a, b), DType.BOOL), (a, b))


@pytest.mark.parametrize("dtype", [DType.INT8, DType.UINT8])
def test_quantisation_of_floats_agrees_with_the_referee(dtype: DType) -> None:
    """Ties to even, saturation, infinite quotients and zero scales."""
    generator = np.random.default_rng(int(dtype))
    pool = np.concatenate([EDGES, samples(generator, 60), (generator.integers(-300, 300, 60) / 4).astype(np.float32)])
    x, scale, zero = generator.choice(pool, 800), generator.choice(pool, 800), integers(dtype, generator, 800)
    scale[:400] = 0.5
    compare(pointwise(F.QUANTIZE, (x, scale, zero), dtype), (x, scale, zero))
    for source in (dtype, DType.INT32):
        a, c = integers(source, generator, 800), integers(source, generator, 800)
        compare(pointwise(F.DEQUANTIZE, (a, scale, c), DType.FLOAT32), (a, scale, c))
    wide = integers(DType.INT32, generator, 800)
    wide[:400] = generator.integers(-900, 900, 400)
    compare(pointwise(F.REQUANTIZE, (wide, scale, zero), dtype), (wide, scale, zero))


def test_function_on_an_inaccurate_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A float64 function that is off by more than its bound allows is found before it is used."""
    monkeypatch.setattr(functions, "approximate", lambda function, x, alpha: np.exp(x) * (1 + 2.0**-40))
    functions.check_function.cache_clear()
    with pytest.raises(ConfigurationError):
        ExactExecutor(unary(F.EXP, 3), ())
    functions.check_function.cache_clear()
