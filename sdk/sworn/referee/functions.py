"""Every `Function` of a program on bits: float32, integers and booleans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sworn.errors import CastOutOfRange, ModelMalformed, RunNotFinite
from sworn.model.program import Function
from sworn.referee import arithmetic, floats, integers, unary
from sworn.types import DType

_DOUBLE_MAGNITUDE = (1 << 63) - 1
_DOUBLE_INFINITY = 0x7FF << 52
_TERNARY = 3
#: What floats are quantised to.
_QUANTIZED = frozenset({DType.UINT8, DType.INT8, DType.UINT16, DType.INT16})
_DEQUANTIZED = _QUANTIZED | {DType.INT32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function with its operands' bits and types, the type of its result and the step's parameters."""

    function: Function
    operands: tuple[int, ...]
    dtypes: tuple[DType, ...]
    output: DType
    alpha: float = 0.0
    beta: float = 0.0

    def integer(self, number: int) -> int:
        """The value of an integer operand."""
        return integers.decode(self.operands[number], self.dtypes[number])

    def optional_integer(self, number: int) -> int:
        """The value of an integer operand of the output's type; 0 where there is none."""
        if number >= len(self.operands):
            return 0
        self.require(self.dtypes[number] is self.output)
        return self.integer(number)

    def require(self, condition: bool) -> None:
        """Raises `ModelMalformed` unless the condition holds."""
        if not condition:
            types = ", ".join(dtype.name for dtype in self.dtypes)
            raise ModelMalformed(f"{self.function.name}({types}) → {self.output.name} is not defined")


def apply(call: Call) -> int:
    """The bits of a function's result.

    Raises `RunNotFinite` where an operand is or the result would be NaN, `DivisionByZero`, `CastOutOfRange`, and
    `ModelMalformed` for a function that is not defined for these types, operands or parameters.
    """
    call.require(len(call.operands) == len(call.dtypes) and len(call.operands) in _arity(call.function))
    call.require(DType.FLOAT64 not in (*call.dtypes, call.output))
    special = _SPECIAL.get(call.function)
    if special is not None:
        return special(call)
    if call.function in _COMPARISONS:
        call.require(call.output is DType.BOOL and call.dtypes[0] is call.dtypes[1])
        call.require(call.function is Function.EQUAL or call.dtypes[0] is not DType.BOOL)
        return int(_COMPARISONS[call.function](*(order_key(bits, call.dtypes[0]) for bits in call.operands)))
    call.require(all(dtype is call.output for dtype in call.dtypes))
    if call.output is DType.FLOAT32:
        return _on_floats(call)
    call.require(call.output in integers.INTEGERS and call.function in _ON_INTEGERS)
    values = (integers.decode(bits, call.output) for bits in call.operands)
    return integers.wrap(_ON_INTEGERS[call.function](*values), call.output)


def canonical(bits: int, dtype: DType) -> int:
    """The bits as a step writes them: −0 as +0. Raises `RunNotFinite` for NaN."""
    if dtype is DType.FLOAT32:
        return floats.canonical(bits)
    if dtype is DType.FLOAT64:
        if bits & _DOUBLE_MAGNITUDE > _DOUBLE_INFINITY:
            raise RunNotFinite("a value is NaN")
        return bits if bits & _DOUBLE_MAGNITUDE else 0
    return int(bits != 0) if dtype is DType.BOOL else bits


def order_key(bits: int, dtype: DType) -> int:
    """An integer that orders elements as their values. Raises `RunNotFinite` for NaN."""
    return floats.order_key(bits) if dtype is DType.FLOAT32 else integers.decode(bits, dtype)


def _arity(function: Function) -> range:
    if function in _ON_TWO:
        return range(2, 3)
    if function is Function.WHERE:
        return range(3, 4)
    return range(2, 4) if function in _SCALED else range(1, 2)


def _on_floats(call: Call) -> int:
    if call.function in unary.ROUNDED:
        return unary.round_function(call.function, call.operands[0], call.alpha, call.beta)
    if call.function is Function.CLIP:
        lower, upper = floats.from_parameter(call.alpha), floats.from_parameter(call.beta)
        return arithmetic.clamp(call.operands[0], lower, upper)
    if call.function is Function.LEAKY_RELU:
        slope = floats.from_parameter(call.alpha)
        call.require(not floats.is_infinite(slope))
        return arithmetic.scale_below_zero(call.operands[0], slope)
    call.require(call.function in _ON_FLOATS)
    return _ON_FLOATS[call.function](*call.operands)


