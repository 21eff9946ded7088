#!/usr/bin/env python3
"""Trains the demo models in sdk/sworn/testing/models and writes their cards; `--check` compares instead of writing.

Every source of randomness is seeded and linear algebra runs on one thread, so that a second run on the same machine
and the same library versions gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

SEED = 20260101
TARGET = Path(__file__).resolve().parent.parent / "sdk" / "sworn" / "testing" / "models"
OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
MAX_BYTES = 300_000
BUNDLED = "bundled with scikit-learn (BSD 3-Clause), which redistributes it; only the rows in this card are copied here"

Rows = NDArray[Any]
Predict = Callable[[Rows], dict[str, Rows]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One trained model with what its card tells about it; the rows are held out from training."""

    name: str
    model: onnx.ModelProto
    predict: Predict
    rows: Rows
    targets: Rows
    metric: str
    score: float
    notes: dict[str, Any]
    #: Rows that the card carries in full.
    examples: tuple[int, ...] = (0, 1, 2)


def breast_cancer_risk() -> Trained:
    """A gradient-boosted classifier of tumours."""
    data = load_breast_cancer()
    rows = data.data.astype(np.float32)
    train, held_out, train_targets, targets = train_test_split(rows, data.target, test_size=0.25, random_state=SEED)
    estimator = GradientBoostingClassifier(n_estimators=80, max_depth=3, random_state=SEED).fit(train, train_targets)
    model = to_onnx(
        estimator,
        initial_types=[("features", FloatTensorType([1, rows.shape[1]]))],
        options={"zipmap": False},
        target_opset=OPSETS,
    )

    def predict(batch: Rows) -> dict[str, Rows]:
        return {"label": estimator.predict(batch), "probabilities": estimator.predict_proba(batch)}

    return Trained(
        name="breast_cancer_risk",
        model=model,
        predict=predict,
        rows=held_out,
        targets=targets,
        metric="accuracy",
        score=accuracy_score(targets, estimator.predict(held_out)),
        notes={
            "data": "Breast Cancer Wisconsin (Diagnostic) by Wolberg, Street, Mangasarian: 569 cases, 30 measurements",
            "licence": BUNDLED,
            "estimator": "GradientBoostingClassifier(n_estimators=80, max_depth=3)",
            "features": [str(name) for name in data.feature_names],
            "meaning": "label 0 malignant, 1 benign; probabilities in that order",
            "warning": "A demonstration of classification by risk; not medical advice and not a credit score.",
        },
        # Both answers occur.
        examples=(int(np.flatnonzero(targets == 0)[0]), *(int(index) for index in np.flatnonzero(targets == 1)[:2])),
    )


def diabetes_progression() -> Trained:
    """A scaler and a small neural network that predict the course of diabetes."""
    data = load_diabetes(scaled=False)
    rows = data.data.astype(np.float32)
    train, held_out, train_targets, targets = train_test_split(rows, data.target, test_size=0.25, random_state=SEED)
    network = MLPRegressor(hidden_layer_sizes=(16,), alpha=30.0, solver="lbfgs", max_iter=2000, random_state=SEED)
    estimator = make_pipeline(StandardScaler(), network).fit(train, train_targets)
    model = to_onnx(
        estimator,
        initial_types=[("features", FloatTensorType([1, rows.shape[1]]))],
        final_types=[("progression", FloatTensorType([1, 1]))],
        target_opset=OPSETS,
    )

    def predict(batch: Rows) -> dict[str, Rows]:
        return {"progression": estimator.predict(batch).reshape(-1, 1)}

    return Trained(
        name="diabetes_progression",
        model=model,
        predict=predict,
        rows=held_out,
        targets=targets,
        metric="r2",
        score=r2_score(targets, estimator.predict(held_out)),
        notes={
            "data": "Diabetes by Efron, Hastie, Johnstone, Tibshirani: 442 patients, 10 baseline variables, unscaled",
            "licence": BUNDLED,
            "estimator": "StandardScaler, MLPRegressor(hidden_layer_sizes=(16,), alpha=30, solver='lbfgs')",
            "features": [str(name) for name in data.feature_names],
            "meaning": "disease progression one year after baseline",
            "warning": "A demonstration of regression; not medical advice.",
        },
    )


def simulated_market(steps: int) -> tuple[Rows, Rows]:
    """Log returns and true volatilities of a GARCH(1,1) process; both [steps] float64, per step."""
    generator = np.random.default_rng(SEED)
    omega, alpha, beta = 2e-6, 0.12, 0.86
    variance = omega / (1 - alpha - beta)
    returns, volatilities = np.empty(steps), np.empty(steps)
    for step, shock in enumerate(generator.standard_normal(steps)):
        volatilities[step] = np.sqrt(variance)
        returns[step] = volatilities[step] * shock
        variance = omega + alpha * returns[step] ** 2 + beta * variance
    return returns, volatilities


def volatility_graph(weights: Rows, floor: float) -> onnx.ModelProto:
    """sqrt(floor + sum of weights * returns**2) as ONNX."""
    tensors = [
        numpy_helper.from_array(weights.astype(np.float32).reshape(-1, 1), "weights"),
        numpy_helper.from_array(np.array([floor], dtype=np.float32), "floor"),
    ]
    nodes = [
        helper.make_node("Mul", ["returns", "returns"], ["squares"], name="squares"),
        helper.make_node("Gemm", ["squares", "weights", "floor"], ["variance"], name="variance"),
        helper.make_node("Sqrt", ["variance"], ["volatility"], name="volatility"),
    ]
    taken = helper.make_tensor_value_info("returns", onnx.TensorProto.FLOAT, [1, len(weights)])
    given = helper.make_tensor_value_info("volatility", onnx.TensorProto.FLOAT, [1, 1])
    graph = helper.make_graph(nodes, "volatility", [taken], [given], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSETS[""])])


