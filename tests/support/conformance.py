"""The onnx package's own tests of operators, as models whose shapes are fixed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from tests.support.bounded_runs import check_run
from tests.support.exactness import assert_judged, evaluate

from sworn.engine.bounded import plan
from sworn.errors import ModelUnsupported
from sworn.model.compiler import lower
from sworn.model.compiler.registry import LOWERINGS
from sworn.model.program import Program
from sworn.model.validation import validate

Array = npt.NDArray[Any]

#: Elements of each step that the referee is asked for.
JUDGED = 16

#: Inputs that onnx's tests feed and real models keep constant, by operator.
_CONSTANT_INPUTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "BatchNormalization": (1, 2, 3, 4),
        "ConstantOfShape": (0,),
        "CumSum": (1,),
        "Dropout": (1, 2),
        "Expand": (1,),
        "GatherND": (1,),
        "Pad": (1, 2, 3),
        "Pow": (1,),
        "Range": (0, 1, 2),
        "ReduceProd": (1,),
        "Reshape": (1,),
        "Slice": (1, 2, 3, 4),
        "Split": (1,),
        "Squeeze": (1,),
        "Tile": (1,),
        "TopK": (1,),
        "Unsqueeze": (1,),
        **{
            f"Reduce{name}": (1,)
            for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Sum", "SumSquare")
        },
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One test: a model, what to feed it, what must come out and how exactly."""

    name: str
    operator: str
    model: bytes
    shapes: Mapping[str, tuple[int, ...]]
    feeds: tuple[Array, ...]
    expected: tuple[Array, ...]
    rtol: float
    atol: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a test: the reason why its model is refused, in both profiles, or None where it passed both."""

    refusal: str | None
    #: Whether onnxruntime computed a part of it in profile `bounded`; where it cannot, the exact executor does.
    in_kernels: bool


def cases(operators: frozenset[str] | None = None) -> list[Case]:
    """Tests of one-node models whose operator has a lowering (or is one of ``operators``)."""
    known = operators or frozenset(operator for _, operator, _ in LOWERINGS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collected = collect_testcases(None)
    return [_case(case) for case in collected if case.model is not None and _is_chosen(case.model, known)]


def outcome(case: Case) -> Outcome:
    """What a test gives in both profiles; `AssertionError` where its program gives something else than it must.

    In profile `exact` the referee, integers alone, must have the bits of every element that it is asked for, in profile
    `bounded` it must admit what onnxruntime's kernels give. The outputs are those of the test, to its tolerance.
    """
    try:
        lowered = lower(case.model, input_shapes=dict(case.shapes), evaluate=evaluate)
    except ModelUnsupported as error:
        return Outcome(refusal=str(error), in_kernels=False)
    if any(array.dtype.kind == "f" and np.isnan(array).any() for array in case.feeds):
        return Outcome(refusal="NaN, which no value is", in_kernels=False)
    program, weights = lowered.program, lowered.weights
    validate(program)
    values = evaluate(program, weights, case.feeds)
    _check_outputs(case, program, dict(enumerate(values)))
    assert_judged(lowered, values, JUDGED)
    with patch.object(plan, "prefers_exact", lambda _: False):
        executor = check_run(program, weights, case.feeds, most=JUDGED)
        _check_outputs(case, program, executor.run(case.feeds))
    return Outcome(refusal=None, in_kernels=bool(executor.plan.parts))


def _check_outputs(case: Case, program: Program, values: Mapping[int, Array]) -> None:
    for output, expected in zip(program.outputs, case.expected, strict=True):
        got = values[output.value].reshape(output.shape)
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(got, expected, rtol=case.rtol, atol=case.atol)


def _is_chosen(model: onnx.ModelProto, operators: frozenset[str]) -> bool:
    nodes = model.graph.node
    return len(nodes) == 1 and nodes[0].op_type in operators and not model.functions


def _case(given: Any) -> Case:
    model = onnx.ModelProto()
    model.CopyFrom(given.model)
    node = model.graph.node[0]
    inputs, outputs = given.data_sets[0]
    fixed = {node.input[k] for k in _CONSTANT_INPUTS.get(node.op_type, ()) if k < len(node.input)}
    fed: list[tuple[onnx.ValueInfoProto, Array]] = []
    for value, array in zip(model.graph.input, inputs, strict=False):
        if value.name in fixed:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), value.name))
        else:
            fed.append((value, _array(array)))
    if not fed:
        # A model has at least one input; this one is never read.
        fed = [(helper.make_tensor_value_info("unread", TensorProto.FLOAT, [1]), np.zeros(1, np.float32))]
    del model.graph.input[:]
    model.graph.input.extend(value for value, _ in fed)
    return Case(
        name=given.name,
        operator=node.op_type,
        model=bytes(model.SerializeToString()),
        shapes={value.name: tuple(array.shape) for value, array in fed if _is_open(value)},
        feeds=tuple(array for _, array in fed),
        expected=tuple(map(_array, outputs)),
        rtol=max(given.rtol, 1e-4),
        atol=max(given.atol, 1e-6),
    )


def _array(given: Any) -> Array:
    # Sequences and optionals have no array; their models are refused before it is looked at.
    return np.asarray(given) if isinstance(given, np.ndarray | np.generic | float | int) else np.zeros(0)


def _is_open(value: onnx.ValueInfoProto) -> bool:
    dims: Sequence[Any] = value.type.tensor_type.shape.dim
    return any(dim.WhichOneof("value") != "dim_value" for dim in dims)