def _logic(call: Call) -> int:
    call.require(call.output is DType.BOOL and all(dtype is DType.BOOL for dtype in call.dtypes))
    values = [bits != 0 for bits in call.operands]
    if call.function is Function.NOT:
        return int(not values[0])
    if call.function is Function.AND:
        return int(values[0] and values[1])
    return int(values[0] or values[1]) if call.function is Function.OR else int(values[0] != values[1])


def _where(call: Call) -> int:
    call.require(call.dtypes[0] is DType.BOOL and call.dtypes[1] is call.output and call.dtypes[2] is call.output)
    # A NaN has no value, also where the other is taken.
    b, c = (canonical(bits, call.output) for bits in call.operands[1:])
    return b if call.operands[0] else c


def _integer_clip(call: Call) -> int:
    """min(max(a, alpha), beta) with integral or infinite bounds; an infinite bound bounds nothing."""
    least, greatest = integers.bounds(call.output)
    value = max(call.integer(0), _integral_bound(call, call.alpha, least, greatest))
    return integers.wrap(min(value, _integral_bound(call, call.beta, least, greatest)), call.output)


def _integral_bound(call: Call, parameter: float, least: int, greatest: int) -> int:
    bits = floats.from_parameter(parameter)
    if floats.is_infinite(bits):
        return least if floats.is_negative(bits) else greatest
    significand, exponent = floats.decode(bits)
    value, rest = divmod(significand << max(exponent, 0), 1 << max(-exponent, 0))
    call.require(rest == 0 and least <= value <= greatest)
    return value


def _clip(call: Call) -> int:
    call.require(call.dtypes[0] is call.output)
    if call.output is DType.FLOAT32:
        return _on_floats(call)
    call.require(call.output in integers.INTEGERS)
    return _integer_clip(call)


def _cast(call: Call) -> int:
    (bits,), (source,) = call.operands, call.dtypes
    if source is DType.FLOAT32 and call.output in integers.INTEGERS:
        return _truncate(bits, call.output)
    if call.output is source:
        return canonical(bits, source)
    if call.output is DType.BOOL:
        return int(canonical(bits, source) != 0)
    value = integers.decode(bits, source)
    return floats.round_dyadic(value, 0) if call.output is DType.FLOAT32 else integers.wrap(value, call.output)


def _truncate(bits: int, output: DType) -> int:
    if floats.is_infinite(bits):
        raise CastOutOfRange(f"an infinity has no value in {output.name}")
    significand, exponent = floats.decode(bits)
    value = abs(significand) << exponent if exponent >= 0 else abs(significand) >> -exponent
    value = -value if significand < 0 else value
    least, greatest = integers.bounds(output)
    if not least <= value <= greatest:
        raise CastOutOfRange(f"{value} does not fit {output.name}")
    return integers.wrap(value, output)


def _saturated(quotient: int, zero: int, output: DType, *, denominator: int = 1, exponent: int = 0) -> int:
    """saturate(RNE(quotient · 2**exponent / denominator) + zero)."""
    numerator, denominator = quotient << max(exponent, 0), denominator << max(-exponent, 0)
    return integers.saturate(floats.round_to_integer(numerator, denominator) + zero, output)


def _quantize(call: Call) -> int:
    call.require(call.dtypes[:2] == (DType.FLOAT32, DType.FLOAT32) and call.output in _QUANTIZED)
    zero = call.optional_integer(2)
    left, right = (floats.canonical(bits) for bits in call.operands[:2])
    if floats.is_infinite(left) or floats.is_infinite(right) or right == floats.ZERO:
        return _saturate_float(arithmetic.divide(left, right), zero, call.output)
    (a, p), (b, q) = floats.decode(left), floats.decode(right)
    return _saturated(a if b > 0 else -a, zero, call.output, denominator=abs(b), exponent=p - q)


def _saturate_float(bits: int, zero: int, output: DType) -> int:
    """saturate(RNE(float) + zero)."""
    if floats.is_infinite(bits):
        least, greatest = integers.bounds(output)
        return integers.wrap(least if floats.is_negative(bits) else greatest, output)
    significand, exponent = floats.decode(bits)
    return _saturated(significand, zero, output, exponent=exponent)


