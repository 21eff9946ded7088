"""Operators and forms that converters write, and every operator that is promised."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, QuantileTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from tests.support import graphs
from tests.support.compiling import assert_agrees, compiled
from tests.support.exactness import FLOAT, Array, assert_exact, evaluate, one_node, serialised

from sworn.errors import ModelUnsupported
from sworn.model.compiler import lower
from sworn.model.compiler.registry import LOWERINGS
from sworn.model.program import Rule

RANDOM = np.random.default_rng(21)
VALUES = RANDOM.standard_normal((4, 6)).astype(np.float32)
COUNTS = RANDOM.integers(-50, 50, (4, 6)).astype(np.int32)
F = np.float32

PROMISED = """
Conv ConvTranspose Gemm MatMul Add Sub Mul Div Sum Neg Abs Sqrt Exp Log Pow Erf Tanh Sigmoid HardSigmoid HardSwish Relu
LeakyRelu PRelu Elu Softplus Gelu Clip Min Max Where Equal Less LessOrEqual Greater GreaterOrEqual And Or Not Cast
MaxPool AveragePool GlobalAveragePool GlobalMaxPool ReduceSum ReduceMean ReduceMax ReduceMin ReduceL2 ArgMax ArgMin TopK
Softmax LogSoftmax LayerNormalization BatchNormalization InstanceNormalization GroupNormalization LRN Reshape Flatten
Transpose Squeeze Unsqueeze Slice Concat Split Pad Expand Tile Gather GatherElements Identity Dropout Constant
ConstantOfShape Shape Range LSTM GRU QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul
MatMulInteger ConvInteger
"""
PROMISED_ML = """
LinearClassifier LinearRegressor TreeEnsembleClassifier TreeEnsembleRegressor TreeEnsemble Scaler Normalizer
ArrayFeatureExtractor LabelEncoder SVMClassifier SVMRegressor
"""


@pytest.mark.parametrize(
    ("domain", "names"),
    [("", PROMISED), ("ai.onnx.ml", PROMISED_ML), ("com.microsoft", "QLinearAdd QLinearGlobalAveragePool")],
)
def test_every_promised_operator_is_lowered(domain: str, names: str) -> None:
    """None of the list is missing."""
    known = {operator for place, operator, _ in LOWERINGS if place == domain}
    assert set(names.split()) <= known


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cumulative_sum_agrees(axis: int, exclusive: int, reverse: int) -> None:
    """Either direction, with or without the place itself, of floats and of integers."""
    more: dict[str, Any] = {"exclusive": exclusive, "reverse": reverse}
    for x, kind in ((VALUES, FLOAT), (COUNTS, TensorProto.INT32)):
        lowered = assert_exact(one_node("CumSum", {"x": x, "a": np.array(axis)}, [(kind, [4, 6])], **more), {"x": x})
        assert [step.rule for step in lowered.program.steps] == [Rule.CONTRACT]


def test_long_cumulative_sum_is_refused() -> None:
    """Each place is a sum of its own: the work grows with the square of the axis."""
    x = np.zeros((1, 1025), F)
    with pytest.raises(ModelUnsupported, match="CumSum"):
        lower(one_node("CumSum", {"x": x, "a": np.array(1)}, [(FLOAT, [1, 1025])]), evaluate=evaluate)


@pytest.mark.parametrize(
    "exponent",
    [np.array([2, 0.5, -1, 3, 2, 1], F), np.array([[0.5], [2], [-2], [1.5]], F), F(2.5), np.array([[[3]]], F)],
)
def test_powers_by_constants_agree(exponent: Any) -> None:
    """One exponent, or one for each place of an axis."""
    x = np.abs(VALUES) + F(0.1)
    shape = np.broadcast_shapes(x.shape, np.shape(exponent))
    assert_exact(one_node("Pow", {"x": x, "e": exponent}, [(FLOAT, list(shape))]), {"x": x})


@pytest.mark.parametrize("exponent", [1, 2, 3, 7, 64])
def test_powers_of_integers_wrap_and_agree(exponent: int) -> None:
    """A product of squares modulo 2^32."""
    base = COUNTS % 7 - 3
    values = one_node("Pow", {"x": base, "e": np.int32(exponent)}, [(TensorProto.INT32, [4, 6])])
    lowered = lower(values, evaluate=evaluate)
    result = evaluate(lowered.program, lowered.weights, [base])[lowered.program.outputs[0].value]
    exact = np.vectorize(lambda number: ((int(number) ** exponent + 2**31) % 2**32) - 2**31)(base)
    np.testing.assert_array_equal(result.reshape(4, 6), exact)


def test_power_of_a_constant_base_agrees() -> None:
    """By the exponential, as converters of isolation forests need it."""
    assert_exact(one_node("Pow", {"b": F(2), "x": VALUES}, [(FLOAT, [4, 6])]), {"x": VALUES})


@pytest.mark.parametrize(("base", "fed"), [(F(-2), ("x",)), (F(0), ("x",)), (VALUES, ("b", "x"))])
def test_other_powers_are_refused(base: Any, fed: tuple[str, ...]) -> None:
    """A base that is no positive constant, with an exponent that is none either."""
    with pytest.raises(ModelUnsupported, match="Pow"):
        lower(one_node("Pow", {"b": base, "x": VALUES}, [(FLOAT, [4, 6])], fed=fed), evaluate=evaluate)


@pytest.mark.parametrize(
    ("start", "limit", "delta"), [(0.5, 4.75, 0.5), (3, -2, -0.7), (0, 1, 0.1), (1e8, 1e8 + 64, 8)]
)
def test_range_of_floats_agrees(start: float, limit: float, delta: float) -> None:
    """A product and a sum for each place, each rounded; as many places as the exact quotient says."""
    bounds = {"s": F(start), "l": F(limit), "d": F(delta)}
    node = helper.make_node("Range", list(bounds), ["r"])
    nodes = [node, helper.make_node("Add", ["x", "r"], ["y"])]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in bounds.items()]
    model = graphs.build(nodes, [("x", FLOAT, (1,))], [("y", FLOAT, (None,))], constants)
    assert_agrees(model, [np.zeros(1, F)])


@pytest.mark.parametrize("divisor", [F(1.5), F(-0.7)])
def test_remainder_of_floats_has_the_divisors_sign(divisor: np.float32) -> None:
    """Since version 28, without fmod."""
    model = one_node("Mod", {"x": VALUES, "d": divisor}, [(FLOAT, [4, 6])], opset=28)
    lowered = compiled(model)
    ours = evaluate(lowered.program, lowered.weights, [VALUES])[lowered.program.outputs[0].value].reshape(4, 6)
    np.testing.assert_allclose(ours, np.mod(VALUES, divisor), rtol=1e-6)


@pytest.mark.parametrize(
    "more", [{}, {"detect_negative": 0}, {"detect_positive": 0}, {"detect_negative": 0, "detect_positive": 0}]
)
def test_infinities_are_found_and_nan_never(more: dict[str, Any]) -> None:
    """IsInf of either sign; IsNaN is false wherever a value is."""
    x = np.array([1, np.inf, -np.inf, 0, -3], F)
    assert_exact(one_node("IsInf", {"x": x}, [(TensorProto.BOOL, [5])], **more), {"x": x})
    assert_exact(one_node("IsNaN", {"x": x}, [(TensorProto.BOOL, [5])]), {"x": x})


@pytest.mark.parametrize("places", [np.array([[0, 1], [-1, 5], [2, -6]]), np.array([[[3], [0]]]), np.array([[-4]])])
def test_constant_index_tuples_agree(places: Array) -> None:
    """Of any length, negative indices included."""
    shape = [*places.shape[:-1], *VALUES.shape[places.shape[-1] :]]
    assert_exact(one_node("GatherND", {"x": VALUES, "i": places}, [(FLOAT, shape)]), {"x": VALUES})


@pytest.mark.parametrize(("places", "fed"), [(np.array([[0, 6]]), ("x",)), (np.array([[0, 1]]), ("x", "i"))])
def test_index_tuples_out_of_range_or_unknown_are_refused(places: Array, fed: tuple[str, ...]) -> None:
    """A tuple that depends on the inputs could point at another row's element."""
    with pytest.raises(ModelUnsupported, match="GatherND"):
        lower(one_node("GatherND", {"x": VALUES, "i": places}, [(FLOAT, [1])], fed=fed), evaluate=evaluate)


