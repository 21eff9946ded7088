"""What the words of a tape mean: instructions, and what an arena holds where.

An instruction is its code, its length in words, and what its kernel says. An arena is the private memory of one run:
counters, a few rows of float64, temporary tensors of single steps, then the values and small constants of the program.
Places are counted in elements of the type in question.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from sworn.model.program import Function

CANONICAL: Final = 0
GATHER: Final = 1
LOOKUP: Final = 2
WHERE: Final = 3
BINARY: Final = 4
UNARY: Final = 5
CURVE: Final = 6
COMPARE: Final = 7
LOGIC: Final = 8
INTEGER: Final = 9
CAST: Final = 10
QUANTIZE: Final = 11
DEQUANTIZE: Final = 12
REQUANTIZE: Final = 13
CONTRACT: Final = 14
SUM_PRODUCTS: Final = 15
CONTRACT_BYTES: Final = 16
EXTREMUM: Final = 17
TREE: Final = 18

#: Elements of a curve that are computed at a time.
CHUNK: Final = 256
#: Counters of a gather: one word per dimension.
MAX_DIMENSIONS: Final = 8
#: float64 rows of `CHUNK` that curves use, after the counters.
CURVE_ROWS: Final = 3
#: Where temporary tensors begin and end, in bytes.
TEMPORARY_FIRST: Final = 8 * (MAX_DIMENSIONS + CURVE_ROWS * CHUNK)
TEMPORARY_END: Final = 4 << 20
#: Every place is a multiple of this many bytes.
ALIGNMENT: Final = 64

#: What `BINARY`, `UNARY`, `CURVE` and `INTEGER` know.
BINARY_FUNCTIONS: Final = frozenset(
    {Function.ADD, Function.SUB, Function.MUL, Function.DIV, Function.MIN, Function.MAX, Function.PRELU}
)
UNARY_FUNCTIONS: Final = frozenset(
    {
        *(Function.NEG, Function.ABS, Function.SIGN, Function.SQRT, Function.RECIPROCAL, Function.FLOOR),
        *(Function.CEIL, Function.ROUND, Function.LEAKY_RELU, Function.RELU, Function.CLIP),
    }
)
CURVES: Final = frozenset({Function.EXP, Function.TANH, Function.SIGMOID, Function.ERF, Function.ELU})
INTEGER_FUNCTIONS: Final = frozenset({Function.ADD, Function.SUB, Function.MUL})
#: What `CAST` knows, by the names of types in numpy.
CASTS: Final = MappingProxyType(
    {("int32", "int64"): 0, ("int32", "float32"): 1, ("bool", "float32"): 2, ("float32", "bool"): 3}
)