def _dequantize(call: Call) -> int:
    call.require(call.output is DType.FLOAT32 and call.dtypes[1] is DType.FLOAT32)
    call.require(call.dtypes[0] in _DEQUANTIZED and call.dtypes[2:] in ((), (call.dtypes[0],)))
    difference = call.integer(0) - (call.integer(2) if len(call.operands) == _TERNARY else 0)
    scale = floats.canonical(call.operands[1])
    if floats.is_infinite(scale):
        if difference == 0:
            raise RunNotFinite("0 · ∞")
        return scale if difference > 0 else scale ^ floats.SIGN
    significand, exponent = floats.decode(scale)
    return floats.round_dyadic(difference * significand, exponent)


def _requantize(call: Call) -> int:
    call.require(call.dtypes[:2] == (DType.INT32, DType.FLOAT32) and call.output in _QUANTIZED)
    product = arithmetic.multiply(floats.round_dyadic(call.integer(0), 0), call.operands[1])
    return _saturate_float(product, call.optional_integer(2), call.output)


_ON_FLOATS: Final = MappingProxyType[Function, Callable[..., int]](
    {
        Function.ADD: arithmetic.add,
        Function.SUB: arithmetic.subtract,
        Function.MUL: arithmetic.multiply,
        Function.DIV: arithmetic.divide,
        Function.MIN: arithmetic.least,
        Function.MAX: arithmetic.greatest,
        Function.FMOD: arithmetic.remainder,
        Function.NEG: arithmetic.negate,
        Function.ABS: arithmetic.magnitude,
        Function.SIGN: arithmetic.sign,
        Function.FLOOR: arithmetic.floor,
        Function.CEIL: arithmetic.ceiling,
        Function.ROUND: arithmetic.nearest,
        Function.PRELU: arithmetic.scale_below_zero,
        Function.RELU: lambda bits: arithmetic.greatest(bits, floats.ZERO),
    }
)

#: Exact integers; the result wraps.
_ON_INTEGERS: Final = MappingProxyType[Function, Callable[..., int]](
    {
        Function.ADD: lambda left, right: left + right,
        Function.SUB: lambda left, right: left - right,
        Function.MUL: lambda left, right: left * right,
        Function.DIV: integers.divide,
        Function.MIN: min,
        Function.MAX: max,
        Function.MOD: integers.floor_remainder,
        Function.FMOD: integers.truncated_remainder,
        Function.NEG: lambda value: -value,
        Function.ABS: abs,
        Function.SIGN: lambda value: (value > 0) - (value < 0),
        Function.RELU: lambda value: max(value, 0),
    }
)

_COMPARISONS: Final = MappingProxyType[Function, Callable[[int, int], bool]](
    {
        Function.EQUAL: lambda left, right: left == right,
        Function.LESS: lambda left, right: left < right,
        Function.LESS_OR_EQUAL: lambda left, right: left <= right,
        Function.GREATER: lambda left, right: left > right,
        Function.GREATER_OR_EQUAL: lambda left, right: left >= right,
    }
)

_SPECIAL: Final = MappingProxyType[Function, Callable[[Call], int]](
    {
        Function.AND: _logic,
        Function.OR: _logic,
        Function.XOR: _logic,
        Function.NOT: _logic,
        Function.WHERE: _where,
        Function.CLIP: _clip,
        Function.CAST: _cast,
        Function.QUANTIZE: _quantize,
        Function.DEQUANTIZE: _dequantize,
        Function.REQUANTIZE: _requantize,
    }
)

_SCALED: Final = frozenset({Function.QUANTIZE, Function.DEQUANTIZE, Function.REQUANTIZE})
_ON_TWO: Final = frozenset(
    {
        *_COMPARISONS,
        *(Function.ADD, Function.SUB, Function.MUL, Function.DIV, Function.MIN, Function.MAX, Function.MOD),
        *(Function.FMOD, Function.PRELU, Function.AND, Function.OR, Function.XOR),
    }
)


def compare(function: Function, left: int, right: int) -> bool:
    """Whether a comparison of two order keys holds. Raises `ModelMalformed` for another function."""
    if function not in _COMPARISONS:
        raise ModelMalformed(f"{function.name} is no comparison")
    return _COMPARISONS[function](left, right)