CLASSES = make_classification(150, 6, n_informative=4, n_classes=3, random_state=0)
PAIR = make_classification(150, 6, n_informative=4, n_classes=2, random_state=1)
LINE = make_regression(150, 6, random_state=0)
TARGETS = np.stack([LINE[1], LINE[1][::-1] * 2], axis=1)
ESTIMATORS: dict[str, tuple[Any, Any, Any]] = {
    "two targets": (LinearRegression(), LINE[0], TARGETS),
    "two targets of trees": (ExtraTreesRegressor(n_estimators=4, random_state=0), LINE[0], TARGETS),
    "two targets of a network": (MLPRegressor(hidden_layer_sizes=(8,), max_iter=50, random_state=0), LINE[0], TARGETS),
    "weighted median": (AdaBoostRegressor(n_estimators=4, random_state=0), LINE[0], LINE[1]),
    "isolation": (IsolationForest(n_estimators=4, random_state=0), *PAIR),
    "two classes of ridge": (RidgeClassifier(), *PAIR),
    "forest": (RandomForestClassifier(n_estimators=4, random_state=0), *CLASSES),
    "boosting": (GradientBoostingClassifier(n_estimators=3, random_state=0), *PAIR),
    "bayes": (GaussianNB(), *CLASSES),
    "descent": (make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)), *CLASSES),
    "kernel": (SVC(kernel="poly", random_state=0), *CLASSES),
    "components": (make_pipeline(PCA(3), PolynomialFeatures(2), RidgeClassifier()), *CLASSES),
    "quantiles": (QuantileTransformer(n_quantiles=10), *CLASSES),
    "margins": (LinearSVC(random_state=0), *CLASSES),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_estimator_converted_by_skl2onnx_agrees(name: str) -> None:
    """As the converter writes it, with maps of probabilities left out."""
    estimator, features, truth = ESTIMATORS[name]
    rows = features.astype(F)
    estimator.fit(rows, truth)
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    has_maps = hasattr(last, "classes_") and not isinstance(last, LinearSVC)
    options = {id(last): {"zipmap": False}} if has_maps else {}
    model = to_onnx(estimator, rows[:1], options=options, target_opset={"": 17, "ai.onnx.ml": 3})
    assert_exact(serialised(model), {"X": rows[:4]}, rtol=1e-4, atol=1e-4)


def test_imports_that_no_node_needs_change_nothing() -> None:
    """Tools state operator sets that they could have used."""
    plain = one_node("Relu", {"x": VALUES}, [(FLOAT, [4, 6])])
    more = onnx.ModelProto.FromString(plain)
    more.opset_import.add(domain="com.microsoft.nchwc", version=1)
    assert compiled(serialised(more)).program == compiled(plain).program
