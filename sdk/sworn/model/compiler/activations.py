"""Activation functions. Composites follow the bodies that ONNX gives them, one step per operation."""

from __future__ import annotations

from math import inf
from types import MappingProxyType

from sworn.model.compiler.arithmetic import require_broadcast, require_float
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.steps import pointwise
from sworn.model.compiler.values import Value
from sworn.model.program import Function
from sworn.types import DType

_PLAIN = MappingProxyType(
    {
        "Relu": Function.RELU,
        "Sigmoid": Function.SIGMOID,
        "Tanh": Function.TANH,
        "Softplus": Function.SOFTPLUS,
    }
)


@lowers("Relu", 6, 13, 14)
@lowers("Sigmoid", 6, 13)
@lowers("Tanh", 6, 13)
@lowers("Softplus", 1, 22)
def plain(call: Call) -> Value:
    """One function without parameters."""
    value = call.value(0)
    if call.operator != "Relu":
        require_float(call, value)
    return pointwise(call.build, _PLAIN[call.operator], value)


@lowers("LeakyRelu", 6, 16)
def leaky_relu(call: Call) -> Value:
    """Scaled below 0."""
    return _parametric(call, Function.LEAKY_RELU, alpha=call.number("alpha", 0.01))


@lowers("Elu", 6, 22)
def elu(call: Call) -> Value:
    """Exponential below 0."""
    return _parametric(call, Function.ELU, alpha=call.number("alpha", 1.0))


@lowers("HardSigmoid", 6, 22)
def hard_sigmoid(call: Call) -> Value:
    """A line between 0 and 1."""
    alpha, beta = call.number("alpha", 0.2), call.number("beta", 0.5)
    return _parametric(call, Function.HARD_SIGMOID, alpha=alpha, beta=beta)


@lowers("HardSwish", 14, 22)
def hard_swish(call: Call) -> Value:
    """Gives x · HardSigmoid(x; 1/6, 1/2)."""
    sixth = call.build.array(call.build.scalar(1 / 6))
    gate = _parametric(call, Function.HARD_SIGMOID, alpha=float(sixth.item() if sixth is not None else 0), beta=0.5)
    return pointwise(call.build, Function.MUL, call.value(0), gate)


@lowers("PRelu", 7, 9, 16)
def prelu(call: Call) -> Value:
    """Scaled below 0 by the slope of the element's place; the slope broadcasts to the value, not the other way."""
    value, slope = call.present()
    require_float(call, value)
    require_broadcast(call, slope, value)
    return pointwise(call.build, Function.PRELU, value, slope)


@lowers("Clip", 6, 11, 12, 13)
def clip(call: Call) -> Value:
    """Bounds; constants become parameters of one step, others are Max, then Min."""
    value, build = call.value(0), call.build
    if call.version == 6:
        return pointwise(build, Function.CLIP, value, alpha=call.number("min", -inf), beta=call.number("max", inf))
    bounds = [call.optional(1), call.optional(2)]
    if any(bound is not None and bound.elements != 1 for bound in bounds):
        raise call.refused("a bound is not a single number")
    arrays = [None if bound is None else build.array(bound) for bound in bounds]
    fixed = all(bound is None or array is not None for bound, array in zip(bounds, arrays, strict=True))
    if fixed and value.dtype is DType.FLOAT32:
        lower, upper = (
            default if array is None else float(array.reshape(-1)[0])
            for array, default in zip(arrays, (-inf, inf), strict=True)
        )
        return pointwise(build, Function.CLIP, value, alpha=lower, beta=upper)
    for function, bound in zip((Function.MAX, Function.MIN), bounds, strict=True):
        value = value if bound is None else pointwise(build, function, value, build.reshaped(bound, ()))
    return value


@lowers("Gelu", 20)
def gelu(call: Call) -> Value:
    """Gives x · ½ · (1 + erf(x / √2)), or with tanh of a cubic."""
    build, x = call.build, call.value(0)
    require_float(call, x)
    if call.text("approximate", "none") == "tanh":
        return _gelu_by_tanh(call, x)
    root = pointwise(build, Function.SQRT, build.scalar(2))
    error = pointwise(build, Function.ERF, pointwise(build, Function.DIV, x, root))
    weight = pointwise(build, Function.MUL, build.scalar(0.5), pointwise(build, Function.ADD, build.scalar(1), error))
    return pointwise(build, Function.MUL, x, weight)


def _gelu_by_tanh(call: Call, x: Value) -> Value:
    build = call.build

    def product(left: Value, right: Value) -> Value:
        return pointwise(build, Function.MUL, left, right)

    pi = build.scalar(3.141592653589793)
    root = pointwise(build, Function.SQRT, pointwise(build, Function.DIV, build.scalar(2), pi))
    cube = pointwise(build, Function.POW, x, alpha=3.0)
    inner = pointwise(build, Function.ADD, x, product(build.scalar(0.044715), cube))
    tanh = pointwise(build, Function.TANH, product(root, inner))
    return product(product(build.scalar(0.5), x), pointwise(build, Function.ADD, build.scalar(1), tanh))


@lowers("Selu", 6, 22)
def selu(call: Call) -> Value:
    """γ · Elu(x; α), with γ applied to both sides."""
    elu = _parametric(call, Function.ELU, alpha=call.number("alpha", 1.67326319217681884765625))
    gamma = call.build.scalar(call.number("gamma", 1.05070102214813232421875))
    return pointwise(call.build, Function.MUL, gamma, elu)


@lowers("Celu", 12, 28)
def celu(call: Call) -> Value:
    """α · Elu(x / α)."""
    build, alpha = call.build, call.build.scalar(call.number("alpha", 1.0))
    scaled = pointwise(build, Function.DIV, call.value(0), alpha)
    return pointwise(build, Function.MUL, alpha, pointwise(build, Function.ELU, scaled, alpha=1.0))


@lowers("Softsign", 1, 22)
def softsign(call: Call) -> Value:
    """Gives x / (1 + |x|)."""
    build, x = call.build, call.value(0)
    denominator = pointwise(build, Function.ADD, build.scalar(1), pointwise(build, Function.ABS, x))
    return pointwise(build, Function.DIV, x, denominator)


@lowers("Mish", 18, 22)
def mish(call: Call) -> Value:
    """Gives x · tanh(softplus(x))."""
    build, x = call.build, call.value(0)
    return pointwise(build, Function.MUL, x, pointwise(build, Function.TANH, pointwise(build, Function.SOFTPLUS, x)))


@lowers("Swish", 24)
def swish(call: Call) -> Value:
    """Gives x · sigmoid(α · x)."""
    build, x = call.build, call.value(0)
    scaled = pointwise(build, Function.MUL, build.scalar(call.number("alpha", 1.0)), x)
    return pointwise(build, Function.MUL, x, pointwise(build, Function.SIGMOID, scaled))


@lowers("ThresholdedRelu", 10, 22)
def thresholded_relu(call: Call) -> Value:
    """Gives x above α, else 0."""
    build, x = call.build, call.value(0)
    above = pointwise(build, Function.LESS, build.scalar(call.number("alpha", 1.0)), x, dtype=DType.BOOL)
    return pointwise(build, Function.WHERE, above, x, build.scalar(0), dtype=x.dtype)


def _parametric(call: Call, function: Function, *, alpha: float, beta: float = 0.0) -> Value:
    value = call.value(0)
    require_float(call, value)
    return pointwise(call.build, function, value, alpha=alpha, beta=beta)
