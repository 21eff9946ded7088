"""What an exhibit of the gallery is, its bytes, and the card that tells about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from train_models import IR_VERSION, OPSETS, short, tensor

MAX_BYTES = 400_000

Rows = NDArray[Any]
Predict = Callable[[Rows], dict[str, Rows]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One model, with rows that it was not trained on: ``rows[i:i+1]`` is an input of the model."""

    name: str
    model: onnx.ModelProto
    #: What the framework that trained the model says of many rows at once, by output name.
    predict: Predict
    #: Who said it: "scikit-learn", "torch", or "float network" for a model that was made from one.
    framework: str
    rows: Rows
    targets: Rows
    metric: str
    #: The metric, given what the .onnx file says of all rows, by output name.
    score: Callable[[dict[str, Rows]], float]
    notes: dict[str, Any]
    #: Rows that the card carries in full.
    examples: tuple[int, ...] = (0, 1, 2)


def stable_bytes(exhibit: Exhibit) -> bytes:
    """The model's bytes without anything that names tools or their versions; raises `SystemExit` when too large.

    Only the standard operator sets stay, in one version each: a file that needs others does not pass the check.
    """
    model = onnx.ModelProto()
    model.CopyFrom(exhibit.model)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.domain, model.doc_string = "sworn", "", "", ""
    del model.metadata_props[:]
    model.graph.name, model.graph.doc_string = exhibit.name, ""
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    opsets = sorted({(entry.domain, OPSETS.get(entry.domain, 0)) for entry in model.opset_import})
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*opset) for opset in opsets if opset[1])
    onnx.checker.check_model(model, full_check=True)
    artifact = bytes(model.SerializeToString(deterministic=True))
    if len(artifact) > MAX_BYTES:
        raise SystemExit(f"{exhibit.name} has {len(artifact)} bytes, more than {MAX_BYTES}")
    return artifact


def answers(artifact: bytes, rows: Rows) -> dict[str, Rows]:
    """Outputs of an .onnx file for rows run one by one, stacked along the first axis, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    taken = session.get_inputs()[0].name
    runs = [session.run(names, {taken: rows[index : index + 1]}) for index in range(len(rows))]
    return {name: np.concatenate(column) for name, column in zip(names, zip(*runs, strict=True), strict=True)}


def card(exhibit: Exhibit, artifact: bytes) -> dict[str, Any]:
    """What gallery.json says about one model."""
    session = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    given = answers(artifact, exhibit.rows)
    said = exhibit.predict(exhibit.rows)
    return {
        "name": exhibit.name,
        "file": f"{exhibit.name}.onnx",
        "sha256": hashlib.sha256(artifact).hexdigest(),
        "bytes": len(artifact),
        **exhibit.notes,
        "operators": sorted({node.op_type for node in onnx.load_from_string(artifact).graph.node}),
        "inputs": [tensor(taken)],
        "outputs": [tensor(output) for output in session.get_outputs()],
        "held_out_rows": len(exhibit.rows),
        "metric": exhibit.metric,
        "score": round(exhibit.score(given), 4),
        "compared_with": exhibit.framework,
        # Two significant digits: enough to see how close onnxruntime and the framework are.
        "max_difference": {name: difference(given[name], values) for name, values in said.items()},
        "examples": [example(exhibit, given, index, taken.name) for index in exhibit.examples],
    }


def difference(given: Rows, said: Rows) -> float:
    """The greatest absolute difference, to two significant digits."""
    return float(f"{float(np.max(np.abs(given.astype(np.float64) - said.reshape(given.shape)))):.1e}")


def example(exhibit: Exhibit, given: dict[str, Rows], index: int, input_name: str) -> dict[str, Any]:
    """One held-out row with onnxruntime's answer and the truth."""
    return {
        "inputs": {input_name: short(exhibit.rows[index : index + 1])},
        "outputs": {name: short(values[index : index + 1]) for name, values in given.items()},
        "target": short(exhibit.targets[index]),
    }


def accuracy(targets: Rows, *, output: str) -> Callable[[dict[str, Rows]], float]:
    """The share of right classes: ``output`` holds classes, or one column of scores for each."""

    def score(given: dict[str, Rows]) -> float:
        answer = given[output]
        chosen = answer if answer.ndim == 1 else answer.argmax(axis=1)
        return float(np.mean(chosen == targets))

    return score


def gallery_files(exhibits: list[Exhibit]) -> dict[str, bytes]:
    """File contents by file name."""
    files: dict[str, bytes] = {}
    cards = []
    for exhibit in exhibits:
        artifact = stable_bytes(exhibit)
        files[f"{exhibit.name}.onnx"] = artifact
        cards.append(card(exhibit, artifact))
    text = json.dumps({"built_by": "scripts/train_gallery.py", "models": cards}, indent=1)
    files["gallery.json"] = (text + "\n").encode()
    return files
