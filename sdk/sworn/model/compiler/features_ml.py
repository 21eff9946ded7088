"""Preparation of features in ai.onnx.ml: scaling, normalisation, selection, encoding."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.scores import chosen, floats
from sworn.model.compiler.steps import concatenated, extreme, pointwise, position, total
from sworn.model.compiler.values import Value, expanded, sliced
from sworn.model.program import Function, Lookup
from sworn.types import DType

_ML = "ai.onnx.ml"


@lowers("Scaler", 1, domain=_ML)
def scaler(call: Call) -> Value:
    """Gives (x − offset) · scale."""
    value, build = floats(call, call.value(0)), call.build
    parts = [call.numbers("offset"), call.numbers("scale")]
    if any(len(part) not in (1, value.shape[-1] if value.rank else 1) for part in parts):
        raise call.refused(f"{len(parts[0])} offsets and {len(parts[1])} scales for features of shape {value.shape}")
    offset, scale = (build.constant(np.array(part if len(part) > 1 else part[0], np.float32)) for part in parts)
    return pointwise(build, Function.MUL, pointwise(build, Function.SUB, value, offset), scale)


@lowers("Normalizer", 1, domain=_ML)
def normalizer(call: Call) -> Value:
    """Rows divided by their norm: the greatest element, Σ|x|, or √Σx². A row whose norm is 0 stays as it is."""
    value, build, kind = floats(call, call.value(0)), call.build, call.text("norm", "MAX")
    if value.rank not in (1, 2):
        raise call.refused(f"the features have shape {value.shape}, which is no matrix")
    axes = (value.rank - 1,)
    if kind == "MAX":
        norm = extreme(build, value, axes, largest=True, keep=True)
    elif kind == "L1":
        norm = total(build, pointwise(build, Function.ABS, value), axes, keep=True)
    elif kind == "L2":
        norm = pointwise(build, Function.SQRT, total(build, value, axes, keep=True, square=True))
    else:
        raise call.refused(f"norm {kind} is unknown")
    is_zero = pointwise(build, Function.EQUAL, norm, build.scalar(0), dtype=DType.BOOL)
    divisor = pointwise(build, Function.WHERE, is_zero, build.scalar(1), norm, dtype=DType.FLOAT32)
    return pointwise(build, Function.DIV, value, divisor)


@lowers("Binarizer", 1, domain=_ML)
def binarizer(call: Call) -> Value:
    """1 above the threshold, else 0."""
    value, build = call.value(0), call.build
    if value.dtype is not DType.FLOAT32:
        raise call.refused(f"only float32 is supported, not {value.dtype.name.lower()}")
    above = pointwise(build, Function.LESS, build.scalar(call.number("threshold", 0.0)), value, dtype=DType.BOOL)
    return pointwise(build, Function.CAST, above, dtype=DType.FLOAT32)


@lowers("FeatureVectorizer", 1, domain=_ML)
def feature_vectorizer(call: Call) -> Value:
    """Columns side by side, as float32; a vector is one row."""
    parts = [floats(call, value) for value in call.present()]
    parts = [part.view((1, *part.shape), (0, *part.strides)) if part.rank == 1 else part for part in parts]
    widths = tuple(part.shape[-1] for part in parts if part.rank)
    if any(part.rank != 2 for part in parts) or len({part.shape[0] for part in parts}) != 1:
        raise call.refused("the inputs are no matrices with equally many rows")
    if call.integers("inputdimensions", widths) != widths:
        raise call.refused(f"inputdimensions {call.integers('inputdimensions')} are not {widths}")
    return concatenated(call.build, parts, axis=1)


@lowers("ArrayFeatureExtractor", 1, domain=_ML)
def array_feature_extractor(call: Call) -> Value:
    """Elements of the last axis by index; a vector gives one row."""
    value, index = call.value(0), call.value(1)
    if value.rank == 1:
        value = value.view((1, *value.shape), (0, *value.strides))
    if value.rank == 0 or index.dtype is not DType.INT64:
        raise call.refused("only int64 indices into a tensor with axes are supported")
    index, size, last = call.build.reshaped(index, (index.elements,)), value.shape[-1], value.rank - 1
    known = call.build.array(index)
    if known is not None and ((known < 0) | (known >= size)).any():
        raise call.refused(f"a constant index is not in an axis of {size}")
    if known is not None and len(known) == 1:
        return sliced(value, last, start=int(known[0]), count=1)
    shape = (*value.shape[:-1], index.elements)
    body = Lookup(
        source=value.operand((*value.strides[:-1], 0)),
        index=index.operand((*(0,) * last, *index.strides)),
        extents=(size,),
        strides=(value.strides[-1],),
    )
    return call.build.emit(value.dtype, shape, axes=shape, body=body)


@lowers("LabelEncoder", 2, 4, domain=_ML)
def label_encoder(call: Call) -> Value:
    """The value whose key equals the element, else the default; of equal keys the last counts. Numbers only."""
    value, build = call.value(0), call.build
    keys, values = _numbers(call, "keys"), _numbers(call, "values")
    default = _default(call, values)
    if len(keys) != len(values) or len(keys) == 0 or keys.dtype != value.dtype.numpy:
        raise call.refused(f"{len(keys)} keys of {keys.dtype}, {len(values)} values, input {value.dtype.name.lower()}")
    entries = dict(zip(keys.tolist(), values.tolist(), strict=True))
    # A column that always matches, behind all keys, leads to the default.
    matches = _matches(call, value, np.array(list(entries), keys.dtype))
    always = expanded(build.constant(np.ones(1, np.uint8)), (*value.shape, 1))
    columns = concatenated(build, [matches, always], axis=value.rank)
    where = position(build, columns, (value.rank,), largest=True, virtual=False)
    where = build.reshaped(where, value.shape)
    return chosen(call, where, build.constant(np.array([*entries.values(), default], values.dtype)))


def _numbers(call: Call, side: str) -> npt.NDArray[Any]:
    if call.has(f"{side}_tensor"):
        return call.tensor(f"{side}_tensor").reshape(-1)
    if call.has(f"{side}_int64s"):
        return np.array(call.integers(f"{side}_int64s"), np.int64)
    if call.has(f"{side}_floats"):
        return np.array(call.numbers(f"{side}_floats"), np.float32)
    raise call.refused(f"{side} that are no numbers are not supported")


def _default(call: Call, values: npt.NDArray[Any]) -> Any:
    call.has("default_string")
    given = call.integer("default_int64", -1), call.number("default_float", 0.0)
    if call.has("default_tensor"):
        default = call.tensor("default_tensor").reshape(-1).astype(values.dtype)
        if len(default) != 1:
            raise call.refused(f"{len(default)} defaults")
        return default[0]
    return given[0] if values.dtype.kind == "i" else given[1]


def _matches(call: Call, value: Value, keys: npt.NDArray[Any]) -> Value:
    """uint8 [..., keys]: whether the element equals the key."""
    build = call.build
    column = value.view((*value.shape, 1), (*value.strides, 0))
    equal = pointwise(build, Function.EQUAL, column, build.constant(keys), dtype=DType.BOOL)
    return pointwise(build, Function.CAST, equal, dtype=DType.UINT8)


@lowers("OneHotEncoder", 1, domain=_ML)
def one_hot_encoder(call: Call) -> Value:
    """1 at the element's category, else 0; an element without a category gives zeros. Floats are cut to integers."""
    value, build, categories = call.value(0), call.build, call.integers("cats_int64s", ())
    if not categories or not call.integer("zeros", 1):
        raise call.refused("only integer categories, with zeros for others, are supported")
    if value.dtype is not DType.INT64:
        value = pointwise(build, Function.CAST, floats(call, value), dtype=DType.INT64)
    matches = _matches(call, value, np.array(categories, np.int64))
    return pointwise(build, Function.CAST, matches, dtype=DType.FLOAT32)


@lowers("Imputer", 1, domain=_ML)
def imputer(call: Call) -> Value:
    """Another value in place of one value; NaN is no value here."""
    value, build = call.value(0), call.build
    if value.dtype is not DType.FLOAT32:
        raise call.refused(f"only float32 is supported, not {value.dtype.name.lower()}")
    new, stated = call.numbers("imputed_value_floats"), call.node.attributes.get("replaced_value_float")
    missing = call.has("replaced_value_float") and isinstance(stated, float) and isnan(stated)
    if len(new) not in (1, value.shape[-1] if value.rank else 1):
        raise call.refused(f"{len(new)} imputed values for features of shape {value.shape}")
    if missing:
        return value
    replaced = call.number("replaced_value_float", 0.0)
    table = build.constant(np.array(new if len(new) > 1 else new[0], np.float32))
    found = pointwise(build, Function.EQUAL, value, build.scalar(replaced), dtype=DType.BOOL)
    return pointwise(build, Function.WHERE, found, table, value, dtype=value.dtype)


@lowers("ZipMap", 1, domain=_ML)
def zip_map(call: Call) -> Value:
    """Maps are no tensors."""
    raise call.refused("maps are not supported; convert the model with zipmap=False")