def volatility() -> Trained:
    """An ARCH model of 16 lags, fitted to a simulated market."""
    lags = 16
    returns, volatilities = simulated_market(20_000)
    rows = np.lib.stride_tricks.sliding_window_view(returns, lags)[:-1].astype(np.float32)
    targets = volatilities[lags:]
    split = int(len(rows) * 0.75)
    squares = rows.astype(np.float64) ** 2
    estimator = LinearRegression(positive=True).fit(squares[:split], returns[lags:][:split] ** 2)

    def predict(batch: Rows) -> dict[str, Rows]:
        return {"volatility": np.sqrt(estimator.predict(batch.astype(np.float64) ** 2)).reshape(-1, 1)}

    return Trained(
        name="volatility",
        model=volatility_graph(estimator.coef_, float(estimator.intercept_)),
        predict=predict,
        rows=rows[split:],
        targets=targets[split:],
        metric="r2",
        score=r2_score(targets[split:], predict(rows[split:])["volatility"]),
        notes={
            "data": "SYNTHETIC: 20,000 steps of a seeded GARCH(1,1) process (omega 2e-6, alpha 0.12, beta 0.86)",
            "licence": "made by scripts/train_models.py; no licence needed",
            "estimator": "ARCH(16): LinearRegression(positive=True) on squared returns, then a square root",
            "features": [f"log return {lags - lag} steps ago" for lag in range(lags)],
            "meaning": "volatility of the next log return; the target is the process's true volatility",
            "warning": "Fitted to no real market.",
        },
    )


def stable_bytes(trained: Trained) -> bytes:
    """The model's bytes without anything that names library versions; raises `SystemExit` when it is too large."""
    model = trained.model
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.domain, model.doc_string = "sworn", "", "", ""
    model.graph.name, model.graph.doc_string = trained.name, ""
    opsets = sorted((entry.domain, OPSETS.get(entry.domain, entry.version)) for entry in model.opset_import)
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*opset) for opset in opsets)
    onnx.checker.check_model(model, full_check=True)
    artifact = model.SerializeToString(deterministic=True)
    if len(artifact) > MAX_BYTES:
        raise SystemExit(f"{trained.name} has {len(artifact)} bytes, more than {MAX_BYTES}")
    return bytes(artifact)


def card(trained: Trained, artifact: bytes) -> dict[str, Any]:
    """What models.json says about one model."""
    session = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    reference = trained.predict(trained.rows)
    runs = [session.run(list(reference), {taken.name: row.reshape(1, -1)}) for row in trained.rows]
    differences = {
        name: max(
            abs(float(np.max(np.abs(run[index][0] - expected)))) for run, expected in zip(runs, column, strict=True)
        )
        for index, (name, column) in enumerate(reference.items())
    }
    return {
        "name": trained.name,
        "file": f"{trained.name}.onnx",
        "sha256": hashlib.sha256(artifact).hexdigest(),
        "bytes": len(artifact),
        **trained.notes,
        "inputs": [tensor(taken)],
        "outputs": [tensor(output) for output in session.get_outputs()],
        "held_out_rows": len(trained.rows),
        "metric": trained.metric,
        "score": round(float(trained.score), 4),
        # Two significant digits: enough to see how close onnxruntime and scikit-learn are.
        "max_difference": {name: float(f"{difference:.1e}") for name, difference in differences.items()},
        "examples": [example(trained, index, taken.name) for index in trained.examples],
    }


def tensor(node: Any) -> dict[str, Any]:
    """Name, dtype and shape of an input or output of a session."""
    dtypes = {"tensor(float)": "float32", "tensor(int64)": "int64"}
    return {"name": node.name, "dtype": dtypes[node.type], "shape": node.shape}


def example(trained: Trained, index: int, input_name: str) -> dict[str, Any]:
    """One held-out row with the estimator's answer and the truth."""
    row = trained.rows[index : index + 1]
    expected = trained.predict(row)
    return {
        "inputs": {input_name: short(row)},
        "outputs": {name: short(values) for name, values in expected.items()},
        "target": short(trained.targets[index]),
    }


def short(values: Any) -> Any:
    """Nested lists of the shortest decimals that give the same float32 back; integers as they are."""
    array = np.asarray(values)
    if array.dtype.kind != "f":
        return array.tolist()
    return json.loads(json.dumps(np.vectorize(lambda value: float(str(np.float32(value))))(array).tolist()))


def build() -> dict[str, bytes]:
    """File contents by file name."""
    files: dict[str, bytes] = {}
    cards = []
    for train in (breast_cancer_risk, diabetes_progression, volatility):
        trained = train()
        artifact = stable_bytes(trained)
        files[f"{trained.name}.onnx"] = artifact
        cards.append(card(trained, artifact))
    text = json.dumps({"built_by": "scripts/train_models.py", "models": cards}, indent=1)
    files["models.json"] = (text + "\n").encode()
    return files


def main() -> int:
    """Writes the files, or compares them; 1 when they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing them")
    arguments = parser.parse_args()
    with threadpool_limits(limits=1):
        files = build()
    if arguments.check:
        stale = [
            name for name, data in files.items() if not (path := TARGET / name).exists() or path.read_bytes() != data
        ]
        print(f"differs: {', '.join(stale)}" if stale else "models are what the script builds")
        return 1 if stale else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (TARGET / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
